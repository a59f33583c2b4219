/* SPDX-License-Identifier: LGPL-2.1-only */
/* A save from intent to end, as the warden sees it. */
#include "tests/unit/warden/world.h"

#include <signal.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "policy/warden/hvrow.h"

#define ALL (OP_LIST | OP_SAVE | OP_CHECKPOINT | OP_JOBS | OP_CANCEL)
#define ORDER(...) happened_in_order((const char *const[]){__VA_ARGS__, NULL})

static void release(void)
{
    t.got_ended = false;
    op_commit();
    assert_true(pump_until(&t.got_ended, 3000));
}

static void test_begin(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_begin(0);
    ORDER("locked", "ready", "pin 5", "rec begin", "xs grant 1", "open config", "privcmd 5", "spawn",
          "job");
    assert_int_equal(t.job.domid, 5);
    assert_int_equal(t.job.guest_type, GUEST_PVH);
    assert_string_equal(t.job.name, "web");
    assert_int_equal(t.grant_fds, 4);
    assert_int_equal(fake->pins, 1);
    assert_int_equal(record_of(RECORD_BEGIN, 0)->line, 10);
    assert_int_equal(record_of(RECORD_BEGIN, 0)->uid, getuid());
}

static void test_filter(void **state)
{
    char path[64], text[4096];
    size_t n;
    FILE *f;

    world_start();
    snprintf(path, sizeof(path), "/proc/%d/status", t.warden);
    f = fopen(path, "r");
    assert_non_null(f);
    n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = 0;
    assert_non_null(strstr(text, "Seccomp:\t2\n"));
    assert_non_null(strstr(text, "NoNewPrivs:\t1\n"));
}

static void test_destroy(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_saved(0);
    assert_int_equal(fake->pins, 1);
    release();
    assert_int_equal(t.ended.rc, 0);
    ORDER("rec act suspend", "xs grant 2", "verdict 0", "rec act destroy", "xs destroy 5", "unpin",
          "destroy 5", "rec end done", "xs revoke", "ended 0");
    assert_int_equal(count("hv resume"), 0);
    assert_int_equal(fake->pins, 0);
    assert_int_equal(record_of(RECORD_END, 0)->saw & (SAW_SUSPEND | SAW_CONTEXT | SAW_DEATH),
                     SAW_SUSPEND | SAW_CONTEXT | SAW_DEATH);
}

static void test_destroy_bounded(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_saved(0);
    t.hold_destroy = true;
    op_commit();
    pump(100);
    assert_int_equal(count("xs destroy 5"), 1);
    assert_int_equal(count("destroy 5"), 1);
    fake->skew_ms += 601 * 1000;
    assert_true(pump_until(&t.got_ended, 3000));
    assert_int_equal(t.ended.rc, 0);
    ORDER("xs destroy 5", "unpin", "destroy 5", "rec end done");
    assert_non_null(strstr(t.ended.message, "by force"));
}

static void test_destroy_fails(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_saved(0);
    t.destroy_errnum = EBUSY;
    release();
    assert_int_equal(t.ended.rc, -3);
    assert_int_equal(t.ended.errnum, EBUSY);
    assert_non_null(strstr(t.ended.message, "EBUSY"));
    assert_int_equal(count("hv resume"), 0);
}

static void test_checkpoint(void **state)
{
    rule(OP_CHECKPOINT, true, "we?");
    world_start();
    save_saved(INTENT_CHECKPOINT | INTENT_LIVE);
    release();
    assert_int_equal(t.ended.rc, 0);
    ORDER("rec act log-dirty", "hv logdirty on 5", "rec act suspend", "hv logdirty off 5", "verdict 0",
          "rec act resume", "hv setvcpucontext 5 eax 1", "hv resume 5", "xs undo 2", "rec end done",
          "ended 0");
    assert_int_equal(count("destroy"), 0);
    assert_int_equal(dom(5)->flags & 4, 0);
    assert_false(dom(5)->logdirty);
    assert_int_equal(fake->pins, 0);
}

static void test_checkpoint_without_note(void **state)
{
    rule(ALL, true, "*");
    world_start();
    t.unread = true;                /* a guest that suspends and leaves "suspend" where it is */
    save_saved(INTENT_CHECKPOINT);
    release();
    assert_int_equal(t.ended.rc, 0);
    assert_int_equal(count("hv resume 5"), 1);
}

static void test_pause(void **state)
{
    rule(OP_CHECKPOINT, true, "*");
    world_start();
    save_saved(INTENT_PAUSE);
    release();
    assert_int_equal(t.ended.rc, 0);
    ORDER("rec act pause", "hv pause 5", "rec act resume", "hv resume 5", "rec end done");
    assert_int_equal(dom(5)->paused, 1);
    assert_int_equal(count("unpause"), 0);
}

static void test_resume_without_pv_drivers(void **state)
{
    rule(ALL, true, "*");
    dom(5)->irq = 0;
    world_start();
    save_saved(INTENT_CHECKPOINT);
    release();
    assert_int_equal(count("setvcpucontext"), 0);
    assert_int_equal(count("hv resume 5"), 1);
}

/* Everything was read, but the write failed: the parent's report of a success does not help it. */
static void test_unfinished(void **state)
{
    rule(ALL, true, "*");
    world_start();
    t.no_finished = true;
    save_begin(0);
    save_run();
    save_suspend();
    save_context();
    save_die();
    save_outcome(0, 0, CAUSE_NONE);
    assert_int_equal(t.verdict.rc, -3);
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_UNSEEN);
    assert_int_equal(count("hv resume 5"), 1);
    assert_int_equal(count("destroy"), 0);
}

static void test_last_word_and_death_at_once(void **state)
{
    rule(ALL, true, "*");
    world_start();
    t.no_finished = true;
    save_begin(0);
    save_run();
    save_suspend();
    save_context();
    kill(t.warden, SIGSTOP);        /* it finds both when it wakes up */
    save_finished();
    save_die();
    kill(t.warden, SIGCONT);
    save_outcome(0, 0, CAUSE_NONE);
    assert_int_equal(t.verdict.rc, 0);
}

static void test_unseen(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_begin(0);
    save_run();
    save_suspend();
    save_die();                     /* no row that reads the state was executed */
    save_outcome(0, 0, CAUSE_NONE);
    assert_true(t.got_verdict);
    assert_int_equal(t.verdict.rc, -3);
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_UNSEEN);
    ORDER("rec act resume", "hv resume 5", "rec end", "verdict -3");
    assert_int_equal(fake->pins, 0);
}

static void test_unseen_suspend(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_begin(0);
    save_run();
    save_die();
    save_outcome(0, 0, CAUSE_NONE);
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_UNSEEN);
    assert_int_equal(count("hv resume"), 0);
    assert_int_equal(count("xs undo"), 0);
}

static void test_logdirty_left_on(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_begin(INTENT_LIVE);
    save_run();
    assert_true(dom(5)->logdirty);
    save_die();
    save_outcome(-1, 9, CAUSE_WORKER_DIED);
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_WORKER_DIED);
    assert_false(dom(5)->logdirty);
    ORDER("hv logdirty off 5", "rec end");
}

static void test_worker_failed(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_begin(0);
    save_run();
    save_suspend();
    save_context();
    save_die();
    save_outcome(1, 0, CAUSE_NONE);
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_WORKER_FAILED);
    assert_int_equal(count("hv resume 5"), 1);
}

static void test_abort_undoes_at_once(void **state)
{
    struct msg_ABORT a = {.cause = CAUSE_DEADLINE};

    rule(ALL, true, "*");
    world_start();
    save_begin(0);
    save_run();
    save_suspend();
    t.no_kill = true;               /* it hangs in the kernel */
    par_send(MSG_ABORT, t.number, &a);
    pump(100);
    ORDER("rec act kill worker", "xs undo 1", "rec act resume", "hv resume 5");
    assert_int_equal(count("kill worker"), 2);      /* the record and the message */
    assert_int_equal(fake->pins, 1);    /* its mappings live as long as it does */
    assert_null(record_of(RECORD_END, 0));
    save_die();
    save_outcome(0, 0, CAUSE_NONE);
    assert_int_equal(t.verdict.rc, -9);
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_DEADLINE);
    assert_int_equal(fake->pins, 0);
    assert_int_equal(count("cancel"), 0);
}

static void late_suspend(bool told)
{
    struct msg_ABORT a = {.cause = CAUSE_GUEST_TIMEDOUT};

    rule(ALL, true, "*");
    world_start();
    save_begin(0);
    save_run();
    par_send(MSG_SUSPEND, t.number, NULL);
    assert_true(pump_until(&t.got_ok, 2000));
    par_send(MSG_ABORT, t.number, &a);
    pump(50);
    save_die();
    save_outcome(-1, 9, CAUSE_GUEST_TIMEDOUT);
    assert_int_equal(t.verdict.rc, -8);
    assert_int_equal(count("hv resume 5"), 0);
    dom(5)->flags |= 4u | 2u << 16;     /* it had acknowledged */
    if (told)
        assert_int_equal(ipc_send(&t.gate, MSG_XS_RELEASED, 0, NULL, NULL, 0), 0);
    pump(told ? 300 : 2500);
    assert_int_equal(count("hv resume 5"), 1);
}

static void test_late_suspend(void **state)
{
    late_suspend(false);
}

static void test_late_suspend_told(void **state)
{
    late_suspend(true);
}

static void test_abandon(void **state)
{
    struct msg_ABANDON a = {.cause = CAUSE_OPERATOR_GONE};

    rule(ALL, true, "*");
    world_start();
    save_saved(0);
    par_send(MSG_ABANDON, t.number, &a);
    assert_true(pump_until(&t.got_ended, 2000));
    assert_int_equal(t.ended.rc, -22);
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_OPERATOR_GONE);
    assert_int_equal(count("hv resume 5"), 1);
    assert_int_equal(count("destroy"), 0);
}

static void test_no_record_no_suspend(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_begin(0);
    save_run();
    t.fail_record = RECORD_ACT;
    t.fail_act = ACT_SUSPEND;
    par_send(MSG_SUSPEND, t.number, NULL);
    assert_true(pump_until(&t.got_ok, 2000));
    assert_int_equal(t.ok.rc, -3);
    assert_int_equal(count("xs grant 2"), 0);
}

static void test_no_record_no_destroy(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_saved(0);
    t.fail_record = RECORD_ACT;
    t.fail_act = ACT_DESTROY;
    release();
    assert_int_equal(t.ended.rc, -3);
    assert_int_equal(count("xs destroy"), 0);
    assert_int_equal(count("hv resume 5"), 1);
}

static void test_no_record_no_logdirty(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_begin(INTENT_LIVE);
    t.fail_record = RECORD_ACT;
    t.fail_act = ACT_LOGDIRTY;
    struct { uint32_t op; } on = {2};
    assert_int_equal(call_domctl(HV_LOGDIRTY_ENABLE, 10, &on, sizeof(on)), -ENOSPC);
    assert_int_equal(count("hv logdirty on"), 0);
}

static void test_guest_dies(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_begin(0);
    save_run();
    dom(5)->flags |= 1;             /* dying */
    assert_true(pump_until(&t.got_cancel, 3000));
    assert_int_equal(t.cancel.cause, CAUSE_GUEST_DIED);
    save_die();
    save_outcome(-1, 9, CAUSE_GUEST_DIED);
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_GUEST_DIED);
    assert_int_equal(fake->pins, 0);
}

static void test_domid_reused(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_saved(0);
    memset(dom(5)->handle, 0x77, 16);   /* by force: what the pin prevents */
    release();
    assert_int_equal(t.ended.rc, -24);
    assert_int_equal(count("hv resume"), 0);
    assert_int_equal(count("destroy"), 0);
}

static void test_backstop(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_begin(0);
    save_run();
    save_suspend();
    fake->skew_ms += 900 * 1000;
    assert_true(pump_until(&t.got_cancel, 3000));
    assert_int_equal(t.cancel.cause, CAUSE_DEADLINE);
    fake->skew_ms += 11 * 1000;     /* the parent does nothing */
    pump(1500);
    ORDER("cancel", "kill worker", "hv resume 5");
    save_die();
    fake->skew_ms += 11 * 1000;
    pump(1500);
    assert_non_null(record_of(RECORD_END, 0));
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_DEADLINE);
    assert_int_equal(fake->pins, 0);
}

static void test_cancel(void **state)
{
    struct ipc_chan op;
    static struct msg_DONE done;

    rule(ALL, true, "*");
    world_start();
    save_begin(0);
    op = op_connect();
    op_send(&op, KIND_CANCEL, 0, "", t.number, -1);
    assert_int_equal(op_recv(&op, &done, 2000), MSG_DONE);
    pump(50);
    assert_true(t.got_cancel);
    assert_int_equal(t.cancel.cause, CAUSE_CANCELLED);
    close(op.fd);
}

static void test_list_and_jobs(void **state)
{
    struct ipc_chan op;
    union { struct msg_DOMAIN_ROW row; struct msg_DONE done; struct msg_JOB_ROW job; } m;
    unsigned rows = 0;
    uint32_t type;

    rule(OP_LIST | OP_SAVE | OP_JOBS, true, "w*");
    rule(OP_LIST, true, "pv");
    world_start();
    save_begin(0);
    op = op_connect();
    op_send(&op, KIND_LIST, 0, "", 0, -1);
    while ((type = op_recv(&op, &m, 2000)) == MSG_DOMAIN_ROW) {
        assert_true(!strcmp(m.row.name, "web") || !strcmp(m.row.name, "pv"));
        rows++;
    }
    assert_int_equal(type, MSG_DONE);
    assert_int_equal(rows, 2);
    close(op.fd);
    op = op_connect();
    op_send(&op, KIND_JOBS, 0, "", 0, -1);
    assert_int_equal(op_recv(&op, &m, 2000), MSG_JOB_ROW);
    assert_int_equal(m.job.job, t.number);
    assert_string_equal(m.job.name, "web");
    assert_int_equal(op_recv(&op, &m, 2000), MSG_DONE);
    close(op.fd);
}

#define T(f, promise) {promise, f, world_setup, world_teardown, NULL}
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_filter, "all of this happens under the warden's filter"),
        T(test_begin, "a job begins in order: pin, record, grants, worker, parent"),
        T(test_destroy, "a save destroys only after COMMIT, devices first, and records before it"),
        T(test_destroy_bounded, "a destroy does not wait for ever for backends"),
        T(test_destroy_fails, "a destroy that fails is said, with the image complete"),
        T(test_checkpoint, "-c leaves the guest running, log-dirty off"),
        T(test_checkpoint_without_note, "save -c resumes a guest that never took note, too"),
        T(test_pause, "-p leaves the guest paused"),
        T(test_resume_without_pv_drivers, "a guest without PV drivers keeps its registers"),
        T(test_unfinished, "no success that the worker did not tell the warden itself"),
        T(test_last_word_and_death_at_once, "a worker's last word is heard though it is dead"),
        T(test_unseen, "COMPLETE 0 without the closing rows is a failure"),
        T(test_unseen_suspend, "COMPLETE 0 without a suspend is a failure"),
        T(test_logdirty_left_on, "log-dirty of a dead worker is switched off"),
        T(test_worker_failed, "a worker's error resumes the guest"),
        T(test_abort_undoes_at_once, "ABORT undoes at once; the pin stays until the worker is dead"),
        T(test_late_suspend, "a guest that suspends after the time-out is resumed"),
        T(test_late_suspend_told, "at once if xenstore tells of it"),
        T(test_abandon, "without COMMIT the guest is resumed, not destroyed"),
        T(test_no_record_no_suspend, "no record, no suspend"),
        T(test_no_record_no_destroy, "no record, no destroy: the guest is resumed"),
        T(test_no_record_no_logdirty, "no record, no log-dirty mode"),
        T(test_guest_dies, "a dying guest ends its job and its pin"),
        T(test_domid_reused, "another domain with the domid is not touched"),
        T(test_backstop, "the warden ends a job that the parent forgets"),
        T(test_cancel, "moat cancel reaches the parent"),
        T(test_list_and_jobs, "list and jobs show what the rules let see"),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
