# SPDX-License-Identifier: LGPL-2.1-only
# The native simulation: moat's own objects over a simulated hypervisor.  Nothing here is installed.

sim_obj = $(patsubst %.c,$(B)/obj/tests/sim/%.o,$(1))

# The hypervisor's side with its clients; the host's side.
sim_hv   := $(call sim_obj,hv_sim.c memfile.c simclient.c xen_domctl.c xen_misc.c)
sim_host := $(call sim_obj,simhost.c simcontrol.c simguest.c simdom.c simspec.c simstore.c \
    simnodes.c xenstore.c)

$(S)/simhost: $(call sim_obj,simhost_main.c) $(sim_host)
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) -pie $(LDFLAGS) $^ -o $@ -lz
$(S)/simctl: $(call sim_obj,simctl.c simclient.c)
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) -pie $(LDFLAGS) $^ -o $@
$(S)/as: $(B)/obj/tests/box/tools/as.o
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(STATIC_PIE) $(LDFLAGS) $^ -o $@
$(S)/bench_inproc: $(B)/obj/tests/bench/bench_inproc.o $(sim_hv) \
    $(call sim_obj,xencall_inproc.c foreignmemory_sim.c) $(B)/libcore.a
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) -pie $(LDFLAGS) $^ -o $@ $(XENGUEST_LIBS)

$(S)/bench_hello: $(B)/obj/tests/bench/bench_hello.o $(B)/libcore.a
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) -pie $(LDFLAGS) $^ -o $@ $(MOATD_LIBS)
$(S)/bench_loop: $(B)/obj/tests/bench/bench_loop.o $(B)/libapi.a $(B)/libcore.a
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) -pie $(LDFLAGS) $^ -o $@ $(shell $(PKG) --libs xentoollog) -lpthread

$(S)/bench_p9: $(B)/obj/tests/bench/bench_p9.o $(B)/obj/tests/ninepfs/client.o $(B)/libninepfs.a
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) -pie $(LDFLAGS) $^ -o $@ -lpthread

# One source, once for each library.
$(S)/bench_osevent_moat: $(B)/obj/tests/bench/bench_osevent.o $(B)/lib/libmoat.a
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) -pie $(LDFLAGS) $^ -o $@ $(shell $(PKG) --libs xentoollog) -lpthread
$(S)/bench_osevent_libxl: tests/bench/bench_osevent.c
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -DCONF_LIBXL -pie $(LDFLAGS) $< -o $@ \
	    $(shell $(PKG) --libs xenlight xentoollog)

$(S)/moatd: $(call obj,policy/launch/moatd_main.c) $(call sim_obj,destroy_sim.c simclient.c) \
    $(B)/libcore.a
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) -pie $(LDFLAGS) $^ -o $@ $(MOATD_LIBS)
$(S)/libexec/warden: $(call obj,policy/warden/warden_main.c) $(sim_hv) $(B)/libcore.a
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(STATIC_PIE) $(LDFLAGS) $^ -o $@
$(S)/libexec/save: $(call obj,workers/save/save_main.c) $(call sim_obj,foreignmemory_sim.c) \
    $(B)/libworker.a $(B)/libcore.a
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(STATIC_PIE) $(LDFLAGS) $^ -o $@ $(XENGUEST_LIBS) $(call static_libs,json-c)
$(S)/libexec/gate $(S)/libexec/recorder: $(S)/libexec/%: $(B)/libexec/%
	@mkdir -p $(@D)
	cp $< $@

# A program of an application's, with each form of libmoat; they run from one folder.
APP_CFLAGS = $(filter-out -fPIE,$(CFLAGS)) -fPIE -Iinclude
$(S)/lib_app: tests/sim/lib_app.c $(B)/lib/libmoat.so.$(LIB_FULL) include/moat/libxl_event.h
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)cp $(B)/lib/libmoat.so.$(LIB_FULL) $(@D)/libmoat.so.$(LIB_MAJOR)
	$(Q)$(CC) $(APP_CFLAGS) -pie $(LDFLAGS) $< -o $@ -L$(B)/lib -lmoat '-Wl,-rpath,$$ORIGIN' \
	    $(shell $(PKG) --libs xentoollog)
$(S)/lib_app_static: tests/sim/lib_app.c $(B)/lib/libmoat.a include/moat/libxl_event.h
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(APP_CFLAGS) -pie $(LDFLAGS) $< -o $@ $(B)/lib/libmoat.a $(LIB_LIBS)

sim: $(S)/bench_inproc $(S)/bench_hello $(S)/bench_p9 $(S)/lib_app $(S)/lib_app_static

# What the unit tests of the simulation link besides the archives.
unit_more_sim := $(sim_hv) $(sim_host) $(call sim_obj,foreignmemory_sim.c xencall_inproc.c)
unit_libs_sim  = $(XENGUEST_LIBS)
