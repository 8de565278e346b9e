# SPDX-License-Identifier: MIT
BUILD ?= build/release

.PHONY: all
all:
	@cmake -S . -B $(BUILD) -G Ninja
	@cmake --build $(BUILD)

.PHONY: check
check: all
	@ctest --test-dir $(BUILD) --output-on-failure
