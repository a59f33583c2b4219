/* SPDX-License-Identifier: LGPL-2.1-only */
#include "tests/unit/gate/world.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "policy/gate/gate.h"

int64_t now_ms(void)
{
    return gate_now();
}

static void *serve(void *arg)
{
    struct world *w = arg;
    struct pollfd p[SIMXS_CONNS];
    unsigned n;

    while (!w->stop) {
        pthread_mutex_lock(&w->lock);
        n = simxs_pollfds(w->sim, p, SIMXS_CONNS);
        pthread_mutex_unlock(&w->lock);
        poll(p, n, 2);
        pthread_mutex_lock(&w->lock);
        simxs_handle(w->sim);
        pthread_mutex_unlock(&w->lock);
    }
    return NULL;
}

static int make_listener(const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
    unlink(path);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

int world_connect(const struct world *w)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", w->path);
    if (connect(fd, (struct sockaddr *)&sun, sizeof(sun))) {
        close(fd);
        return -1;
    }
    return fd;
}

/* With GATE_PROGRAM=build/libexec/gate the same tests run against the program that is installed, as
 * the launcher would start it: its own uid, no capability, fixed fds; it locks itself. */
static void exec_gate(const char *program, const int fds[4])
{
    int status = open("/proc/self/status", O_RDONLY), at[4];
    char uid[12], *argv[] = {(char *)"gate", uid, NULL}, *envp[] = {NULL};

    for (int i = 0; i < 4; i++)
        at[i] = fcntl(fds[i], F_DUPFD, 20);
    status = fcntl(status, F_DUPFD, 20);
    for (int i = 0; i < 4; i++)
        dup2(at[i], 3 + i);
    dup2(status, 9);
    closefrom(10);
    snprintf(uid, sizeof(uid), "%u", (unsigned)getuid());
    for (int cap = 0; cap < 64; cap++)
        prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    if (setgroups(0, NULL) || setresgid(64001, 64001, 64001) || setresuid(64001, 64001, 64001) ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _exit(99);
    execve(program, argv, envp);
    _exit(98);
}

static void run_gate(int warden, int listener, int upstream, int own)
{
    int null = open("/dev/null", O_WRONLY);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!getenv("GATE_STDERR"))
        dup2(null, 2);
    if (getenv("GATE_PROGRAM"))
        exec_gate(getenv("GATE_PROGRAM"), (int[]){warden, listener, upstream, own});
    gate_open(warden, listener, upstream, own, getuid());
    gate_serve();
}

struct world *world_new(enum client client)
{
    struct world *w = calloc(1, sizeof(*w));
    int chan[2], up[2], own[2], listener;

    assert_non_null(w);
    snprintf(w->path, sizeof(w->path), "/tmp/moat-gate-test.%d", (int)getpid());
    listener = make_listener(w->path);
    assert_int_equal(ipc_pair(chan), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, up), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, own), 0);
    w->gate = fork();
    assert_true(w->gate >= 0);
    if (!w->gate) {
        close(chan[0]);
        close(up[0]);
        close(own[0]);
        run_gate(chan[1], listener, up[1], own[1]);
    }
    close(chan[1]);
    close(up[1]);
    close(own[1]);
    close(listener);
    w->warden = (struct ipc_chan){.fd = chan[0], .self = WARDEN, .peer = GATE, .phase = PH_RUN};
    w->sim = simxs_new();
    simxs_add_conn(w->sim, up[0]);
    simxs_add_conn(w->sim, own[0]);
    pthread_mutex_init(&w->lock, NULL);
    assert_int_equal(pthread_create(&w->thread, NULL, serve, w), 0);
    w->raw = -1;
    for (int i = 0; i < 2000 && store_watches(w) == UINT_MAX; i++)
        usleep(1000);
    assert_int_equal(store_watches(w), 0);
    if (client == CLIENT_LIB) {
        setenv("XENSTORED_PATH", w->path, 1);
        w->xs = xs_open(0);
        assert_non_null(w->xs);
    } else if (client == CLIENT_RAW) {
        w->raw = world_connect(w);
        assert_true(w->raw >= 0);
    }
    return w;
}

void world_free(struct world *w)
{
    if (w->gate > 0) {
        kill(w->gate, SIGKILL);
        waitpid(w->gate, NULL, 0);
    }
    if (w->xs)
        xs_close(w->xs);
    if (w->raw >= 0)
        close(w->raw);
    if (w->warden.fd >= 0)
        close(w->warden.fd);
    w->stop = true;
    pthread_join(w->thread, NULL);
    simxs_free(w->sim);
    unlink(w->path);
    free(w);
}

int world_exit(struct world *w)
{
    int status;

    for (int i = 0; i < 500; i++) {
        if (waitpid(w->gate, &status, WNOHANG) == w->gate) {
            w->gate = -1;
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        usleep(10000);
    }
    return -1;
}

/* ---- the store */

void store_put(struct world *w, const char *path, const char *value)
{
    pthread_mutex_lock(&w->lock);
    simxs_write(w->sim, path, value);
    pthread_mutex_unlock(&w->lock);
}

bool store_is(struct world *w, const char *path, const char *value)
{
    const char *v;
    bool is;

    pthread_mutex_lock(&w->lock);
    v = simxs_read(w->sim, path);
    is = v && value ? !strcmp(v, value) : !v && !value;
    pthread_mutex_unlock(&w->lock);
    return is;
}

unsigned store_watches(struct world *w)
{
    unsigned n;

    pthread_mutex_lock(&w->lock);
    n = simxs_watches(w->sim);
    pthread_mutex_unlock(&w->lock);
    return n - 1;
}

void store_released(struct world *w)
{
    pthread_mutex_lock(&w->lock);
    simxs_fire(w->sim, "@releaseDomain");
    pthread_mutex_unlock(&w->lock);
}

unsigned store_txs(struct world *w)
{
    unsigned n;

    pthread_mutex_lock(&w->lock);
    n = simxs_transactions(w->sim);
    pthread_mutex_unlock(&w->lock);
    return n;
}

unsigned store_requests(struct world *w, uint32_t type)
{
    unsigned n;

    pthread_mutex_lock(&w->lock);
    n = simxs_requests(w->sim, type);
    pthread_mutex_unlock(&w->lock);
    return n;
}

/* ---- the warden */

void warden_ask(struct world *w, uint32_t type, uint32_t job, const void *msg, uint32_t answer_type,
                void *answer)
{
    struct pollfd p = {.fd = w->warden.fd, .events = POLLIN};
    struct msg_XS_REFUSED refused;
    int64_t deadline = now_ms() + 20000;

    if (type)
        assert_int_equal(ipc_send(&w->warden, type, job, msg, NULL, 0), 0);
    while (now_ms() < deadline) {
        int r = ipc_recv(&w->warden, &w->frame);

        assert_true(r >= 0);
        if (!r) {
            poll(&p, 1, 100);
            continue;
        }
        if (w->frame.type == MSG_XS_RELEASED && answer_type != MSG_XS_RELEASED) {
            w->released++;
            continue;
        }
        if (w->frame.type == MSG_XS_REFUSED) {
            assert_int_equal(ipc_decode(&w->frame, &refused), 0);
            w->refused_messages++;
            w->refused += refused.count;
            memcpy(w->refused_path, refused.path, sizeof(refused.path));
            if (answer_type == MSG_XS_REFUSED)
                return;
            continue;
        }
        assert_int_equal(w->frame.type, answer_type);
        if (type)
            assert_int_equal(w->frame.job, job);
        assert_int_equal(ipc_decode(&w->frame, answer), 0);
        return;
    }
    fail_msg("the gate did not answer %s", ipc_type_name(type));
}

int warden_grant(struct world *w, uint32_t job, uint32_t domid, uint32_t stage)
{
    struct msg_XS_GRANT m = {.kind = KIND_SAVE, .domid = domid, .stage = stage};
    struct msg_XS_DONE done;

    warden_ask(w, MSG_XS_GRANT, job, &m, MSG_XS_DONE, &done);
    return done.errnum;
}

int warden_revoke(struct world *w, uint32_t job)
{
    struct msg_XS_DONE done;

    warden_ask(w, MSG_XS_REVOKE, job, NULL, MSG_XS_DONE, &done);
    return done.errnum;
}

int warden_undo(struct world *w, uint32_t job, uint32_t domid, uint32_t what)
{
    struct msg_XS_UNDO m = {.domid = domid, .what = what};
    struct msg_XS_DONE done;

    warden_ask(w, MSG_XS_UNDO, job, &m, MSG_XS_DONE, &done);
    w->withdrawn = done.withdrawn;
    return done.errnum;
}

/* ---- the parent */

int parent_read(struct world *w, xs_transaction_t t, const char *path, const char *expected)
{
    unsigned len;
    char *v = xs_read(w->xs, t, path, &len);

    if (!v)
        return errno;
    if (expected)
        assert_string_equal(v, expected);
    free(v);
    return 0;
}

int parent_write(struct world *w, xs_transaction_t t, const char *path, const char *value)
{
    return xs_write(w->xs, t, path, value, strlen(value)) ? 0 : errno;
}

bool parent_event(struct world *w, const char *path, const char *token, int timeout_ms)
{
    struct pollfd p = {.fd = xs_fileno(w->xs), .events = POLLIN};
    bool same;
    char **v;
    unsigned n;

    if (poll(&p, 1, timeout_ms) != 1 || !(v = xs_read_watch(w->xs, &n)))
        return false;
    same = !strcmp(v[XS_WATCH_PATH], path) && !strcmp(v[XS_WATCH_TOKEN], token);
    free(v);
    return same;
}

/* ---- without a library */

void raw_send(struct world *w, uint32_t type, uint32_t req_id, uint32_t tx, const void *p, size_t n)
{
    struct xsd_sockmsg h = {.type = type, .req_id = req_id, .tx_id = tx, .len = n};
    char buf[sizeof(h) + XENSTORE_PAYLOAD_MAX];

    memcpy(buf, &h, sizeof(h));
    if (n)
        memcpy(buf + sizeof(h), p, n);
    assert_int_equal(send(w->raw, buf, sizeof(h) + n, MSG_NOSIGNAL), sizeof(h) + n);
}

int raw_recv(struct world *w, struct xsd_sockmsg *h, char payload[XENSTORE_PAYLOAD_MAX + 1])
{
    if (recv(w->raw, h, sizeof(*h), MSG_WAITALL) != sizeof(*h))
        return -1;
    assert_true(h->len <= XENSTORE_PAYLOAD_MAX);
    if (h->len && recv(w->raw, payload, h->len, MSG_WAITALL) != h->len)
        return -1;
    payload[h->len] = 0;
    return h->type;
}

int raw_errno(struct world *w, uint32_t type, uint32_t tx, const void *p, size_t n)
{
    char payload[XENSTORE_PAYLOAD_MAX + 1];
    struct xsd_sockmsg h;
    int r;

    raw_send(w, type, 77, tx, p, n);
    do
        r = raw_recv(w, &h, payload);
    while (r == XS_WATCH_EVENT);
    assert_int_equal(h.req_id, 77);
    if (r != XS_ERROR)
        return r == (int)type ? 0 : -1;
    for (unsigned i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++)
        if (!strcmp(xsd_errors[i].errstring, payload))
            return xsd_errors[i].errnum;
    return -1;
}
