/* SPDX-License-Identifier: LGPL-2.1-only */
/* The warden's questions: RESOLVE, DESCRIBE, XS_UNDO. */
#include "tests/unit/gate/world.h"

#include <stdio.h>
#include <unistd.h>

#define SHUTDOWN "/local/domain/5/control/shutdown"

static void name_is(struct world *w, unsigned domid, const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "/local/domain/%u/name", domid);
    store_put(w, path, name);
}

static struct msg_RESOLVED resolve(struct world *w, const char *name)
{
    struct msg_RESOLVE m = {0};
    struct msg_RESOLVED found;

    ipc_text(m.name, sizeof(m.name), name);
    warden_ask(w, MSG_RESOLVE, 3, &m, MSG_RESOLVED, &found);
    return found;
}

static uint32_t domid_of(const struct msg_RESOLVED *found, unsigned i)
{
    uint32_t domid;

    memcpy(&domid, found->domids + 4 * i, 4);
    return domid;
}

static struct msg_DESCRIBED describe(struct world *w, uint32_t domid)
{
    struct msg_DESCRIBED d;

    warden_ask(w, MSG_DESCRIBE, 3, &(struct msg_DESCRIBE){.domid = domid}, MSG_DESCRIBED, &d);
    return d;
}

static void a_name_is_found_only_if_it_is_equal(void **state)
{
    struct world *w = world_new(CLIENT_NONE);
    struct msg_RESOLVED r;

    name_is(w, 0, "Domain-0");
    name_is(w, 5, "web");
    name_is(w, 6, "web2");
    name_is(w, 7, "we");
    store_put(w, "/local/domain/9/memory/target", "1"); /* no name */
    store_put(w, "/local/domain/x5/name", "web");       /* no domid */
    store_put(w, "/local/domain/99999/name", "web");    /* none either */
    r = resolve(w, "web");
    assert_int_equal(r.errnum, 0);
    assert_int_equal(r.count, 1);
    assert_int_equal(domid_of(&r, 0), 5);
    r = resolve(w, "Web");
    assert_int_equal(r.errnum, 0);
    assert_int_equal(r.count, 0);
    world_free(w);
}

static void an_ambiguous_name_gives_its_count_and_at_most_eight(void **state)
{
    struct world *w = world_new(CLIENT_NONE);
    struct msg_RESOLVED r;

    for (unsigned i = 10; i < 22; i++)
        name_is(w, i, "twin");
    r = resolve(w, "twin");
    assert_int_equal(r.errnum, 0);
    assert_int_equal(r.count, 12);
    for (unsigned i = 0; i < 8; i++)
        assert_in_range(domid_of(&r, i), 10, 21);
    world_free(w);
}

static void a_directory_larger_than_a_message_is_read_in_parts(void **state)
{
    struct world *w = world_new(CLIENT_LIB);
    struct msg_RESOLVED r;

    for (unsigned i = 1000; i < 3000; i++)
        name_is(w, i, "many");
    name_is(w, 2999, "last");
    name_is(w, 1000, "first");
    r = resolve(w, "last");
    assert_int_equal(r.errnum, 0);
    assert_int_equal(r.count, 1);
    assert_int_equal(domid_of(&r, 0), 2999);
    r = resolve(w, "first");
    assert_int_equal(domid_of(&r, 0), 1000);
    r = resolve(w, "many");
    assert_int_equal(r.count, 1998);
    assert_true(store_requests(w, XS_DIRECTORY_PART) >= 6);
    world_free(w);
}

/* The double speaks the protocol as libxenstore reads it, so that the test above proves something.
 */
static void the_simulated_parts_are_what_libxenstore_expects(void **state)
{
    struct world *w = world_new(CLIENT_NONE);
    struct xs_handle *xs;
    char path[64];
    unsigned n;
    char **list;

    snprintf(path, sizeof(path), "/tmp/moat-gate-sim.%d", (int)getpid());
    for (unsigned i = 1000; i < 3000; i++)
        name_is(w, i, "many");
    pthread_mutex_lock(&w->lock);
    assert_int_equal(simxs_listen(w->sim, path), 0);
    pthread_mutex_unlock(&w->lock);
    setenv("XENSTORED_PATH", path, 1);
    xs = xs_open(0);
    assert_non_null(xs);
    list = xs_directory(xs, 0, "/local/domain", &n);
    assert_non_null(list);
    assert_int_equal(n, 2000);
    assert_string_equal(list[1999], "2999");
    free(list);
    xs_close(xs);
    unlink(path);
    world_free(w);
}

static void describe_tells_name_and_devices(void **state)
{
    struct world *w = world_new(CLIENT_NONE);
    struct msg_DESCRIBED d;

    name_is(w, 5, "web");
    d = describe(w, 5);
    assert_int_equal(d.errnum, 0);
    assert_string_equal(d.name, "web");
    assert_int_equal(d.facts, 0);
    store_put(w, "/libxl/5/device/pci/0/backend", "x");
    assert_int_equal(describe(w, 5).facts, XSFACT_PCI);
    store_put(w, "/libxl/5/device/9pfs/0/backend", "x");
    store_put(w, "/local/domain/5/image/device-model-pid", "77");
    assert_int_equal(describe(w, 5).facts, XSFACT_PCI | XSFACT_9PFS | XSFACT_DEVICE_MODEL);
    assert_int_equal(describe(w, 6).errnum, ENOENT);
    name_is(w, 7, "ev\x1b[2Jil\n");
    assert_string_equal(describe(w, 7).name, "ev?[2Jil?");
    world_free(w);
}

static void an_undo_clears_suspend_and_nothing_else(void **state)
{
    struct world *w = world_new(CLIENT_NONE);

    store_put(w, SHUTDOWN, "suspend");
    assert_int_equal(warden_undo(w, 1, 5, XSUNDO_SHUTDOWN), 0);
    assert_int_equal(w->withdrawn, 1);
    assert_true(store_is(w, SHUTDOWN, ""));
    assert_int_equal(warden_undo(w, 1, 5, XSUNDO_SHUTDOWN), 0);
    assert_int_equal(w->withdrawn, 0);              /* the guest has taken note of it */
    store_put(w, SHUTDOWN, "poweroff");
    assert_int_equal(warden_undo(w, 1, 5, XSUNDO_SHUTDOWN), 0);
    assert_int_equal(w->withdrawn, 0);
    assert_true(store_is(w, SHUTDOWN, "poweroff"));
    assert_int_equal(warden_undo(w, 1, 6, XSUNDO_SHUTDOWN), 0); /* no such domain any more */
    assert_true(store_is(w, "/local/domain/6/control/shutdown", NULL));
    assert_int_equal(store_txs(w), 0);
    assert_int_equal(warden_undo(w, 1, 0, XSUNDO_SHUTDOWN), EINVAL);
    assert_int_equal(warden_undo(w, 1, 0x7ff1, XSUNDO_RESUME), EINVAL);
    world_free(w);
}

static void an_undo_is_repeated_when_the_guest_was_faster(void **state)
{
    struct world *w = world_new(CLIENT_NONE);

    store_put(w, SHUTDOWN, "suspend");
    pthread_mutex_lock(&w->lock);
    simxs_conflict(w->sim, 3);
    pthread_mutex_unlock(&w->lock);
    assert_int_equal(warden_undo(w, 1, 5, XSUNDO_SHUTDOWN), 0);
    assert_int_equal(w->withdrawn, 1);
    assert_true(store_is(w, SHUTDOWN, ""));
    assert_int_equal(store_requests(w, XS_TRANSACTION_START), 4);
    world_free(w);
}

/* A guest that writes its node all the time; the warden asks again a second later. */
static void an_undo_that_always_conflicts_holds_up_nobody(void **state)
{
    struct world *w = world_new(CLIENT_NONE);

    store_put(w, SHUTDOWN, "suspend");
    pthread_mutex_lock(&w->lock);
    simxs_conflict(w->sim, 1000000);
    pthread_mutex_unlock(&w->lock);
    assert_int_equal(warden_undo(w, 1, 5, XSUNDO_SHUTDOWN), EAGAIN);
    assert_int_equal(w->withdrawn, 0);
    assert_true(store_requests(w, XS_TRANSACTION_START) <= 100);
    assert_int_equal(store_txs(w), 0);
    pthread_mutex_lock(&w->lock);
    simxs_conflict(w->sim, 0);
    pthread_mutex_unlock(&w->lock);
    assert_int_equal(warden_undo(w, 1, 5, XSUNDO_SHUTDOWN), 0);
    assert_int_equal(w->withdrawn, 1);
    world_free(w);
}

static void the_parent_cannot_overwrite_an_undo(void **state)
{
    struct world *w = world_new(CLIENT_LIB);
    xs_transaction_t t;

    store_put(w, SHUTDOWN, "");
    warden_grant(w, 1, 5, XS_STAGE_SUSPEND);
    assert_int_equal(parent_write(w, 0, SHUTDOWN, "suspend"), 0);
    t = xs_transaction_start(w->xs);
    assert_int_equal(parent_write(w, t, SHUTDOWN, "suspend"), 0);
    assert_int_equal(warden_undo(w, 1, 5, XSUNDO_SHUTDOWN), 0);
    assert_true(store_is(w, SHUTDOWN, ""));
    assert_false(xs_transaction_end(w->xs, t, false));
    assert_int_equal(parent_write(w, 0, SHUTDOWN, "suspend"), EACCES);
    assert_int_equal(parent_read(w, 0, SHUTDOWN, ""), 0);
    assert_true(store_is(w, SHUTDOWN, ""));
    world_free(w);
}

static void resumed(void *u, uint32_t type, const char *path, const char *value)
{
    if (type == XS_RESUME)
        snprintf(u, 16, "%s", path);
}

static void resume_names_the_domain_to_xenstored(void **state)
{
    struct world *w = world_new(CLIENT_NONE);
    char domid[16] = "";

    store_put(w, SHUTDOWN, "suspend");
    simxs_on_change(w->sim, resumed, domid);
    assert_int_equal(warden_undo(w, 1, 5, XSUNDO_SHUTDOWN | XSUNDO_RESUME), 0);
    assert_string_equal(domid, "5");
    assert_true(store_is(w, SHUTDOWN, ""));
    world_free(w);
}

static void a_question_ends_in_five_seconds_and_the_next_is_answered(void **state)
{
    struct world *w = world_new(CLIENT_NONE);
    int64_t begin = now_ms();

    name_is(w, 5, "web");
    pthread_mutex_lock(&w->lock);
    simxs_stall(w->sim, true);
    pthread_mutex_unlock(&w->lock);
    assert_int_equal(resolve(w, "web").errnum, ETIMEDOUT);
    assert_in_range(now_ms() - begin, 4900, 6000);
    pthread_mutex_lock(&w->lock);
    simxs_stall(w->sim, false);
    pthread_mutex_unlock(&w->lock);
    assert_int_equal(resolve(w, "web").count, 1); /* the late answer is not taken for this one */
    world_free(w);
}

static void a_parents_request_without_an_answer_ends_the_gate(void **state)
{
    struct world *w = world_new(CLIENT_RAW);

    warden_grant(w, 1, 5, XS_STAGE_SUSPEND);
    pthread_mutex_lock(&w->lock);
    simxs_stall(w->sim, true);
    pthread_mutex_unlock(&w->lock);
    raw_send(w, XS_WRITE, 1, 0, SHUTDOWN "\0suspend", sizeof(SHUTDOWN) + 7);
    for (int i = 0; i < 15 && w->gate > 0; i++)
        if (world_exit(w) >= 0)
            break;
    assert_int_equal(w->gate, -1);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_found_only_if_it_is_equal),
        cmocka_unit_test(an_ambiguous_name_gives_its_count_and_at_most_eight),
        cmocka_unit_test(a_directory_larger_than_a_message_is_read_in_parts),
        cmocka_unit_test(the_simulated_parts_are_what_libxenstore_expects),
        cmocka_unit_test(describe_tells_name_and_devices),
        cmocka_unit_test(an_undo_clears_suspend_and_nothing_else),
        cmocka_unit_test(an_undo_is_repeated_when_the_guest_was_faster),
        cmocka_unit_test(an_undo_that_always_conflicts_holds_up_nobody),
        cmocka_unit_test(the_parent_cannot_overwrite_an_undo),
        cmocka_unit_test(resume_names_the_domain_to_xenstored),
        cmocka_unit_test(a_question_ends_in_five_seconds_and_the_next_is_answered),
        cmocka_unit_test(a_parents_request_without_an_answer_ends_the_gate),
    };

    return cmocka_run_group_tests_name("gate: questions", tests, NULL, NULL);
}
