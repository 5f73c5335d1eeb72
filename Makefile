# SPDX-License-Identifier: Apache-2.0
#
# A thin front for the CMake presets. `make demo` and `make test` need nothing
# but Debian 12 and root.
BUILD := build/dev

.PHONY: all setup build format check-format test test-long test-repeat attacks kernels asan tidy bench fuzz \
  mutants demo demo-down clean

all: build

setup:
	@./scripts/setup.sh test

build: setup
	@grep -qs 'RIPSTOP_TESTS:BOOL=ON' $(BUILD)/CMakeCache.txt || cmake --preset dev -DRIPSTOP_TESTS=ON
	@cmake --build --preset dev

# Brings the tree to its form; `make test` asks whether it is.
format: setup
	@./scripts/format.sh

check-format: setup
	@./scripts/format.sh --check

test: check-format build
	@./scripts/test.sh $(BUILD)

# What is slow or needs much besides: other kernels. Long enough for CI, not for each change.
test-long: build
	@./scripts/setup.sh long
	@./scripts/test_long.sh $(BUILD)

# Whether tests depend on how fast the machine is: the suite three times quiet and three times
# beside four busy loops, then each binary that measures time or traffic 20 times beside them.
test-repeat: build
	@./scripts/test_repeat.sh $(BUILD)

asan: setup
	@[ -f build/asan/build.ninja ] || cmake --preset asan
	@cmake --build --preset asan
	@RIPSTOP_FUZZ_CASES=300 ./scripts/test.sh build/asan

tidy:
	@./scripts/setup.sh tidy
	@[ -f build/tidy/build.ninja ] || cmake --preset tidy
	@./scripts/tidy.sh build/tidy

# The attack matrix (docs/attacks.md), row by row: each attack first on a fabric with plain routing,
# where it must succeed, then on one with Ripstop. Ends "N of N defended". ROWS="A2 B" for some.
attacks: build
	@[ $(BUILD)/bin/ripstop-agent-next -nt $(BUILD)/bin/ripstop-agent ] || ./scripts/next_layout.sh $(BUILD)
	@$(BUILD)/bin/ripstop-attacks $(ROWS)

# The tests of datapath, netlink and routes, and the main job on two nodes, under Debian's other kernels,
# in an emulator: a quarter of an hour for each, and six minutes for the main job. Prints what each
# kernel's verifier counted of each program. Fetches the kernels by apt; needs qemu-system-x86,
# busybox-static, cpio.
KERNELS ?= 6.1 6.12
KERNEL_TESTS := loader_programs_test loader_table_store_test loader_epochs_test loader_rule_hits_test \
  loader_kernel_property_test loader_policy_set_test loader_packet_test \
  loader_packet_trace_test loader_packet_probe_test dataplane_host_drops_test \
  dataplane_test dataplane_live_test dataplane_masquerade_test \
  agent_netlink_test agent_routes_kernel_test scenario_main_job_test
kernels: build
	@./scripts/setup.sh kernels
	@for version in $(KERNELS); do RIPSTOP_FUZZ_CASES=2000 KERNEL_TEST_SECONDS=3600 \
	  ./scripts/kernel_test.sh $$version $(KERNEL_TESTS:%=$(BUILD)/tests/%) || exit 1; done

# Measures everything in docs/performance.md and writes its tables and plots; as root, on
# a machine that does nothing else. BENCH="--quick" shows in half a minute that it runs.
BENCH ?= --write --json $(BUILD)/bench.json
bench: build
	@python3 e2e/bench/run_all.py $(BUILD) $(BENCH)

# Plants faults in a copy of the tree and asks whether tests notice; takes a while.
mutants: setup
	@./scripts/mutants/run.py

# The property tests at length: reference = tables = program; and packets of every shape against the
# reference parser and the model of flows (bpf/DESIGN.md). CASES in packets.
CASES ?= 10000000
fuzz: build
	RIPSTOP_FUZZ_CASES=$(CASES) $(BUILD)/tests/policy_engine_property_test
	RIPSTOP_FUZZ_CASES=$(CASES) $(BUILD)/tests/loader_kernel_property_test
	RIPSTOP_FUZZ_CASES=$(CASES) $(BUILD)/tests/loader_packet_fuzz_test

# Only what the demo needs is set up and built.
demo:
	@./scripts/setup.sh demo
	@[ -f $(BUILD)/build.ninja ] || cmake --preset dev -DRIPSTOP_TESTS=OFF
	@cmake --build --preset dev --target demo
	@./scripts/demo.sh $(BUILD)

demo-down:
	@./scripts/demo.sh $(BUILD) down

clean:
	rm -rf build
