/* SPDX-License-Identifier: LGPL-2.1-only */
/* A moatd that lies at random, and an application with bad habits: several threads, aborts at any
 * moment, callbacks that wait.  Whatever is said, each operation ends once, by an error or not. */
#include "tests/unit/lib/harness.h"
#include "tests/unit/lib/fake_moatd.h"

#include <stdatomic.h>

#define OPERATIONS 400                          /* of each kind: with callback, with event */
#define SYNC_THREADS 2
#define KEPT 24
#define JOB 3
#define LOST_S 120

static unsigned seed;
static _Thread_local unsigned state_of_chance;

static unsigned chance(unsigned n)
{
    return (unsigned)rand_r(&state_of_chance) % n;
}

/* ---------- moatd ---------- */

static atomic_bool enough;

static void lie(struct ipc_chan *ch, uint32_t domid)
{
    const uint64_t numbers[] = { 0, 1, 100, INT64_MAX, UINT64_MAX - 50, UINT64_MAX };
    const uint32_t job = chance(12) ? JOB : chance(2) ? 0 : JOB + 1;
    struct msg_STARTED started = { .job = JOB, .domid = domid, .name = "web" };
    struct msg_PROGRESS progress = { .stage = chance(7), .iteration = (uint32_t)-1,
                                     .done = numbers[chance(6)], .total = numbers[chance(6)] };
    struct msg_NOTE note = { .level = chance(2) ? UINT32_MAX : chance(12), .text = "\033[2J\n" };
    struct msg_SAVED saved = { .bytes = UINT64_MAX };
    struct msg_DONE done = { .exit_code = chance(3) ? 0 : chance(300), .worker_status = -1,
                             .rc = chance(2) ? 0 : (int)chance(80) - 40 };
    struct msg_DENIED denied = { .exit_code = chance(8), .line = UINT32_MAX, .message = "\r" };
    struct msg_DOMAIN_STATE gone = { .domid = domid + !chance(9), .state = chance(6),
                                     .reason = chance(300), .handle = { (uint8_t)chance(3) } };
    char junk[40];

    switch (chance(12)) {
    case 0: ipc_send(ch, MSG_DENIED, 0, &denied, NULL, 0); break;
    case 1: case 2: ipc_send(ch, MSG_SAVED, job, &saved, NULL, 0); break;
    case 3: case 4: case 5: ipc_send(ch, MSG_STARTED, JOB, &started, NULL, 0); break;
    case 6: case 7: ipc_send(ch, MSG_PROGRESS, job, &progress, NULL, 0); break;
    case 8: ipc_send(ch, MSG_NOTE, job, &note, NULL, 0); break;
    case 9: ipc_send(ch, MSG_DOMAIN_STATE, 0, &gone, NULL, 0); break;
    case 10:
        memset(junk, (int)chance(256), sizeof(junk));
        (void)!send(ch->fd, junk, chance(sizeof(junk)), MSG_NOSIGNAL);
        break;
    default: ipc_send(ch, MSG_DONE, job, &done, NULL, 0);
    }
}

/* A connection: its INTENT, some lies, and an end some time later. */
static void one_connection(int kept[KEPT])
{
    struct pollfd p;
    struct msg_INTENT m;
    unsigned n, i = chance(KEPT);

    peer = (struct ipc_chan){ .fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK),
                              .self = WARDEN | PARENT, .peer = OPERATOR, .phase = PH_OPEN,
                              .takes_fds = true };
    if (peer.fd < 0)
        return;
    p = (struct pollfd){ .fd = peer.fd, .events = POLLIN };
    if (poll(&p, 1, 100) == 1 && ipc_recv(&peer, &peer_frame) == 1) {
        ipc_close_fds(&peer_frame);
        if (!ipc_decode(&peer_frame, &m))
            for (n = chance(4) ? chance(6) : chance(400); n; n--)
                lie(&peer, (uint32_t)atoi(m.domain));
    }
    if (kept[i] >= 0)
        close(kept[i]);
    kept[i] = peer.fd;
    peer.fd = -1;
}

static void *moatd(void *arg)
{
    struct pollfd p = { .fd = listener, .events = POLLIN };
    int i, kept[KEPT];

    state_of_chance = seed;
    for (i = 0; i < KEPT; i++)
        kept[i] = -1;
    while (!enough) {
        if (poll(&p, 1, 2) == 1)
            one_connection(kept);
        /* What was started has no time limit but moatd's: sooner or later it hangs up. */
        i = (int)chance(KEPT);
        if (kept[i] >= 0 && !chance(4)) {
            close(kept[i]);
            kept[i] = -1;
        }
    }
    for (i = 0; i < KEPT; i++)
        if (kept[i] >= 0)
            close(kept[i]);
    return arg;
}

/* ---------- the application ---------- */

static int image = -1;                          /* one file for all: nobody writes to it */
static atomic_int begun, told, events, wrong, depth, over;

static int operate(const libxl_asyncop_how *how)
{
    return chance(3) ? libxl_domain_suspend(ctx, chance(20), image, 0, how)
                     : libxl_domain_resume(ctx, chance(20), 1, how);
}

static void fetch_event(void)
{
    libxl_event *event;

    if (libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL))
        return;
    if (event->type == LIBXL_EVENT_TYPE_OPERATION_COMPLETE) {
        events++;
        wrong += event->u.operation_complete.rc > 0;
    }
    libxl_event_free(ctx, event);
}

static void watch_for_a_moment(void)
{
    libxl_evgen_domain_death *evgen;

    if (!libxl_evenable_domain_death(ctx, chance(20), 5, &evgen))
        libxl_evdisable_domain_death(ctx, evgen);
}

/* Callbacks may call anything, and these do: also what waits, and so calls more of them. */
static void ended(libxl_ctx *c, int rc, void *for_callback)
{
    atomic_int *mine = for_callback;

    wrong += rc > 0;
    wrong += atomic_fetch_add(mine, 1) != 0;
    told++;
    if (depth++ < 4)
        switch (chance(6)) {
        case 0: wrong += operate(NULL) > 0; break;
        case 1: libxl_ao_abort(c, NULL); break;
        case 2: watch_for_a_moment(); break;
        case 3: fetch_event(); break;
        }
    depth--;
}

static void *waits_each_time(void *arg)
{
    int i;

    state_of_chance = seed + (unsigned)(size_t)arg;
    for (i = 0; i < OPERATIONS / 4; i++) {
        wrong += operate(NULL) > 0;
        if (!chance(8))
            watch_for_a_moment();
    }
    over++;
    return NULL;
}

static void begin_one(atomic_int *mine)
{
    const libxl_asyncop_how by_callback = { .callback = ended, .u.for_callback = mine };
    const libxl_asyncop_how by_event = { .u.for_event = 77 };
    const libxl_asyncop_how *how = mine ? &by_callback : &by_event;

    begun += operate(how) == 0;
    if (!chance(4))
        libxl_ao_abort(ctx, how);
}

static void no_disaster_but_lost_watches(void *user, libxl_event_type type, const char *msg,
                                         int errnoval)
{
    (void)user, (void)msg, (void)errnoval;
    wrong += type != LIBXL_EVENT_TYPE_DOMAIN_DEATH;
}

static void show(xentoollog_logger *logger, const char *context, const char *doing, int percent,
                 unsigned long done, unsigned long total)
{
    (void)logger, (void)context, (void)doing;
    wrong += percent < 0 || percent > 100 || (total && done > total);
}

static void lost(int sig)
{
    static const char msg[] = "an operation never ends\n";

    (void)sig;
    (void)!write(2, msg, sizeof(msg) - 1);
    _exit(1);
}

static void whatever_moatd_says_each_operation_ends_once(void **state)
{
    static const libxl_event_hooks hooks = { .disaster = no_disaster_but_lost_watches };
    static atomic_int mine[OPERATIONS];
    pthread_t daemon, threads[SYNC_THREADS];
    size_t i;

    (void)state;
    libxl_event_register_callbacks(ctx, &hooks, NULL);
    image = open("/tmp", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(image >= 0);
    assert_int_equal(pthread_create(&daemon, NULL, moatd, NULL), 0);
    for (i = 0; i < SYNC_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, waits_each_time, (void *)(i + 1)), 0);
    for (i = 0; i < OPERATIONS; i++) {
        begin_one(&mine[i]);
        begin_one(NULL);
        do {
            poll_turn(5);
            fetch_event();
        } while (begun - told - events > 16);
    }
    while (told + events < begun || over < SYNC_THREADS) {
        poll_turn(20);
        fetch_event();
    }
    for (i = 0; i < SYNC_THREADS; i++)
        pthread_join(threads[i], NULL);
    enough = true;
    pthread_join(daemon, NULL);
    close(image);
    assert_int_equal(wrong, 0);
    assert_int_equal(told + events, begun);
    assert_true(begun > OPERATIONS);
}

static int lies_set_up(void **state)
{
    signal(SIGALRM, lost);
    alarm(LOST_S);
    fake_listen(4);
    libxl__request_times = (struct libxl__request_times){
        .backlog = 2, .answer = 100, .abort = 100, .watch = 100, .reconnect = 2, .reconnects = 3,
    };
    test_logger.progress = show;
    return set_up(state);
}

static int lies_tear_down(void **state)
{
    int rc = tear_down(state);

    fake_end();
    alarm(0);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whatever_moatd_says_each_operation_ends_once, lies_set_up,
                                        lies_tear_down),
    };

    seed = (unsigned)time(NULL);
    state_of_chance = seed;
    printf("# seed %u\n", seed);
    fflush(stdout);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
