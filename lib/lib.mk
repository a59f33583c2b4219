# SPDX-License-Identifier: LGPL-2.1-only
# libmoat, shared and static.  Both export what lib/libmoat.map lists and nothing else: an application
# must not meet a name of the core's by accident.

LIB_MAJOR := 0
LIB_FULL  := 0.1
lib_all_c := $(lib_c) $(filter-out parent/event/xs_libxenstore.c,$(wildcard parent/event/*.c)) \
             $(filter-out ipc/protocol_main.c,$(wildcard ipc/*.c))
lib_obj   := $(patsubst %.c,$(B)/pic/%.o,$(lib_all_c))
LIB_LIBS   = $(shell $(PKG) --libs xentoollog) -lpthread

# The sanitizers' own symbols are the program's.
LIB_DEFS_0 := -Wl,-z,defs

-include $(lib_obj:.o=.d)

.PHONY: lib
lib: $(B)/lib/libmoat.so.$(LIB_FULL) $(B)/lib/libmoat.a $(B)/lib/moat.pc

$(B)/pic/%.o: %.c | $(B)/gen/paths.h
	@mkdir -p $(@D)
	$(call say,CC $@)
	$(Q)$(CC) $(CPPFLAGS) $(filter-out -fPIE,$(CFLAGS)) -fPIC -fvisibility=hidden -MMD -MP -c $< -o $@

# -z nodelete: a SIGCHLD handler and atfork handlers cannot be unloaded.
$(B)/lib/libmoat.so.$(LIB_FULL): $(lib_obj) lib/libmoat.map
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) -shared $(LDFLAGS) $(LIB_DEFS_$(SAN)) -Wl,-z,nodelete -Wl,-soname,libmoat.so.$(LIB_MAJOR) \
	    -Wl,--version-script=lib/libmoat.map $(lib_obj) -o $@ $(LIB_LIBS)
	@ln -sf libmoat.so.$(LIB_FULL) $(@D)/libmoat.so.$(LIB_MAJOR)
	@ln -sf libmoat.so.$(LIB_MAJOR) $(@D)/libmoat.so

# One object whose hidden symbols have become local ones.
$(B)/lib/libmoat.a: $(lib_obj)
	@mkdir -p $(@D)
	$(call say,AR $@)
	$(Q)$(LD) -r $^ -o $(@D)/moat.o
	$(Q)objcopy --localize-hidden $(@D)/moat.o
	@rm -f $@; $(AR) rcs $@ $(@D)/moat.o

$(B)/lib/moat.pc: lib/moat.pc.in FORCE
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|' $< > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
