# SPDX-License-Identifier: MIT
#
# A thin front for CMake and its presets (CMakePresets.json). `make help` lists what it can do.

PRESET ?= release
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)

# A short real program with many blocks of many sizes, a database in memory, can be run a few times; one of the
# user's own may be a server or take an hour.
ifdef PROGRAM
RUN_OPTIONS ?= --compare
else
PROGRAM := sqlite3 :memory: '.read examples/run/rows.sql'
RUN_OPTIONS ?= --compare --warmup 1 --runs 3
endif

.DEFAULT_GOAL := all
build/%/build.ninja: CMakePresets.json
	@cmake --preset $* --log-level=NOTICE --no-warn-unused-cli >/dev/null

.PHONY: all
all: build/$(PRESET)/build.ninja ## build the libraries, the command and the tests
	@cmake --build --preset $(PRESET) -j $(JOBS)

.PHONY: run
run: ## set up, build, run a program beside other mallocs, record, replay, report; PROGRAM='...' for yours
	@tools/setup run
	@tools/setup --program $(PROGRAM)
	@$(MAKE) --no-print-directory build/release/build.ninja
	@cmake --build --preset release -j $(JOBS) --target tarn_cli tarn_malloc tarn_record
	@tools/run build/release $(RUN_OPTIONS) -- $(PROGRAM)

.PHONY: check
check: ## set up, build and run every test; PRESET=debug|clang|asan|tsan|valgrind|hardened for another build
	@tools/setup check $(filter clang valgrind,$(PRESET))
	@tools/check $(PRESET) $(JOBS)

.PHONY: check-programs
check-programs: ## install real programs and compare their output on Tarn with that on the system's malloc
	@tools/setup programs
	@$(MAKE) --no-print-directory build/release/build.ninja
	@cmake --build --preset release -j $(JOBS) --target tarn_cli tarn_malloc
	@tests/programs/run build/release

.PHONY: soak
soak: ## threads and forks on a malloc that compacts, for SOAK_SECONDS (default 60) each; SOAK_FORKS (default 1000)
	@tools/setup check
	@$(MAKE) --no-print-directory build/release/build.ninja
	@cmake --build --preset release -j $(JOBS) --target tarn_malloc compact_stress
	@tests/stress/run build/release $(or $(SOAK_SECONDS),60) $(or $(SOAK_FORKS),1000)

.PHONY: install
install: ## install under PREFIX (default /usr/local); DESTDIR is honoured
	@tools/setup run docs
	@$(MAKE) --no-print-directory all PRESET=release
	@cmake --install build/release --prefix $(PREFIX)
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" -ne 0 ] || ldconfig

.PHONY: bench
bench: ## run the workloads beside others; regions, pools, overlays, compaction, spaces, recording, replay
	@tools/setup bench
	@$(MAKE) --no-print-directory all PRESET=bench
	@bench/run --build build/bench
	@bench/run-regions --build build/bench $(REGIONS)
	@bench/run-pools --build build/bench $(POOLS)
	@bench/run-overlays --build build/bench $(OVERLAYS)
	@bench/run-compact --build build/bench $(COMPACT)
	@bench/run-space --build build/bench $(SPACE)
	@bench/run-record --build build/bench $(RECORD)
	@bench/run-replay --build build/bench $(REPLAY)

.PHONY: lint
lint: ## clang-format, clang-tidy, cppcheck, gcc -fanalyzer, shellcheck
	@tools/setup lint
	@tools/lint $(JOBS)

.PHONY: format
format: ## lay out the sources as .clang-format and web/.prettierrc.json say
	@tools/setup lint
	@git ls-files '*.c' '*.h' '*.cc' '*.hpp' | xargs clang-format -i
	@web/format build/web-modules

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZ_SECONDS (default 30)
	@tools/setup fuzz
	@$(MAKE) --no-print-directory all PRESET=fuzz
	@tools/fuzz build/fuzz

.PHONY: cover
cover: ## run the tests and show which lines they ran
	@tools/setup cover
	@tools/cover $(JOBS)

.PHONY: clean
clean: ## remove everything that was built
	@rm -rf build

.PHONY: help
help: ## show this
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-16s%s\n' "$$name" "$$text"; done
