#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test_repeat.sh BUILD: asks whether any test depends on how fast the machine is.
#
#   SUITES runs of the whole suite on a quiet machine, SUITES beside LOAD busy loops, and RUNS of
#   each binary that measures time or sends traffic beside them. Ends with 1 at the first failure.
set -uo pipefail
build=${1:?usage: test_repeat.sh BUILD}
suites=${SUITES:-3} load=${LOAD:-4} runs=${RUNS:-20}
here=$(cd "$(dirname "$0")" && pwd)
# Those whose outcome could depend on time: real packets, real processes, timers.
timed=$(cd "$build/tests" && ls | grep -E '^(agent_.*|bgp_fabric|dataplane_.*|host_nat|lab_fabric|scenario_.*|sqlite_store)_test$')

loops=()
end_load() { [ ${#loops[@]} -eq 0 ] || kill "${loops[@]}" 2> /dev/null; loops=(); }
trap end_load EXIT
begin_load() {
  for _ in $(seq "$load"); do
    (while :; do :; done) &
    loops+=($!)
  done
}

suite() {
  for i in $(seq "$suites"); do
    printf 'suite, %s, %d of %d: ' "$1" "$i" "$suites"
    if ! "$here/test.sh" "$build" > "$build/test_repeat.log" 2>&1; then
      echo "failed; $build/test_repeat.log"
      grep '^FAILED' "$build/test_repeat.log"
      exit 1
    fi
    tail -n 1 "$build/test_repeat.log"
  done
}

suite quiet
begin_load
suite "beside $load busy loops"
for test in $timed; do
  printf '%s, %d runs beside %d busy loops: ' "$test" "$runs" "$load"
  for i in $(seq "$runs"); do
    if ! "$build/tests/$test" > "$build/test_repeat.log" 2>&1; then
      echo "failed in run $i; $build/test_repeat.log"
      grep '^\[  FAILED' "$build/test_repeat.log"
      exit 1
    fi
  done
  echo passed
done
