/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The parent's side of a save: the test is warden, worker and operator at once.  The worker's
 * process is a child that only waits; what a worker says comes from the test.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "parent/jobs/job.h"
#include "tests/unit/jobs/fake_xs.h"

#define SHUTDOWN "/local/domain/5/control/shutdown"

static struct parent p;
static struct ipc_chan warden, worker, op;      /* the test's ends */
static struct ipc_frame frame;
static pid_t child;
static int child_in;                            /* one byte: the exit status of the child */

static void spawn(void)
{
    int fds[2], ready[2];
    char status;

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(pipe(ready), 0);
    child = fork();
    if (!child) {
        /* Nothing of the test's may stay open here, nor cmocka's handlers in force. */
        for (int fd = 3; fd < 256; fd++)
            if (fd != fds[0] && fd != ready[1])
                close(fd);
        signal(SIGSYS, SIG_DFL);
        close(ready[1]);
        _exit(read(fds[0], &status, 1) == 1 ? status : 77);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &status, 1), 0);
    close(ready[0]);
    close(fds[0]);
    child_in = fds[1];
}

static void turn(void)
{
    for (int i = 0; i < 6; i++)
        assert_int_equal(moat_loop_run_once(p.ctx, 10), 0);
}

/* The next message on a channel that is not mere progress. */
static void expect(struct ipc_chan *ch, uint32_t type, void *msg)
{
    int rc = 0;

    for (int i = 0; i < 200 && !rc; i++) {
        moat_loop_run_once(p.ctx, 5);
        rc = ipc_recv(ch, &frame);
    }
    assert_int_equal(rc, 1);
    if (frame.type != type)
        print_error("got %s\n", ipc_type_name(frame.type));
    assert_int_equal(frame.type, type);
    assert_int_equal(frame.job, 9);
    assert_int_equal(ipc_decode(&frame, msg), 0);
}

static void say(struct ipc_chan *ch, uint32_t type, const void *msg)
{
    assert_int_equal(ipc_send(ch, type, 9, msg, NULL, 0), 0);
}

static struct msg_JOB job = {.kind = KIND_SAVE, .flags = INTENT_CHECKPOINT, .domid = 5,
                             .guest_type = GUEST_PVH, .deadline = 60, .suspend_deadline = 60,
                             .commit_deadline = 60, .name = "web"};

static int setup(void **state)
{
    int w[2], k[2], o[2];
    int fds[2];

    fake_xs_reset();
    if (ipc_pair(w) || ipc_pair(k) || ipc_pair(o))
        return -1;
    p = (struct parent){.xsh = (struct xs_handle *)&p, .xs_ops = &fake_xs_ops};
    if (parent_attach(&p, w[0]))
        return -1;
    warden = (struct ipc_chan){.fd = w[1], .self = WARDEN, .peer = PARENT, .phase = PH_RUN};
    worker = (struct ipc_chan){.fd = k[1], .self = WORKER, .peer = PARENT, .phase = PH_ANY};
    op = (struct ipc_chan){.fd = o[1], .self = OPERATOR, .peer = PARENT | WARDEN, .phase = PH_RUN};
    spawn();
    job.pid = (uint32_t)child;
    fds[0] = o[0];
    fds[1] = k[0];
    if (ipc_send(&warden, MSG_JOB, 9, &job, fds, 2))
        return -1;
    close(o[0]);
    close(k[0]);
    return 0;
}

static int teardown(void **state)
{
    EGC_INIT(p.ctx);

    assert_true(LIST_EMPTY(&p.jobs));
    libxl__ev_fd_deregister(gc, &p.warden_ev);
    EGC_FREE;
    moat_ctx_free(p.ctx);
    close(p.warden.fd);
    close(warden.fd);
    close(worker.fd);
    if (op.fd >= 0)
        close(op.fd);
    close(child_in);
    job.deadline = job.suspend_deadline = job.commit_deadline = 60;
    return 0;
}

static void child_exits(int status)
{
    char c = (char)status;

    assert_int_equal(write(child_in, &c, 1), 1);
}

/* ---- the steps of a save that goes well, as far as a test wants them */

static void to_running(void)
{
    struct msg_HELLO hello = {.version = IPC_VERSION};
    struct msg_STARTED started;
    struct msg_START start;

    expect(&op, MSG_STARTED, &started);
    assert_int_equal(started.domid, 5);
    say(&worker, MSG_HELLO, &hello);
    expect(&worker, MSG_START, &start);
    assert_int_equal(start.target_kb, 196608);
    assert_int_equal(start.flags, INTENT_CHECKPOINT);
}

static void to_suspending(void)
{
    struct msg_SUSPEND s;
    struct msg_SUSPEND_OK ok = {0};

    to_running();
    say(&worker, MSG_SUSPEND_GUEST, NULL);
    expect(&warden, MSG_SUSPEND, &s);
    assert_string_equal(fake_xs.shutdown, "");      /* nothing before the warden's word */
    say(&warden, MSG_SUSPEND_OK, &ok);
    turn();
    assert_string_equal(fake_xs.shutdown, "suspend");
}

static void to_suspended(void)
{
    struct msg_STATE st;
    struct msg_STATE_IS is = {.state = DOMAIN_SUSPENDED};
    struct msg_SUSPENDED done;

    to_suspending();
    fake_xs.shutdown[0] = 0;
    fake_xs_fire(SHUTDOWN);
    expect(&warden, MSG_STATE, &st);
    say(&warden, MSG_STATE_IS, &is);
    expect(&worker, MSG_SUSPENDED, &done);
    assert_int_equal(done.rc, 0);
}

static void to_saved(void)
{
    struct msg_COMPLETE c = {.retval = 0, .bytes = 4096};
    struct msg_OUTCOME out;
    struct msg_VERDICT v = {.rc = 0};
    struct msg_SAVED saved;

    to_suspended();
    say(&worker, MSG_COMPLETE, &c);
    child_exits(0);
    expect(&warden, MSG_OUTCOME, &out);
    assert_int_equal(out.cause, CAUSE_NONE);
    assert_int_equal(out.worker_status, 0);
    say(&warden, MSG_VERDICT, &v);
    expect(&op, MSG_SAVED, &saved);
    assert_int_equal(saved.bytes, 4096);
}

/* ABORT, death, OUTCOME, VERDICT, DONE: the way of every failure before SAVED. */
static struct msg_DONE fails_with(enum job_cause cause, bool abort_comes)
{
    struct msg_ABORT a;
    struct msg_OUTCOME out;
    struct msg_VERDICT v = {.rc = -3};
    struct msg_DONE done = {0};

    if (abort_comes) {
        expect(&warden, MSG_ABORT, &a);
        assert_int_equal(a.cause, cause);
        kill(child, SIGKILL);
    }
    expect(&warden, MSG_OUTCOME, &out);
    assert_int_equal(out.cause, cause);
    say(&warden, MSG_VERDICT, &v);
    if (op.fd >= 0) {
        expect(&op, MSG_DONE, &done);
        assert_int_equal(done.exit_code, ipc_cause_exit(cause));
        assert_non_null(strstr(done.message, ipc_cause_words(cause)));
    } else {
        turn();
    }
    return done;
}

static void test_a_save_goes_through_all_its_steps(void **state)
{
    struct msg_ENDED e = {0};
    struct msg_DONE done;

    to_saved();
    say(&warden, MSG_ENDED, &e);
    expect(&op, MSG_DONE, &done);
    assert_int_equal(done.exit_code, 0);
    assert_int_equal(done.rc, 0);
}

static void test_commit_before_saved_ends_the_operator_not_the_domain(void **state)
{
    to_suspended();
    say(&op, MSG_COMMIT, NULL);
    turn();
    close(op.fd);
    op.fd = -1;
    fails_with(CAUSE_OPERATOR_GONE, true);
}

static void test_operator_lost_before_saved_aborts(void **state)
{
    to_running();
    close(op.fd);
    op.fd = -1;
    fails_with(CAUSE_OPERATOR_GONE, true);
}

/* shutdown(SHUT_WR): the way to end one's own job and to be told how it ended. */
static void test_an_operator_that_half_closes_gets_its_end(void **state)
{
    struct msg_DONE done;

    to_suspended();
    assert_int_equal(shutdown(op.fd, SHUT_WR), 0);
    done = fails_with(CAUSE_OPERATOR_GONE, true);
    assert_int_equal(done.rc, ERROR_ABORTED);
}

static void test_a_half_close_while_the_warden_decides(void **state)
{
    struct msg_COMPLETE c = {.retval = 0, .bytes = 4096};
    struct msg_ENDED e = {.rc = ERROR_ABORTED};
    struct msg_VERDICT v = {.rc = 0};
    struct msg_ABANDON a;
    struct msg_OUTCOME out;
    struct msg_DONE done;

    to_suspended();
    say(&worker, MSG_COMPLETE, &c);
    child_exits(0);
    expect(&warden, MSG_OUTCOME, &out);
    shutdown(op.fd, SHUT_WR);
    turn();
    say(&warden, MSG_VERDICT, &v);
    expect(&warden, MSG_ABANDON, &a);
    assert_int_equal(a.cause, CAUSE_OPERATOR_GONE);
    say(&warden, MSG_ENDED, &e);
    expect(&op, MSG_DONE, &done);
    assert_int_equal(done.rc, ERROR_ABORTED);
}

static void test_after_saved_the_operator_is_the_wardens_to_hear(void **state)
{
    struct msg_ENDED e = {.rc = -3};
    char c;

    to_saved();
    say(&op, MSG_COMMIT, NULL);
    turn();
    assert_true(recv(LIST_FIRST(&p.jobs)->op.fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0);
    close(op.fd);
    op.fd = -1;
    turn();
    assert_int_equal(ipc_recv(&warden, &frame), 0);
    say(&warden, MSG_ENDED, &e);
    turn();
}

static void test_a_commit_that_came_too_late_does_not_hide_the_end(void **state)
{
    struct msg_ENDED e = {.rc = ERROR_TIMEDOUT};
    struct msg_DONE done;

    to_saved();
    say(&op, MSG_COMMIT, NULL);
    say(&warden, MSG_ENDED, &e);
    turn();                             /* the parent's end is closed by now */
    expect(&op, MSG_DONE, &done);
    assert_int_equal(done.rc, ERROR_TIMEDOUT);
}

static void test_no_commit_in_time_abandons(void **state)
{
    struct msg_ABANDON a;
    struct msg_ENDED e = {.rc = -9};
    struct msg_DONE done;

    to_saved();
    expect(&warden, MSG_ABANDON, &a);
    assert_int_equal(a.cause, CAUSE_COMMIT_DEADLINE);
    say(&warden, MSG_ENDED, &e);
    expect(&op, MSG_DONE, &done);
    assert_int_equal(done.exit_code, EXIT_TIMED_OUT);
}

static int setup_short_commit(void **state)
{
    job.commit_deadline = 0;
    return setup(state);
}

static int setup_short_suspend(void **state)
{
    job.suspend_deadline = 0;
    return setup(state);
}

static int setup_short_deadline(void **state)
{
    job.deadline = 0;
    return setup(state);
}

static void test_guest_that_ignores_the_request_is_named(void **state)
{
    struct msg_SUSPEND s;
    struct msg_SUSPEND_OK ok = {0};

    to_running();
    say(&worker, MSG_SUSPEND_GUEST, NULL);
    expect(&warden, MSG_SUSPEND, &s);
    say(&warden, MSG_SUSPEND_OK, &ok);
    fails_with(CAUSE_GUEST_IGNORED, true);
}

static void test_suspend_that_is_out_of_place_is_the_workers_fault(void **state)
{
    struct msg_SUSPEND s;
    struct msg_SUSPEND_OK ok = {.rc = ERROR_INVAL};

    to_running();
    say(&worker, MSG_SUSPEND_GUEST, NULL);
    expect(&warden, MSG_SUSPEND, &s);
    say(&warden, MSG_SUSPEND_OK, &ok);
    fails_with(CAUSE_PROTOCOL, true);
}

static void test_deadline_of_the_operation(void **state)
{
    struct msg_STARTED started;

    expect(&op, MSG_STARTED, &started);
    assert_int_equal(fails_with(CAUSE_DEADLINE, true).exit_code, EXIT_TIMED_OUT);
}

static void test_guest_that_dies_meanwhile(void **state)
{
    struct msg_STATE st;
    struct msg_STATE_IS is = {.state = DOMAIN_SHUTDOWN, .reason = 3};

    to_suspending();
    fake_xs_fire("@releaseDomain");
    expect(&warden, MSG_STATE, &st);
    say(&warden, MSG_STATE_IS, &is);
    fails_with(CAUSE_GUEST_DIED, true);
}

static void test_an_event_during_a_question_is_asked_again(void **state)
{
    struct msg_STATE st;
    struct msg_STATE_IS is = {.state = DOMAIN_RUNNING};

    to_suspending();
    fake_xs_fire("@releaseDomain");
    expect(&warden, MSG_STATE, &st);
    fake_xs_fire("@releaseDomain");
    turn();
    say(&warden, MSG_STATE_IS, &is);
    expect(&warden, MSG_STATE, &st);
    is.state = DOMAIN_GONE;
    say(&warden, MSG_STATE_IS, &is);
    fails_with(CAUSE_GUEST_DIED, true);
}

static void test_our_own_value_is_no_acknowledgement(void **state)
{
    to_suspending();
    fake_xs_fire(SHUTDOWN);
    turn();
    assert_int_equal(ipc_recv(&warden, &frame), 0);
    close(op.fd);
    op.fd = -1;
    fails_with(CAUSE_OPERATOR_GONE, true);
}

static void test_full_disk_keeps_its_words(void **state)
{
    struct msg_COMPLETE c = {.retval = -1, .errnum = ENOSPC, .message = "writing the image"};
    struct msg_DONE done;

    to_suspended();
    say(&worker, MSG_COMPLETE, &c);
    child_exits(1);
    done = fails_with(CAUSE_WORKER_FAILED, false);
    assert_non_null(strstr(done.message, "No space left on device"));
    assert_int_equal(done.errnum, ENOSPC);
}

static void test_worker_killed_is_told_with_its_signal(void **state)
{
    struct msg_DONE done;

    to_running();
    kill(child, SIGSYS);
    done = fails_with(CAUSE_WORKER_DIED, false);
    assert_non_null(strstr(done.message, "sandbox"));
    assert_int_equal(done.exit_code, EXIT_WORKER_DIED);
}

static void test_worker_that_exits_without_complete_has_failed(void **state)
{
    to_running();
    child_exits(0);
    fails_with(CAUSE_WORKER_DIED, false);
}

static void test_complete_zero_with_a_bad_exit_status_has_failed(void **state)
{
    struct msg_COMPLETE c = {.retval = 0};

    to_suspended();
    say(&worker, MSG_COMPLETE, &c);
    child_exits(3);
    fails_with(CAUSE_WORKER_DIED, false);
}

static void test_a_second_complete_is_a_failure(void **state)
{
    struct msg_COMPLETE c = {.retval = 0};

    to_suspended();
    say(&worker, MSG_COMPLETE, &c);
    say(&worker, MSG_COMPLETE, &c);
    fails_with(CAUSE_PROTOCOL, true);
}

/* These two wait out the farewell of five seconds. */
static struct msg_DONE outlives(void)
{
    struct msg_ABORT a;

    for (int i = 0; i < 120; i++)
        moat_loop_run_once(p.ctx, 50);
    expect(&warden, MSG_ABORT, &a);
    assert_int_equal(a.cause, CAUSE_PROTOCOL);
    kill(child, SIGKILL);
    return fails_with(CAUSE_PROTOCOL, false);
}

static void test_a_worker_that_completes_and_lives_on_is_ended(void **state)
{
    struct msg_COMPLETE c = {.retval = 0};

    to_suspended();
    say(&worker, MSG_COMPLETE, &c);
    outlives();
}

static void test_a_worker_that_closes_its_channel_and_lives_on_is_ended(void **state)
{
    to_suspended();
    close(worker.fd);
    worker.fd = dup(0);
    outlives();
}

static void test_complete_said_just_before_death_is_read(void **state)
{
    struct msg_COMPLETE c = {.retval = 0, .bytes = 1};
    struct msg_OUTCOME out;
    struct msg_VERDICT v = {.rc = -3};
    struct msg_DONE done;

    to_suspended();
    say(&worker, MSG_COMPLETE, &c);
    close(worker.fd);
    worker.fd = dup(0);
    child_exits(0);
    expect(&warden, MSG_OUTCOME, &out);
    assert_int_equal(out.cause, CAUSE_NONE);
    assert_int_equal(out.retval, 0);
    say(&warden, MSG_VERDICT, &v);
    expect(&op, MSG_DONE, &done);
    assert_int_equal(done.exit_code, ipc_cause_exit(CAUSE_UNSEEN));
}

static void test_suspend_out_of_phase_ends_the_worker(void **state)
{
    struct msg_STARTED started;

    expect(&op, MSG_STARTED, &started);
    say(&worker, MSG_SUSPEND_GUEST, NULL);
    fails_with(CAUSE_PROTOCOL, true);
}

static void test_a_second_suspend_ends_the_worker(void **state)
{
    to_suspending();
    say(&worker, MSG_SUSPEND_GUEST, NULL);
    fails_with(CAUSE_PROTOCOL, true);
    assert_int_equal(fake_xs.writes, 1);
}

static void test_another_jobs_number_ends_the_worker(void **state)
{
    struct msg_HELLO hello = {.version = IPC_VERSION};
    struct msg_STARTED started;

    expect(&op, MSG_STARTED, &started);
    assert_int_equal(ipc_send(&worker, MSG_HELLO, 8, &hello, NULL, 0), 0);
    fails_with(CAUSE_PROTOCOL, true);
}

static void test_cancel_ends_the_job(void **state)
{
    struct msg_CANCEL c = {.cause = CAUSE_CANCELLED};

    to_suspending();
    say(&warden, MSG_CANCEL, &c);
    fails_with(CAUSE_CANCELLED, true);
}

static void test_a_commit_that_was_faster_than_our_abandon_counts(void **state)
{
    struct msg_CANCEL c = {.cause = CAUSE_CANCELLED};
    struct msg_ABANDON a;
    struct msg_ENDED e = {0};
    struct msg_DONE done;

    to_saved();
    say(&warden, MSG_CANCEL, &c);
    expect(&warden, MSG_ABANDON, &a);
    say(&warden, MSG_ENDED, &e);
    expect(&op, MSG_DONE, &done);
    assert_int_equal(done.exit_code, 0);
}

static void test_xenstore_that_fails_ends_the_job(void **state)
{
    struct msg_HELLO hello = {.version = IPC_VERSION};
    struct msg_STARTED started;

    expect(&op, MSG_STARTED, &started);
    fake_xs.fails = EIO;
    say(&worker, MSG_HELLO, &hello);
    fails_with(CAUSE_XENSTORE, true);
}

static void test_log_text_reaches_the_operator_escaped_and_bounded(void **state)
{
    struct msg_WORKER_LOG l = {.level = 4000000000u, .text = "evil \x1b]0;title\x07"};
    struct msg_NOTE n;
    int notes = 0;

    to_running();
    say(&worker, MSG_WORKER_LOG, &l);
    expect(&op, MSG_NOTE, &n);
    assert_string_equal(n.text, "evil ?]0;title?");
    assert_in_range(n.level, 0, 9);
    for (int i = 0; i < 700; i++) {
        ipc_send(&worker, MSG_WORKER_LOG, 9, &l, NULL, 0);
        if (i % 20 == 0)
            moat_loop_run_once(p.ctx, 5);
        while (ipc_recv(&op, &frame) == 1)
            notes++;
    }
    assert_in_range(notes, 10, 256);
    close(op.fd);
    op.fd = -1;
    fails_with(CAUSE_OPERATOR_GONE, true);
}

static void test_a_flood_is_not_read(void **state)
{
    struct msg_WORKER_PROGRESS pr = {.stage = STAGE_MEMORY};
    int rc = 0;

    to_running();
    for (int i = 0; i < 100000 && rc != -EAGAIN; i++) {
        rc = ipc_send(&worker, MSG_WORKER_PROGRESS, 9, &pr, NULL, 0);
        if (i % 100 == 0) {
            moat_loop_run_once(p.ctx, 0);
            while (ipc_recv(&op, &frame) == 1)
                ;
        }
    }
    assert_int_equal(rc, -EAGAIN);
    close(op.fd);
    op.fd = -1;
    fails_with(CAUSE_OPERATOR_GONE, true);
}

static void test_the_wardens_end_is_ours(void **state)
{
    struct msg_STARTED started;

    expect(&op, MSG_STARTED, &started);
    shutdown(warden.fd, 2);
    turn();
    assert_true(p.ended);
    /* put the world in order for teardown */
    struct job *j = LIST_FIRST(&p.jobs);
    kill(child, SIGKILL);
    for (int i = 0; i < 200 && libxl__ev_child_inuse(&j->child); i++) {
        usleep(10000);
        moat_loop_run_once(p.ctx, 0);
    }
    EGC_INIT(p.ctx);
    libxl__ctx_lock(p.ctx);
    libxl__ev_fd_deregister(gc, &j->op_ev);
    libxl__ev_time_deregister(gc, &j->deadline);
    close(j->op.fd);
    LIST_REMOVE(j, entry);
    libxl__ao_complete(egc, j->ao, 0);
    libxl__ctx_unlock(p.ctx);
    EGC_FREE;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_a_save_goes_through_all_its_steps),
        T(test_commit_before_saved_ends_the_operator_not_the_domain),
        T(test_operator_lost_before_saved_aborts),
        T(test_an_operator_that_half_closes_gets_its_end),
        T(test_a_half_close_while_the_warden_decides),
        T(test_after_saved_the_operator_is_the_wardens_to_hear),
        T(test_a_commit_that_came_too_late_does_not_hide_the_end),
        cmocka_unit_test_setup_teardown(test_no_commit_in_time_abandons, setup_short_commit,
                                        teardown),
        T(test_suspend_that_is_out_of_place_is_the_workers_fault),
        cmocka_unit_test_setup_teardown(test_guest_that_ignores_the_request_is_named,
                                        setup_short_suspend, teardown),
        cmocka_unit_test_setup_teardown(test_deadline_of_the_operation, setup_short_deadline,
                                        teardown),
        T(test_guest_that_dies_meanwhile),
        T(test_an_event_during_a_question_is_asked_again),
        T(test_our_own_value_is_no_acknowledgement),
        T(test_full_disk_keeps_its_words),
        T(test_worker_killed_is_told_with_its_signal),
        T(test_worker_that_exits_without_complete_has_failed),
        T(test_complete_zero_with_a_bad_exit_status_has_failed),
        T(test_a_second_complete_is_a_failure),
        T(test_a_worker_that_completes_and_lives_on_is_ended),
        T(test_a_worker_that_closes_its_channel_and_lives_on_is_ended),
        T(test_complete_said_just_before_death_is_read),
        T(test_suspend_out_of_phase_ends_the_worker),
        T(test_a_second_suspend_ends_the_worker),
        T(test_another_jobs_number_ends_the_worker),
        T(test_cancel_ends_the_job),
        T(test_a_commit_that_was_faster_than_our_abandon_counts),
        T(test_xenstore_that_fails_ends_the_job),
        T(test_log_text_reaches_the_operator_escaped_and_bounded),
        T(test_a_flood_is_not_read),
        T(test_the_wardens_end_is_ours),
    };

    return cmocka_run_group_tests_name("job", tests, NULL, NULL);
}
