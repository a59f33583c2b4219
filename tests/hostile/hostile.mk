# SPDX-License-Identifier: LGPL-2.1-only
# Hostile workers, parents and operators.  Included by tests/tests.mk after tests/sim/sim.mk; nothing
# here is installed.

H := $(B)/hostile
hostile_obj = $(patsubst %.c,$(B)/obj/tests/hostile/%.o,$(1))
hostile_worker := $(call hostile_obj,worker.c calls.c attacks_calls.c attacks_frames.c \
    attacks_image.c attacks_memory.c attacks_system.c)

# For the simulated host, and for the box.
$(H)/save: $(hostile_worker) $(call sim_obj,foreignmemory_sim.c) $(B)/libworker.a $(B)/libcore.a
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(STATIC_PIE) $(LDFLAGS) $^ -o $@ $(XENGUEST_LIBS) $(call static_libs,json-c)
$(H)/save-box: $(hostile_worker) $(call obj,workers/xen/foreignmemory.c) $(B)/libworker.a \
    $(B)/libcore.a
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) $(STATIC_PIE) $(LDFLAGS) $^ -o $@ $(XENGUEST_LIBS) $(call static_libs,json-c)

# The honest parent with one lie.
$(H)/moatd: $(call obj,policy/launch/moatd_main.c) $(call hostile_obj,parent.c lies.c) \
    $(call sim_obj,destroy_sim.c simclient.c) $(B)/libcore.a
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) -pie $(LDFLAGS) -Wl,--wrap=ipc_send,--wrap=ipc_recv,--wrap=xs_open,--wrap=parent_main $^ -o $@ \
	    $(MOATD_LIBS)

$(H)/operator: $(call hostile_obj,operator.c) $(B)/libcore.a
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) -pie $(LDFLAGS) $^ -o $@

.PHONY: hostile
hostile: sim $(H)/save $(H)/save-box $(H)/moatd $(H)/operator
