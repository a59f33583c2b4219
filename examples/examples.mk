# SPDX-License-Identifier: LGPL-2.1-only
# The examples, each built twice from the same source: with libmoat and, as a proof that an application
# cannot tell the difference, with libxenlight.  Included by GNUmakefile; nothing here is installed.

E := $(B)/examples
EXAMPLES := poll libevent glib sd-event threads sigchld

example_pc_libevent := libevent
example_pc_glib     := glib-2.0
example_pc_sd-event := libsystemd
example_flags = $(filter-out -fPIE,$(CFLAGS)) -fPIE -Iexamples $(if $(1),$(shell $(PKG) --cflags $(1)))
example_libs  = $(if $(1),$(shell $(PKG) --libs $(1))) $(shell $(PKG) --libs xentoollog) -lpthread

.PHONY: examples examples-libxl
examples: $(addprefix $(E)/,$(EXAMPLES)) examples-libxl
examples-libxl: $(addprefix $(E)/libxl/,$(EXAMPLES))

# In the build tree they find the library beside them, elsewhere the installed one.
$(E)/%: examples/%.c examples/example.c examples/example.h $(B)/lib/libmoat.so.$(LIB_FULL)
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) -Iinclude $(call example_flags,$(example_pc_$*)) -pie $(LDFLAGS) \
	    -Wl,-rpath,'$$ORIGIN/../lib' examples/$*.c examples/example.c -o $@ -L$(B)/lib -lmoat \
	    $(call example_libs,$(example_pc_$*))
$(E)/libxl/%: examples/%.c examples/example.c examples/example.h
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) -DEXAMPLE_LIBXL $(call example_flags,$(example_pc_$*)) -pie $(LDFLAGS) \
	    examples/$*.c examples/example.c -o $@ $(shell $(PKG) --libs xenlight) \
	    $(call example_libs,$(example_pc_$*))

# What only the tests want in dom0, beside the tree that make install leaves: see tests/box.
STAGE_TESTS := build/stage-tests
.PHONY: stage-examples
stage-examples: examples
	rm -rf $(STAGE_TESTS)/usr/libexec/moat-examples
	install -d $(STAGE_TESTS)/usr/libexec/moat-examples/libxl
	install -m 0755 $(addprefix $(E)/,$(EXAMPLES)) $(STAGE_TESTS)/usr/libexec/moat-examples/
	install -m 0755 $(addprefix $(E)/libxl/,$(EXAMPLES)) $(STAGE_TESTS)/usr/libexec/moat-examples/libxl/
