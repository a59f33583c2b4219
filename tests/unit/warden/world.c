/* SPDX-License-Identifier: LGPL-2.1-only */
/* The processes around the warden, played by the test. */
#define __XEN_TOOLS__ 1
#include "tests/unit/warden/world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/domctl.h>

#include "policy/launch/fds.h"
#include "policy/warden/hvrow.h"
#include "policy/warden/warden.h"

struct fake *fake;
struct world t;
static struct sockaddr_un sock = {.sun_family = AF_UNIX};
static int undo_fd = -1;

void logf_(const char *fmt, ...)
{
    unsigned i = __atomic_fetch_add(&fake->nlog, 1, __ATOMIC_SEQ_CST);
    va_list ap;

    if (i >= LOG_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(fake->log[i], LOG_LINE, fmt, ap);
    va_end(ap);
}

int find(const char *text, int from)
{
    for (unsigned i = from < 0 ? 0 : (unsigned)from; i < fake->nlog && i < LOG_MAX; i++)
        if (strstr(fake->log[i], text))
            return (int)i;
    return -1;
}

unsigned count(const char *text)
{
    unsigned n = 0;

    for (int i = find(text, 0); i >= 0; i = find(text, i + 1))
        n++;
    return n;
}

void happened_in_order(const char *const *texts)
{
    int at = 0;

    for (; *texts; texts++) {
        int i = find(*texts, at);

        if (i < 0) {
            for (unsigned k = 0; k < fake->nlog; k++)
                fprintf(stderr, "# %3u %s\n", k, fake->log[k]);
            fail_msg("'%s' did not happen after entry %d", *texts, at);
        }
        at = i + 1;
    }
}

const struct msg_RECORD *record_of(uint32_t what, uint32_t act)
{
    for (unsigned i = t.nrecords; i-- > 0;)
        if (t.records[i].what == what && (what != RECORD_ACT || t.records[i].act == act))
            return &t.records[i];
    return NULL;
}

struct fdom *dom(uint32_t domid)
{
    for (unsigned i = 0; i < DOMS; i++)
        if (fake->doms[i].exists && fake->doms[i].domid == domid)
            return &fake->doms[i];
    return NULL;
}

struct rule_row *rule(uint32_t ops, bool allow, const char *pattern)
{
    struct rule_row *r = &t.rules->rows[t.rules->nrows++];

    *r = (struct rule_row){SUBJECT_UID, getuid(), ops, allow, 10 * t.rules->nrows, {0}};
    snprintf(r->pattern, sizeof(r->pattern), "%s", pattern);
    return r;
}

static void add_dom(unsigned i, uint32_t domid, const char *name, bool hvm)
{
    struct fdom *d = &fake->doms[i];

    *d = (struct fdom){.exists = true, .domid = domid, .max_gpfn = 0xfffff, .max_pages = 65536,
                       .irq = 1, .width = 64};
    d->flags = hvm ? XEN_DOMINF_hvm_guest : 0;
    d->emulation = hvm ? 1 : 0;
    memset(d->handle, (int)domid + 1, sizeof(d->handle));
    snprintf(d->name, sizeof(d->name), "%s", name);
}

int world_setup(void **state)
{
    memset(&t, 0, sizeof(t));
    t.op_fd = t.op.fd = t.worker.fd = -1;
    fake = mmap(NULL, sizeof(*fake), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(fake, MAP_FAILED);
    add_dom(0, 0, "Domain-0", false);
    add_dom(1, 5, "web", true);
    add_dom(2, 6, "pv", false);
    add_dom(3, 7, "db", true);
    t.rules = calloc(1, sizeof(*t.rules));
    *t.rules = (struct rules_table){.magic = RULES_MAGIC, .version = RULES_VERSION,
                                    .limits = {4, 600, 60, 60}};
    undo_fd = memfd_create("undo", 0);
    assert_int_equal(ftruncate(undo_fd, UNDO_SLOTS * sizeof(struct undo_slot)), 0);
    return 0;
}

static void close_all(void)
{
    int *const fds[] = {&t.sup.fd, &t.rec.fd, &t.gate.fd, &t.par.fd, &t.forker.fd, &t.worker.fd,
                        &t.op_fd, &t.op.fd};

    for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (*fds[i] > 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

int world_teardown(void **state)
{
    if (t.warden)
        world_stop();
    if (t.victim)
        kill(t.victim, SIGKILL), waitpid(t.victim, NULL, 0);
    close_all();
    close(undo_fd);
    unlink(sock.sun_path);
    free(t.rules);
    munmap(fake, sizeof(*fake));
    fake = NULL;
    return 0;
}

static void channel(struct ipc_chan *ch, uint32_t self, bool fds, int *wardens)
{
    int p[2];

    assert_int_equal(ipc_pair(p), 0);
    *ch = (struct ipc_chan){p[0], self, WARDEN, PH_ANY, fds, false};
    *wardens = p[1];
}

static void send_table(void)
{
    int fd = memfd_create("rules", MFD_ALLOW_SEALING);

    assert_int_equal(write(fd, t.rules, sizeof(*t.rules)), sizeof(*t.rules));
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
    assert_int_equal(ipc_send(&t.sup, MSG_TABLE, 0, NULL, &fd, 1), 0);
    close(fd);
}

void world_new_rules(void)
{
    send_table();
    pump(50);
}

static void run_warden(int *fds)
{
    int high[16];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0; fds[i] >= 0; i++)      /* out of the way of the fixed numbers */
        high[i] = fcntl(fds[i], F_DUPFD, 64);
    close_all();
    for (int i = 0; i < 6; i++)
        dup2(high[i], FD_WARDEN_SUPERVISOR + i);
    dup2(undo_fd >= 64 ? undo_fd : high[6], FD_WARDEN_UNDO);
    close_range(64, ~0u, 0);
    exit(warden_main());
}

void world_start(void)
{
    int fds[8], listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int64_t skew = fake->skew_ms;

    close_all();
    fake->skew_ms = skew;
    t.ready = t.got_job = t.got_cancel = t.got_verdict = t.got_ended = false;
    unlink(sock.sun_path);
    snprintf(sock.sun_path, sizeof(sock.sun_path), "/tmp/moat-test-%d.sock", getpid());
    assert_int_equal(bind(listener, (struct sockaddr *)&sock, sizeof(sock)), 0);
    chmod(sock.sun_path, 0666);
    assert_int_equal(listen(listener, 128), 0);
    channel(&t.sup, SUPERVISOR, false, &fds[0]);
    channel(&t.rec, RECORDER, false, &fds[1]);
    channel(&t.gate, GATE, false, &fds[2]);
    channel(&t.par, PARENT, true, &fds[3]);
    channel(&t.forker, FORKER, true, &fds[4]);
    fds[5] = listener;
    fds[6] = undo_fd;
    fds[7] = -1;
    send_table();
    t.warden = fork();
    assert_true(t.warden >= 0);
    if (!t.warden)
        run_warden(fds);
    for (int i = 0; i < 6; i++)
        close(fds[i]);
    pump_until(&t.ready, 5000);
}

void world_stop(void)
{
    kill(t.warden, SIGKILL);
    waitpid(t.warden, &t.status, 0);
    t.warden = 0;
}

void world_close(void)
{
    close_all();
    world_wait_exit();
}

void world_wait_exit(void)
{
    for (int i = 0; i < 1500; i++) {
        if (waitpid(t.warden, &t.status, WNOHANG) == t.warden) {
            t.warden = 0;
            return;
        }
        pump(10);
    }
    fail_msg("the warden did not exit");
}

/* ---- answers */

static struct ipc_frame f;

static void recorder_says(void)
{
    static struct msg_RECORD r;
    struct msg_RECORDED a = {.errnum = 0};

    if (ipc_decode(&f, &r))
        fail_msg("RECORD: %s", f.why);
    if (t.nrecords < 512)
        t.records[t.nrecords++] = r;
    if (r.what == t.fail_record && (r.what != RECORD_ACT || r.act == t.fail_act))
        a.errnum = ENOSPC;
    logf_("rec %s %s", r.what == RECORD_BEGIN ? "begin" : r.what == RECORD_DENIED ? "denied" :
          r.what == RECORD_ACT ? "act" : r.what == RECORD_END ? "end" : "note",
          r.what == RECORD_ACT ? ipc_act_word(r.act) : r.what == RECORD_END
          ? ipc_cause_words(r.cause) : "");
    ipc_send(&t.rec, MSG_RECORDED, 0, &a, NULL, 0);
}

static void resolve(void)
{
    struct msg_RESOLVE q;
    struct msg_RESOLVED a = {.errnum = t.gate_errnum};
    uint32_t ids[8] = {0};

    ipc_decode(&f, &q);
    for (unsigned i = 0; i < DOMS; i++)     /* names of domains that are gone as well */
        if (fake->doms[i].name[0] && !strcmp(fake->doms[i].name, q.name) && a.count < 8)
            ids[a.count++] = fake->doms[i].domid;
    memcpy(a.domids, ids, sizeof(ids));
    ipc_send(&t.gate, MSG_RESOLVED, 0, &a, NULL, 0);
}

static void describe(void)
{
    struct msg_DESCRIBE q;
    struct msg_DESCRIBED a = {.errnum = t.gate_errnum};

    ipc_decode(&f, &q);
    if (dom(q.domid)) {
        ipc_text(a.name, sizeof(a.name), dom(q.domid)->name);
        a.facts = dom(q.domid)->facts;
    }
    ipc_send(&t.gate, MSG_DESCRIBED, 0, &a, NULL, 0);
}

static void gate_undo(struct msg_XS_DONE *a)
{
    struct msg_XS_UNDO u;
    struct fdom *d;

    ipc_decode(&f, &u);
    logf_("xs undo %u", u.what);
    d = dom(u.domid);
    if (d && u.what == XSUNDO_SHUTDOWN && d->suspends_late) {
        d->suspends_late = false;
        d->flags |= XEN_DOMINF_shutdown | 2u << XEN_DOMINF_shutdownshift;
    }
    if (d && d->dies)
        d->flags |= XEN_DOMINF_dying;
    a->errnum = 0;
    a->withdrawn = t.unread && u.what & XSUNDO_SHUTDOWN;
}

static void gate_says(void)
{
    struct msg_XS_DONE done = {.errnum = 0};
    struct msg_XS_GRANT g;
    struct msg_XS_DESTROY x;
    struct msg_XS_DESTROYED gone = {0};

    if (t.silent_gate)
        return;
    switch (f.type) {
    case MSG_RESOLVE:
        resolve();
        return;
    case MSG_DESCRIBE:
        describe();
        return;
    case MSG_XS_GRANT:
        ipc_decode(&f, &g);
        logf_("xs grant %u", g.stage);
        done.errnum = t.grant_errnum;
        break;
    case MSG_XS_REVOKE:
        logf_("xs revoke");
        break;
    case MSG_XS_UNDO:
        gate_undo(&done);
        break;
    case MSG_XS_DESTROY:
        ipc_decode(&f, &x);
        logf_("xs destroy %u", x.domid);
        gone.domid = x.domid;
        if (!t.hold_destroy)
            ipc_send(&t.gate, MSG_XS_DESTROYED, f.job, &gone, NULL, 0);
        return;
    }
    ipc_send(&t.gate, MSG_XS_DONE, f.job, &done, NULL, 0);
}

static void supervisor_says(void)
{
    struct msg_OPENED opened = {.errnum = t.config_errnum};
    struct msg_DESTROY d;
    struct msg_DESTROYED gone = {0};
    int fd;

    if (f.type == MSG_READY) {
        logf_("ready");
        t.ready = true;
    } else if (f.type == MSG_OPEN_CONFIG) {
        logf_("open config");
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        ipc_send(&t.sup, MSG_OPENED, f.job, &opened, &fd, t.config_errnum ? 0 : 1);
        close(fd);
    } else if (f.type == MSG_DESTROY) {
        ipc_decode(&f, &d);
        logf_("destroy %u", d.domid);
        if (dom(d.domid) && !t.destroy_errnum)
            dom(d.domid)->exists = false;
        gone.domid = d.domid;
        gone.errnum = t.destroy_errnum;
        ipc_send(&t.sup, MSG_DESTROYED, f.job, &gone, NULL, 0);
    }
}

static void forker_says(void)
{
    struct msg_SPAWNED a = {.errnum = t.spawn_errnum, .pid = (uint32_t)getpid()};
    int pidfd, channel_fd, other;

    if (f.type == MSG_KILL_WORKER) {
        logf_("kill worker");
        if (t.victim && !t.no_kill)
            kill(t.victim, SIGKILL);
        return;
    }
    logf_("spawn");
    other = ipc_take_fd(&f, 0);
    channel_fd = ipc_take_fd(&f, 1);
    close(other);
    if (t.spawn_errnum) {
        close(channel_fd);
        ipc_send(&t.forker, MSG_SPAWNED, f.job, &a, NULL, 0);
        return;
    }
    /* The test itself is the worker that speaks; the worker that dies is a child of its own. */
    if (t.worker.fd >= 0)
        close(t.worker.fd);
    t.worker = (struct ipc_chan){channel_fd, WORKER, WARDEN, PH_OPEN | PH_RUN, true, false};
    t.got_grant = false;
    if (t.victim)
        save_die();
    t.victim = fork();
    if (!t.victim) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close_range(3, ~0u, 0);
        for (;;)
            pause();
    }
    pidfd = (int)syscall(SYS_pidfd_open, t.victim, 0);
    ipc_send(&t.forker, MSG_SPAWNED, f.job, &a, &pidfd, 1);
    close(pidfd);
}

static void parent_says(void)
{
    switch (f.type) {
    case MSG_JOB:
        t.got_job = !ipc_decode(&f, &t.job);
        t.number = f.job;
        if (t.op_fd >= 0)
            close(t.op_fd);
        t.op_fd = ipc_take_fd(&f, 0);
        logf_("job");
        break;
    case MSG_CANCEL:
        t.got_cancel = !ipc_decode(&f, &t.cancel);
        logf_("cancel %s", ipc_cause_words(t.cancel.cause));
        break;
    case MSG_SUSPEND_OK:
        t.got_ok = !ipc_decode(&f, &t.ok);
        break;
    case MSG_STATE_IS:
        t.got_state = !ipc_decode(&f, &t.state);
        break;
    case MSG_VERDICT:
        t.got_verdict = !ipc_decode(&f, &t.verdict);
        logf_("verdict %d", t.verdict.rc);
        break;
    case MSG_ENDED:
        t.got_ended = !ipc_decode(&f, &t.ended);
        logf_("ended %d", t.ended.rc);
        break;
    }
}

static int64_t real_ms(void)
{
    struct timespec ts;

    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static bool pump_once(int ms)
{
    struct ipc_chan *const ch[] = {&t.rec, &t.gate, &t.sup, &t.forker, &t.par};
    void (*const says[])(void) = {recorder_says, gate_says, supervisor_says, forker_says,
                                  parent_says};
    struct pollfd p[5];
    bool any = false;

    for (unsigned i = 0; i < 5; i++)
        p[i] = (struct pollfd){.fd = ch[i]->fd, .events = POLLIN};
    if (poll(p, 5, ms) <= 0)
        return false;
    for (unsigned i = 0; i < 5; i++) {
        int rc = p[i].revents ? ipc_recv(ch[i], &f) : 0;

        if (rc == 1) {
            says[i]();
            ipc_close_fds(&f);
            any = true;
        } else if (rc < 0) {
            if (rc == -EPROTO)
                fail_msg("the warden broke the protocol: %s", f.why);
            close(ch[i]->fd);
            ch[i]->fd = -1;
        }
    }
    return any;
}

void pump(int ms)
{
    int64_t end = real_ms() + ms;

    do
        pump_once((int)(end - real_ms() > 5 ? 5 : end - real_ms() > 0 ? end - real_ms() : 0));
    while (real_ms() < end);
}

bool pump_until(const bool *flag, int ms)
{
    int64_t end = real_ms() + ms;

    while (!*flag && real_ms() < end)
        pump_once(20);
    return *flag;
}

/* ---- operators */

struct ipc_chan op_connect(void)
{
    struct ipc_chan op = {-1, OPERATOR, WARDEN | PARENT, PH_OPEN | PH_RUN, false, false};

    op.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(op.fd, (struct sockaddr *)&sock, sizeof(sock)), 0);
    fcntl(op.fd, F_SETFL, O_NONBLOCK);
    return op;
}

/* Connected by a child of that uid, which is what the kernel notes. */
struct ipc_chan op_connect_as(uid_t uid)
{
    struct ipc_chan op;
    pid_t pid;
    int status, fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    pid = fork();
    if (!pid)
        _exit(setresgid(uid, uid, uid) || setresuid(uid, uid, uid) ||
              connect(fd, (struct sockaddr *)&sock, sizeof(sock)));
    assert_true(pid > 0);
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    op = (struct ipc_chan){fd, OPERATOR, WARDEN | PARENT, PH_OPEN | PH_RUN, false, false};
    return op;
}

void op_send(const struct ipc_chan *op, uint32_t kind, uint32_t flags, const char *domain,
             uint32_t target, int fd)
{
    struct msg_INTENT in = {.version = IPC_VERSION, .kind = kind, .flags = flags, .target = target};

    ipc_text(in.domain, sizeof(in.domain), domain);
    assert_int_equal(ipc_send(op, MSG_INTENT, 0, &in, &fd, fd >= 0 ? 1 : 0), 0);
}

uint32_t op_recv(const struct ipc_chan *op, void *msg, int ms)
{
    static struct ipc_frame g;
    int64_t end = real_ms() + ms;

    while (real_ms() < end) {
        int rc = ipc_recv(op, &g);

        if (rc == 1)
            return ipc_decode(&g, msg) ? 0 : g.type;
        if (rc < 0)
            return 0;
        pump_once(5);
    }
    return 0;
}

int file_tmp(void)
{
    char path[] = "/tmp/moat-test-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);

    unlink(path);
    return fd;
}

/* ---- a save of domain 5 */

void save_begin(uint32_t flags)
{
    struct ipc_chan op = op_connect();
    static struct ipc_frame g;
    int file = file_tmp();

    t.got_job = false;
    op_send(&op, KIND_SAVE, flags, "web", 0, file);
    close(file);
    assert_true(pump_until(&t.got_job, 3000));
    if (t.op.fd >= 0)
        close(t.op.fd);
    t.op = op;
    assert_int_equal(ipc_recv(&t.worker, &g), 1);
    assert_int_equal(g.type, MSG_GRANT);
    t.grant_fds = g.nfds;
    assert_int_equal(ipc_decode(&g, &t.grant), 0);
    ipc_close_fds(&g);
    t.worker.takes_fds = false;
}

int32_t call(uint32_t op, uint32_t row, const void *arg, uint32_t len, const void *data,
             uint32_t dlen)
{
    struct msg_CALL c = {.op = op, .row = row, .arg = {arg, len}, .data = {data, dlen}};
    static struct msg_CALLED a;
    static struct ipc_frame g;
    int64_t end = real_ms() + 3000;

    if (ipc_send(&t.worker, MSG_CALL, t.number, &c, NULL, 0))
        return -EPIPE;
    while (real_ms() < end) {
        int rc = ipc_recv(&t.worker, &g);

        if (rc == 1) {
            assert_int_equal(ipc_decode(&g, &a), 0);
            return a.ret < 0 ? -a.errnum : a.ret;
        }
        if (rc < 0)
            return -EPIPE;
        pump_once(5);
    }
    return -ETIMEDOUT;
}

int32_t call_domctl(uint32_t row, uint32_t cmd, const void *u, size_t len)
{
    struct xen_domctl c;

    memset(&c, 0, sizeof(c));
    c.cmd = cmd;
    c.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    c.domain = (domid_t)t.grant.domid;
    if (len)
        memcpy(&c.u, u, len);
    return call(__HYPERVISOR_domctl, row, &c, sizeof(c), NULL, 0);
}

void par_send(uint32_t type, uint32_t job, const void *msg)
{
    assert_int_equal(ipc_send(&t.par, type, job, msg, NULL, 0), 0);
}

void save_run(void)
{
    struct xen_domctl_shadow_op on = {.op = XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY};

    assert_int_equal(call_domctl(HV_GETDOMAININFO, XEN_DOMCTL_getdomaininfo, NULL, 0), 0);
    if (t.grant.flags & INTENT_LIVE)
        assert_int_equal(call_domctl(HV_LOGDIRTY_ENABLE, XEN_DOMCTL_shadow_op, &on, sizeof(on)), 0);
}

void save_suspend(void)
{
    t.got_ok = t.got_state = false;
    par_send(MSG_SUSPEND, t.number, NULL);
    assert_true(pump_until(&t.got_ok, 2000));
    assert_int_equal(t.ok.rc, 0);
    dom(5)->flags |= XEN_DOMINF_shutdown | 2u << XEN_DOMINF_shutdownshift;
    par_send(MSG_STATE, t.number, NULL);
    assert_true(pump_until(&t.got_state, 2000));
    assert_int_equal(t.state.state, DOMAIN_SUSPENDED);
}

void save_context(void)
{
    struct xen_domctl_hvmcontext h = {.size = 0};
    struct xen_domctl_shadow_op off = {.op = XEN_DOMCTL_SHADOW_OP_OFF};
    struct xen_domctl c;

    assert_int_equal(call_domctl(HV_GETHVMCONTEXT, XEN_DOMCTL_gethvmcontext, &h, sizeof(h)), 0);
    memset(&c, 0, sizeof(c));
    h.size = 64;
    h.buffer.p = (void *)1;
    assert_int_equal(call_domctl(HV_GETHVMCONTEXT, XEN_DOMCTL_gethvmcontext, &h, sizeof(h)), 0);
    assert_int_equal(call_domctl(HV_LOGDIRTY_OFF, XEN_DOMCTL_shadow_op, &off, sizeof(off)), 0);
    if (!t.no_finished)
        save_finished();
}

void save_finished(void)
{
    assert_int_equal(ipc_send(&t.worker, MSG_FINISHED, t.number, NULL, NULL, 0), 0);
}

void save_die(void)
{
    kill(t.victim, SIGKILL);
    waitpid(t.victim, NULL, 0);
    t.victim = 0;
}

void save_outcome(int32_t retval, int32_t status, uint32_t cause)
{
    struct msg_OUTCOME o = {.cause = cause, .retval = retval, .worker_status = status};

    t.got_verdict = false;
    par_send(MSG_OUTCOME, t.number, &o);
    pump_until(&t.got_verdict, 2500);
}

void save_saved(uint32_t flags)
{
    save_begin(flags);
    save_run();
    save_suspend();
    save_context();
    save_die();
    save_outcome(0, 0, CAUSE_NONE);
    assert_true(t.got_verdict);
    assert_int_equal(t.verdict.rc, 0);
}

void op_commit(void)
{
    assert_int_equal(ipc_send(&t.op, MSG_COMMIT, t.number, NULL, NULL, 0), 0);
}

/* ---- the undo file */

void world_write_undo(unsigned i, const struct undo_slot *s)
{
    assert_int_equal(pwrite(undo_fd, s, sizeof(*s), (off_t)(i * sizeof(*s))), sizeof(*s));
}

const struct undo_slot *world_read_undo(unsigned i)
{
    static struct undo_slot s;

    assert_int_equal(pread(undo_fd, &s, sizeof(s), (off_t)(i * sizeof(s))), sizeof(s));
    return &s;
}
