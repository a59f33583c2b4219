/* SPDX-License-Identifier: LGPL-2.1-only */
/* A domain that stays suspended after its save, and one that is let go on. */
#include "tests/unit/warden/world.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define ALL (OP_LIST | OP_SAVE | OP_CHECKPOINT | OP_JOBS | OP_CANCEL)
#define ORDER(...) happened_in_order((const char *const[]){__VA_ARGS__, NULL})
#define SUSPENDED_FLAGS (4u | 2u << 16)

static struct msg_DONE done;
static struct msg_DENIED denied;

static void release(void)
{
    t.got_ended = false;
    op_commit();
    assert_true(pump_until(&t.got_ended, 3000));
}

/* The slot of an earlier warden's job 3 on domain 5. */
static void left(uint32_t kind, uint32_t bits)
{
    struct undo_slot s = {.job = 3, .last = 3, .domid = 5, .bits = bits, .uid = 1234, .kind = kind,
                          .flags = kind == KIND_SAVE ? INTENT_SUSPENDED : 0};

    memset(s.handle, 6, sizeof(s.handle));
    world_write_undo(3, &s);
}

static void ended_interrupted(const char *words)
{
    const struct msg_RECORD *r = record_of(RECORD_END, 0);

    assert_non_null(r);
    assert_int_equal(r->cause, CAUSE_INTERRUPTED);
    assert_int_equal(r->job, 3);
    if (!strstr(r->message, words))
        fail_msg("'%s' does not say '%s'", r->message, words);
    assert_int_equal(world_read_undo(3)->job, 0);
}

/* Nothing is done to the domain, now or later. */
static void stays_suspended(void)
{
    fake->skew_ms += 200 * 1000;
    pump(1500);
    assert_int_equal(count("hv resume"), 0);
    assert_int_equal(count("xs undo"), 0);
    assert_int_equal(count("destroy"), 0);
}

/* ---- a save with INTENT_SUSPENDED */

static void test_stays(void **state)
{
    rule(OP_SAVE, true, "web");
    world_start();
    save_saved(INTENT_SUSPENDED | INTENT_LIVE);
    release();
    assert_int_equal(t.ended.rc, 0);
    ORDER("rec act suspend", "verdict 0", "rec act leave suspended", "rec end done", "xs revoke",
          "ended 0");
    assert_non_null(strstr(record_of(RECORD_END, 0)->message, "stays suspended"));
    assert_non_null(strstr(t.ended.message, "stays suspended"));
    assert_int_equal(fake->pins, 0);
    assert_int_equal(world_read_undo(0)->job, 0);
    stays_suspended();
}

static void test_stays_after_restart(void **state)
{
    rule(OP_SAVE, true, "web");
    world_start();
    save_saved(INTENT_SUSPENDED);
    release();
    world_stop();
    world_start();
    stays_suspended();
    assert_int_equal(count("rec end"), 1);
}

static void test_without_commit(void **state)
{
    rule(OP_SAVE, true, "web");
    world_start();
    save_saved(INTENT_SUSPENDED);
    close(t.op.fd);
    t.op.fd = -1;
    assert_true(pump_until(&t.got_ended, 3000));
    assert_int_equal(t.ended.rc, -22);
    ORDER("verdict 0", "rec act resume", "hv resume 5", "rec end the operator ended it");
    assert_int_equal(count("leave"), 0);
}

static void test_killed_before_commit(void **state)
{
    rule(OP_SAVE, true, "web");
    world_start();
    save_saved(INTENT_SUSPENDED);
    world_stop();
    world_start();
    ORDER("verdict 0", "rec act resume", "hv resume 5", "rec end moat was restarted");
}

static void test_no_record_not_left(void **state)
{
    rule(OP_SAVE, true, "web");
    world_start();
    save_saved(INTENT_SUSPENDED);
    t.fail_record = RECORD_ACT;
    t.fail_act = ACT_LEAVE;
    release();
    assert_int_equal(t.ended.rc, -3);
    assert_non_null(strstr(t.ended.message, "audit log"));
    assert_int_equal(count("hv resume 5"), 1);
}

/* The recorder fails at END: the warden dies between the decision and its record. */
static void test_killed_in_between(void **state)
{
    rule(OP_SAVE, true, "web");
    world_start();
    save_saved(INTENT_SUSPENDED);
    t.fail_record = RECORD_END;
    op_commit();
    world_wait_exit();
    assert_true(world_read_undo(0)->bits & UNDO_LEFT);
    t.fail_record = 0;
    world_start();
    assert_non_null(strstr(record_of(RECORD_END, 0)->message, "stays suspended"));
    assert_int_equal(world_read_undo(0)->job, 0);
    stays_suspended();
}

/* An earlier save gave up on the guest, which may still suspend late and be resumed for that: but not
 * once somebody has had it suspended on purpose. */
static void test_late_guest_left(void **state)
{
    rule(OP_SAVE, true, "web");
    left(KIND_SAVE, UNDO_SUSPENDED);
    world_start();
    assert_int_not_equal(world_read_undo(3)->job, 0);
    save_saved(INTENT_SUSPENDED);
    assert_int_equal(world_read_undo(3)->job, 0);
    release();
    pump(2500);
    stays_suspended();
}

/* The end is in the log, the gate does not answer, and the warden is killed: one end all the same.
 */
static void test_killed_after_end(void **state)
{
    rule(OP_SAVE, true, "web");
    world_start();
    save_saved(INTENT_SUSPENDED);
    t.silent_gate = true;
    op_commit();
    for (int i = 0; i < 100 && !count("rec end"); i++)
        pump(20);
    pump(100);
    world_stop();
    t.silent_gate = false;
    world_start();
    assert_int_equal(count("rec end"), 1);
    stays_suspended();
}

static void test_slot_left_domain_gone(void **state)
{
    dom(5)->exists = false;
    left(KIND_SAVE, UNDO_LEFT | UNDO_SUSPENDED | UNDO_SHUTDOWN_WRITTEN);
    world_start();
    ended_interrupted("is so no longer");
}

static void test_slot_left(void **state)
{
    dom(5)->flags |= SUSPENDED_FLAGS;
    left(KIND_SAVE, UNDO_LEFT | UNDO_SUSPENDED | UNDO_SHUTDOWN_WRITTEN);
    world_start();
    ended_interrupted("stays suspended");
    stays_suspended();
}

/* ---- KIND_RESUME */

static uint32_t resume(const char *domain, void *answer)
{
    struct ipc_chan op = op_connect();
    uint32_t type;

    op_send(&op, KIND_RESUME, 0, domain, 0, -1);
    type = op_recv(&op, answer, 3000);
    close(op.fd);
    pump(50);
    return type;
}

static void test_resume(void **state)
{
    rule(OP_RESUME, true, "web");
    dom(5)->flags |= SUSPENDED_FLAGS;
    world_start();
    assert_int_equal(resume("web", &done), MSG_DONE);
    assert_int_equal(done.exit_code, 0);
    assert_int_equal(done.rc, 0);
    ORDER("pin 5", "rec begin", "xs undo 1", "rec act resume", "hv setvcpucontext 5 eax 1",
          "hv resume 5", "xs undo 2", "rec end done", "unpin");
    assert_int_equal(record_of(RECORD_BEGIN, 0)->kind, KIND_RESUME);
    assert_int_equal(record_of(RECORD_BEGIN, 0)->line, 10);
    assert_int_equal(fake->pins, 0);
    assert_int_equal(world_read_undo(0)->job, 0);
    assert_int_equal(count("spawn"), 0);
    assert_int_equal(count("job"), 0);
}

static void test_resume_after_suspended_save(void **state)
{
    rule(OP_SAVE | OP_RESUME, true, "web");
    world_start();
    save_saved(INTENT_SUSPENDED);
    release();
    assert_int_equal(resume("5", &done), MSG_DONE);
    assert_int_equal(done.rc, 0);
    ORDER("rec act leave suspended", "rec end done", "rec begin", "hv resume 5", "rec end done");
}

static void test_resume_pv(void **state)
{
    rule(OP_RESUME, true, "pv");
    dom(6)->flags |= SUSPENDED_FLAGS;
    dom(6)->width = 32;
    world_start();
    assert_int_equal(resume("pv", &done), MSG_DONE);
    ORDER("rec begin", "hv setvcpucontext 6 eax 1", "hv resume 6", "rec end done");
}

static void test_resume_of_a_domain_with_a_job(void **state)
{
    rule(ALL | OP_RESUME, true, "*");
    world_start();
    save_begin(INTENT_SUSPENDED);
    save_run();
    save_suspend();
    assert_int_equal(resume("web", &denied), MSG_DENIED);
    assert_int_equal(denied.exit_code, EXIT_FAILED);
    assert_non_null(strstr(denied.message, "being saved by job"));
    assert_int_equal(count("hv resume"), 0);
    assert_int_equal(fake->pins, 1);
}

static void test_resume_of_a_paused_domain(void **state)
{
    rule(OP_RESUME, true, "*");
    dom(5)->paused = 1;
    world_start();
    assert_int_equal(resume("web", &denied), MSG_DENIED);
    assert_non_null(strstr(denied.message, "it is paused, not suspended; xl unpause"));
    assert_int_equal(dom(5)->paused, 1);
    assert_int_equal(count("rec begin"), 0);
}

static void test_resume_fails(void **state)
{
    rule(OP_RESUME, true, "*");
    dom(5)->flags |= SUSPENDED_FLAGS;
    dom(5)->no_resume = true;
    world_start();
    assert_int_equal(resume("web", &done), MSG_DONE);
    assert_int_equal(done.exit_code, EXIT_FAILED);
    assert_int_equal(done.rc, -3);
    assert_non_null(strstr(done.message, "could not be resumed"));
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_INTERNAL);
    dom(5)->no_resume = false;
    pump(1500);                         /* nobody tries again behind the operator's back */
    assert_true(dom(5)->flags & 4u);
    assert_int_equal(world_read_undo(0)->job, 0);
}

static void test_resume_interrupted(void **state)
{
    dom(5)->flags |= SUSPENDED_FLAGS;
    left(KIND_RESUME, UNDO_SUSPENDED | UNDO_SHUTDOWN_WRITTEN);
    world_start();
    ORDER("rec act resume", "hv resume 5", "xs undo 2", "rec end", "ready");
    ended_interrupted("goes on");
}

/* Somebody else has resumed it meanwhile, and may suspend it again: that is not moat's to undo. */
static void test_resume_interrupted_and_overtaken(void **state)
{
    left(KIND_RESUME, UNDO_SUSPENDED | UNDO_SHUTDOWN_WRITTEN);
    world_start();
    ended_interrupted("goes on");
    dom(5)->flags |= SUSPENDED_FLAGS;
    pump(2500);
    assert_int_equal(count("hv resume"), 0);
    assert_int_equal(world_read_undo(3)->job, 0);
}

static void test_resume_interrupted_half(void **state)
{
    left(KIND_RESUME, UNDO_XS_RESUME);      /* it runs; xenstored does not know */
    world_start();
    ORDER("xs undo 2", "rec end", "ready");
    assert_int_equal(count("hv resume"), 0);
    ended_interrupted("goes on");
}

/* Its end could not be recorded: the next warden must not say that nothing was done. */
static void test_resume_interrupted_at_end(void **state)
{
    struct ipc_chan op;

    rule(OP_RESUME, true, "web");
    dom(5)->flags |= SUSPENDED_FLAGS;
    world_start();
    t.fail_record = RECORD_END;
    op = op_connect();
    op_send(&op, KIND_RESUME, 0, "web", 0, -1);
    world_wait_exit();
    close(op.fd);
    assert_int_equal(count("hv resume 5"), 1);
    t.fail_record = 0;
    world_start();
    assert_string_equal(record_of(RECORD_END, 0)->message, "done as far as its acts say");
    assert_int_equal(count("hv resume 5"), 1);
    assert_int_equal(world_read_undo(0)->job, 0);
}

/* Between the decision and the act somebody destroys it. */
static void test_resume_of_a_domain_that_dies(void **state)
{
    rule(OP_RESUME, true, "web");
    dom(5)->flags |= SUSPENDED_FLAGS;
    dom(5)->dies = true;
    world_start();
    assert_int_equal(resume("web", &done), MSG_DONE);
    assert_int_equal(done.exit_code, EXIT_FAILED);
    assert_int_equal(done.rc, -24);
    assert_non_null(strstr(done.message, "is gone"));
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_GUEST_DIED);
    assert_int_equal(count("hv resume"), 0);
    assert_int_equal(fake->pins, 0);
}

static void test_resume_interrupted_at_once(void **state)
{
    dom(5)->flags |= SUSPENDED_FLAGS;
    left(KIND_RESUME, 0);
    world_start();
    ended_interrupted("done as far as its acts say");
    stays_suspended();
}

#define T(f, promise) {promise, f, world_setup, world_teardown, NULL}
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_stays, "after COMMIT the domain stays suspended, and the log says so first"),
        T(test_stays_after_restart, "once its end is recorded no warden touches it"),
        T(test_without_commit, "without COMMIT it is resumed"),
        T(test_killed_before_commit, "a warden killed before COMMIT: the next one resumes it"),
        T(test_no_record_not_left, "no record that it is left suspended: it is resumed"),
        T(test_killed_in_between, "a warden killed after COMMIT: it stays, and the next one says so"),
        T(test_slot_left, "a slot that says left is recorded and touched no more"),
        T(test_late_guest_left, "the late guest of an earlier save stays suspended as well"),
        T(test_killed_after_end, "a warden killed after the end was recorded: no second end"),
        T(test_slot_left_domain_gone, "of one whose domain is gone meanwhile it says so"),
        T(test_resume, "resume: pin, record, act, end, without worker and parent"),
        T(test_resume_after_suspended_save, "resume after a save that left it suspended"),
        T(test_resume_pv, "resume of a 32-bit PV guest"),
        T(test_resume_of_a_domain_with_a_job, "resume of a domain that is being saved is refused"),
        T(test_resume_of_a_paused_domain, "resume of a domain that is paused only says so"),
        T(test_resume_fails, "a resume that fails is said and not repeated"),
        T(test_resume_interrupted, "a resume begun before a restart is done after it"),
        T(test_resume_of_a_domain_that_dies, "a domain that dies in a resume does not go on"),
        T(test_resume_interrupted_and_overtaken, "one that was overtaken undoes no later suspend"),
        T(test_resume_interrupted_at_end, "one that lacked only its end is not said to be nothing"),
        T(test_resume_interrupted_half, "its xenstore half, too"),
        T(test_resume_interrupted_at_once, "a resume that had only begun leaves things as they were"),
    };

    return cmocka_run_group_tests_name("suspend", tests, NULL, NULL);
}
