# SPDX-License-Identifier: LGPL-2.1-only
# One set of programs, compiled against libxenlight and against libmoat.  Included by tests/tests.mk;
# nothing here is installed.

CONF := $(B)/conformance
conf_programs := ctx queue poll hooks death suspend child threads
conf_help := conf loop
conf_flags_libxl = -DCONF_LIBXL
conf_libs_libxl  = $(shell $(PKG) --libs xenlight xentoollog)
conf_libs_moat   = -L$(B)/lib -l:libmoat.so.$(LIB_MAJOR) $(shell $(PKG) --libs xentoollog)
conf_needs_moat  = $(B)/lib/libmoat.so.$(LIB_FULL)

define conf_side
$(CONF)/$(1)/obj/%.o: tests/conformance/%.c
	@mkdir -p $$(@D)
	$$(call say,CC $$@)
	$$(Q)$$(CC) $$(CPPFLAGS) $$(conf_flags_$(1)) $$(CFLAGS) -MMD -MP -c $$< -o $$@
$(patsubst %,$(CONF)/$(1)/%,$(conf_programs)): $(CONF)/$(1)/%: $(CONF)/$(1)/obj/%.o \
    $(patsubst %,$(CONF)/$(1)/obj/%.o,$(conf_help)) $$(conf_needs_$(1))
	$$(call say,LD $$@)
	$$(Q)$$(CC) -pie $$(LDFLAGS) $$(filter %.o,$$^) -o $$@ $$(conf_libs_$(1)) -lpthread
-include $(wildcard $(CONF)/$(1)/obj/*.d)
endef
$(foreach s,libxl moat,$(eval $(call conf_side,$(s))))

.PHONY: conformance
conformance: $(foreach s,libxl moat,$(patsubst %,$(CONF)/$(s)/%,$(conf_programs)))
.SECONDARY: $(foreach s,libxl moat,$(patsubst %,$(CONF)/$(s)/obj/%.o,$(conf_programs) $(conf_help)))
