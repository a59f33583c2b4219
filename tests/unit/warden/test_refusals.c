/* SPDX-License-Identifier: LGPL-2.1-only */
/* What is refused before anything is touched: one row of a table each. */
#include "tests/unit/warden/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ALL (OP_LIST | OP_SAVE | OP_CHECKPOINT | OP_JOBS | OP_CANCEL | OP_RESUME)

enum file_kind { REGULAR, NONE, READ_ONLY, APPEND, PATH, PIPE_W, PIPE_R, NULL_DEV, PROC, DIR_, SOCK };

static int file_of(enum file_kind k)
{
    int p[2], fd = -1;
    char path[64];

    switch (k) {
    case REGULAR: return file_tmp();
    case READ_ONLY: return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    case APPEND: fd = file_tmp(); fcntl(fd, F_SETFL, O_APPEND); return fd;
    case PATH:
        fd = file_tmp();
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        p[0] = open(path, O_PATH | O_CLOEXEC);
        close(fd);
        return p[0];
    case PIPE_W:
    case PIPE_R:
        if (pipe(p))
            return -1;
        close(p[k == PIPE_W ? 0 : 1]);
        return p[k == PIPE_W ? 1 : 0];
    case NULL_DEV: return open("/dev/null", O_WRONLY | O_CLOEXEC);
    case PROC: return open("/proc/self/comm", O_WRONLY | O_CLOEXEC);
    case DIR_: return open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    case SOCK: return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    default: return -1;
    }
}

static void vnuma(void) { dom(5)->vnuma = true; }
static void hvm(void) { dom(5)->emulation = 0x7f; }
static void device_model(void) { dom(5)->facts = XSFACT_DEVICE_MODEL; }
static void pci(void) { dom(5)->facts = XSFACT_PCI; }
static void ninep(void) { dom(5)->facts = XSFACT_9PFS; }
static void dying(void) { dom(5)->flags |= 1; }
static void crashed(void) { dom(5)->flags |= 4u | 3u << 16; }
static void suspended(void) { dom(5)->flags |= 4u | 2u << 16; }
static void xenstore(void) { dom(5)->flags |= 0x80; }
static void huge(void) { dom(5)->max_gpfn = 0x10000000; }
static void many_vcpus(void) { dom(5)->max_vcpu_id = 5000; }
static void twice(void) { strcpy(dom(7)->name, "web"); }
static void only_checkpoint(void) { t.rules->nrows = 0; rule(OP_CHECKPOINT, true, "*"); }
static void only_others(void) { t.rules->nrows = 0; rule(ALL, true, "db*"); }
static void denied_first(void) { t.rules->nrows = 0; rule(OP_SAVE, false, "web"); rule(ALL, true, "*"); }
static void no_rule(void) { memset(&t.rules->rows[--t.rules->nrows], 0, sizeof(t.rules->rows[0])); }
static void log_full(void) { t.fail_record = RECORD_BEGIN; }
static void gate_down(void) { t.gate_errnum = EIO; }
static void no_config(void) { t.config_errnum = ENOENT; }
static void no_worker(void) { t.spawn_errnum = EAGAIN; }
static void no_grant(void) { t.grant_errnum = ENOSPC; }
static void unpinnable(void) { dom(5)->no_pin = true; }
static void suspended_hvm(void) { suspended(); hvm(); }
static void suspended_others(void) { suspended(); only_others(); }
static void resume_denied(void)
{
    suspended();
    t.rules->nrows = 0;
    rule(OP_RESUME, false, "web");
    rule(ALL, true, "*");
}
static void suspended_log_full(void) { suspended(); log_full(); }
static void ghost(void) { dom(5)->exists = false; }

static const struct refusal_case {
    const char *promise;
    uint32_t kind, flags, target;
    const char *domain;
    enum file_kind file;
    void (*prepare)(void);
    uint32_t exit_code, line;
    const char *words;
    bool begun;                     /* it fails after BEGIN: then it has an END */
} cases[] = {
    {"unknown kind", 99, 0, 0, "web", NONE, NULL, EXIT_USAGE, 0, "unknown kind"},
    {"unknown flag", KIND_SAVE, 0x80, 0, "web", REGULAR, NULL, EXIT_USAGE, 0, "options"},
    {"-c with -p", KIND_SAVE, 3, 0, "web", REGULAR, NULL, EXIT_USAGE, 0, "exclude"},
    {"pipe without -c or -p", KIND_SAVE, INTENT_STREAM, 0, "web", PIPE_W, NULL, EXIT_USAGE, 0, "pipe"},
    {"to stay suspended with -c", KIND_SAVE, INTENT_SUSPENDED | INTENT_CHECKPOINT, 0, "web", REGULAR,
     NULL, EXIT_USAGE, 0, "stay suspended"},
    {"to stay suspended with -p", KIND_SAVE, INTENT_SUSPENDED | INTENT_PAUSE, 0, "web", REGULAR, NULL,
     EXIT_USAGE, 0, "stay suspended"},
    {"to stay suspended with -D", KIND_SAVE, INTENT_SUSPENDED | INTENT_PRESERVE_DOMID, 0, "web",
     REGULAR, NULL, EXIT_USAGE, 0, "stay suspended"},
    {"to stay suspended, no pipe", KIND_SAVE, INTENT_SUSPENDED | INTENT_STREAM, 0, "web", REGULAR,
     NULL, EXIT_FAILED, 0, "not a pipe"},
    {"to stay suspended with the right to checkpoint", KIND_SAVE, INTENT_SUSPENDED, 0, "web", REGULAR,
     only_checkpoint, EXIT_DENIED, 0, "save of 'web': no rule"},
    {"resume with FILE", KIND_RESUME, 0, 0, "web", REGULAR, NULL, EXIT_USAGE, 0, "no FILE"},
    {"resume without domain", KIND_RESUME, 0, 0, "", NONE, NULL, EXIT_USAGE, 0, "needs a domain"},
    {"resume with a job number", KIND_RESUME, 0, 3, "web", NONE, NULL, EXIT_USAGE, 0, "no job"},
    {"resume with flags", KIND_RESUME, INTENT_CHECKPOINT, 0, "web", NONE, NULL, EXIT_USAGE, 0, "options"},
    {"resume of a running domain", KIND_RESUME, 0, 0, "web", NONE, NULL, EXIT_FAILED, 0,
     "it is not suspended"},
    {"resume of a crashed domain", KIND_RESUME, 0, 0, "web", NONE, crashed, EXIT_FAILED, 0,
     "but not suspended"},
    {"resume of a dying domain", KIND_RESUME, 0, 0, "web", NONE, dying, EXIT_FAILED, 0, "being destroyed"},
    {"resume of HVM", KIND_RESUME, 0, 0, "web", NONE, suspended_hvm, EXIT_FAILED, 0, "device model"},
    {"resume of domain 0", KIND_RESUME, 0, 0, "0", NONE, NULL, EXIT_FAILED, 0, "control domain"},
    {"resume of no domain", KIND_RESUME, 0, 0, "nosuch", NONE, NULL, EXIT_FAILED, 0,
     "no domain 'nosuch'"},
    {"resume without a rule", KIND_RESUME, 0, 0, "nosuch", NONE, only_checkpoint, EXIT_DENIED, 0,
     "resume of 'nosuch': no rule"},
    {"resume with a rule for others", KIND_RESUME, 0, 0, "5", NONE, suspended_others, EXIT_DENIED, 0,
     "resume of '5': no rule"},
    {"resume denied", KIND_RESUME, 0, 0, "web", NONE, resume_denied, EXIT_DENIED, 10,
     "denied by the rule"},
    {"resume without a record", KIND_RESUME, 0, 0, "web", NONE, suspended_log_full, EXIT_FAILED, 0,
     "audit log"},
    {"resume of what cannot be pinned", KIND_RESUME, 0, 0, "web", NONE, unpinnable, EXIT_FAILED, 0,
     "held on to"},
    {"save without FILE", KIND_SAVE, 0, 0, "web", NONE, NULL, EXIT_USAGE, 0, "needs a FILE"},
    {"save without domain", KIND_SAVE, 0, 0, "", REGULAR, NULL, EXIT_USAGE, 0, "needs a domain"},
    {"save with a job number", KIND_SAVE, 0, 3, "web", REGULAR, NULL, EXIT_USAGE, 0, "no job"},
    {"list with a file", KIND_LIST, 0, 0, "", REGULAR, NULL, EXIT_USAGE, 0, "no FILE"},
    {"jobs with a domain", KIND_JOBS, 0, 0, "web", NONE, NULL, EXIT_USAGE, 0, "no domain"},
    {"cancel without a job", KIND_CANCEL, 0, 0, "", NONE, NULL, EXIT_USAGE, 0, "needs a job"},
    {"cancel of no job", KIND_CANCEL, 0, 9, "", NONE, NULL, EXIT_DENIED, 0, "no job 9"},
    {"unknown name", KIND_SAVE, 0, 0, "nosuch", REGULAR, NULL, EXIT_FAILED, 0, "no domain 'nosuch'"},
    {"unknown domid", KIND_SAVE, 0, 0, "99", REGULAR, NULL, EXIT_FAILED, 0, "no domain 99"},
    {"a domid that is none", KIND_SAVE, 0, 0, "99999999999999999999", REGULAR, NULL, EXIT_FAILED, 0,
     "no domain 9999"},
    {"reserved domid", KIND_SAVE, 0, 0, "32754", REGULAR, NULL, EXIT_FAILED, 0, "no domain 32754"},
    {"a name whose domain is gone", KIND_SAVE, 0, 0, "web", REGULAR, ghost, EXIT_FAILED, 0, "no domain"},
    {"a name of two domains", KIND_SAVE, 0, 0, "web", REGULAR, twice, EXIT_FAILED, 0, "more than one"},
    {"domain 0", KIND_SAVE, 0, 0, "0", REGULAR, NULL, EXIT_FAILED, 0, "control domain"},
    {"domain 0 by name", KIND_SAVE, INTENT_CHECKPOINT, 0, "Domain-0", REGULAR, NULL, EXIT_FAILED, 0,
     "control domain"},
    {"the xenstore domain", KIND_SAVE, 0, 0, "web", REGULAR, xenstore, EXIT_FAILED, 0, "xenstore domain"},
    {"no rule", KIND_SAVE, 0, 0, "web", REGULAR, no_rule, EXIT_DENIED, 0, "no rule"},
    {"the name behind a domid is not told", KIND_SAVE, 0, 0, "5", REGULAR, only_others,
     EXIT_DENIED, 0, "save of '5': no rule"},
    {"no rule, no such domain", KIND_SAVE, 0, 0, "nosuch", REGULAR, no_rule, EXIT_DENIED, 0,
     "save of 'nosuch': no rule"},
    {"a rule for other domains", KIND_SAVE, 0, 0, "web", REGULAR, only_others, EXIT_DENIED, 0, "no rule"},
    {"save with the right to checkpoint", KIND_SAVE, 0, 0, "web", REGULAR, only_checkpoint,
     EXIT_DENIED, 0, "no rule"},
    {"denied by the first match", KIND_SAVE, 0, 0, "5", REGULAR, denied_first, EXIT_DENIED, 10,
     "denied by the rule"},
    {"HVM", KIND_SAVE, 0, 0, "web", REGULAR, hvm, EXIT_FAILED, 0, "device model"},
    {"a device model process", KIND_SAVE, 0, 0, "web", REGULAR, device_model, EXIT_FAILED, 0, "device model"},
    {"vNUMA", KIND_SAVE, 0, 0, "web", REGULAR, vnuma, EXIT_FAILED, 0, "NUMA"},
    {"PCI device", KIND_SAVE, 0, 0, "web", REGULAR, pci, EXIT_FAILED, 0, "PCI"},
    {"9pfs device", KIND_SAVE, 0, 0, "web", REGULAR, ninep, EXIT_FAILED, 0, "9pfs"},
    {"dying domain", KIND_SAVE, 0, 0, "web", REGULAR, dying, EXIT_FAILED, 0, "being destroyed"},
    {"crashed domain", KIND_SAVE, 0, 0, "web", REGULAR, crashed, EXIT_FAILED, 0, "shut down"},
    {"suspended domain", KIND_SAVE, 0, 0, "web", REGULAR, suspended, EXIT_FAILED, 0, "shut down"},
    {"a domain that cannot be pinned", KIND_SAVE, 0, 0, "web", REGULAR, unpinnable, EXIT_FAILED, 0,
     "held on to"},
    {"too large a domain", KIND_SAVE, 0, 0, "web", REGULAR, huge, EXIT_FAILED, 0, "too large"},
    {"too many vcpus", KIND_SAVE, 0, 0, "web", REGULAR, many_vcpus, EXIT_FAILED, 0, "too large"},
    {"FILE read-only", KIND_SAVE, 0, 0, "web", READ_ONLY, NULL, EXIT_FAILED, 0, "not open for writing"},
    {"FILE appending", KIND_SAVE, 0, 0, "web", APPEND, NULL, EXIT_FAILED, 0, "appending"},
    {"FILE O_PATH", KIND_SAVE, 0, 0, "web", PATH, NULL, EXIT_FAILED, 0, "not open for writing"},
    {"FILE /dev/null", KIND_SAVE, 0, 0, "web", NULL_DEV, NULL, EXIT_FAILED, 0, "not a regular file"},
    {"FILE a pipe", KIND_SAVE, 0, 0, "web", PIPE_W, NULL, EXIT_FAILED, 0, "not a regular file"},
    {"FILE a pipe's read end", KIND_SAVE, INTENT_STREAM | INTENT_CHECKPOINT, 0, "web", PIPE_R, NULL,
     EXIT_FAILED, 0, "not open for writing"},
    {"FILE no pipe with -", KIND_SAVE, INTENT_STREAM | INTENT_CHECKPOINT, 0, "web", REGULAR, NULL,
     EXIT_FAILED, 0, "not a pipe"},
    {"FILE a folder", KIND_SAVE, 0, 0, "web", DIR_, NULL, EXIT_FAILED, 0, "not open for writing"},
    {"FILE a socket", KIND_SAVE, 0, 0, "web", SOCK, NULL, EXIT_FAILED, 0, "not a regular file"},
    {"FILE in /proc", KIND_SAVE, 0, 0, "web", PROC, NULL, EXIT_FAILED, 0, "keeps nothing"},
    {"no record", KIND_SAVE, 0, 0, "web", REGULAR, log_full, EXIT_FAILED, 0, "audit log"},
    {"xenstore down", KIND_SAVE, 0, 0, "web", REGULAR, gate_down, EXIT_FAILED, 0, "xenstore did not"},
    {"no configuration", KIND_SAVE, 0, 0, "web", REGULAR, no_config, EXIT_FAILED, 0, "configuration", true},
    {"no worker", KIND_SAVE, 0, 0, "web", REGULAR, no_worker, EXIT_FAILED, 0, "no worker", true},
    {"no grant", KIND_SAVE, 0, 0, "web", REGULAR, no_grant, EXIT_FAILED, 0, "grants no", true},
};

static struct msg_DENIED denied;

static void refused(const struct refusal_case *c)
{
    struct ipc_chan op;
    int fd = file_of(c->file);

    rule(ALL, true, "*");
    if (c->prepare)
        c->prepare();
    world_start();
    op = op_connect();
    op_send(&op, c->kind, c->flags, c->domain, c->target, fd);
    if (fd >= 0)
        close(fd);
    assert_int_equal(op_recv(&op, &denied, 3000), MSG_DENIED);
    if (!strstr(denied.message, c->words))
        fail_msg("'%s' does not say '%s'", denied.message, c->words);
    assert_int_equal(denied.exit_code, c->exit_code);
    assert_int_equal(denied.line, c->line);
    close(op.fd);
    pump(20);
    assert_false(t.got_job);
    assert_int_equal(fake->pins, 0);
    assert_int_equal(count("rec act"), 0);
    assert_int_equal(count("rec end"), c->begun ? 1 : 0);
    if (c->exit_code != EXIT_USAGE)
        assert_non_null(record_of(RECORD_DENIED, 0));
}

static void test_case(void **state)
{
    world_setup(NULL);
    refused(*state);
    world_teardown(NULL);
}

/* ---- refusals that need a story */

static void ask_save(const char *domain, uint32_t flags)
{
    struct ipc_chan op = op_connect();
    int fd = file_tmp();

    op_send(&op, KIND_SAVE, flags, domain, 0, fd);
    close(fd);
    memset(&denied, 0, sizeof(denied));
    assert_int_equal(op_recv(&op, &denied, 3000), MSG_DENIED);
    close(op.fd);
}

static void test_second(void **state)
{
    char number[32];

    rule(ALL, true, "*");
    world_start();
    save_begin(0);
    ask_save("5", 0);
    snprintf(number, sizeof(number), "job %u", t.number);
    assert_non_null(strstr(denied.message, number));
    assert_int_equal(denied.exit_code, EXIT_FAILED);
    assert_int_equal(fake->pins, 1);
}

static void test_jobs_per_operator(void **state)
{
    rule(ALL, true, "*");
    t.rules->limits.jobs_per_operator = 1;
    world_start();
    save_begin(0);
    ask_save("db", 0);
    assert_non_null(strstr(denied.message, "jobs-per-operator is 1"));
}

static void test_deadline(void **state)
{
    struct msg_INTENT in = {.version = IPC_VERSION, .kind = KIND_SAVE, .deadline = 601, .domain = "web"};
    struct ipc_chan op;
    int fd = file_tmp();

    rule(ALL, true, "*");
    world_start();
    op = op_connect();
    ipc_send(&op, MSG_INTENT, 0, &in, &fd, 1);
    assert_int_equal(op_recv(&op, &denied, 3000), MSG_DENIED);
    assert_non_null(strstr(denied.message, "600"));
    close(op.fd);
    close(fd);
}

static void test_version(void **state)
{
    struct msg_INTENT in = {.version = 7, .kind = KIND_LIST};
    struct ipc_chan op;

    world_start();
    op = op_connect();
    ipc_send(&op, MSG_INTENT, 0, &in, NULL, 0);
    assert_int_equal(op_recv(&op, &denied, 3000), MSG_DENIED);
    assert_non_null(strstr(denied.message, "version 7"));
    close(op.fd);
}

static void test_nobody(void **state)
{
    struct ipc_chan op;
    int fd = file_tmp();

    if (getuid())
        fail_msg("needs root, to connect as uid 65534");
    rule(ALL, true, "*");
    world_start();
    op = op_connect_as(65534);
    op_send(&op, KIND_SAVE, 0, "web", 0, fd);
    assert_int_equal(op_recv(&op, &denied, 3000), MSG_DENIED);
    assert_int_equal(denied.exit_code, EXIT_DENIED);
    assert_int_equal(record_of(RECORD_DENIED, 0)->uid, 65534);
    close(op.fd);
    close(fd);
}

static void test_cancel_of_others(void **state)
{
    struct ipc_chan op;

    rule(OP_SAVE, true, "*");       /* and not cancel */
    world_start();
    save_begin(0);
    op = op_connect();
    op_send(&op, KIND_CANCEL, 0, "", t.number, -1);
    assert_int_equal(op_recv(&op, &denied, 3000), MSG_DENIED);
    assert_int_equal(denied.exit_code, EXIT_DENIED);
    pump(50);
    assert_false(t.got_cancel);
    close(op.fd);
}

static void test_pv(void **state)
{
    struct ipc_chan op;
    int fd = file_tmp();

    rule(OP_SAVE, true, "*");
    world_start();
    op = op_connect();
    op_send(&op, KIND_SAVE, 0, "pv", 0, fd);
    assert_true(pump_until(&t.got_job, 3000));
    assert_int_equal(t.job.guest_type, GUEST_PV);
    happened_in_order((const char *const[]){"pin 6 1006", "privcmd 6", "privcmd 32754", "job", NULL});
    close(op.fd);
    close(fd);
}

static void test_list_of_one(void **state)
{
    struct ipc_chan op;
    struct msg_DOMAIN_ROW row;

    rule(OP_LIST, true, "web");
    world_start();
    op = op_connect();
    op_send(&op, KIND_LIST, 0, "db", 0, -1);
    assert_int_equal(op_recv(&op, &denied, 3000), MSG_DENIED);
    assert_int_equal(denied.exit_code, EXIT_DENIED);
    close(op.fd);
    op = op_connect();
    op_send(&op, KIND_LIST, 0, "5", 0, -1);
    assert_int_equal(op_recv(&op, &row, 3000), MSG_DOMAIN_ROW);
    assert_string_equal(row.name, "web");
    close(op.fd);
}

static void test_denials_are_bounded(void **state)
{
    rule(OP_LIST, true, "*");
    world_start();
    for (int i = 0; i < 40; i++)
        ask_save("web", 0);
    assert_int_equal(count("rec denied"), 20);
    fake->skew_ms += 11000;
    ask_save("web", 0);
    assert_int_equal(record_of(RECORD_NOTE, 0)->refused[4 * REFUSED_FLOOD], 20);
}

#define N (sizeof(cases) / sizeof(cases[0]))
#define T(f, promise) {promise, f, world_setup, world_teardown, NULL}
int main(void)
{
    static const struct CMUnitTest stories[] = {
        T(test_second, "a second save of a domain is refused with the first one's number"),
        T(test_jobs_per_operator, "jobs-per-operator holds, and the refusal names it"),
        T(test_deadline, "a deadline above save-deadline is refused with the limit"),
        T(test_version, "another version is refused with both numbers"),
        T(test_nobody, "uid 65534 matches no rule"),
        T(test_cancel_of_others, "a job is cancelled only by whom a rule lets"),
        T(test_pv, "a PV guest is pinned by its shared info and gets a second privcmd"),
        T(test_list_of_one, "a domain that no rule lets see is not listed"),
        T(test_denials_are_bounded, "refused intents cannot flood the log"),
    };
    static struct CMUnitTest table[N];
    static char names[N][96];
    int failed;

    for (unsigned i = 0; i < N; i++) {
        snprintf(names[i], sizeof(names[i]), "refused: %s", cases[i].promise);
        table[i] = (struct CMUnitTest){names[i], test_case, NULL, NULL, (void *)(uintptr_t)&cases[i]};
    }
    failed = cmocka_run_group_tests_name("table", table, NULL, NULL);
    return failed + cmocka_run_group_tests(stories, NULL, NULL);
}
