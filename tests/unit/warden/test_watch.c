/* SPDX-License-Identifier: LGPL-2.1-only */
/* Watches: who may have one, what it tells, and what watchers cannot do to others. */
#define __XEN_TOOLS__ 1
#include "tests/unit/warden/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/domctl.h>

#define DOWN(reason) (XEN_DOMINF_shutdown | (uint32_t)(reason) << XEN_DOMINF_shutdownshift)
#define STATE_BITS (XEN_DOMINF_shutdown | XEN_DOMINF_dying | 0xff0000u)

static const uint8_t none[16];
static union {
    struct msg_DOMAIN_STATE state;
    struct msg_DENIED denied;
    struct msg_DONE done;
    struct msg_DOMAIN_ROW row;
} m;

static void set(uint32_t domid, uint32_t bits)
{
    dom(domid)->flags = (dom(domid)->flags & ~STATE_BITS) | bits;
}

static void released(void)
{
    assert_int_equal(ipc_send(&t.gate, MSG_XS_RELEASED, 0, NULL, NULL, 0), 0);
}

static void told(const struct ipc_chan *op, uint32_t state, uint32_t reason)
{
    assert_int_equal(op_recv(op, &m, 3000), MSG_DOMAIN_STATE);
    assert_int_equal(m.state.state, state);
    assert_int_equal(m.state.reason, reason);
}

static void silent(const struct ipc_chan *op)
{
    char byte;

    pump(60);
    assert_int_equal(recv(op->fd, &byte, 1, MSG_PEEK), -1);
    assert_int_equal(errno, EAGAIN);
}

static void closed(struct ipc_chan *op)
{
    char byte;
    ssize_t r = -1;

    for (int i = 0; i < 300 && (r = recv(op->fd, &byte, 1, MSG_PEEK)) < 0 && errno == EAGAIN; i++)
        pump(10);
    assert_true(r == 0 || (r < 0 && errno == ECONNRESET));
    close(op->fd);
    op->fd = -1;
}

static void ended(struct ipc_chan *op)
{
    assert_int_equal(op_recv(op, &m, 3000), MSG_DONE);
    assert_int_equal(m.done.exit_code, EXIT_DONE);
    assert_int_equal(m.done.rc, 0);
    closed(op);
}

static void denied(struct ipc_chan *op, uint32_t exit_code, const char *words)
{
    assert_int_equal(op_recv(op, &m, 3000), MSG_DENIED);
    assert_int_equal(m.denied.exit_code, exit_code);
    if (!strstr(m.denied.message, words))
        fail_msg("'%s' is not in '%s'", words, m.denied.message);
    closed(op);
}

static struct ipc_chan ask(const char *domain)
{
    struct ipc_chan op = op_connect();

    op_send(&op, KIND_WATCH, 0, domain, 0, -1);
    return op;
}

static struct ipc_chan watch(const char *domain, uint32_t domid)
{
    struct ipc_chan op = ask(domain);

    told(&op, DOMAIN_RUNNING, 0);
    assert_int_equal(m.state.domid, domid);
    assert_memory_equal(m.state.handle, dom(domid)->handle, 16);
    return op;
}

static void start(void)
{
    rule(OP_LIST, true, "*");
    world_start();
}

/* ---- what it tells */

static void test_armed(void **state)
{
    struct ipc_chan by_name, by_domid;

    start();
    by_name = watch("web", 5);
    by_domid = watch("5", 5);
    silent(&by_name);
    silent(&by_domid);
    close(by_name.fd);
    close(by_domid.fd);
}

static void test_recorded(void **state)
{
    const struct msg_RECORD *r;
    struct ipc_chan op;

    start();
    op = watch("web", 5);
    r = record_of(RECORD_NOTE, 0);
    assert_non_null(r);
    assert_string_equal(r->message, "watch");
    assert_int_equal(r->uid, getuid());
    assert_int_equal(r->kind, KIND_WATCH);
    assert_string_equal(r->asked, "web");
    assert_int_equal(r->domid, 5);
    assert_memory_equal(r->handle, dom(5)->handle, 16);
    assert_int_equal(r->line, 10);
    assert_int_equal(fake->pins, 0);
    close(op.fd);
}

static void test_states_at_once(void **state)
{
    static const struct {
        uint32_t bits, state, reason;
    } cases[] = {
        {0, DOMAIN_RUNNING, 0},
        {DOWN(0), DOMAIN_SHUTDOWN, 0},
        {DOWN(1), DOMAIN_SHUTDOWN, 1},
        {DOWN(2), DOMAIN_SUSPENDED, 2},
        {DOWN(3), DOMAIN_SHUTDOWN, 3},
    };
    struct ipc_chan op;

    start();
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set(5, cases[i].bits);
        op = ask("web");
        told(&op, cases[i].state, cases[i].reason);
        silent(&op);
        close(op.fd);
    }
    for (unsigned i = 0; i < 2; i++) {
        set(5, XEN_DOMINF_dying | (i ? DOWN(3) : 0));
        op = ask("web");
        told(&op, DOMAIN_GONE, 0);
        assert_memory_equal(m.state.handle, dom(5)->handle, 16);
        ended(&op);
    }
}

static void test_changes(void **state)
{
    struct ipc_chan op, other;

    start();
    op = watch("web", 5);
    other = watch("db", 7);
    set(5, DOWN(2));
    released();
    told(&op, DOMAIN_SUSPENDED, 2);
    released();
    silent(&op);
    set(5, 0);
    released();
    told(&op, DOMAIN_RUNNING, 0);
    set(5, DOWN(3));
    released();
    told(&op, DOMAIN_SHUTDOWN, 3);
    set(5, DOWN(0));
    released();
    told(&op, DOMAIN_SHUTDOWN, 0);
    set(5, DOWN(0) | XEN_DOMINF_dying);
    released();
    told(&op, DOMAIN_GONE, 0);
    assert_memory_equal(m.state.handle, dom(5)->handle, 16);
    ended(&op);
    silent(&other);
    dom(7)->exists = false;
    released();
    told(&other, DOMAIN_GONE, 0);
    ended(&other);
}

/* Nothing is asked of the hypervisor while nothing happens. */
static void test_costs_nothing(void **state)
{
    struct ipc_chan op;
    int calls;

    start();
    op = watch("web", 5);
    calls = fake->calls;
    pump(2500);
    assert_int_equal(fake->calls, calls);
    close(op.fd);
}

/* Also if xenstore says nothing: all are looked at every ten seconds. */
static void test_backstop(void **state)
{
    struct ipc_chan op;

    start();
    op = watch("web", 5);
    set(5, DOWN(0));
    silent(&op);
    assert_int_equal(op_recv(&op, &m, 12000), MSG_DOMAIN_STATE);
    assert_int_equal(m.state.state, DOMAIN_SHUTDOWN);
    close(op.fd);
}

static void test_reused_domid(void **state)
{
    uint8_t was[16];
    struct ipc_chan op;

    start();
    op = watch("5", 5);
    memcpy(was, dom(5)->handle, 16);
    memset(dom(5)->handle, 0xee, 16);
    released();
    told(&op, DOMAIN_GONE, 0);
    assert_memory_equal(m.state.handle, was, 16);
    ended(&op);
    op = watch("5", 5);
    close(op.fd);
}

static void test_no_such_domain(void **state)
{
    static const struct {
        const char *asked;
        uint32_t domid;
    } cases[] = {{"99", 99}, {"32754", 32754}, {"99999999999999999999", UINT32_MAX}};
    struct ipc_chan op;

    start();
    for (unsigned i = 0; i < 3; i++) {
        op = ask(cases[i].asked);
        told(&op, DOMAIN_GONE, 0);
        assert_int_equal(m.state.domid, cases[i].domid);
        assert_memory_equal(m.state.handle, none, 16);
        ended(&op);
    }
    op = ask("nosuch");
    denied(&op, EXIT_FAILED, "no domain 'nosuch'");
    strcpy(dom(7)->name, "web");
    op = ask("web");
    denied(&op, EXIT_FAILED, "more than one");
}

/* Xen keeps what somebody maps; xenstore has forgotten its name. */
static void test_dying_without_a_name(void **state)
{
    struct ipc_chan op;

    rule(OP_LIST, true, "web*");
    world_start();
    set(5, XEN_DOMINF_dying);
    dom(5)->name[0] = 0;
    op = ask("5");
    told(&op, DOMAIN_GONE, 0);
    assert_memory_equal(m.state.handle, none, 16);
    ended(&op);
}

/* An event may come while the warden waits for another answer of the gate's. */
static void test_released_meanwhile(void **state)
{
    struct msg_DESCRIBED d = {.name = "db"};
    struct ipc_chan op, list = {.fd = -1};

    start();
    op = watch("web", 5);
    t.silent_gate = true;
    list = op_connect();
    op_send(&list, KIND_LIST, 0, "7", 0, -1);
    pump(100);
    set(5, DOWN(0));
    released();
    released();
    assert_int_equal(ipc_send(&t.gate, MSG_DESCRIBED, 0, &d, NULL, 0), 0);
    pump(50);
    assert_int_equal(ipc_send(&t.gate, MSG_DESCRIBED, 0, &d, NULL, 0), 0);  /* of the row */
    t.silent_gate = false;
    assert_int_equal(op_recv(&list, &m, 3000), MSG_DOMAIN_ROW);
    told(&op, DOMAIN_SHUTDOWN, 0);
    close(op.fd);
    close(list.fd);
}

/* ---- who may */

static void test_no_rule(void **state)
{
    static const char *const asked[] = {"web", "5", "99", "nosuch", "0"};
    char words[80];
    struct ipc_chan op;

    rule(OP_SAVE | OP_JOBS, true, "*");
    world_start();
    for (unsigned i = 0; i < 5; i++) {
        snprintf(words, sizeof(words), "no rule lets you list '%s'", asked[i]);
        op = ask(asked[i]);
        denied(&op, EXIT_DENIED, words);
        op = op_connect();
        op_send(&op, KIND_LIST, 0, asked[i], 0, -1);
        denied(&op, EXIT_DENIED, words);        /* the very same */
    }
    assert_int_equal(count("rec denied"), 5);
    assert_int_equal(record_of(RECORD_DENIED, 0)->kind, KIND_WATCH);
    assert_int_equal(count("rec note"), 1);     /* of the table */
}

static void test_other_domains(void **state)
{
    struct ipc_chan op;

    rule(OP_LIST, false, "db");
    rule(OP_LIST, true, "d*");
    world_start();
    op = ask("web");
    denied(&op, EXIT_DENIED, "no rule lets you list 'web'");
    op = ask("5");
    denied(&op, EXIT_DENIED, "no rule lets you list '5'");      /* not the name behind it */
    op = ask("db");
    denied(&op, EXIT_DENIED, "no rule lets you list 'db'");
    assert_int_equal(m.denied.line, 10);
}

static void test_usage(void **state)
{
    struct msg_INTENT in = {.version = IPC_VERSION, .kind = KIND_WATCH};
    struct ipc_chan op;
    int fd;

    start();
    op = ask("");
    denied(&op, EXIT_USAGE, "needs a domain");
    op = op_connect();
    op_send(&op, KIND_WATCH, INTENT_LONG, "web", 0, -1);
    denied(&op, EXIT_USAGE, "options");
    op = op_connect();
    op_send(&op, KIND_WATCH, 0, "web", 3, -1);
    denied(&op, EXIT_USAGE, "no job");
    op = op_connect();
    fd = file_tmp();
    op_send(&op, KIND_WATCH, 0, "web", 0, fd);
    close(fd);
    denied(&op, EXIT_USAGE, "no FILE");
    op = op_connect();
    in.deadline = 5;
    ipc_text(in.domain, sizeof(in.domain), "web");
    assert_int_equal(ipc_send(&op, MSG_INTENT, 0, &in, NULL, 0), 0);
    denied(&op, EXIT_USAGE, "no deadline");
}

static void test_answers_that_fail(void **state)
{
    struct ipc_chan op;

    start();
    t.gate_errnum = EIO;
    op = ask("5");
    denied(&op, EXIT_FAILED, "nothing can be told");
    op = ask("web");
    denied(&op, EXIT_FAILED, "xenstore did not answer");
    t.gate_errnum = 0;
    t.fail_record = RECORD_NOTE;
    op = ask("web");
    denied(&op, EXIT_FAILED, "audit log");
    t.fail_record = 0;
    op = watch("web", 5);
    close(op.fd);
}

/* ---- limits */

static void allow_uid(uid_t uid)
{
    rule(OP_LIST, true, "*")->id = uid;
}

static void fill(struct ipc_chan *ops, unsigned n, uid_t uid)
{
    for (unsigned i = 0; i < n; i++) {
        ops[i] = op_connect_as(uid);
        op_send(&ops[i], KIND_WATCH, 0, "web", 0, -1);
        told(&ops[i], DOMAIN_RUNNING, 0);
    }
}

static void test_limits(void **state)
{
    static struct ipc_chan ops[256];
    struct ipc_chan op;

    for (uid_t uid = 3001; uid <= 3005; uid++)
        allow_uid(uid);
    start();
    fill(ops, 64, 3001);
    op = op_connect_as(3001);
    op_send(&op, KIND_WATCH, 0, "web", 0, -1);
    denied(&op, EXIT_FAILED, "you have 64 watches");
    op = op_connect_as(3001);                   /* but everything else */
    op_send(&op, KIND_LIST, 0, "web", 0, -1);
    assert_int_equal(op_recv(&op, &m, 3000), MSG_DOMAIN_ROW);
    close(op.fd);
    for (unsigned i = 1; i < 4; i++)
        fill(ops + 64 * i, 64, 3001 + i);
    op = op_connect_as(3005);
    op_send(&op, KIND_WATCH, 0, "web", 0, -1);
    denied(&op, EXIT_FAILED, "there are 256 watches");
    set(5, DOWN(1));
    released();
    for (unsigned i = 0; i < 256; i++)
        told(&ops[i], DOMAIN_SHUTDOWN, 1);
    for (unsigned i = 0; i < 64; i++)
        close(ops[i].fd);
    set(5, 0);
    fill(ops, 64, 3001);                        /* their places are free again, at once */
    for (unsigned i = 0; i < 256; i++)
        close(ops[i].fd);
}

/* They are more than may be unanswered, and all are answered. */
static void test_burst(void **state)
{
    struct ipc_chan ops[64];

    start();
    for (unsigned i = 0; i < 64; i++)
        ops[i] = ask("web");
    for (unsigned i = 0; i < 64; i++) {
        told(&ops[i], DOMAIN_RUNNING, 0);
        close(ops[i].fd);
    }
}

static void test_flood(void **state)
{
    bool noted = false;
    struct ipc_chan op;

    start();
    for (int i = 0; i < 600; i++) {
        op = watch("web", 5);
        close(op.fd);
    }
    assert_in_range(count("rec note"), 250, 300);
    fake->skew_ms += 10000;
    op = watch("web", 5);
    pump(100);
    for (unsigned i = 0; i < t.nrecords; i++)
        noted |= !strcmp(t.records[i].message, "watches that have no line of their own");
    assert_true(noted);
    close(op.fd);
}

/* ---- watchers who do as they like */

static void test_does_not_read(void **state)
{
    struct ipc_chan op, list;
    unsigned n = 0;

    start();
    op = watch("web", 5);
    for (int i = 0; i < 1500; i++) {
        set(5, i & 1 ? 0 : DOWN(1));
        released();
        pump(1);
    }
    list = op_connect();
    op_send(&list, KIND_LIST, 0, "db", 0, -1);
    assert_int_equal(op_recv(&list, &m, 2000), MSG_DOMAIN_ROW);
    close(list.fd);
    set(5, DOWN(3));
    released();
    pump(50);
    dom(5)->exists = false;
    released();
    pump(50);
    dom(5 + 2)->domid = 5;          /* the next one has the domid and even the handle */
    memset(dom(5)->handle, 6, 16);
    released();
    pump(50);
    do {
        assert_int_equal(op_recv(&op, &m, 3000), MSG_DOMAIN_STATE);
        n++;
    } while (m.state.state != DOMAIN_GONE);
    assert_in_range(n, 50, 1400);   /* what the socket held, then the last */
    ended(&op);
}

static void test_gone_watchers(void **state)
{
    struct ipc_chan op, ops[64];

    start();
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 64; i++)
            ops[i] = watch("web", 5);
        for (unsigned i = 0; i < 64; i++)
            close(ops[i].fd);
        pump(50);
    }
    op = watch("web", 5);
    assert_int_equal(shutdown(op.fd, SHUT_WR), 0);
    ended(&op);
    op = watch("web", 5);
    op_send(&op, KIND_WATCH, 0, "db", 0, -1);
    ended(&op);
    op = watch("web", 5);
    assert_int_equal(send(op.fd, "nonsense", 8, 0), 8);
    ended(&op);
}

static void test_other_commands_go_on(void **state)
{
    struct ipc_chan op;

    rule(OP_LIST | OP_SAVE, true, "*");
    world_start();
    op = watch("web", 5);
    save_saved(0);
    op_commit();
    assert_true(pump_until(&t.got_ended, 3000));
    assert_int_equal(t.ended.rc, 0);
    released();
    assert_int_equal(op_recv(&op, &m, 3000), MSG_DOMAIN_STATE);
    while (m.state.state != DOMAIN_GONE)
        assert_int_equal(op_recv(&op, &m, 3000), MSG_DOMAIN_STATE);
    ended(&op);
}

/* A domain that the warden itself resumes is told at once: xenstore says nothing then. */
static void test_resumed_by_the_warden(void **state)
{
    struct ipc_chan op;

    rule(OP_LIST | OP_SAVE, true, "*");
    world_start();
    op = watch("web", 5);
    save_saved(INTENT_CHECKPOINT);
    released();
    told(&op, DOMAIN_SUSPENDED, 2);
    op_commit();
    assert_true(pump_until(&t.got_ended, 3000));
    told(&op, DOMAIN_RUNNING, 0);
    close(op.fd);
}

static void test_restart(void **state)
{
    struct ipc_chan op;

    start();
    op = watch("web", 5);
    world_stop();
    closed(&op);
}

/* A user who may no longer list a domain is told nothing of it any more. */
static void test_new_rules(void **state)
{
    struct ipc_chan web, pv;
    struct rule_row *r = rule(OP_LIST, true, "*");

    world_start();
    web = watch("web", 5);
    pv = watch("pv", 6);
    world_new_rules();
    silent(&web);                   /* nothing has changed for it */
    snprintf(r->pattern, sizeof(r->pattern), "pv");
    world_new_rules();
    closed(&web);
    silent(&pv);
    web = ask("5");
    denied(&web, EXIT_DENIED, "no rule lets you list '5'");
    set(6, DOWN(0));
    released();
    told(&pv, DOMAIN_SHUTDOWN, 0);
    close(pv.fd);
}

#define T(f, name) {name, f, world_setup, world_teardown, NULL}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_armed, "a watch by name or domid is armed and then silent"),
        T(test_recorded, "a watch is in the audit log before it is armed, and pins nothing"),
        T(test_states_at_once, "what the domain is already is told at once"),
        T(test_changes, "each change is told, then GONE, DONE and the end"),
        T(test_costs_nothing, "nothing is asked while nothing happens"),
        T(test_backstop, "without xenstore's word it takes ten seconds"),
        T(test_reused_domid, "another domain with the domid is not the watched one"),
        T(test_no_such_domain, "a domid that none has is gone, a name that none has is refused"),
        T(test_dying_without_a_name, "a dying domain without a name is gone"),
        T(test_released_meanwhile, "an event while another answer is awaited is not lost"),
        T(test_no_rule, "nobody whom no rule names learns anything, in the words of list"),
        T(test_other_domains, "domains of others are not told about"),
        T(test_usage, "a watch takes a domain and nothing else"),
        T(test_answers_that_fail, "what cannot be asked or recorded is not done"),
        T(test_limits, "64 of a user, 256 in all, beside everything else"),
        T(test_burst, "64 at once are answered"),
        T(test_flood, "watches in a loop do not fill the log"),
        T(test_does_not_read, "who does not read is told the last state, and holds up nobody"),
        T(test_gone_watchers, "whatever a watcher says ends the watch"),
        T(test_other_commands_go_on, "a save of a watched domain goes on, and its end is told"),
        T(test_resumed_by_the_warden, "a resume by the warden is told at once"),
        T(test_new_rules, "new rules end the watches that they do not allow, and no others"),
        T(test_restart, "the end of the warden is the end of the watch"),
    };

    return cmocka_run_group_tests_name("warden: watches", tests, NULL, NULL);
}
