/* SPDX-License-Identifier: LGPL-2.1-only */
/* What passes between the parent's libxenstore and xenstored, and what does not. */
#include "tests/unit/gate/world.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TARGET "/local/domain/5/memory/target"
#define SHUTDOWN "/local/domain/5/control/shutdown"

static struct world *world(enum client client)
{
    struct world *w = world_new(client);

    store_put(w, TARGET, "131072");
    store_put(w, SHUTDOWN, "");
    store_put(w, "/local/domain/55/memory/target", "1");
    store_put(w, "/local/domain/55/control/shutdown", "");
    store_put(w, "/local/domain/6/memory/target", "2");
    store_put(w, "/local/domain/6/control/shutdown", "");
    return w;
}

static void nothing_passes_without_a_grant(void **state)
{
    struct world *w = world(CLIENT_LIB);
    struct msg_XS_REFUSED m;

    assert_int_equal(parent_read(w, 0, TARGET, NULL), EACCES);
    assert_int_equal(parent_write(w, 0, SHUTDOWN, "suspend"), EACCES);
    assert_false(xs_watch(w->xs, SHUTDOWN, "t"));
    assert_int_equal(errno, EACCES);
    assert_int_equal(xs_transaction_start(w->xs), XBT_NULL);
    assert_int_equal(store_requests(w, XS_READ) + store_requests(w, XS_WRITE) +
                         store_requests(w, XS_WATCH) + store_requests(w, XS_TRANSACTION_START),
                     1); /* the gate's own watch */
    while (w->refused < 4)
        warden_ask(w, 0, 0, NULL, MSG_XS_REFUSED, &m);
    assert_int_equal(w->refused, 4);
    world_free(w);
}

static void a_save_reads_target_and_shutdown(void **state)
{
    struct world *w = world(CLIENT_LIB);

    assert_int_equal(warden_grant(w, 1, 5, XS_STAGE_READ), 0);
    assert_int_equal(parent_read(w, 0, TARGET, "131072"), 0);
    assert_int_equal(parent_read(w, 0, SHUTDOWN, ""), 0);
    store_put(w, SHUTDOWN, "poweroff");
    assert_int_equal(parent_read(w, 0, SHUTDOWN, "poweroff"), 0);
    assert_int_equal(warden_revoke(w, 1), 0);
    world_free(w);
}

static void shutdown_is_written_only_in_stage_suspend(void **state)
{
    struct world *w = world(CLIENT_LIB);

    warden_grant(w, 1, 5, XS_STAGE_READ);
    assert_int_equal(parent_write(w, 0, SHUTDOWN, "suspend"), EACCES);
    assert_true(store_is(w, SHUTDOWN, ""));
    warden_grant(w, 1, 5, XS_STAGE_SUSPEND);
    assert_int_equal(parent_write(w, 0, SHUTDOWN, "suspend"), 0);
    assert_true(store_is(w, SHUTDOWN, "suspend"));
    assert_int_equal(parent_write(w, 0, SHUTDOWN, ""), 0);
    assert_true(store_is(w, SHUTDOWN, ""));
    world_free(w);
}

static void no_word_but_suspend_and_nothing_is_written(void **state)
{
    static const struct {
        const char *v;
        unsigned len;
    } bad[] = {
        {"poweroff", 8},
        {"reboot", 6},
        {"halt", 4},
        {"crash", 5},
        {"suspend ", 8},
        {"suspen", 6},
        {"Suspend", 7},
        {"suspend\0", 8},
        {"\0suspend", 8},
        {"s3", 2},
        {"suspend\0poweroff", 16},
        {"\0", 1},
    };
    struct world *w = world(CLIENT_LIB);

    warden_grant(w, 1, 5, XS_STAGE_SUSPEND);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(xs_write(w->xs, 0, SHUTDOWN, bad[i].v, bad[i].len));
        assert_int_equal(errno, EACCES);
    }
    assert_int_equal(parent_write(w, 0, TARGET, "suspend"), EACCES);
    assert_int_equal(store_requests(w, XS_WRITE), 0);
    world_free(w);
}

static void no_other_spelling_of_a_path_passes(void **state)
{
    static const char *const bad[] = {
        SHUTDOWN "/",
        SHUTDOWN "/..",
        SHUTDOWN "/../shutdown",
        SHUTDOWN "/../..",
        "//local/domain/5/control/shutdown",
        "/local//domain/5/control/shutdown",
        "/local/domain/5/control//shutdown",
        "/local/domain/05/control/shutdown",
        "/local/domain/5/./control/shutdown",
        "/local/domain/+5/control/shutdown",
        "/local/domain/5 /control/shutdown",
        "/local/domain/55/control/shutdown",
        "/local/domain/6/control/shutdown",
        "/local/domain//control/shutdown",
        "/local/domain/$DOMID/control/shutdown",
        "/local/domain/0/control/shutdown",
        "control/shutdown",
        "domain/5/control/shutdown",
        "local/domain/5/control/shutdown",
        "/local/domain/5/control",
        "/local/domain/5",
        "/local/domain",
        "/",
        "",
        "/local/domain/5/control/shutdow",
        "/local/domain/5/control/shutdownx",
        "/local/domain/5/memory/target/x",
        "/libxl/5",
        "/vm",
        "@releaseDomain",
        "@introduceDomain",
        "/local/domain/6/../5/memory/target",
    };
    static const char nul[] = TARGET "\0/local/domain/6/memory/target";
    struct world *w = world(CLIENT_RAW);

    warden_grant(w, 1, 5, XS_STAGE_SUSPEND);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(raw_errno(w, XS_READ, 0, bad[i], strlen(bad[i]) + 1), EACCES);
    assert_int_equal(raw_errno(w, XS_READ, 0, nul, sizeof(nul)), EACCES);
    assert_int_equal(raw_errno(w, XS_READ, 0, TARGET, strlen(TARGET)), EACCES); /* no NUL */
    assert_int_equal(raw_errno(w, XS_READ, 0, TARGET "\0", strlen(TARGET) + 2), EACCES);
    assert_int_equal(raw_errno(w, XS_READ, 0, NULL, 0), EACCES);
    assert_int_equal(store_requests(w, XS_READ), 0);
    assert_int_equal(raw_errno(w, XS_READ, 0, TARGET, strlen(TARGET) + 1), 0);
    assert_int_equal(store_requests(w, XS_READ), 1);
    world_free(w);
}

static void no_other_request_type_passes(void **state)
{
    static const char perms[] = SHUTDOWN "\0n5";
    static const uint32_t more[] = {XS_INVALID, UINT32_MAX, 1u << 31, 32, 33, 32 + XS_READ};
    struct world *w = world(CLIENT_RAW);

    warden_grant(w, 1, 5, XS_STAGE_SUSPEND);
    for (uint32_t type = 0; type < 32; type++) {
        if (type == XS_READ || type == XS_WRITE || type == XS_WATCH || type == XS_UNWATCH ||
            type == XS_TRANSACTION_START)
            continue;
        assert_int_equal(raw_errno(w, type, 0, perms, sizeof(perms)), EACCES);
        assert_int_equal(store_requests(w, type), 0);
    }
    for (unsigned i = 0; i < sizeof(more) / sizeof(more[0]); i++)
        assert_int_equal(raw_errno(w, more[i], 0, TARGET, sizeof(TARGET)), EACCES);
    assert_true(store_is(w, SHUTDOWN, ""));
    world_free(w);
}

static void a_watch_tells_changes_with_the_parents_own_token(void **state)
{
    struct world *w = world(CLIENT_LIB);

    warden_grant(w, 1, 5, XS_STAGE_READ);
    assert_true(xs_watch(w->xs, SHUTDOWN, "3/abc"));
    assert_true(parent_event(w, SHUTDOWN, "3/abc", 2000));
    assert_false(parent_event(w, SHUTDOWN, "3/abc", 100));
    store_put(w, SHUTDOWN, "suspend");
    assert_true(parent_event(w, SHUTDOWN, "3/abc", 2000));
    assert_true(xs_unwatch(w->xs, SHUTDOWN, "3/abc"));
    assert_int_equal(store_watches(w), 0);
    store_put(w, SHUTDOWN, "");
    assert_false(parent_event(w, SHUTDOWN, "3/abc", 100));
    world_free(w);
}

static void an_event_never_carries_a_name_that_a_guest_made(void **state)
{
    struct world *w = world(CLIENT_LIB);

    warden_grant(w, 1, 5, XS_STAGE_READ);
    assert_true(xs_watch(w->xs, SHUTDOWN, "t"));
    assert_true(parent_event(w, SHUTDOWN, "t", 2000));
    store_put(w, SHUTDOWN "/evil", "x");
    assert_true(parent_event(w, SHUTDOWN, "t", 2000));
    world_free(w);
}

static void the_end_of_domains_can_be_watched_without_a_job(void **state)
{
    struct world *w = world(CLIENT_LIB);

    assert_true(xs_watch(w->xs, "@releaseDomain", "r"));
    assert_true(parent_event(w, "@releaseDomain", "r", 2000));
    pthread_mutex_lock(&w->lock);
    simxs_fire(w->sim, "@releaseDomain");
    pthread_mutex_unlock(&w->lock);
    assert_true(parent_event(w, "@releaseDomain", "r", 2000));
    assert_false(xs_watch(w->xs, "@introduceDomain", "i"));
    assert_int_equal(errno, EACCES);
    assert_true(xs_unwatch(w->xs, "@releaseDomain", "r"));
    world_free(w);
}

static void watches_are_bounded_and_tokens_checked(void **state)
{
    static const char two[] = SHUTDOWN "\0a\0b", none[] = SHUTDOWN;
    struct world *w = world(CLIENT_LIB);
    char token[200];

    warden_grant(w, 1, 5, XS_STAGE_READ);
    for (int i = 0; i < 4; i++) {
        token[0] = 'a' + i;
        token[1] = 0;
        assert_true(xs_watch(w->xs, SHUTDOWN, token));
    }
    assert_false(xs_watch(w->xs, SHUTDOWN, "e"));
    assert_int_equal(errno, ENOSPC);
    assert_false(xs_watch(w->xs, SHUTDOWN, "a"));
    assert_int_equal(errno, EEXIST);
    assert_true(xs_unwatch(w->xs, SHUTDOWN, "a"));
    memset(token, 'x', sizeof(token) - 1);
    token[sizeof(token) - 1] = 0;
    assert_false(xs_watch(w->xs, SHUTDOWN, token));
    assert_int_equal(errno, EACCES);
    assert_false(xs_unwatch(w->xs, SHUTDOWN, "other"));
    assert_int_equal(errno, ENOENT);
    assert_int_equal(store_watches(w), 3);
    world_free(w);

    w = world(CLIENT_RAW);
    warden_grant(w, 1, 5, XS_STAGE_READ);
    assert_int_equal(raw_errno(w, XS_WATCH, 0, two, sizeof(two)), EACCES);
    assert_int_equal(raw_errno(w, XS_WATCH, 0, none, sizeof(none)), EACCES);
    assert_int_equal(raw_errno(w, XS_WATCH, 0, SHUTDOWN "\0t", sizeof(SHUTDOWN) + 1), EACCES);
    assert_int_equal(store_requests(w, XS_WATCH), 1); /* the gate's own */
    world_free(w);
}

static void a_transaction_commits_aborts_and_conflicts_as_in_xenstored(void **state)
{
    struct world *w = world(CLIENT_LIB);
    xs_transaction_t t;

    warden_grant(w, 1, 5, XS_STAGE_SUSPEND);
    t = xs_transaction_start(w->xs);
    assert_int_not_equal(t, XBT_NULL);
    assert_int_equal(parent_read(w, t, SHUTDOWN, ""), 0);
    assert_int_equal(parent_write(w, t, SHUTDOWN, "suspend"), 0);
    assert_true(store_is(w, SHUTDOWN, ""));
    assert_true(xs_transaction_end(w->xs, t, false));
    assert_true(store_is(w, SHUTDOWN, "suspend"));

    t = xs_transaction_start(w->xs);
    assert_int_equal(parent_write(w, t, SHUTDOWN, ""), 0);
    assert_true(xs_transaction_end(w->xs, t, true));
    assert_true(store_is(w, SHUTDOWN, "suspend"));

    t = xs_transaction_start(w->xs);
    assert_int_equal(parent_write(w, t, SHUTDOWN, ""), 0);
    store_put(w, "/elsewhere", "1");
    assert_false(xs_transaction_end(w->xs, t, false));
    assert_int_equal(errno, EAGAIN);
    assert_true(store_is(w, SHUTDOWN, "suspend"));
    world_free(w);
}

static void a_transaction_is_no_way_around_a_grant(void **state)
{
    struct world *w = world(CLIENT_LIB);
    xs_transaction_t t, u;

    warden_grant(w, 1, 5, XS_STAGE_SUSPEND);
    warden_grant(w, 2, 6, XS_STAGE_SUSPEND);
    t = xs_transaction_start(w->xs);
    assert_int_equal(parent_write(w, t, SHUTDOWN, "poweroff"), EACCES);
    assert_int_equal(parent_write(w, t, SHUTDOWN, "suspend"), 0);
    assert_int_equal(parent_write(w, t, "/local/domain/6/control/shutdown", "suspend"), EACCES);
    u = xs_transaction_start(w->xs);
    assert_int_equal(parent_write(w, u, "/local/domain/6/control/shutdown", "suspend"), 0);
    assert_int_equal(parent_write(w, t + u + 1000, SHUTDOWN, "suspend"), EACCES);
    assert_false(xs_transaction_end(w->xs, t + u + 1000, false));
    assert_int_equal(errno, EACCES);
    assert_true(xs_transaction_end(w->xs, t, true));
    assert_int_equal(parent_write(w, t, SHUTDOWN, "suspend"), EACCES); /* it has ended */
    assert_true(store_is(w, SHUTDOWN, ""));
    world_free(w);
}

static void transactions_are_bounded_per_job_and_in_all(void **state)
{
    struct world *w = world(CLIENT_LIB);
    xs_transaction_t t[17];

    warden_grant(w, 1, 5, XS_STAGE_READ);
    for (int i = 0; i < 16; i++)
        assert_int_not_equal(t[i] = xs_transaction_start(w->xs), XBT_NULL);
    assert_int_equal(xs_transaction_start(w->xs), XBT_NULL);
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(store_txs(w), 16);
    assert_int_equal(parent_read(w, t[0], TARGET, NULL), 0);
    assert_int_equal(parent_read(w, t[1], TARGET, NULL), 0);
    assert_int_equal(parent_read(w, t[2], TARGET, NULL), EACCES);
    assert_int_equal(warden_revoke(w, 1), 0); /* the last job: no transaction stays */
    assert_int_equal(store_txs(w), 0);
    world_free(w);
}

static void a_revoked_job_has_no_paths_watches_or_transactions(void **state)
{
    struct world *w = world(CLIENT_LIB);
    xs_transaction_t t;

    warden_grant(w, 1, 5, XS_STAGE_SUSPEND);
    warden_grant(w, 2, 6, XS_STAGE_SUSPEND);
    assert_true(xs_watch(w->xs, SHUTDOWN, "t"));
    assert_true(xs_watch(w->xs, "/local/domain/6/control/shutdown", "t"));
    assert_true(xs_watch(w->xs, "@releaseDomain", "t"));
    t = xs_transaction_start(w->xs);
    assert_int_equal(parent_write(w, t, SHUTDOWN, "suspend"), 0);
    assert_int_equal(warden_revoke(w, 1), 0);
    assert_int_equal(store_watches(w), 2);
    assert_int_equal(store_txs(w), 0);
    assert_false(xs_transaction_end(w->xs, t, false));
    assert_int_equal(errno, EACCES);
    assert_true(store_is(w, SHUTDOWN, ""));
    assert_int_equal(parent_read(w, 0, TARGET, NULL), EACCES);
    assert_int_equal(parent_write(w, 0, SHUTDOWN, "suspend"), EACCES);
    assert_int_equal(parent_read(w, 0, "/local/domain/6/memory/target", "2"), 0);
    world_free(w);
}

static void an_unwatch_after_the_jobs_end_is_no_refusal(void **state)
{
    struct world *w = world(CLIENT_LIB);
    struct msg_XS_REFUSED m;

    warden_grant(w, 1, 5, XS_STAGE_READ);
    assert_true(xs_watch(w->xs, SHUTDOWN, "t"));
    warden_revoke(w, 1);
    assert_false(xs_unwatch(w->xs, SHUTDOWN, "t"));
    assert_int_equal(errno, ENOENT);
    assert_int_equal(parent_read(w, 0, TARGET, NULL), EACCES);
    warden_ask(w, 0, 0, NULL, MSG_XS_REFUSED, &m);
    assert_int_equal(w->refused, 1);
    assert_string_equal(w->refused_path, TARGET);
    world_free(w);
}

static void a_later_grant_replaces_the_earlier_one(void **state)
{
    struct world *w = world(CLIENT_LIB);
    xs_transaction_t t;

    warden_grant(w, 1, 5, XS_STAGE_SUSPEND);
    t = xs_transaction_start(w->xs);
    assert_int_equal(parent_write(w, t, SHUTDOWN, "suspend"), 0);
    assert_true(xs_watch(w->xs, SHUTDOWN, "t"));
    warden_grant(w, 1, 5, XS_STAGE_READ);
    assert_false(xs_transaction_end(w->xs, t, false));
    assert_true(store_is(w, SHUTDOWN, ""));
    assert_int_equal(parent_write(w, 0, SHUTDOWN, "suspend"), EACCES);
    assert_int_equal(store_watches(w), 1); /* still granted */
    warden_grant(w, 1, 6, XS_STAGE_READ);
    assert_int_equal(store_watches(w), 0);
    assert_int_equal(parent_read(w, 0, TARGET, NULL), EACCES);
    assert_int_equal(parent_read(w, 0, "/local/domain/6/memory/target", NULL), 0);
    world_free(w);
}

static void dom0_and_reserved_domids_get_no_grant(void **state)
{
    struct world *w = world(CLIENT_NONE);

    assert_int_equal(warden_grant(w, 1, 0, XS_STAGE_READ), EINVAL);
    assert_int_equal(warden_grant(w, 1, 0x7ff0, XS_STAGE_READ), EINVAL);
    assert_int_equal(warden_grant(w, 1, UINT32_MAX, XS_STAGE_READ), EINVAL);
    assert_int_equal(warden_grant(w, 0, 5, XS_STAGE_READ), EINVAL);
    for (uint32_t job = 1; job <= 1024; job++)
        assert_int_equal(warden_grant(w, job, job, XS_STAGE_READ), 0);
    assert_int_equal(warden_grant(w, 2000, 2000, XS_STAGE_READ), ENOSPC);
    assert_int_equal(warden_revoke(w, 17), 0);
    assert_int_equal(warden_grant(w, 2000, 2000, XS_STAGE_READ), 0);
    world_free(w);
}

static void request_ids_come_back_and_never_go_up(void **state)
{
    struct world *w = world(CLIENT_RAW);
    char payload[XENSTORE_PAYLOAD_MAX + 1];
    struct xsd_sockmsg h;

    warden_grant(w, 1, 5, XS_STAGE_READ);
    for (uint32_t id = 0xfffffff0; id != 16; id++)
        raw_send(w, XS_READ, id, 0, TARGET, sizeof(TARGET));
    for (uint32_t id = 0xfffffff0; id != 16; id++) {
        assert_int_equal(raw_recv(w, &h, payload), XS_READ);
        assert_int_equal(h.req_id, id);
        assert_string_equal(payload, "131072");
    }
    world_free(w);
}

static void a_request_in_single_bytes_is_put_together(void **state)
{
    struct xsd_sockmsg h = {.type = XS_READ, .req_id = 9, .len = sizeof(TARGET)};
    struct world *w = world(CLIENT_RAW);
    char payload[XENSTORE_PAYLOAD_MAX + 1];

    warden_grant(w, 1, 5, XS_STAGE_READ);
    for (size_t i = 0; i < sizeof(h); i++)
        assert_int_equal(send(w->raw, (char *)&h + i, 1, 0), 1);
    for (size_t i = 0; i < sizeof(TARGET); i++) {
        assert_int_equal(send(w->raw, TARGET + i, 1, 0), 1);
        usleep(500);
    }
    assert_int_equal(raw_recv(w, &h, payload), XS_READ);
    assert_string_equal(payload, "131072");
    world_free(w);
}

static void an_oversized_length_ends_the_connection(void **state)
{
    struct xsd_sockmsg h = {.type = XS_READ, .len = XENSTORE_PAYLOAD_MAX + 1};
    struct world *w = world(CLIENT_RAW);
    char payload[XENSTORE_PAYLOAD_MAX + 1];

    memset(payload, '/', XENSTORE_PAYLOAD_MAX);
    assert_int_equal(raw_errno(w, XS_READ, 0, payload, XENSTORE_PAYLOAD_MAX), EACCES);
    assert_int_equal(send(w->raw, &h, sizeof(h), 0), sizeof(h));
    assert_int_equal(world_exit(w), 1);
    assert_int_equal(raw_recv(w, &h, payload), -1);
    world_free(w);
}

static void a_flood_is_throttled_and_the_warden_still_served(void **state)
{
    struct xsd_sockmsg h = {.type = XS_RM, .len = sizeof(TARGET)};
    struct world *w = world(CLIENT_RAW);
    char msg[sizeof(h) + sizeof(TARGET)], payload[XENSTORE_PAYLOAD_MAX + 1];
    unsigned sent = 0, got = 0;
    int64_t begin = now_ms();

    memcpy(msg, &h, sizeof(h));
    memcpy(msg + sizeof(h), TARGET, sizeof(TARGET));
    while (sent < 1000000) { /* nothing is read: at some point nothing more is taken */
        struct pollfd p = {.fd = w->raw, .events = POLLOUT};
        ssize_t r = send(w->raw, msg, sizeof(msg), MSG_DONTWAIT | MSG_NOSIGNAL);

        if (r < 0)
            assert_int_equal(errno, EAGAIN);
        if (r < 0 && poll(&p, 1, 300) == 0)
            break;
        assert_true(r < 0 || r == sizeof(msg));
        sent += r > 0;
    }
    assert_true(sent > 100 && sent < 1000000);
    assert_int_equal(warden_grant(w, 1, 5, XS_STAGE_READ), 0); /* while the parent is stuck */
    while (got < sent && raw_recv(w, &h, payload) == XS_ERROR)
        got++;
    assert_int_equal(got, sent);
    assert_int_equal(store_requests(w, XS_RM), 0);
    while (w->refused < sent) {
        struct msg_XS_REFUSED m;

        warden_ask(w, 0, 0, NULL, MSG_XS_REFUSED, &m);
    }
    assert_int_equal(w->refused, sent);
    assert_true(w->refused_messages <= 2 + (now_ms() - begin) / 1000); /* at most one a second */
    world_free(w);
}

static void events_merge_while_the_parent_does_not_read(void **state)
{
    struct world *w = world(CLIENT_RAW);
    char payload[XENSTORE_PAYLOAD_MAX + 1];
    struct pollfd p = {.events = POLLIN};
    struct xsd_sockmsg h;
    unsigned events = 0;

    warden_grant(w, 1, 5, XS_STAGE_READ);
    assert_int_equal(raw_errno(w, XS_WATCH, 0, SHUTDOWN "\0t", sizeof(SHUTDOWN) + 2), 0);
    for (int i = 0; i < 200; i++) {
        pthread_mutex_lock(&w->lock);
        for (int k = 0; k < 100; k++)
            simxs_write(w->sim, SHUTDOWN, "x");
        pthread_mutex_unlock(&w->lock);
        usleep(1000);
    }
    assert_int_equal(warden_grant(w, 2, 6, XS_STAGE_READ), 0); /* nothing is stuck */
    p.fd = w->raw;
    while (poll(&p, 1, 300) == 1) {
        assert_int_equal(raw_recv(w, &h, payload), XS_WATCH_EVENT);
        assert_string_equal(payload, SHUTDOWN);
        events++;
    }
    assert_true(events >= 1 && events < 20000);
    assert_int_equal(raw_errno(w, XS_READ, 0, SHUTDOWN, sizeof(SHUTDOWN)), 0);
    world_free(w);
}

static void only_the_first_connection_of_the_right_uid_is_served(void **state)
{
    struct world *w = world(CLIENT_NONE);
    char byte;
    int status;
    pid_t pid;

    if (getuid() != 0) {
        if (getenv("MUST_WORK"))
            fail_msg("needs root to connect as somebody else");
        world_free(w);
        skip();
    }
    chmod(w->path, 0666);
    pid = fork();
    if (!pid) {
        int fd = setresuid(12345, 12345, 12345) ? -1 : world_connect(w);
        struct timeval limit = {.tv_sec = 5};

        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        _exit(fd < 0 ? 1 : recv(fd, &byte, 1, 0) == 0 ? 0 : 2); /* accepted and closed */
    }
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    w->raw = world_connect(w);
    assert_true(w->raw >= 0);
    assert_int_equal(raw_errno(w, XS_READ, 0, "/", 2), EACCES);
    assert_int_equal(world_connect(w), -1); /* the door is shut */
    world_free(w);
}

static void the_end_of_any_neighbour_ends_the_gate(void **state)
{
    struct world *w = world(CLIENT_RAW);

    close(w->raw);
    w->raw = -1;
    assert_int_equal(world_exit(w), 0);
    world_free(w);

    w = world(CLIENT_RAW);
    close(w->warden.fd);
    w->warden.fd = -1;
    assert_int_equal(world_exit(w), 0);
    world_free(w);

    w = world(CLIENT_RAW);
    pthread_mutex_lock(&w->lock);
    simxs_drop(w->sim);
    pthread_mutex_unlock(&w->lock);
    assert_int_equal(world_exit(w), 1);
    world_free(w);
}

static void a_message_that_is_not_the_wardens_ends_the_gate(void **state)
{
    struct world *w = world(CLIENT_NONE);

    assert_int_equal(send(w->warden.fd, "rubbish", 7, 0), 7);
    assert_int_equal(world_exit(w), 1);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_passes_without_a_grant),
        cmocka_unit_test(a_save_reads_target_and_shutdown),
        cmocka_unit_test(shutdown_is_written_only_in_stage_suspend),
        cmocka_unit_test(no_word_but_suspend_and_nothing_is_written),
        cmocka_unit_test(no_other_spelling_of_a_path_passes),
        cmocka_unit_test(no_other_request_type_passes),
        cmocka_unit_test(a_watch_tells_changes_with_the_parents_own_token),
        cmocka_unit_test(an_event_never_carries_a_name_that_a_guest_made),
        cmocka_unit_test(the_end_of_domains_can_be_watched_without_a_job),
        cmocka_unit_test(watches_are_bounded_and_tokens_checked),
        cmocka_unit_test(a_transaction_commits_aborts_and_conflicts_as_in_xenstored),
        cmocka_unit_test(a_transaction_is_no_way_around_a_grant),
        cmocka_unit_test(transactions_are_bounded_per_job_and_in_all),
        cmocka_unit_test(a_revoked_job_has_no_paths_watches_or_transactions),
        cmocka_unit_test(an_unwatch_after_the_jobs_end_is_no_refusal),
        cmocka_unit_test(a_later_grant_replaces_the_earlier_one),
        cmocka_unit_test(dom0_and_reserved_domids_get_no_grant),
        cmocka_unit_test(request_ids_come_back_and_never_go_up),
        cmocka_unit_test(a_request_in_single_bytes_is_put_together),
        cmocka_unit_test(an_oversized_length_ends_the_connection),
        cmocka_unit_test(a_flood_is_throttled_and_the_warden_still_served),
        cmocka_unit_test(events_merge_while_the_parent_does_not_read),
        cmocka_unit_test(only_the_first_connection_of_the_right_uid_is_served),
        cmocka_unit_test(the_end_of_any_neighbour_ends_the_gate),
        cmocka_unit_test(a_message_that_is_not_the_wardens_ends_the_gate),
    };

    return cmocka_run_group_tests_name("gate: forwarding", tests, NULL, NULL);
}
