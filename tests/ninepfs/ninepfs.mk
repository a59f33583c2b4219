# SPDX-License-Identifier: LGPL-2.1-only
# The 9pfs server on real rings, and what its mounts are exercised with: for the box; nothing here is
# installed.  Included by tests/tests.mk.

N := $(B)/ninepfs
NINEPFS_TOOLS := xen_server fsx exercise

$(N)/xen_server: $(call obj,tests/ninepfs/xen_server.c) $(B)/libninepfs.a $(B)/libcore.a
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) -pie $(LDFLAGS) $^ -o $@ $(shell $(PKG) --libs xenstore xengnttab xenevtchn) -lpthread
$(N)/fsx $(N)/exercise: $(N)/%: $(B)/obj/tests/ninepfs/%.o
	@mkdir -p $(@D)
	$(call say,LD $@)
	$(Q)$(CC) -pie $(LDFLAGS) $^ -o $@

.PHONY: stage-ninepfs
stage-ninepfs: $(addprefix $(N)/,$(NINEPFS_TOOLS))
	rm -rf build/stage-tests/usr/libexec/moat-ninepfs
	install -d build/stage-tests/usr/libexec/moat-ninepfs
	install -m 0755 $^ build/stage-tests/usr/libexec/moat-ninepfs/
