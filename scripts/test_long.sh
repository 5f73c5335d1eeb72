#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test_long.sh BUILD: what takes minutes each or needs much besides. One line for each part, then
# N passed, N failed.
#
#   next-layout  an agent of another layout, for the attacks; and what `make demo` builds
#   attacks   the attack matrix, on two fabrics (make attacks)
#   firewalls real ufw, firewalld and dockerd on a node (docs/beside-firewalls.md)
#   kernels   programs, netlink and the main job on Debian's own 6.1, in an emulator; on 6.12 that all
#             programs load (make kernels: more of them)
set -uo pipefail
build=${1:?usage: test_long.sh BUILD}
here=$(cd "$(dirname "$0")" && pwd)
passed=0 failed=0

part() {
  local name=$1 begin=$SECONDS; shift
  if "$@" > "$build/test_long.$name.log" 2>&1; then
    passed=$((passed + 1)); echo "passed  $name  ($((SECONDS - begin)) s)"
  else
    failed=$((failed + 1)); echo "FAILED  $name  ($((SECONDS - begin)) s); the end of $build/test_long.$name.log:"
    tail -n 40 "$build/test_long.$name.log"
  fi
}

kernel() {
  local version=$1; shift
  RIPSTOP_FUZZ_CASES=500 "$here/kernel_test.sh" "$version" "${@/#/$build/tests/}"
}
# Its verifier takes a quarter of a minute for the programs in the emulator, and each of these tests
# loads them: every sixth here, all of them by `make kernels`.
sample() { GTEST_TOTAL_SHARDS=6 GTEST_SHARD_INDEX=0 kernel "$@"; }

# On two nodes, natively; by VXLAN too by `make kernels`.
main_job() { GTEST_FILTER='*Native' kernel "$1" scenario_main_job_test; }

part next-layout "$here/next_layout.sh" "$build"
part attacks "$build/bin/ripstop-attacks"
part firewalls "$build/tests/real_firewalls"
part kernel-6.1 kernel 6.1 loader_programs_test loader_table_store_test agent_netlink_test agent_routes_kernel_test
part kernel-6.1-packets sample 6.1 loader_packet_test dataplane_test
part kernel-6.1-main-job main_job 6.1
part kernel-6.12 kernel 6.12 loader_programs_test

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
