# SPDX-License-Identifier: Apache-2.0
#
# A thin front for the CMake presets. `make demo` and `make test` need nothing
# but Debian 12 and root.
BUILD := build/dev

.PHONY: all setup build test mutants demo demo-down clean

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

demo: build
	@./scripts/demo.sh $(BUILD)

demo-down:
	@./scripts/demo.sh $(BUILD) down

clean:
	rm -rf build
