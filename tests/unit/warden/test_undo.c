/* SPDX-License-Identifier: LGPL-2.1-only */
/* /run/moat/undo: whatever kills the warden, the next one puts right what is left, and says so. */
#include "tests/unit/warden/world.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ALL (OP_LIST | OP_SAVE | OP_CHECKPOINT | OP_JOBS | OP_CANCEL)
#define ORDER(...) happened_in_order((const char *const[]){__VA_ARGS__, NULL})
#define SUSPENDED_FLAGS (4u | 2u << 16)

/* A slot as an earlier warden left it. */
static void left(uint32_t job, uint32_t domid, uint32_t bits)
{
    struct undo_slot s = {.job = job, .last = job, .domid = domid, .bits = bits, .uid = 1234,
                          .kind = KIND_SAVE};

    memset(s.handle, (int)domid + 1, sizeof(s.handle));
    world_write_undo(job % UNDO_SLOTS, &s);
}

static const struct undo_slot *slot(uint32_t job)
{
    return world_read_undo(job % UNDO_SLOTS);
}

static void ended_interrupted(uint32_t job)
{
    const struct msg_RECORD *r = record_of(RECORD_END, 0);

    assert_non_null(r);
    assert_int_equal(r->cause, CAUSE_INTERRUPTED);
    assert_int_equal(r->job, job);
    assert_int_equal(r->uid, 1234);
    ORDER("rec end", "ready");
}

static void test_logdirty(void **state)
{
    dom(5)->logdirty = true;
    left(3, 5, UNDO_LOGDIRTY);
    world_start();
    assert_false(dom(5)->logdirty);
    ended_interrupted(3);
    assert_int_equal(slot(3)->job, 0);
}

static void test_shutdown_written(void **state)
{
    left(3, 5, UNDO_SHUTDOWN_WRITTEN);
    world_start();
    ORDER("xs undo 1", "rec end", "ready");
    assert_int_equal(count("hv resume"), 0);
    ended_interrupted(3);
}

static void test_suspended(void **state)
{
    dom(5)->flags |= SUSPENDED_FLAGS;
    left(3, 5, UNDO_SHUTDOWN_WRITTEN | UNDO_SUSPENDED);
    world_start();
    ORDER("xs undo 1", "rec act resume", "hv setvcpucontext 5 eax 1", "hv resume 5", "xs undo 2",
          "rec end", "ready");
    ended_interrupted(3);
}

static void test_suspended_without_note(void **state)
{
    dom(5)->flags |= SUSPENDED_FLAGS;
    t.unread = true;
    left(3, 5, UNDO_SHUTDOWN_WRITTEN | UNDO_SUSPENDED);
    world_start();
    ORDER("xs undo 1", "rec act resume", "hv resume 5", "rec end", "ready");
    assert_int_equal(slot(3)->job, 0);
}

static void test_withdrawn_in_time(void **state)
{
    t.unread = true;
    left(3, 5, UNDO_SHUTDOWN_WRITTEN | UNDO_SUSPENDED);
    world_start();
    dom(5)->flags |= SUSPENDED_FLAGS;   /* whoever asked for it: it was not moat */
    pump(1500);
    assert_int_equal(count("hv resume"), 0);
    assert_int_equal(slot(3)->job, 0);
}

/* A second save of a guest that may still suspend late, and that ends before its own request. */
static void late_after_second_save(bool begun)
{
    static struct msg_DENIED d;
    struct ipc_chan op;
    int fd = file_tmp();

    rule(ALL, true, "*");
    left(3, 5, UNDO_SUSPENDED);
    world_start();
    if (begun) {
        save_begin(0);
        save_die();
        save_outcome(-1, 9, CAUSE_WORKER_DIED);
    } else {
        t.config_errnum = ENOENT;
        op = op_connect();
        op_send(&op, KIND_SAVE, 0, "web", 0, fd);
        assert_int_equal(op_recv(&op, &d, 2000), MSG_DENIED);
        close(op.fd);
    }
    close(fd);
    assert_int_equal(count("rec end"), 2);
    dom(5)->flags |= SUSPENDED_FLAGS;
    pump(2500);
    assert_int_equal(count("hv resume 5"), 1);
}

static void test_late_after_failed_begin(void **state)
{
    late_after_second_save(false);
}

static void test_late_after_failed_save(void **state)
{
    late_after_second_save(true);
}

static void test_suspended_pv32(void **state)
{
    dom(6)->flags |= SUSPENDED_FLAGS;
    dom(6)->width = 32;
    left(3, 6, UNDO_SUSPENDED);
    world_start();
    ORDER("hv setvcpucontext 6 eax 1", "hv resume 6");
}

static void test_paused(void **state)
{
    dom(5)->paused = 1;
    left(3, 5, UNDO_PAUSED);
    world_start();
    ORDER("rec act unpause", "hv unpause 5", "rec end");
    assert_int_equal(dom(5)->paused, 0);
}

static void test_not_suspended_yet(void **state)
{
    left(3, 5, UNDO_SUSPENDED);
    world_start();
    ended_interrupted(3);
    assert_int_equal(count("hv resume"), 0);
    dom(5)->flags |= SUSPENDED_FLAGS;
    pump(2500);
    assert_int_equal(count("hv resume 5"), 1);
    assert_int_equal(slot(3)->job, 0);
}

static void test_late_forever(void **state)
{
    left(3, 5, UNDO_SUSPENDED);
    world_start();
    fake->skew_ms += 200 * 1000;
    pump(2000);
    assert_int_equal(slot(3)->job, 0);
    dom(5)->flags |= SUSPENDED_FLAGS;   /* somebody else's suspend by now */
    pump(1500);
    assert_int_equal(count("hv resume"), 0);
}

static void test_destroy_begun(void **state)
{
    dom(5)->flags |= SUSPENDED_FLAGS;
    left(3, 5, UNDO_SUSPENDED | UNDO_SHUTDOWN_WRITTEN | UNDO_DESTROY_BEGUN);
    world_start();
    pump(100);
    ORDER("xs destroy 5", "destroy 5", "rec end");
    assert_int_equal(count("hv resume"), 0);
    assert_int_equal(fake->pins, 0);
    assert_int_equal(slot(3)->job, 0);
}

static void test_destroy_begun_domain_gone(void **state)
{
    dom(5)->exists = false;
    left(3, 5, UNDO_SUSPENDED | UNDO_DESTROY_BEGUN);
    world_start();
    pump(100);
    ORDER("destroy 5", "rec end");      /* its userdata */
    assert_int_equal(count("xs destroy"), 0);
    assert_int_equal(slot(3)->job, 0);
}

static void test_domain_being_destroyed_is_taken(void **state)
{
    static struct msg_DENIED d;
    struct ipc_chan op;
    int fd = file_tmp();

    rule(ALL, true, "*");
    t.hold_destroy = true;
    left(3, 5, UNDO_DESTROY_BEGUN);
    world_start();
    op = op_connect();
    op_send(&op, KIND_SAVE, 0, "web", 0, fd);
    assert_int_equal(op_recv(&op, &d, 2000), MSG_DENIED);
    assert_non_null(strstr(d.message, "job 3"));
    close(op.fd);
    close(fd);
}

static void test_other_handle(void **state)
{
    dom(5)->flags |= SUSPENDED_FLAGS;
    dom(5)->logdirty = true;
    left(3, 5, UNDO_LOGDIRTY | UNDO_SUSPENDED | UNDO_PAUSED | UNDO_SHUTDOWN_WRITTEN);
    memset(dom(5)->handle, 0x66, 16);
    world_start();
    assert_true(dom(5)->logdirty);
    assert_int_equal(count("hv "), 0);
    assert_int_equal(count("xs undo"), 0);
    ended_interrupted(3);
    assert_int_equal(slot(3)->job, 0);
}

static void test_hostile_file(void **state)
{
    dom(5)->flags |= SUSPENDED_FLAGS;
    left(3, 0, UNDO_PAUSED);
    left(4, 0x7ff0, UNDO_PAUSED);
    left(5, 5, 0x80000001);
    world_start();
    assert_int_equal(count("hv "), 0);
    assert_int_equal(count("rec end"), 0);
    assert_non_null(record_of(RECORD_NOTE, 0));
    assert_int_equal(record_of(RECORD_NOTE, 0)->refused[4 * REFUSED_VALUE], 3);
    assert_int_equal(slot(3)->job, 0);
    assert_int_equal(slot(4)->job, 0);
    assert_int_equal(slot(5)->job, 0);
}

static void test_full_file(void **state)
{
    static struct msg_DENIED d;
    struct ipc_chan op;
    int fd = file_tmp();
    struct undo_slot s = {.domid = 7, .bits = UNDO_SUSPENDED, .until = ~0u};

    memset(s.handle, 8, sizeof(s.handle));
    rule(ALL, true, "*");
    world_start();
    for (unsigned i = 0; i < UNDO_SLOTS; i++) {
        s.job = i + 10;
        world_write_undo(i, &s);
    }
    op = op_connect();
    op_send(&op, KIND_SAVE, 0, "web", 0, fd);
    assert_int_equal(op_recv(&op, &d, 2000), MSG_DENIED);
    assert_non_null(strstr(d.message, "undo slot"));
    assert_int_equal(count("rec begin"), 0);
    assert_int_equal(fake->pins, 0);
    close(op.fd);
    close(fd);
}

static void test_kill_while_suspended(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_begin(INTENT_LIVE);
    save_run();
    save_suspend();
    world_stop();
    assert_int_equal(count("hv resume"), 0);
    world_start();
    ORDER("hv logdirty on 5", "hv logdirty off 5", "xs undo 1", "rec act resume", "hv resume 5",
          "rec end", "ready");
    save_begin(0);
    assert_int_equal(t.number, 2);      /* numbers are not used again */
}

static void test_kill_after_verdict(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_saved(0);
    world_stop();
    world_start();
    assert_int_equal(count("hv resume 5"), 1);
    assert_int_equal(count("destroy"), 0);
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_INTERRUPTED);
}

static void test_kill_during_destroy(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_saved(0);
    t.hold_destroy = true;
    op_commit();
    pump(100);
    ORDER("rec act destroy", "xs destroy 5");
    world_stop();
    t.hold_destroy = false;
    world_start();
    pump(200);
    assert_null(dom(5));
    assert_int_equal(count("hv resume"), 0);
    assert_int_equal(count("rec end"), 1);
}

static void test_eof(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_begin(INTENT_LIVE);
    save_run();
    save_suspend();
    world_close();
    assert_int_equal(WEXITSTATUS(t.status), 0);
    assert_int_equal(count("hv resume 5"), 1);
    assert_false(dom(5)->logdirty);
    world_start();
    ORDER("hv resume 5", "xs undo 1", "rec end", "ready");     /* the half that had no gate */
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_INTERRUPTED);
}

static void test_silent_gate(void **state)
{
    struct ipc_chan op;

    rule(ALL, true, "*");
    world_start();
    save_begin(0);
    save_run();
    save_suspend();
    t.silent_gate = true;
    op = op_connect();
    op_send(&op, KIND_LIST, 0, "", 0, -1);
    world_wait_exit();              /* in ANSWER_MS */
    assert_int_equal(WEXITSTATUS(t.status), 1);
    assert_int_equal(count("hv resume 5"), 1);
    close(op.fd);
}

static void test_end_not_recorded(void **state)
{
    left(3, 5, UNDO_PAUSED);
    t.fail_record = RECORD_END;
    world_start();
    world_wait_exit();
    assert_int_equal(WEXITSTATUS(t.status), 1);
    assert_int_equal(count("ready"), 0);
    assert_int_equal(slot(3)->job, 3);  /* for the next one to record */
}

#define T(f, promise) {promise, f, world_setup, world_teardown, NULL}
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_logdirty, "left over: log-dirty is switched off"),
        T(test_shutdown_written, "left over: the shutdown request is taken back"),
        T(test_suspended, "left over: a suspended guest is resumed"),
        T(test_suspended_without_note, "left over: one that suspended without a note is resumed"),
        T(test_withdrawn_in_time, "left over: a withdrawn request leaves later suspends alone"),
        T(test_late_after_failed_begin, "a second save that cannot begin forgets no late guest"),
        T(test_late_after_failed_save, "a second save that fails early forgets no late guest"),
        T(test_suspended_pv32, "left over: a suspended 32-bit PV guest is resumed"),
        T(test_paused, "left over: our pause is lifted"),
        T(test_not_suspended_yet, "left over: a guest that suspends late is resumed then"),
        T(test_late_forever, "waiting for a late suspend has an end"),
        T(test_destroy_begun, "left over: a confirmed destroy goes on, and nothing is resumed"),
        T(test_destroy_begun_domain_gone, "a destroy whose domain is gone is completed"),
        T(test_domain_being_destroyed_is_taken, "a domain that is being destroyed is not saved"),
        T(test_other_handle, "another domain with the domid is left alone"),
        T(test_hostile_file, "slots out of bounds are dropped and noted"),
        T(test_full_file, "without a free slot nothing is begun"),
        T(test_kill_while_suspended, "kill -9 while suspended: the next warden resumes"),
        T(test_kill_after_verdict, "kill -9 before COMMIT: resumed, not destroyed"),
        T(test_kill_during_destroy, "kill -9 during the destroy: destroyed, one end"),
        T(test_eof, "end of file of all: undone at once, the gate's half by the next"),
        T(test_silent_gate, "a gate that does not answer: undone, exit 1"),
        T(test_end_not_recorded, "an end that cannot be recorded stays in the file"),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
