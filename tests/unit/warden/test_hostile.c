/* SPDX-License-Identifier: LGPL-2.1-only */
/* A hostile worker, a hostile parent, hostile operators: nothing but their own job or connection. */
#define __XEN_TOOLS__ 1
#include "tests/unit/warden/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/domctl.h>

#include "policy/warden/hvrow.h"

#define ALL (OP_LIST | OP_SAVE | OP_CHECKPOINT | OP_JOBS | OP_CANCEL)

static void begin(uint32_t flags)
{
    rule(ALL, true, "*");
    world_start();
    save_begin(flags);
}

/* The refusals of one kind that the END tells of. */
static uint32_t refusals(enum refusal why)
{
    const struct msg_RECORD *r = record_of(RECORD_END, 0);
    uint32_t n = 0;

    assert_non_null(r);
    memcpy(&n, r->refused + 4 * why, sizeof(n));
    return n;
}

static void fails_with_protocol(void)
{
    assert_true(pump_until(&t.got_cancel, 3000));
    assert_int_equal(t.cancel.cause, CAUSE_PROTOCOL);
    assert_int_equal(count("kill worker"), 2);      /* the record and the message */
    save_die();
    save_outcome(0, 0, CAUSE_NONE);
    assert_int_equal(t.verdict.rc, -3);
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_PROTOCOL);
    assert_int_equal(fake->pins, 0);
}

/* ---- the worker */

static void test_wrong_pid(void **state)
{
    struct msg_CALL c = {.op = 36, .row = HV_GETDOMAININFO};
    int status;
    pid_t pid;

    begin(0);
    pid = fork();
    if (!pid)
        _exit(ipc_send(&t.worker, MSG_CALL, t.number, &c, NULL, 0) ? 1 : 0);
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    fails_with_protocol();
    assert_int_equal(refusals(REFUSED_PID), 1);
}

static void test_malformed(void **state)
{
    begin(0);
    assert_int_equal(send(t.worker.fd, "nonsense nonsense nonsense", 26, 0), 26);
    fails_with_protocol();
    assert_int_equal(refusals(REFUSED_FRAME), 1);
}

static void test_wrong_direction(void **state)
{
    struct ipc_chan as_parent;
    struct msg_OUTCOME o = {.cause = CAUSE_NONE};

    begin(0);
    as_parent = t.worker;
    as_parent.self = PARENT;
    ipc_send(&as_parent, MSG_OUTCOME, t.number, &o, NULL, 0);
    fails_with_protocol();
    assert_int_equal(refusals(REFUSED_FRAME), 1);
}

static void test_sends_fd(void **state)
{
    char frame[64] = {0};
    struct iovec iov = {frame, sizeof(frame)};
    union { struct cmsghdr h; char buf[CMSG_SPACE(sizeof(int))]; } u = {0};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf,
                        .msg_controllen = sizeof(u.buf)};

    begin(0);
    u.h = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
                           .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(&u.h), &t.worker.fd, sizeof(int));
    assert_true(sendmsg(t.worker.fd, &mh, 0) > 0);
    fails_with_protocol();
}

static void test_logdirty_again_and_again(void **state)
{
    struct xen_domctl_shadow_op on = {.op = XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY};
    struct xen_domctl_shadow_op off = {.op = XEN_DOMCTL_SHADOW_OP_OFF};

    rule(ALL, true, "*");
    world_start();
    save_begin(INTENT_LIVE);
    for (int i = 0; i < 50; i++) {
        call_domctl(HV_LOGDIRTY_ENABLE, XEN_DOMCTL_shadow_op, &on, sizeof(on));
        call_domctl(HV_LOGDIRTY_OFF, XEN_DOMCTL_shadow_op, &off, sizeof(off));
    }
    assert_int_equal(count("rec act log-dirty"), 2);
    assert_false(dom(5)->logdirty);
}

static void test_other_domain(void **state)
{
    uint8_t c[144] = {0};
    uint32_t v = 5;

    begin(0);
    memcpy(c, &v, 4);               /* getdomaininfo, version, domain 7 */
    v = 0x15;
    memcpy(c + 4, &v, 4);
    v = 7;
    memcpy(c + 8, &v, 2);
    assert_int_equal(call(36, HV_GETDOMAININFO, c, sizeof(c), NULL, 0), -EPERM);
    save_run();                     /* one refusal is no end */
    save_die();
    save_outcome(-1, 9, CAUSE_WORKER_DIED);
    assert_int_equal(refusals(REFUSED_DOMID), 1);
}

static void test_wardens_rows(void **state)
{
    begin(0);
    assert_int_equal(call_domctl(HV_PAUSE, 3, NULL, 0), -EPERM);
    assert_int_equal(call_domctl(HV_RESUME, 27, NULL, 0), -EPERM);
    assert_int_equal(call_domctl(HV_DESTROY, 2, NULL, 0), -EPERM);
    assert_int_equal(count("hv "), 0);
    save_die();
    save_outcome(-1, 9, CAUSE_WORKER_DIED);
    assert_int_equal(refusals(REFUSED_NO_ROW), 3);
}

static void test_rows_before_suspend(void **state)
{
    struct { uint32_t size; } h = {0};

    begin(0);
    save_run();
    assert_int_equal(call_domctl(HV_GETHVMCONTEXT, 33, &h, sizeof(h)), -EPERM);
}

static void test_many_refusals(void **state)
{
    int32_t r = 0;

    begin(0);
    for (int i = 0; i < 1200 && r != -EPIPE; i++)
        r = call_domctl(HV_PAUSE, 3, NULL, 0);
    assert_int_equal(r, -EPIPE);
    fails_with_protocol();
    assert_int_equal(refusals(REFUSED_NO_ROW), 1001);
    assert_int_equal(refusals(REFUSED_FLOOD), 1);
}

/* Calls without reading an answer: the warden neither blocks nor keeps them. */
static void test_call_flood(void **state)
{
    uint8_t c[144] = {5, 0, 0, 0, 0x15, 0, 0, 0, 5};
    struct msg_CALL m = {.op = 36, .row = HV_GETDOMAININFO, .arg = {c, sizeof(c)}};
    struct ipc_chan op;
    static struct msg_DONE done;

    begin(0);
    for (int i = 0; i < 20000 && !t.got_cancel; i++) {
        int rc = ipc_send(&t.worker, MSG_CALL, t.number, &m, NULL, 0);

        if (rc && rc != -EAGAIN)
            break;
        pump(rc == -EAGAIN ? 2 : 0);
    }
    fails_with_protocol();
    assert_int_equal(refusals(REFUSED_FLOOD), 1);
    op = op_connect();
    op_send(&op, KIND_JOBS, 0, "", 0, -1);
    assert_int_equal(op_recv(&op, &done, 1000), MSG_DONE);
    close(op.fd);
}

static void test_slow_worker_holds_up_nobody(void **state)
{
    struct ipc_chan op;
    union { struct msg_DONE done; struct msg_JOB_ROW row; } m;

    begin(0);
    for (int i = 0; i < 5; i++) {
        op = op_connect();
        op_send(&op, KIND_JOBS, 0, "", 0, -1);
        assert_int_equal(op_recv(&op, &m, 1000), MSG_JOB_ROW);
        close(op.fd);
    }
}

static void test_channel_closed_is_not_death(void **state)
{
    begin(0);
    save_run();
    close(t.worker.fd);
    t.worker.fd = -1;
    pump(100);
    assert_int_equal(fake->pins, 1);
    assert_null(record_of(RECORD_END, 0));
    save_die();
    save_outcome(-1, 9, CAUSE_WORKER_DIED);
    assert_int_equal(fake->pins, 0);
}

static void test_arena(void **state)
{
    static struct ipc_frame g;
    struct ipc_chan op;
    int file = file_tmp(), arena;
    uint8_t *p;

    rule(ALL, true, "*");
    world_start();
    op = op_connect();
    op_send(&op, KIND_SAVE, 0, "web", 0, file);
    assert_true(pump_until(&t.got_job, 3000));
    assert_int_equal(ipc_recv(&t.worker, &g), 1);
    arena = ipc_take_fd(&g, 2);
    ipc_close_fds(&g);
    assert_int_not_equal(ftruncate(arena, 0), 0);
    assert_int_not_equal(ftruncate(arena, 1ll << 40), 0);
    assert_int_not_equal(fcntl(arena, F_ADD_SEALS, F_SEAL_WRITE), 0);
    p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, arena, 0);
    assert_ptr_not_equal(p, MAP_FAILED);
    p[0] = 0x5a;
    save_die();
    save_outcome(-1, 9, CAUSE_WORKER_DIED);
    assert_int_equal(p[0], 0);      /* nothing for the next job to find */
    munmap(p, 4096);
    close(arena);
    close(file);
    close(op.fd);
}

/* ---- the parent */

static void test_abandon_early(void **state)
{
    struct msg_ABANDON a = {.cause = CAUSE_CANCELLED};
    static const char *const stage[] = {"begun", "running", "suspended", "read"};

    begin(0);
    for (unsigned i = 0; i < 4; i++) {
        if (i == 1)
            save_run();
        if (i == 2)
            save_suspend();
        if (i == 3)
            save_context();
        t.got_ended = false;
        par_send(MSG_ABANDON, t.number, &a);
        assert_true(pump_until(&t.got_ended, 1000));
        if (t.ended.rc != -3)
            fail_msg("ABANDON was taken when %s", stage[i]);
    }
    assert_int_equal(count("destroy"), 0);
    assert_int_equal(count("hv resume"), 0);
}

static void test_outcome_before_death(void **state)
{
    begin(0);
    save_run();
    save_suspend();
    save_context();
    save_outcome(0, 0, CAUSE_NONE);     /* "it is dead": it is not */
    assert_false(t.got_verdict);
    op_commit();
    pump(100);
    assert_int_equal(count("destroy"), 0);
    t.no_kill = true;
    fake->skew_ms += 6000;
    pump(2200);
    assert_int_equal(count("hv resume 5"), 1);
    assert_int_equal(fake->pins, 1);
    save_die();
    assert_true(pump_until(&t.got_verdict, 2000));
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_PROTOCOL);
}

static void test_outcome_after_abort(void **state)
{
    struct msg_ABORT a = {.cause = 4711};

    begin(0);
    save_run();
    save_suspend();
    save_context();
    par_send(MSG_ABORT, t.number, &a);
    pump(50);
    save_die();
    save_outcome(0, 0, CAUSE_NONE);
    assert_int_equal(t.verdict.rc, -3);
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_INTERNAL);
    assert_int_equal(count("hv resume 5"), 1);
}

static void test_two_outcomes(void **state)
{
    struct msg_ABANDON a = {.cause = CAUSE_CANCELLED};

    begin(0);
    save_run();
    save_suspend();
    save_context();
    save_die();
    save_outcome(1, 0, CAUSE_WORKER_FAILED);
    assert_int_equal(t.verdict.rc, -3);
    save_outcome(0, 0, CAUSE_NONE);     /* of a job that is over */
    assert_int_equal(t.verdict.rc, -3);
    par_send(MSG_ABANDON, t.number, &a);
    assert_true(pump_until(&t.got_ended, 1000));
    assert_int_equal(t.ended.rc, -3);
    assert_int_equal(count("destroy"), 0);
}

static void test_finished_twice(void **state)
{
    begin(0);
    save_run();
    save_suspend();
    save_context();
    save_finished();
    pump(200);
    assert_true(count("kill worker") >= 1);
    save_die();
    save_outcome(0, 0, CAUSE_NONE);
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_PROTOCOL);
}

static void test_call_after_finished(void **state)
{
    struct msg_CALL c = {.op = 36, .row = 1};

    begin(0);
    save_run();
    save_suspend();
    save_context();
    assert_int_equal(ipc_send(&t.worker, MSG_CALL, t.number, &c, NULL, 0), 0);
    pump(200);
    assert_true(count("kill worker") >= 1);
    save_die();
    save_outcome(0, 0, CAUSE_NONE);
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_PROTOCOL);
}

/* Only the operator's own process can be heard on its connection; from the parent it is no message. */
static void test_forged_commit(void **state)
{
    uint8_t frame[IPC_HEADER_SIZE] = {0};
    const uint16_t type = MSG_COMMIT;

    rule(ALL, true, "*");
    world_start();
    save_saved(0);
    memcpy(frame + 4, &type, sizeof(type));
    memcpy(frame + 8, &t.number, sizeof(t.number));
    assert_int_equal(send(t.par.fd, frame, sizeof(frame), 0), sizeof(frame));
    world_wait_exit();
    assert_int_equal(WEXITSTATUS(t.status), 1);
    assert_int_equal(count("destroy"), 0);
    assert_int_equal(count("hv resume 5"), 1);
}

/* The parent has the same connection: what it writes there arrives at the operator, not at us. */
static void test_commit_echoed_by_the_parent(void **state)
{
    uint8_t frame[IPC_HEADER_SIZE] = {0};
    const uint16_t type = MSG_COMMIT;

    rule(ALL, true, "*");
    world_start();
    save_saved(0);
    memcpy(frame + 4, &type, sizeof(type));
    assert_int_equal(send(t.op_fd, frame, sizeof(frame), 0), sizeof(frame));
    pump(200);
    assert_int_equal(count("destroy"), 0);
    assert_int_equal(count("rec end"), 0);
}

static void test_operator_gone_after_saved(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_saved(0);
    close(t.op.fd);
    t.op.fd = -1;
    assert_true(pump_until(&t.got_ended, 3000));
    assert_int_equal(count("destroy"), 0);
    assert_int_equal(count("hv resume 5"), 1);
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_OPERATOR_GONE);
}

static void test_abandon_after_commit(void **state)
{
    struct msg_ABANDON a = {.cause = CAUSE_COMMIT_DEADLINE};

    rule(ALL, true, "*");
    world_start();
    save_saved(0);
    t.hold_destroy = true;
    op_commit();
    pump(100);
    assert_int_equal(count("xs destroy 5"), 1);
    par_send(MSG_ABANDON, t.number, &a);
    pump(100);
    assert_false(t.got_ended);                  /* not "refused": the end is its answer */
    assert_int_equal(count("hv resume"), 0);
}

static void test_two_commits(void **state)
{
    rule(ALL, true, "*");
    world_start();
    save_saved(INTENT_CHECKPOINT);
    op_commit();
    op_commit();
    pump(200);
    assert_int_equal(count("hv resume 5"), 1);
    assert_int_equal(count("rec end"), 1);
}

static void test_abort_after_saved(void **state)
{
    struct msg_ABORT a = {.cause = CAUSE_CANCELLED};

    rule(ALL, true, "*");
    world_start();
    save_saved(0);
    par_send(MSG_ABORT, t.number, &a);
    pump(100);
    assert_int_equal(count("rec end"), 0);      /* ABANDON is the way */
    assert_int_equal(count("hv resume"), 0);
}

static void test_unknown_jobs(void **state)
{
    struct msg_OUTCOME o = {.cause = CAUSE_NONE};

    begin(0);
    for (uint32_t n = 0; n < 50; n++) {
        if (n == t.number)
            continue;
        par_send(MSG_SUSPEND, n, NULL);
        par_send(MSG_OUTCOME, n, &o);
        par_send(MSG_ABANDON, n, &(struct msg_ABANDON){.cause = CAUSE_CANCELLED});
        pump(2);
    }
    pump(100);
    assert_int_equal(count("rec act"), 0);
    assert_int_equal(count("xs grant 2"), 0);
    assert_int_equal(kill(t.warden, 0), 0);
}

static void test_suspend_twice(void **state)
{
    begin(0);
    save_run();
    save_suspend();
    t.got_ok = false;
    par_send(MSG_SUSPEND, t.number, NULL);
    assert_true(pump_until(&t.got_ok, 1000));
    assert_int_equal(t.ok.rc, -6);
    assert_int_equal(count("rec act suspend"), 1);
}

static void test_suspend_before_worker(void **state)
{
    begin(0);                       /* not one call of the worker yet */
    par_send(MSG_SUSPEND, t.number, NULL);
    assert_true(pump_until(&t.got_ok, 1000));
    assert_int_equal(t.ok.rc, -6);
}

static void test_claims_a_suspended_guest(void **state)
{
    begin(0);
    save_run();
    par_send(MSG_SUSPEND, t.number, NULL);
    assert_true(pump_until(&t.got_ok, 1000));
    par_send(MSG_STATE, t.number, NULL);
    assert_true(pump_until(&t.got_state, 1000));
    assert_int_equal(t.state.state, DOMAIN_RUNNING);
    save_die();
    save_outcome(0, 0, CAUSE_NONE);
    assert_int_equal(record_of(RECORD_END, 0)->cause, CAUSE_UNSEEN);
}

static void test_parent_floods(void **state)
{
    struct msg_ABANDON a = {.cause = CAUSE_CANCELLED};

    begin(0);
    save_run();
    save_suspend();
    for (int i = 0; i < 1100 && t.par.fd >= 0; i++)
        while (ipc_send(&t.par, MSG_ABANDON, 99, &a, NULL, 0) == -EAGAIN && t.par.fd >= 0)
            pump(1);
    world_wait_exit();
    assert_int_equal(WEXITSTATUS(t.status), 1);
    assert_int_equal(count("hv resume 5"), 1);
}

static void test_parent_malformed(void **state)
{
    begin(0);
    save_run();
    save_suspend();
    assert_int_equal(send(t.par.fd, "nonsense nonsense", 17, 0), 17);
    world_wait_exit();
    assert_int_equal(WEXITSTATUS(t.status), 1);
    assert_int_equal(count("hv resume 5"), 1);
}

/* ---- operators */

static void test_half_open(void **state)
{
    static struct msg_DENIED denied;
    struct ipc_chan ops[10];
    unsigned refused = 0;

    rule(ALL, true, "*");
    world_start();
    for (int i = 0; i < 10; i++)
        ops[i] = op_connect();
    for (int i = 0; i < 10; i++)
        refused += op_recv(&ops[i], &denied, 100) == MSG_DENIED;
    assert_int_equal(refused, 2);
    assert_int_equal(count("rec denied"), 0);
    fake->skew_ms += 3000;          /* two seconds to say something */
    pump(2200);
    for (int i = 0; i < 10; i++) {
        char c;

        assert_int_equal(recv(ops[i].fd, &c, 1, 0), 0);
        close(ops[i].fd);
    }
    save_begin(0);
}

static void test_half_open_of_all(void **state)
{
    struct ipc_chan ops[72];
    static struct msg_DENIED denied;
    unsigned refused = 0;

    if (getuid())
        fail_msg("needs root, to connect as other users");
    rule(ALL, true, "*");
    world_start();
    for (unsigned i = 0; i < 72; i++) {
        ops[i] = op_connect_as(5000 + i / 8);
        pump(1);
    }
    for (unsigned i = 0; i < 72; i++)
        refused += op_recv(&ops[i], &denied, 20) == MSG_DENIED;
    assert_int_equal(refused, 72 - 32);
    save_begin(0);                  /* meanwhile, by somebody whom a rule names */
    for (unsigned i = 0; i < 72; i++)
        close(ops[i].fd);
}

static void test_operator_malformed(void **state)
{
    struct ipc_chan op;
    char big[60000] = {0}, c;

    rule(ALL, true, "*");
    world_start();
    op = op_connect();
    assert_int_equal(send(op.fd, big, sizeof(big), 0), sizeof(big));
    pump(100);
    assert_int_equal(recv(op.fd, &c, 1, 0), 0);
    close(op.fd);
    save_begin(0);
}

static void test_operator_gone(void **state)
{
    struct ipc_chan op;

    rule(ALL, true, "*");
    world_start();
    for (int i = 0; i < 20; i++) {
        op = op_connect();
        op_send(&op, KIND_LIST, 0, "", 0, -1);
        close(op.fd);
        pump(10);
    }
    save_begin(0);
}

static void test_slow_list_reader(void **state)
{
    struct ipc_chan op;
    struct msg_DOMAIN_ROW row;

    rule(ALL, true, "*");
    world_start();
    op = op_connect();
    op_send(&op, KIND_LIST, 0, "", 0, -1);
    pump(50);                       /* and reads nothing */
    save_begin(0);
    assert_int_equal(op_recv(&op, &row, 500), MSG_DOMAIN_ROW);
    close(op.fd);
}

/* ---- the table */

static void offer_table(const struct rules_table *r, size_t size, int seals)
{
    int fd = memfd_create("rules", MFD_ALLOW_SEALING);

    assert_int_equal(write(fd, r, size), size);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    ipc_send(&t.sup, MSG_TABLE, 0, NULL, &fd, 1);
    close(fd);
    pump(50);
}

static bool may_list(void)
{
    struct ipc_chan op = op_connect();
    static struct msg_DONE m;
    uint32_t type;

    op_send(&op, KIND_LIST, 0, "web", 0, -1);
    type = op_recv(&op, &m, 1000);
    close(op.fd);
    return type == MSG_DOMAIN_ROW;
}

static void test_tables(void **state)
{
    const int all = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
    static struct rules_table none;

    rule(ALL, true, "*");
    world_start();
    none = *t.rules;
    none.nrows = 0;
    memset(none.rows, 0, sizeof(none.rows));
    offer_table(&none, sizeof(none), F_SEAL_WRITE | F_SEAL_SHRINK);
    assert_true(may_list());
    offer_table(&none, sizeof(none) - 1, all);
    assert_true(may_list());
    none.nrows = RULES_ROWS + 1;
    offer_table(&none, sizeof(none), all);
    assert_true(may_list());
    none.nrows = 0;
    assert_int_equal(record_of(RECORD_NOTE, 0)->refused[4 * REFUSED_VALUE], 1);
    offer_table(&none, sizeof(none), all);
    assert_false(may_list());
    assert_int_equal(record_of(RECORD_NOTE, 0)->refused[4 * REFUSED_VALUE], 0);
}

#define T(f, promise) {promise, f, world_setup, world_teardown, NULL}
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_wrong_pid, "worker: a frame of another process ends the job"),
        T(test_malformed, "worker: a malformed frame ends the job"),
        T(test_wrong_direction, "worker: a parent's message ends the job"),
        T(test_sends_fd, "worker: an attached fd ends the job"),
        T(test_logdirty_again_and_again, "worker: log-dirty on and off does not fill the log"),
        T(test_other_domain, "worker: another domain is refused and counted"),
        T(test_wardens_rows, "worker: pause, resume and destroy have no row for it"),
        T(test_rows_before_suspend, "worker: the state's rows are closed before the suspend"),
        T(test_many_refusals, "worker: a thousand refusals end the job"),
        T(test_call_flood, "worker: calls without reading end the job, and only it"),
        T(test_slow_worker_holds_up_nobody, "worker: a silent one holds up nobody"),
        T(test_channel_closed_is_not_death, "worker: a closed channel is not its death"),
        T(test_arena, "worker: the arena is sealed, and empty for the next job"),
        T(test_abandon_early, "parent: ABANDON before the verdict is refused in every state"),
        T(test_finished_twice, "worker: FINISHED twice ends the job"),
        T(test_call_after_finished, "worker: a call after FINISHED ends the job"),
        T(test_forged_commit, "parent: COMMIT is not its to say"),
        T(test_commit_echoed_by_the_parent, "parent: it cannot put words into the operator's mouth"),
        T(test_operator_gone_after_saved, "operator: gone before COMMIT, the guest is resumed"),
        T(test_abandon_after_commit, "parent: ABANDON that comes after COMMIT does nothing"),
        T(test_outcome_before_death, "parent: OUTCOME counts only when the warden saw the death"),
        T(test_outcome_after_abort, "parent: a job that failed has failed"),
        T(test_two_outcomes, "parent: one OUTCOME, and no ABANDON after a failure"),
        T(test_two_commits, "operator: one COMMIT"),
        T(test_abort_after_saved, "parent: ABORT of a saved job is refused"),
        T(test_unknown_jobs, "parent: jobs that it was not given do not exist"),
        T(test_suspend_twice, "parent: one SUSPEND"),
        T(test_suspend_before_worker, "parent: no SUSPEND before the worker works"),
        T(test_claims_a_suspended_guest, "parent: a guest is suspended when Xen says so"),
        T(test_parent_floods, "parent: a flood of illegal messages ends it, guests undone"),
        T(test_parent_malformed, "parent: a malformed message ends it, guests undone"),
        T(test_half_open, "operators: eight half-open connections per uid, two seconds"),
        T(test_half_open_of_all, "operators: 64 half-open connections in all, 32 of strangers"),
        T(test_operator_malformed, "operators: a malformed frame ends the connection"),
        T(test_operator_gone, "operators: who leaves is forgotten"),
        T(test_slow_list_reader, "operators: who does not read holds up nobody"),
        T(test_tables, "a table that is not sealed, sized and bounded is not taken"),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
