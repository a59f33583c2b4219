/* SPDX-License-Identifier: LGPL-2.1-only */
#include "tests/unit/event/harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* The program's own epoll_ctl, which fails when told to. */
static int epoll_ctl_errno;
int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ee)
{
    if (epoll_ctl_errno) {
        errno = epoll_ctl_errno;
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, epfd, op, fd, ee);
}

struct source {
    libxl__ev_fd ev;                                    /* first: callbacks cast */
    int r, w;
    int calls;
    short revents;
    void (*then)(libxl__egc *egc, struct source *s);
};

static void on_fd(libxl__egc *egc, libxl__ev_fd *ev, int fd, short events, short revents)
{
    struct source *s = (void *)ev;

    assert_int_equal(ctx->lock_depth, 1);
    assert_ptr_equal(egc->gc.owner, ctx);
    assert_int_equal(fd, ev->fd);
    assert_int_equal(events, ev->events);
    s->calls++;
    s->revents = revents;
    if (s->then)
        s->then(egc, s);
}

static void open_pipe(struct source *s)
{
    int p[2];

    assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
    POISON(*s);
    *s = (struct source){ .ev = s->ev, .r = p[0], .w = p[1] };
}

static void open_source(struct source *s, short events)
{
    open_pipe(s);
    assert_int_equal(libxl__ev_fd_register(tgc, &s->ev, on_fd, s->r, events), 0);
}

static void close_source(struct source *s)
{
    libxl__ev_fd_deregister(tgc, &s->ev);
    if (s->r >= 0)
        close(s->r);
    if (s->w >= 0)
        close(s->w);
}

static void feed(struct source *s)
{
    assert_int_equal(write(s->w, "x", 1), 1);
}

static void drain(struct source *s)
{
    char c;

    while (read(s->r, &c, 1) == 1)
        ;
}

static void init_makes_poisoned_memory_idle(void **state)
{
    libxl__ev_fd ev;

    (void)state;
    POISON(ev);
    libxl__ev_fd_init(&ev);
    assert_false(libxl__ev_fd_isregistered(&ev));
    libxl__ev_fd_deregister(tgc, &ev);
    libxl__ev_fd_init(&ev);
    libxl__ev_fd_deregister(tgc, &ev);
    assert_false(libxl__ev_fd_isregistered(&ev));
}

static void register_never_calls_back_and_the_loop_does(void **state)
{
    struct source s;

    (void)state;
    open_pipe(&s);
    feed(&s);
    assert_int_equal(libxl__ev_fd_register(tgc, &s.ev, on_fd, s.r, POLLIN), 0);
    assert_true(libxl__ev_fd_isregistered(&s.ev));
    assert_int_equal(s.calls, 0);
    turn();
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.revents, POLLIN);
    turn();                                             /* still readable: told again */
    assert_int_equal(s.calls, 2);
    drain(&s);
    turn();
    assert_int_equal(s.calls, 2);
    close_source(&s);
}

static void deregister_is_idempotent_and_final(void **state)
{
    struct source s;

    (void)state;
    open_source(&s, POLLIN);
    feed(&s);
    libxl__ev_fd_deregister(tgc, &s.ev);
    libxl__ev_fd_deregister(tgc, &s.ev);
    turn();
    assert_int_equal(s.calls, 0);
    close_source(&s);
}

#define N 20
static struct source many[N];

static void deregister_all(libxl__egc *egc, struct source *s)
{
    int i;

    (void)egc, (void)s;
    for (i = 0; i < N; i++)
        libxl__ev_fd_deregister(tgc, &many[i].ev);
}

static void t5_callback_may_deregister_all_others_and_itself(void **state)
{
    int i, calls = 0;

    (void)state;
    for (i = 0; i < N; i++) {
        open_source(&many[i], POLLIN);
        many[i].then = deregister_all;
        feed(&many[i]);
    }
    turn();
    for (i = 0; i < N; i++)
        calls += many[i].calls;
    assert_int_equal(calls, 1);
    turn();
    for (i = 0; i < N; i++)
        close_source(&many[i]);
}

static void t8_shrinking_the_set_leaves_no_stale_entries(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < N; i++) {
        open_source(&many[i], POLLIN);
        feed(&many[i]);
    }
    turn();
    for (i = 1; i < N; i++)
        close_source(&many[i]);
    turn();
    assert_int_equal(many[0].calls, 2);
    for (i = 1; i < N; i++)
        assert_int_equal(many[i].calls, 1);
    assert_int_equal(moat_loop_get_stats(ctx).fds_ready, N + 1);
    close_source(&many[0]);
}

static struct source reopened;

/* Close the other source's fds and put a new, unready pipe at the same numbers. */
static void reopen_others(libxl__egc *egc, struct source *s)
{
    struct source *other = s == &many[0] ? &many[1] : &many[0];
    int p[2];

    (void)egc;
    if (!libxl__ev_fd_isregistered(&other->ev) || reopened.r >= 0)
        return;
    libxl__ev_fd_deregister(tgc, &other->ev);
    assert_int_equal(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(dup3(p[0], other->r, O_CLOEXEC), other->r);
    assert_int_equal(dup3(p[1], other->w, O_CLOEXEC), other->w);
    close(p[0]);
    close(p[1]);
    reopened.r = other->r;
    reopened.w = other->w;
    reopened.calls = 0;
    reopened.then = NULL;
    feed(&reopened);                                    /* ready, but not what was reported */
    assert_int_equal(libxl__ev_fd_register(tgc, &reopened.ev, on_fd, reopened.r, POLLIN), 0);
}

static void t1_fd_closed_and_reopened_in_the_same_turn_gets_no_stale_event(void **state)
{
    int i;

    (void)state;
    reopened.r = reopened.w = -1;
    for (i = 0; i < 2; i++) {
        open_source(&many[i], POLLIN);
        many[i].then = reopen_others;
        feed(&many[i]);
    }
    turn();
    assert_int_equal(many[0].calls + many[1].calls, 1);
    assert_int_equal(reopened.calls, 0);
    turn();
    assert_int_equal(reopened.calls, 1);
    libxl__ev_fd_deregister(tgc, &reopened.ev);
    for (i = 0; i < 2; i++)
        close_source(&many[i]);
}

static void closing_before_deregistering_is_survived_and_logged(void **state)
{
    struct source s;

    (void)state;
    open_source(&s, POLLIN);
    close(s.r);
    s.r = -1;
    turn();
    libxl__ev_fd_deregister(tgc, &s.ev);
    assert_non_null(strstr(last_log, "closed before it was deregistered"));
    assert_int_equal(s.calls, 0);
    close_source(&s);
}

static void drain_self(libxl__egc *egc, struct source *s)
{
    (void)egc;
    drain(s);
}

static void callbacks_never_see_readiness_that_another_took(void **state)
{
    struct source a, b;

    (void)state;
    open_source(&a, POLLIN);
    b = (struct source){ .r = dup(a.r), .w = -1 };
    assert_int_equal(libxl__ev_fd_register(tgc, &b.ev, on_fd, b.r, POLLIN), 0);
    a.then = b.then = drain_self;
    feed(&a);
    turn();
    assert_int_equal(moat_loop_get_stats(ctx).fds_ready, 2);
    assert_int_equal(a.calls + b.calls, 1);
    close_source(&b);
    close_source(&a);
}

static void tcp_pair(int sv[2])
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof(sa);
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(l, (void *)&sa, len) | listen(l, 1), 0);
    assert_int_equal(getsockname(l, (void *)&sa, &len), 0);
    sv[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(sv[0], (void *)&sa, len), 0);
    sv[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
    assert_true(sv[1] >= 0);
    close(l);
}

static void t6_three_ev_fds_share_one_fd_with_in_out_and_pri(void **state)
{
    struct source in = { .r = -1, .w = -1 }, out = in, pri = in;
    int sv[2];

    (void)state;
    tcp_pair(sv);
    assert_int_equal(libxl__ev_fd_register(tgc, &in.ev, on_fd, sv[0], POLLIN), 0);
    assert_int_equal(libxl__ev_fd_register(tgc, &out.ev, on_fd, sv[0], POLLOUT), 0);
    assert_int_equal(libxl__ev_fd_register(tgc, &pri.ev, on_fd, sv[0], POLLPRI), 0);
    turn();
    assert_true(in.calls == 0 && out.calls == 1 && pri.calls == 0);
    assert_int_equal(out.revents, POLLOUT);

    assert_int_equal(send(sv[1], "o", 1, MSG_OOB), 1);
    assert_int_equal(libxl__ev_fd_modify(tgc, &out.ev, 0), 0);
    turn();
    assert_true(out.calls == 1 && pri.calls == 1);
    assert_int_equal(pri.revents, POLLPRI);
    libxl__ev_fd_deregister(tgc, &pri.ev);

    in.calls = 0;
    assert_int_equal(send(sv[1], "i", 1, 0), 1);
    turn();
    assert_true(in.calls == 1 && out.calls == 1 && pri.calls == 1);
    assert_int_equal(in.revents, POLLIN);
    libxl__ev_fd_deregister(tgc, &in.ev);
    turn();
    assert_int_equal(in.calls, 1);
    libxl__ev_fd_deregister(tgc, &out.ev);
    close(sv[0]);
    close(sv[1]);
}

static void overlapping_events_on_one_fd_are_refused_without_effect(void **state)
{
    struct source a, b;

    (void)state;
    open_source(&a, POLLIN);
    b = (struct source){ .r = -1, .w = -1 };
    POISON(b.ev);
    assert_int_equal(libxl__ev_fd_register(tgc, &b.ev, on_fd, a.r, POLLIN | POLLPRI), ERROR_INVAL);
    assert_false(libxl__ev_fd_isregistered(&b.ev));
    assert_int_equal(libxl__ev_fd_register(tgc, &b.ev, on_fd, a.r, POLLPRI), 0);
    assert_int_equal(libxl__ev_fd_modify(tgc, &b.ev, POLLIN), ERROR_INVAL);
    assert_int_equal(b.ev.events, POLLPRI);
    feed(&a);
    turn();
    assert_true(a.calls == 1 && b.calls == 0);
    close_source(&b);
    close_source(&a);
}

static void failed_modify_and_failed_register_change_nothing(void **state)
{
    struct source a, b;

    (void)state;
    open_source(&a, POLLIN);
    open_pipe(&b);
    epoll_ctl_errno = ENOMEM;
    assert_int_equal(libxl__ev_fd_modify(tgc, &a.ev, POLLIN | POLLPRI), ERROR_NOMEM);
    assert_int_equal(libxl__ev_fd_register(tgc, &b.ev, on_fd, b.r, POLLIN), ERROR_NOMEM);
    epoll_ctl_errno = ENOSPC;
    assert_int_equal(libxl__ev_fd_register(tgc, &b.ev, on_fd, b.r, POLLIN), ERROR_FAIL);
    epoll_ctl_errno = 0;
    assert_int_equal(a.ev.events, POLLIN);
    assert_false(libxl__ev_fd_isregistered(&b.ev));
    feed(&a);
    feed(&b);
    turn();
    assert_true(a.calls == 1 && b.calls == 0);
    assert_int_equal(libxl__ev_fd_register(tgc, &b.ev, on_fd, b.r, POLLIN), 0);
    turn();
    assert_true(a.calls == 2 && b.calls == 1);
    close_source(&a);
    close_source(&b);
}

static void events_zero_means_silence_until_modified(void **state)
{
    struct source s;

    (void)state;
    open_source(&s, 0);
    feed(&s);
    close(s.w);
    s.w = -1;
    turn();
    assert_int_equal(s.calls, 0);                       /* not even the hangup */
    assert_int_equal(libxl__ev_fd_modify(tgc, &s.ev, POLLIN), 0);
    turn();
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.revents, POLLIN | POLLHUP);
    assert_int_equal(libxl__ev_fd_modify(tgc, &s.ev, 0), 0);
    turn();
    assert_int_equal(s.calls, 1);
    close_source(&s);
}

static void t7_hangup_alone_and_error_alone_are_delivered(void **state)
{
    struct source r, w;

    (void)state;
    open_source(&r, POLLIN);
    close(r.w);
    r.w = -1;
    turn();
    assert_int_equal(r.calls, 1);
    assert_int_equal(r.revents, POLLHUP);
    close_source(&r);

    open_pipe(&w);
    assert_int_equal(libxl__ev_fd_register(tgc, &w.ev, on_fd, w.w, POLLPRI), 0);
    close(w.r);
    w.r = -1;
    turn();
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.revents, POLLERR);
    close_source(&w);
}

static void deregister_self(libxl__egc *egc, struct source *s)
{
    libxl__ev_fd_deregister(&egc->gc, &s->ev);
}

static void regular_files_are_always_ready_as_with_poll(void **state)
{
    struct source f = { .w = -1 };

    (void)state;
    f.r = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_true(f.r >= 0);
    assert_int_equal(libxl__ev_fd_register(tgc, &f.ev, on_fd, f.r, POLLIN), 0);
    assert_int_equal(moat_loop_run_once(ctx, -1), 0);   /* does not sleep */
    assert_int_equal(f.calls, 1);
    assert_int_equal(f.revents, POLLIN);
    assert_int_equal(libxl__ev_fd_modify(tgc, &f.ev, 0), 0);
    turn();
    assert_int_equal(f.calls, 1);
    assert_int_equal(libxl__ev_fd_modify(tgc, &f.ev, POLLIN), 0);
    f.then = deregister_self;
    turn();
    turn();
    assert_int_equal(f.calls, 2);
    close_source(&f);
}

static void a_number_that_is_no_fd_is_refused(void **state)
{
    libxl__ev_fd ev;

    (void)state;
    POISON(ev);
    assert_int_equal(libxl__ev_fd_register(tgc, &ev, on_fd, -1, POLLIN), ERROR_INVAL);
    assert_int_equal(libxl__ev_fd_register(tgc, &ev, on_fd, 0x7fffffff, POLLIN), ERROR_INVAL);
    assert_false(libxl__ev_fd_isregistered(&ev));
}

static void register_new_reader(libxl__egc *egc, struct source *s)
{
    (void)egc;
    s->then = NULL;
    open_source(&many[0], POLLIN);
    feed(&many[0]);
}

static void what_a_callback_registers_is_served_from_the_next_turn_on(void **state)
{
    struct source s;

    (void)state;
    open_source(&s, POLLIN);
    s.then = register_new_reader;
    feed(&s);
    turn();
    assert_int_equal(many[0].calls, 0);
    turn();
    assert_int_equal(many[0].calls, 1);
    close_source(&many[0]);
    close_source(&s);
}

static libxl__ev_fd writer;
static int writer_calls;

static void on_writable(libxl__egc *egc, libxl__ev_fd *ev, int fd, short events, short revents)
{
    (void)egc, (void)ev, (void)fd, (void)events, (void)revents;
    writer_calls++;
}

static void register_writer(libxl__egc *egc, struct source *s)
{
    (void)egc;
    s->then = NULL;
    assert_int_equal(libxl__ev_fd_register(tgc, &writer, on_writable, s->r, POLLOUT), 0);
}

static void what_a_callback_registers_on_its_own_fd_waits_for_the_next_turn_too(void **state)
{
    struct source s = { .then = register_writer };
    int sv[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
    s.r = sv[0];
    s.w = sv[1];
    assert_int_equal(libxl__ev_fd_register(tgc, &s.ev, on_fd, s.r, POLLIN), 0);
    feed(&s);
    writer_calls = 0;
    turn();
    assert_true(s.calls == 1 && writer_calls == 0);
    turn();
    assert_true(s.calls == 2 && writer_calls == 1);
    libxl__ev_fd_deregister(tgc, &writer);
    close_source(&s);
}

static void t3_a_late_report_for_an_fd_that_was_reused_is_ignored(void **state)
{
    struct source s;
    libxl__egc egc[1];
    uint64_t late;

    (void)state;
    open_source(&s, POLLIN);
    late = (uint64_t)ctx->fd_gen << 32 | (uint32_t)s.r;
    libxl__ev_fd_deregister(tgc, &s.ev);
    assert_int_equal(libxl__ev_fd_register(tgc, &s.ev, on_fd, s.r, POLLIN), 0);
    feed(&s);
    libxl__egc_init(egc, ctx);
    libxl__ctx_lock(ctx);
    ctx->turn++;
    libxl__fd_occurred(egc, late);
    assert_int_equal(s.calls, 0);
    libxl__fd_occurred(egc, (uint64_t)ctx->fd_gen << 32 | (uint32_t)s.r);
    assert_int_equal(s.calls, 1);
    libxl__fd_occurred(egc, 0xffffffffffffffffULL);
    libxl__ctx_unlock(ctx);
    libxl__egc_cleanup(egc);
    close_source(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(init_makes_poisoned_memory_idle),
        TEST(register_never_calls_back_and_the_loop_does),
        TEST(deregister_is_idempotent_and_final),
        TEST(t5_callback_may_deregister_all_others_and_itself),
        TEST(t8_shrinking_the_set_leaves_no_stale_entries),
        TEST(t1_fd_closed_and_reopened_in_the_same_turn_gets_no_stale_event),
        TEST(closing_before_deregistering_is_survived_and_logged),
        TEST(callbacks_never_see_readiness_that_another_took),
        TEST(t6_three_ev_fds_share_one_fd_with_in_out_and_pri),
        TEST(overlapping_events_on_one_fd_are_refused_without_effect),
        TEST(failed_modify_and_failed_register_change_nothing),
        TEST(events_zero_means_silence_until_modified),
        TEST(t7_hangup_alone_and_error_alone_are_delivered),
        TEST(regular_files_are_always_ready_as_with_poll),
        TEST(a_number_that_is_no_fd_is_refused),
        TEST(what_a_callback_registers_is_served_from_the_next_turn_on),
        TEST(what_a_callback_registers_on_its_own_fd_waits_for_the_next_turn_too),
        TEST(t3_a_late_report_for_an_fd_that_was_reused_is_ignored),
    };

    return cmocka_run_group_tests_name("event: fd", tests, NULL, NULL);
}
