#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tidy.sh BUILD [FILE…]: clang-tidy over every source of the tree, or those named, with BUILD's
# compile commands. Nothing is compiled but what is generated. Prints what it found and ends
# with one line: N units checked, N findings; fails when there is one.
#
# BUILD compiles many sources at a time (RIPSTOP_UNITY): most of what the checks walk through
# is headers, the same in each of them.
set -euo pipefail
build=${1:?usage: tidy.sh BUILD [FILE…]}
shift
cmake --build "$build" --target generated >/dev/null
log=$build/tidy.log
jobs=${TIDY_JOBS:-$(nproc)}
status=0
python3 - "$build" "$@" <<'PY' | xargs -0 -r -n 1 -P "$jobs" sh -c \
  'clang-tidy-19 -p "$0" --quiet "$1" 2>/dev/null || echo "failed: $1"' "$build" | tee "$log" || status=$?
import json, os, sys
build, wanted = sys.argv[1], [os.path.abspath(f) for f in sys.argv[2:]]
root = os.path.abspath(os.path.dirname(build.rstrip("/")) + "/..")
units = set()
for entry in json.load(open(build + "/compile_commands.json")):
    unit = entry["file"]
    text = open(unit).read() if "/Unity/" in unit else ""
    # Generated sources are not ours.
    if unit.startswith(os.path.abspath(build)) and not text:
        continue
    if not wanted or unit in wanted or any(f in text for f in wanted):
        units.add(unit)
print(f"{len(units)} units to check", file=sys.stderr)
sys.stdout.write("".join(u + "\0" for u in sorted(units)))
PY
findings=$(grep -cE '(warning|error): .*\[' "$log" || true)
failed=$(grep -c '^failed: ' "$log" || true)
echo "$findings findings in $failed units; the log is $log"
[ "$failed" = 0 ] && [ "$status" = 0 ]
