# SPDX-License-Identifier: Apache-2.0
#
# A thin front for the CMake presets. `make demo` and `make test` need nothing
# but Debian 12 and root.
BUILD := build/dev

.PHONY: all setup build test fuzz mutants demo demo-down clean

all: build

setup:
	@./scripts/setup.sh

build: setup
	@[ -f $(BUILD)/build.ninja ] || cmake --preset dev
	@cmake --build --preset dev

test: build
	@./scripts/test.sh $(BUILD)

# Plants faults in a copy of the tree and asks whether tests notice; takes a while.
mutants: setup
	@./scripts/mutants/run.py

# The property tests at length: reference = tables = program. CASES in packets.
CASES ?= 10000000
fuzz: build
	RIPSTOP_FUZZ_CASES=$(CASES) $(BUILD)/tests/policy_engine_property_test
	RIPSTOP_FUZZ_CASES=$(CASES) $(BUILD)/tests/dataplane_kernel_property_test

demo: build
	@./scripts/demo.sh $(BUILD)

demo-down:
	@./scripts/demo.sh $(BUILD) down

clean:
	rm -rf build
