# SPDX-License-Identifier: LGPL-2.1-only
# Targets that test.  Included by GNUmakefile; every path is relative to the repository's root.

# ---- dependencies, by package name

PACKAGES := $(sort $(shell sed 's/\#.*//' dist/build-packages.txt tests/box/packages.txt))

.PHONY: deps
deps:
	@dist/deps.sh $(PACKAGES)

# ---- unit tests: tests/unit/AREA/test_*.c, with whatever else is in that folder

unit_c     := $(sort $(wildcard tests/unit/*/test_*.c))
unit_areas := $(sort $(notdir $(patsubst %/,%,$(dir $(unit_c)))))
unit_bin   := $(patsubst tests/unit/%.c,$(B)/tests/%,$(unit_c))
UNIT_LIBS   = $(shell $(PKG) --libs cmocka xenstore inih libcap-ng json-c libsodium)
# What an area links besides: objects that are in no archive, libraries.
unit_more_workers     = $(B)/libworker.a
unit_more_ninepfs     = $(call obj,tests/ninepfs/client.c) $(B)/libninepfs.a
unit_libs_workers     = $(XENGUEST_LIBS)
unit_more_lib         = $(B)/libapi.a
unit_libs_lib         = $(shell $(PKG) --libs xentoollog) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
unit_libs_cli         = -Wl,--wrap=openat,--wrap=renameat2,--wrap=linkat

# The simulation: its programs, and what tests/unit/sim links (unit_more_sim).
include tests/sim/sim.mk
# Hostile peers, built for both hosts.
include tests/hostile/hostile.mk
# The comparison with libxenlight.
include tests/conformance/conformance.mk
# The 9pfs server in the box.
include tests/ninepfs/ninepfs.mk

define unit_area
unit_help_$(1) := $$(call obj,$$(filter-out $$(unit_c),$$(wildcard tests/unit/$(1)/*.c)))
$$(filter $(B)/tests/$(1)/%,$$(unit_bin)): $(B)/tests/$(1)/%: $(B)/obj/tests/unit/$(1)/%.o \
    $$(unit_help_$(1)) $$(unit_more_$(1)) $(B)/libcore.a
	@mkdir -p $$(@D)
	$$(call say,LD $$@)
	$$(Q)$$(CC) -pie $$(LDFLAGS) $$^ -o $$@ $$(unit_libs_$(1)) $$(UNIT_LIBS) -lpthread
endef
$(foreach a,$(unit_areas),$(eval $(call unit_area,$(a))))

.PHONY: unit check-unit
unit: $(unit_bin)
check-unit: unit lib
	@tests/run-unit.sh $(if $(T),$(or $(filter $(B)/tests/$(T)%,$(unit_bin)),$(T)),$(unit_bin))
	@$(if $(T),true,tests/run-tap.sh $(wildcard tests/unit/*/*.t))

# ---- the simulation, hostile peers

sim_t     := $(sort $(wildcard tests/sim/*.t))
hostile_t := $(sort $(wildcard tests/hostile/*.t))
.PHONY: check-sim check-hostile
check-sim: sim examples
	tests/box/fetch.sh
	@SIM_BUILD=$(B) tests/run-tap.sh $(if $(T),tests/sim/$(T).t,$(sim_t))
check-hostile: sim hostile
	@SIM_BUILD=$(B) tests/run-tap.sh $(if $(T),tests/hostile/$(T).t,$(hostile_t))

# The two again with ASan and UBSan.  Verdicts about the sandbox itself come from the release build:
# tests/unit/sandbox and tests/unit/launch are about nothing else.
.PHONY: check-asan
check-asan:
	$(MAKE) --no-print-directory SAN=1 san-unit check-sim
.PHONY: san-unit
san-unit: $(filter-out $(B)/tests/sandbox/% $(B)/tests/launch/%,$(unit_bin))
	@tests/run-unit.sh $^

# The event core, the library's public face and the 9pfs server again with TSan: data races, lock order.
.PHONY: check-tsan tsan-unit
check-tsan:
	$(MAKE) --no-print-directory SAN=thread tsan-unit
tsan-unit: $(filter $(B)/tests/event/% $(B)/tests/lib/% $(B)/tests/ninepfs/%,$(unit_bin))
	@tests/run-unit.sh $^

# ---- fuzzing: clang's libFuzzer over everything that reads what others wrote

SECS ?= 30
FUZZ := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_FLAGS := -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
.PHONY: fuzz fuzz-bin
fuzz-bin:
	$(MAKE) --no-print-directory B=build/fuzz/obj CC=clang FUZZING=1 $(FUZZ)
fuzz: fuzz-bin $(B)/protocol
	@$(B)/protocol --dict > build/fuzz/ipc.dict
	@tests/fuzz/run.sh $(SECS) build/fuzz/ipc.dict $(FUZZ)

fuzz_more_fuzz_json = $(B)/libworker.a
fuzz_libs_fuzz_json = $(XENGUEST_LIBS) $(shell $(PKG) --libs json-c)
fuzz_more_fuzz_p9_decode = $(call obj,tests/ninepfs/client.c) $(B)/libninepfs.a
fuzz_more_fuzz_p9_ring = $(fuzz_more_fuzz_p9_decode)
fuzz_libs_fuzz_conf = $(shell $(PKG) --libs inih)
fuzz_libs_fuzz_audit = $(shell $(PKG) --libs json-c libsodium)
define fuzz_program
build/fuzz/$(1): $(B)/obj/tests/fuzz/$(1).o $$(fuzz_more_$(1)) $(B)/libcore.a
	$$(call say,LD $$@)
	$$(Q)$$(CC) -pie $(FUZZ_FLAGS) $$^ -o $$@ $$(fuzz_libs_$(1))
endef
$(foreach f,$(notdir $(FUZZ)),$(eval $(call fuzz_program,$(f))))

# ---- figures

.PHONY: bench
bench: stage sim $(S)/bench_inproc $(addprefix $(S)/bench_,loop p9 osevent_moat osevent_libxl)
	$(S)/bench_loop
	tests/bench/native.sh
	tests/box/fetch.sh
	tests/box/run.sh tests/bench/box.sh

# ---- the box

STAGE := build/stage
.PHONY: stage check-box box-shell
stage: all
	rm -rf $(STAGE)
	$(MAKE) --no-print-directory install DESTDIR=$(STAGE) > /dev/null
check-box: stage stage-examples stage-ninepfs hostile conformance
	tests/box/fetch.sh
	tests/box/check.sh $(T)
box-shell: stage
	tests/box/fetch.sh
	tests/box/shell.sh

# ---- generated documentation

PROTOCOL_HEAD = sed '/<!-- made by make protocol -->/q' ipc/PROTOCOL.md
.PHONY: protocol check-protocol
protocol: $(B)/protocol
	{ $(PROTOCOL_HEAD); $(B)/protocol; } > $(B)/PROTOCOL.md && cp $(B)/PROTOCOL.md ipc/PROTOCOL.md
check-protocol: $(B)/protocol
	@{ $(PROTOCOL_HEAD); $(B)/protocol; } | diff -u ipc/PROTOCOL.md - || \
	    { echo "ipc/PROTOCOL.md is not what messages.def says: run make protocol"; exit 1; }

.PHONY: lint
lint:
	@dist/deps.sh shellcheck cppcheck git mandoc
	@tests/lint.sh

# ---- the tour

.PHONY: demo
demo: deps
	@$(MAKE) --no-print-directory stage
	@tests/box/fetch.sh
	@tests/box/run.sh --plain tests/box/demo.sh

# ---- everything

.PHONY: check check-full
check: deps
	@tests/check.sh
check-full: deps
	@tests/check.sh full

.PHONY: help
help:
	@sed -n 's/^| `make \(.*\)` | \(.*\) |$$/make \1\n        \2/p' HACKING.md
