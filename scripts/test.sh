#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs every kind of test and ends with one line: N passed, N failed, N skipped.
# Counts test cases, not binaries: each GoogleTest binary writes its results as
# JSON, and a binary that crashed counts as one failure. With CI=true a skip
# fails the run, unless the kernel truly lacks the feature: such a test records
# the property kernel_lacks, with the feature's name.
set -uo pipefail
build=$1
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
# Each test has namespaces, pins and files of its own, and many mostly wait: for agents and sessions
# to come up, for the kernel's grace periods.
jobs=$((3 * $(nproc)))

GTEST_OUTPUT="json:$results/" ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$jobs"
ctest_status=$?

python3 - "$results" "$ctest_status" <<'PY'
import glob, json, os, sys
results, ctest_status = sys.argv[1], int(sys.argv[2])
passed = failed = skipped = unexcused = 0
for path in glob.glob(results + "/*.json"):
    for suite in json.load(open(path))["testsuites"]:
        for case in suite["testsuite"]:
            name = suite["name"] + "." + case["name"]
            if case.get("failures"):
                failed += 1
                print("FAILED  " + name)
            elif case.get("result") == "SKIPPED":
                skipped += 1
                unexcused += "kernel_lacks" not in case
                print("SKIPPED " + name, "(kernel lacks %s)" % case["kernel_lacks"]
                      if "kernel_lacks" in case else "")
            elif case.get("status") == "RUN":
                passed += 1
if ctest_status != 0 and failed == 0:
    failed = 1  # a binary crashed or timed out before it could write its results
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(1 if failed or passed == 0 or (unexcused and os.environ.get("CI") == "true") else 0)
PY
