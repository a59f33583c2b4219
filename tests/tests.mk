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
unit_libs_workers     = $(XENGUEST_LIBS)
unit_more_warden_call =

# The simulation: its programs, and what tests/unit/sim links (unit_more_sim).
include tests/sim/sim.mk

define unit_area
unit_help_$(1) := $$(call obj,$$(filter-out $$(unit_c),$$(wildcard tests/unit/$(1)/*.c)))
$$(filter $(B)/tests/$(1)/%,$$(unit_bin)): $(B)/tests/$(1)/%: $(B)/obj/tests/unit/$(1)/%.o \
    $$(unit_help_$(1)) $$(unit_more_$(1)) $(B)/libmoat.a
	@mkdir -p $$(@D)
	$$(call say,LD $$@)
	$$(Q)$$(CC) -pie $$(LDFLAGS) $$^ -o $$@ $$(unit_libs_$(1)) $$(UNIT_LIBS) -lpthread
endef
$(foreach a,$(unit_areas),$(eval $(call unit_area,$(a))))

.PHONY: unit check-unit
unit: $(unit_bin)
check-unit: unit
	@tests/run-unit.sh $(if $(T),$(filter $(B)/tests/$(T)%,$(unit_bin)),$(unit_bin))

# ---- the box

STAGE := build/stage
.PHONY: stage check-box box-shell
stage: all
	rm -rf $(STAGE)
	$(MAKE) --no-print-directory install DESTDIR=$(STAGE) > /dev/null
check-box: stage
	tests/box/fetch.sh
	tests/box/run.sh $(T)
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
