#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test_repeat.sh BUILD: asks whether any test depends on how fast the machine is.
#
#   PARTS   quiet  SUITES runs of the whole suite on a quiet machine
#           busy   SUITES more beside LOAD busy loops
#           each   RUNS of each binary of TIMED beside LOAD busy loops
#           All three, unless it says otherwise.
#   TIMED   a pattern of names: those that measure time or send traffic
#
# Ends with 1 at the first failure.
set -uo pipefail
build=${1:?usage: test_repeat.sh BUILD}
suites=${SUITES:-3} load=${LOAD:-4} runs=${RUNS:-20} parts=${PARTS:-quiet busy each}
here=$(cd "$(dirname "$0")" && pwd)
# Those whose outcome could depend on time: real packets, real processes, timers.
timed=${TIMED:-^(agent_.*|bgp_fabric|dataplane_.*|host_nat|lab_fabric|scenario_.*|sqlite_store)_test$}
log=$build/test_repeat.log

loops=()
end_load() { [ ${#loops[@]} -eq 0 ] || kill "${loops[@]}" 2> /dev/null; loops=(); }
trap end_load EXIT
begin_load() {
  [ ${#loops[@]} -eq 0 ] || return
  for _ in $(seq "$load"); do
    (while :; do :; done) &
    loops+=($!)
  done
}

failed() {
  echo "failed; $log"
  grep -E '^FAILED|^\[  FAILED' "$log"
  exit 1
}

suite() {
  for i in $(seq "$suites"); do
    printf 'suite, %s, %d of %d: ' "$1" "$i" "$suites"
    "$here/test.sh" "$build" > "$log" 2>&1 || failed
    tail -n 1 "$log"
  done
}

for part in $parts; do
  case $part in
    quiet) end_load; suite quiet ;;
    busy) begin_load; suite "beside $load busy loops" ;;
    each)
      begin_load
      # Most of them wait more than they run, so as many at a time as in the suite.
      printf '%d binaries, %d runs of each beside %d busy loops: ' \
        "$(ctest --test-dir "$build" -N -R "$timed" | grep -c 'Test *#')" "$runs" "$load"
      ctest --test-dir "$build" -R "$timed" --repeat "until-fail:$runs" --no-tests=error \
        --output-on-failure -j "$((3 * $(nproc)))" > "$log" 2>&1 || failed
      echo passed ;;
    *) echo "no part is called '$part': quiet, busy, each" >&2; exit 2 ;;
  esac
done
