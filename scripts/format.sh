#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# format.sh [--check]: brings every C and C++ file of the tree to its form, or names those that are
# not in it and ends with 1. One pinned version, for versions differ in what they make of one file.
#
# What the kernel runs is written as the kernel's people write it (bpf/.clang-format); C++ is not.
set -euo pipefail
cd "$(dirname "$0")/.."
format=clang-format-19
command -v $format > /dev/null || { echo "format: $format is missing; try: make setup" >&2; exit 2; }
if [ "${1:-}" = --check ]; then mode=(--dry-run -Werror); else mode=(-i); fi
kernel=('bpf/abi/*.h' 'bpf/hooks/*.h' 'bpf/lib/*.h' 'bpf/testing/*.h')
git ls-files -z --cached --others --exclude-standard '*.cc' '*.h' "${kernel[@]/#/:!}" | xargs -0 $format --style=file:.clang-format "${mode[@]}"
git ls-files -z --cached --others --exclude-standard 'bpf/*.c' "${kernel[@]}" | xargs -0 $format --style=file:bpf/.clang-format "${mode[@]}"
