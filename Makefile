# SPDX-License-Identifier: Apache-2.0
#
# A thin front for the CMake presets. `make demo` and `make test` need nothing
# but Debian 12 and root.
BUILD := build/dev

.PHONY: all setup build format check-format test kernels bench fuzz mutants demo demo-down clean

all: build

setup:
	@./scripts/setup.sh

build: setup
	@[ -f $(BUILD)/build.ninja ] || cmake --preset dev
	@cmake --build --preset dev

# Brings the tree to its form; `make test` asks whether it is.
format: setup
	@./scripts/format.sh

check-format: setup
	@./scripts/format.sh --check

test: check-format build
	@./scripts/test.sh $(BUILD)

# The tests of datapath, netlink and routes under Debian's other kernels, in an emulator: a quarter of an
# hour for each. Fetches the kernels by apt; needs qemu-system-x86, busybox-static, cpio.
KERNELS ?= 6.1 6.12
KERNEL_TESTS := loader_table_store_test loader_epochs_test loader_rule_hits_test \
  loader_kernel_property_test loader_policy_set_test loader_packet_test \
  dataplane_test dataplane_live_test agent_netlink_test agent_routes_kernel_test
kernels: build
	@for version in $(KERNELS); do RIPSTOP_FUZZ_CASES=2000 \
	  ./scripts/kernel_test.sh $$version $(KERNEL_TESTS:%=$(BUILD)/tests/%) || exit 1; done

# Measures everything in docs/performance.md and writes its tables and plots; as root, on
# a machine that does nothing else. BENCH="--quick" shows in half a minute that it runs.
BENCH ?= --write --json $(BUILD)/bench.json
bench: build
	@python3 e2e/bench/run_all.py $(BUILD) $(BENCH)

# Plants faults in a copy of the tree and asks whether tests notice; takes a while.
mutants: setup
	@./scripts/mutants/run.py

# The property tests at length: reference = tables = program. CASES in packets.
CASES ?= 10000000
fuzz: build
	RIPSTOP_FUZZ_CASES=$(CASES) $(BUILD)/tests/policy_engine_property_test
	RIPSTOP_FUZZ_CASES=$(CASES) $(BUILD)/tests/loader_kernel_property_test

demo: build
	@./scripts/demo.sh $(BUILD)

demo-down:
	@./scripts/demo.sh $(BUILD) down

clean:
	rm -rf build
