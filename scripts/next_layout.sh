#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# next_layout.sh BUILD: makes BUILD/bin/ripstop-agent-next, an agent whose maps are laid out as a
# coming release could have them (bpf/abi/next_layout.h), for upgrades and downgrades. In a folder of
# its own, gone when it is built. With it everything that `make demo` builds: many sources at a time,
# where names may clash that do not else.
set -euo pipefail
build=${1:?usage: next_layout.sh BUILD}
here=$(cd "$(dirname "$0")" && pwd)
folder=$build/next
cmake -S "$here/.." -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DRIPSTOP_TESTS=OFF \
  -DRIPSTOP_NEXT_LAYOUT=ON
cmake --build "$folder" --target demo
cp "$folder/bin/ripstop-agent" "$build/bin/ripstop-agent-next"
rm -rf "$folder"
