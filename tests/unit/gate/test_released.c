/* SPDX-License-Identifier: LGPL-2.1-only */
/* What the gate tells the warden of domains that end, whatever the parent does. */
#include "tests/unit/gate/world.h"

#include <poll.h>
#include <unistd.h>

/* The next XS_RELEASED within ms, nothing else. */
static bool told(struct world *w, int ms)
{
    struct pollfd p = {.fd = w->warden.fd, .events = POLLIN};

    if (poll(&p, 1, ms) != 1)
        return false;
    assert_int_equal(ipc_recv(&w->warden, &w->frame), 1);
    assert_int_equal(w->frame.type, MSG_XS_RELEASED);
    assert_int_equal(w->frame.len, 0);
    return true;
}

/* xenstored tells each new watch once; that is behind us then. */
static struct world *world(enum client client)
{
    struct world *w = world_new(client);

    assert_true(told(w, 2000));
    assert_false(told(w, 50));
    return w;
}

static void the_warden_is_told_of_every_end(void **state)
{
    struct world *w = world(CLIENT_NONE);

    for (int i = 0; i < 5; i++) {
        store_released(w);
        assert_true(told(w, 2000));
    }
    assert_false(told(w, 50));
    world_free(w);
}

static void many_ends_are_few_messages_and_the_last_one_is_told(void **state)
{
    struct world *w = world(CLIENT_NONE);
    int64_t begin = now_ms(), took;
    unsigned n = 0;

    for (int i = 0; i < 3000; i++) {
        store_released(w);
        if (i % 100 == 0)
            usleep(1000);
    }
    took = now_ms() - begin;
    while (told(w, 200))
        n++;
    assert_in_range(n, 1, (now_ms() - begin) / 10 + 2);
    assert_true(took < 3000);
    usleep(20000);
    store_released(w); /* after silence: at once */
    assert_true(told(w, 2000));
    world_free(w);
}

/* A warden that is busy for long finds room for its answers and does not miss the end. */
static void a_warden_that_does_not_read_gets_its_answers(void **state)
{
    struct world *w = world(CLIENT_NONE);
    struct msg_RESOLVE q = {.name = "web"};
    struct msg_RESOLVED a;
    struct msg_XS_DESTROY x = {.domid = 5};
    struct msg_XS_DESTROYED gone;

    store_put(w, "/local/domain/5/name", "web");
    for (int i = 0; i < 400; i++) { /* 4 s of them, more than a socket takes */
        store_released(w);
        usleep(10500);
    }
    warden_ask(w, MSG_RESOLVE, 0, &q, MSG_RESOLVED, &a);
    assert_int_equal(a.count, 1);
    assert_in_range(w->released, 10, 300);
    warden_ask(w, MSG_XS_DESTROY, 7, &x, MSG_XS_DESTROYED, &gone);
    while (told(w, 100))
        ;
    store_released(w);
    assert_true(told(w, 2000));
    world_free(w);
}

static void the_parent_cannot_take_it_away(void **state)
{
    static const char watch[] = "@releaseDomain\0gate", zero[] = "@releaseDomain\0000";
    struct world *w = world(CLIENT_RAW);

    /* Nothing is there for it to remove, by whatever token. */
    assert_int_equal(raw_errno(w, XS_UNWATCH, 0, watch, sizeof(watch)), ENOENT);
    assert_int_equal(raw_errno(w, XS_UNWATCH, 0, zero, sizeof(zero)), ENOENT);
    assert_int_equal(store_requests(w, XS_UNWATCH), 0);
    /* Its own watch by that name is another one. */
    assert_int_equal(raw_errno(w, XS_WATCH, 0, watch, sizeof(watch)), 0);
    while (told(w, 50))
        ;
    assert_int_equal(raw_errno(w, XS_UNWATCH, 0, watch, sizeof(watch)), 0);
    assert_int_equal(store_watches(w), 0);
    store_released(w);
    assert_true(told(w, 2000));
    world_free(w);
}

static void the_parents_watches_are_told_as_well(void **state)
{
    struct world *w = world(CLIENT_LIB);

    assert_true(xs_watch(w->xs, "@releaseDomain", "r"));
    assert_true(parent_event(w, "@releaseDomain", "r", 2000));
    assert_false(told(w, 50));
    store_released(w);
    assert_true(parent_event(w, "@releaseDomain", "r", 2000));
    assert_true(told(w, 2000));
    assert_true(xs_unwatch(w->xs, "@releaseDomain", "r"));
    store_released(w);
    assert_true(told(w, 2000));
    assert_false(parent_event(w, "@releaseDomain", "r", 50));
    world_free(w);
}

/* An end that comes while the gate waits for an answer of xenstored's is not lost. */
static void an_end_between_a_request_and_its_answer_is_told(void **state)
{
    struct world *w = world(CLIENT_LIB);

    warden_grant(w, 1, 5, XS_STAGE_READ);
    store_put(w, "/local/domain/5/memory/target", "1");
    w->released = 0;
    for (int i = 0; i < 50; i++) {
        store_released(w);
        assert_int_equal(parent_read(w, 0, "/local/domain/5/memory/target", "1"), 0);
    }
    assert_true(told(w, 2000));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_warden_is_told_of_every_end),
        cmocka_unit_test(many_ends_are_few_messages_and_the_last_one_is_told),
        cmocka_unit_test(a_warden_that_does_not_read_gets_its_answers),
        cmocka_unit_test(the_parent_cannot_take_it_away),
        cmocka_unit_test(the_parents_watches_are_told_as_well),
        cmocka_unit_test(an_end_between_a_request_and_its_answer_is_told),
    };

    return cmocka_run_group_tests_name("gate: ends of domains", tests, NULL, NULL);
}
