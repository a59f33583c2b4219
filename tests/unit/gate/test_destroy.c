/* SPDX-License-Identifier: LGPL-2.1-only */
/* XS_DESTROY: backends closed, trees removed, nothing of anybody else's touched. */
#include "tests/unit/gate/world.h"

#include <stdio.h>

#include "policy/gate/gate.h"

#define UUID "00010203-0405-0607-0809-0a0b0c0d0e0f"
#define BE(b, type, d) "/local/domain/" #b "/backend/" type "/" #d

static const uint8_t handle[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* A device as libxl leaves it: the toolstack's note, the frontend, the backend. */
static void device(struct world *w, unsigned domid, const char *kind, const char *be)
{
    char path[160];

    snprintf(path, sizeof(path), "/libxl/%u/device/%s/0/backend", domid, kind);
    store_put(w, path, be);
    snprintf(path, sizeof(path), "/local/domain/%u/device/%s/0/backend", domid, kind);
    store_put(w, path, be);
    snprintf(path, sizeof(path), "%s/state", be);
    store_put(w, path, "4");
    snprintf(path, sizeof(path), "%s/online", be);
    store_put(w, path, "1");
}

static struct world *world(void)
{
    struct world *w = world_new(CLIENT_LIB);

    store_put(w, "/local/domain/5/vm", "/vm/" UUID);
    store_put(w, "/local/domain/5/name", "web");
    store_put(w, "/vm/" UUID "/uuid", UUID);
    store_put(w, "/vm/other/uuid", "other");
    store_put(w, "/libxl/5/type", "pvh");
    store_put(w, "/libxl/6/type", "pvh");
    store_put(w, "/local/domain/6/name", "db");
    return w;
}

/* Backends as Linux has them: told to close, they are closed; `u` is what a driver domain does. */
static void backend(void *u, uint32_t type, const char *path, const char *value)
{
    struct world *w = u;
    size_t n = strlen(path);
    char dir[256];

    if (type != XS_WRITE || n < 6 || strcmp(path + n - 6, "/state") || strcmp(value, "5"))
        return;
    if (strstr(path, "/stuck/"))
        return;
    simxs_write(w->sim, path, "6");
    if (strncmp(path, "/local/domain/0/", 16)) {
        snprintf(dir, sizeof(dir), "%.*s", (int)n - 6, path);
        simxs_rm(w->sim, dir);
    }
}

static int destroy(struct world *w, uint32_t domid)
{
    struct msg_XS_DESTROY m = {.domid = domid};
    struct msg_XS_DESTROYED d;

    memcpy(m.handle, handle, sizeof(handle));
    warden_ask(w, MSG_XS_DESTROY, 9, &m, MSG_XS_DESTROYED, &d);
    assert_int_equal(d.domid, domid);
    return d.errnum;
}

static void only_gone_is_domain_5(struct world *w)
{
    assert_true(store_is(w, "/local/domain/5", NULL));
    assert_true(store_is(w, "/local/domain/5/name", NULL));
    assert_true(store_is(w, "/libxl/5", NULL));
    assert_true(store_is(w, "/vm/" UUID, NULL));
    assert_true(store_is(w, "/vm/other/uuid", "other"));
    assert_true(store_is(w, "/local/domain/6/name", "db"));
    assert_true(store_is(w, "/libxl/6/type", "pvh"));
    assert_int_equal(store_txs(w), 0);
}

static void backends_are_closed_and_every_tree_removed(void **state)
{
    struct world *w = world();

    simxs_on_change(w->sim, backend, w);
    device(w, 5, "vbd", BE(0, "vbd", 5) "/0");
    device(w, 5, "vif", BE(0, "vif", 5) "/0");
    device(w, 5, "console", BE(0, "console", 5) "/0");
    device(w, 6, "vbd", BE(0, "vbd", 6) "/0");
    assert_int_equal(destroy(w, 5), 0);
    only_gone_is_domain_5(w);
    assert_true(store_is(w, BE(0, "vbd", 5), NULL));
    assert_true(store_is(w, "/local/domain/0/backend/vif", NULL)); /* was left empty */
    assert_true(store_is(w, "/local/domain/0/backend/console", NULL));
    assert_true(store_is(w, BE(0, "vbd", 6) "/0/state", "4")); /* another domain's stays */
    assert_true(store_is(w, BE(0, "vbd", 6) "/0/online", "1"));
    world_free(w);
}

static void a_domain_without_devices_or_remains_is_gone_at_once(void **state)
{
    struct world *w = world();

    assert_int_equal(destroy(w, 5), 0);
    only_gone_is_domain_5(w);
    assert_int_equal(destroy(w, 5), 0);
    assert_int_equal(destroy(w, 0), EINVAL);
    assert_int_equal(destroy(w, 0x7ff0), EINVAL);
    world_free(w);
}

static void a_console_is_removed_without_waiting(void **state)
{
    struct world *w = world();
    int64_t begin = now_ms();

    device(w, 5, "console", BE(0, "console", 5) "/0"); /* nobody would answer its state */
    assert_int_equal(destroy(w, 5), 0);
    assert_true(now_ms() - begin < 1000);
    only_gone_is_domain_5(w);
    assert_true(store_is(w, BE(0, "console", 5), NULL));
    world_free(w);
}

static void a_backend_that_is_closed_or_gone_is_not_told_again(void **state)
{
    struct world *w = world();

    device(w, 5, "vbd", BE(0, "vbd", 5) "/0");
    store_put(w, BE(0, "vbd", 5) "/0/state", "6");
    store_put(w, "/libxl/5/device/vif/0/backend", BE(0, "vif", 5) "/0");
    assert_int_equal(destroy(w, 5), 0);
    assert_int_equal(store_requests(w, XS_WRITE), 0);
    only_gone_is_domain_5(w);
    assert_true(store_is(w, "/local/domain/0/backend/vif", NULL)); /* nor made anew */
    world_free(w);
}

static void a_driver_domain_removes_its_folder_itself(void **state)
{
    struct world *w = world();

    simxs_on_change(w->sim, backend, w);
    device(w, 5, "vbd", BE(3, "vbd", 5) "/0");
    store_put(w, "/local/domain/3/name", "driver");
    assert_int_equal(destroy(w, 5), 0);
    only_gone_is_domain_5(w);
    assert_true(store_is(w, "/local/domain/3/backend", NULL));
    assert_true(store_is(w, "/local/domain/3/name", "driver"));
    world_free(w);
}

static void a_stuck_backend_is_removed_by_force_after_ten_seconds_and_blocks_nobody(void **state)
{
    struct world *w = world();
    struct msg_XS_DESTROY m = {.domid = 5};
    struct msg_XS_DESTROYED d;
    int64_t begin = now_ms();

    simxs_on_change(w->sim, backend, w);
    store_put(w, "/local/domain/7/memory/target", "7");
    device(w, 5, "vbd", BE(0, "vbd", 5) "/0");
    device(w, 5, "stuck", BE(0, "stuck", 5) "/0");
    memcpy(m.handle, handle, sizeof(handle));
    assert_int_equal(ipc_send(&w->warden, MSG_XS_DESTROY, 9, &m, NULL, 0), 0);
    assert_int_equal(warden_grant(w, 1, 7, XS_STAGE_READ), 0);
    for (int i = 0; i < 50; i++)
        assert_int_equal(parent_read(w, 0, "/local/domain/7/memory/target", "7"), 0);
    assert_true(now_ms() - begin < 2000);
    assert_true(store_is(w, BE(0, "stuck", 5) "/0/state", "5"));
    assert_true(store_is(w, BE(0, "stuck", 5) "/0/online", "0"));
    warden_ask(w, 0, 0, NULL, MSG_XS_DESTROYED, &d);
    assert_int_equal(d.errnum, ETIMEDOUT);
    assert_in_range(now_ms() - begin, 9900, 12000);
    only_gone_is_domain_5(w);
    assert_true(store_is(w, BE(0, "stuck", 5), NULL));
    world_free(w);
}

static void a_path_outside_is_left_alone_and_said(void **state)
{
    struct world *w = world();

    simxs_on_change(w->sim, backend, w);
    store_put(w, "/libxl/5/device/vbd/0/backend", "/local/domain/6");
    store_put(w, "/libxl/5/device/vbd/1/backend", BE(0, "vbd", 6) "/0");
    store_put(w, "/libxl/5/device/vbd/2/backend", BE(0, "vbd", 5) "/0/../../6/0");
    store_put(w, "/local/domain/0/backend/vbd/6/0/state", "4");
    assert_int_equal(destroy(w, 5), EPERM);
    only_gone_is_domain_5(w);
    assert_true(store_is(w, BE(0, "vbd", 6) "/0/state", "4"));
    world_free(w);
}

static void trees_of_a_domain_with_another_handle_stay(void **state)
{
    struct world *w = world();

    store_put(w, "/local/domain/5/vm", "/vm/other");
    device(w, 5, "vbd", BE(0, "vbd", 5) "/0");
    assert_int_equal(destroy(w, 5), ESTALE);
    assert_true(store_is(w, "/local/domain/5/name", "web"));
    assert_true(store_is(w, "/libxl/5/type", "pvh"));
    assert_true(store_is(w, "/vm/other/uuid", "other"));
    assert_true(store_is(w, "/vm/" UUID "/uuid", UUID));
    assert_true(store_is(w, BE(0, "vbd", 5) "/0/state", "4"));
    world_free(w);
}

static void a_removal_is_repeated_when_it_conflicts(void **state)
{
    struct world *w = world();

    simxs_on_change(w->sim, backend, w);
    device(w, 5, "vbd", BE(0, "vbd", 5) "/0");
    pthread_mutex_lock(&w->lock);
    simxs_conflict(w->sim, 5);
    pthread_mutex_unlock(&w->lock);
    assert_int_equal(destroy(w, 5), 0);
    only_gone_is_domain_5(w);
    assert_true(store_is(w, BE(0, "vbd", 5), NULL));
    world_free(w);
}

static void a_backend_path_has_exactly_one_form(void **state)
{
    static const char *const bad[] = {
        "",
        "/",
        "/local/domain/0/backend/vbd/5",
        "/local/domain/0/backend/vbd/5/",
        "/local/domain/0/backend/vbd/5/0/",
        "/local/domain/0/backend/vbd/5/0/x",
        "/local/domain/0/backend/vbd/6/0",
        "/local/domain/0/backend/vbd/55/0",
        "/local/domain/0/backend/vbd/05/0",
        "/local/domain/00/backend/vbd/5/0",
        "/local/domain/-1/backend/vbd/5/0",
        "/local/domain/ 0/backend/vbd/5/0",
        "/local/domain/0/backend/VBD/5/0",
        "/local/domain/0/backend/../5/0",
        "/local/domain/0/backend//5/0",
        "/local/domain/0/backend/a/b/5/0",
        "/local/domain/32752/backend/vbd/5/0",
        "/local/domain/0/device/vbd/5/0",
        "/local/domain/4294967296/backend/vbd/5/0",
        "local/domain/0/backend/vbd/5/0",
        "/local/domain/0/backend/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/5/0",
    };
    bool console;

    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(gate_destroy_backend(bad[i], 5, &console));
    assert_true(gate_destroy_backend("/local/domain/0/backend/vbd/5/51712", 5, &console));
    assert_false(console);
    assert_true(gate_destroy_backend("/local/domain/3/backend/9pfs/5/0", 5, &console));
    assert_true(gate_destroy_backend("/local/domain/0/backend/console/5/0", 5, &console));
    assert_true(console);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backends_are_closed_and_every_tree_removed),
        cmocka_unit_test(a_domain_without_devices_or_remains_is_gone_at_once),
        cmocka_unit_test(a_console_is_removed_without_waiting),
        cmocka_unit_test(a_backend_that_is_closed_or_gone_is_not_told_again),
        cmocka_unit_test(a_driver_domain_removes_its_folder_itself),
        cmocka_unit_test(a_stuck_backend_is_removed_by_force_after_ten_seconds_and_blocks_nobody),
        cmocka_unit_test(a_path_outside_is_left_alone_and_said),
        cmocka_unit_test(trees_of_a_domain_with_another_handle_stay),
        cmocka_unit_test(a_removal_is_repeated_when_it_conflicts),
        cmocka_unit_test(a_backend_path_has_exactly_one_form),
    };

    return cmocka_run_group_tests_name("gate: destroy", tests, NULL, NULL);
}
