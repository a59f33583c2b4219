/* SPDX-License-Identifier: LGPL-2.1-only */
/* The simulated xenstored: see xenstore.h for what it is not. */
#include "tests/sim/xenstore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>

struct node {
    char *path;
    char *value; /* with a NUL behind it */
    size_t len;
};

struct store { /* sorted by path, "/" first */
    struct node *nodes;
    size_t n;
};

struct tx {
    struct tx *next;
    uint32_t id;
    uint64_t start; /* generation of the store */
    struct store store;
    struct change *changes;
};

struct change { /* newest first */
    struct change *next;
    uint32_t type;
    char *path, *value;
};

struct watch {
    struct watch *next;
    char *path, *token;
};

struct sconn {
    int fd;
    size_t got;
    union {
        struct xsd_sockmsg hdr;
        char in[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX + 1];
    };
    char *out;
    size_t out_len;
    struct watch *watches;
    struct tx *txs;
};

struct simxs {
    int listener;
    bool stalled;
    uint64_t generation;
    uint32_t last_tx;
    unsigned conflicts;
    struct store store;
    struct sconn conns[SIMXS_CONNS];
    struct change *happened; /* not yet told to the callback, newest first */
    bool telling;
    simxs_cb *cb;
    void *u;
    unsigned requests[64];
};

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static void *copy(const void *p, size_t len)
{
    char *c = must(malloc(len + 1));

    if (len)
        memcpy(c, p, len);
    c[len] = 0;
    return c;
}

/* ---- the store */

static size_t lower_bound(const struct store *s, const char *path)
{
    size_t lo = 0, hi = s->n, mid;

    while (lo < hi) {
        mid = (lo + hi) / 2;
        if (strcmp(s->nodes[mid].path, path) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct node *find(const struct store *s, const char *path)
{
    size_t i = lower_bound(s, path);

    return i < s->n && !strcmp(s->nodes[i].path, path) ? &s->nodes[i] : NULL;
}

static bool below(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    if (n == 1)
        return path[1];
    return !strncmp(path, dir, n) && path[n] == '/';
}

static void set(struct store *s, const char *path, const char *value, size_t len)
{
    struct node *node = find(s, path);
    char *parent, *slash;
    size_t i;

    if (node) {
        free(node->value);
        node->value = copy(value, len);
        node->len = len;
        return;
    }
    parent = copy(path, strlen(path));
    slash = strrchr(parent, '/');
    slash[slash == parent] = 0;
    if (!find(s, parent))
        set(s, parent, "", 0);
    free(parent);
    i = lower_bound(s, path);
    s->nodes = must(realloc(s->nodes, (s->n + 1) * sizeof(*s->nodes)));
    memmove(s->nodes + i + 1, s->nodes + i, (s->n - i) * sizeof(*s->nodes));
    s->nodes[i] = (struct node){copy(path, strlen(path)), copy(value, len), len};
    s->n++;
}

static bool unset(struct store *s, const char *path)
{
    size_t k = 0;

    if (!find(s, path))
        return false;
    for (size_t i = 0; i < s->n; i++) {
        if (!strcmp(s->nodes[i].path, path) || below(s->nodes[i].path, path)) {
            free(s->nodes[i].path);
            free(s->nodes[i].value);
        } else {
            s->nodes[k++] = s->nodes[i];
        }
    }
    s->n = k;
    return true;
}

static void store_free(struct store *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->nodes[i].path);
        free(s->nodes[i].value);
    }
    free(s->nodes);
    *s = (struct store){0};
}

static struct store store_copy(const struct store *s)
{
    struct store c = {must(calloc(s->n + 1, sizeof(*s->nodes))), s->n};

    for (size_t i = 0; i < s->n; i++)
        c.nodes[i] = (struct node){copy(s->nodes[i].path, strlen(s->nodes[i].path)),
                                   copy(s->nodes[i].value, s->nodes[i].len), s->nodes[i].len};
    return c;
}

/* The children's names, each with its NUL; caller frees. */
static char *children(const struct store *s, const char *dir, size_t *len)
{
    size_t skip = strlen(dir) == 1 ? 1 : strlen(dir) + 1, n;
    char *list = must(malloc(1));

    *len = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!below(s->nodes[i].path, dir) || strchr(s->nodes[i].path + skip, '/'))
            continue;
        n = strlen(s->nodes[i].path + skip) + 1;
        list = must(realloc(list, *len + n));
        memcpy(list + *len, s->nodes[i].path + skip, n);
        *len += n;
    }
    return list;
}

/* ---- connections */

static void reply(struct sconn *c, uint32_t type, const void *a, size_t alen, const void *b,
                  size_t blen)
{
    struct xsd_sockmsg h = {.type = type, .len = alen + blen};
    char *p;

    if (c->fd < 0)
        return;
    if (type != XS_WATCH_EVENT) {
        h.req_id = c->hdr.req_id;
        h.tx_id = c->hdr.tx_id;
    }
    c->out = must(realloc(c->out, c->out_len + sizeof(h) + alen + blen));
    p = c->out + c->out_len;
    memcpy(p, &h, sizeof(h));
    if (alen)
        memcpy(p + sizeof(h), a, alen);
    if (blen)
        memcpy(p + sizeof(h) + alen, b, blen);
    c->out_len += sizeof(h) + alen + blen;
}

static void ok(struct sconn *c)
{
    reply(c, c->hdr.type, "OK", 3, NULL, 0);
}

static void fail(struct sconn *c, int errnum)
{
    const char *word = "EIO";

    for (size_t i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++)
        if (xsd_errors[i].errnum == errnum)
            word = xsd_errors[i].errstring;
    reply(c, XS_ERROR, word, strlen(word) + 1, NULL, 0);
}

static void tx_free(struct sconn *c, struct tx *tx)
{
    struct tx **p = &c->txs;
    struct change *ch;

    while (*p != tx)
        p = &(*p)->next;
    *p = tx->next;
    while ((ch = tx->changes)) {
        tx->changes = ch->next;
        free(ch->path);
        free(ch->value);
        free(ch);
    }
    store_free(&tx->store);
    free(tx);
}

static void unwatch_all(struct sconn *c)
{
    struct watch *w;

    while ((w = c->watches)) {
        c->watches = w->next;
        free(w->path);
        free(w->token);
        free(w);
    }
}

static void drop(struct sconn *c)
{
    if (c->fd >= 0)
        close(c->fd);
    unwatch_all(c);
    while (c->txs)
        tx_free(c, c->txs);
    free(c->out);
    *c = (struct sconn){.fd = -1};
}

static void flush(struct sconn *c)
{
    ssize_t r;

    while (c->fd >= 0 && c->out_len) {
        r = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (r < 0)
            return;
        memmove(c->out, c->out + r, c->out_len - r);
        c->out_len -= r;
    }
}

/* ---- changes */

static void fire(struct simxs *xs, const char *path, bool removed)
{
    for (struct sconn *c = xs->conns; c < xs->conns + SIMXS_CONNS; c++) {
        for (struct watch *w = c->watches; w; w = w->next) {
            const char *said = path;

            if (strcmp(w->path, path) && (path[0] == '@' || !below(path, w->path))) {
                if (!removed || !below(w->path, path))
                    continue;
                said = w->path; /* the removal of a parent is told as the watched node's */
            }
            reply(c, XS_WATCH_EVENT, said, strlen(said) + 1, w->token, strlen(w->token) + 1);
        }
    }
}

static void note(struct change **list, uint32_t type, const char *path, const char *value)
{
    struct change *ch = must(calloc(1, sizeof(*ch)));

    *ch = (struct change){*list, type, copy(path, strlen(path)),
                          value ? copy(value, strlen(value)) : NULL};
    *list = ch;
}

static void tell(struct simxs *xs)
{
    struct change **last, *ch;

    if (xs->telling)
        return;
    xs->telling = true;
    while (xs->happened) {
        for (last = &xs->happened; (*last)->next;)
            last = &(*last)->next;
        ch = *last; /* the oldest */
        *last = NULL;
        if (xs->cb)
            xs->cb(xs->u, ch->type, ch->path, ch->value);
        free(ch->path);
        free(ch->value);
        free(ch);
    }
    xs->telling = false;
}

static void changed(struct simxs *xs, struct tx *tx, uint32_t type, const char *path,
                    const char *value)
{
    note(tx ? &tx->changes : &xs->happened, type, path, value);
    if (tx)
        return;
    xs->generation++;
    fire(xs, path, type == XS_RM);
}

static void commit(struct simxs *xs, struct tx *tx)
{
    struct change *ch = tx->changes, *order = NULL, *next;

    if (!ch)
        return;
    store_free(&xs->store);
    xs->store = tx->store;
    tx->store = (struct store){0};
    tx->changes = NULL;
    for (; ch; ch = next) {
        next = ch->next;
        ch->next = order;
        order = ch;
    }
    for (ch = order; ch; ch = next) {
        next = ch->next;
        changed(xs, NULL, ch->type, ch->path, ch->value);
        free(ch->path);
        free(ch->value);
        free(ch);
    }
}

/* ---- requests */

static bool valid(const char *path)
{
    size_t n = strlen(path);

    return path[0] == '/' && n <= XENSTORE_ABS_PATH_MAX && !strstr(path, "//") &&
           (n == 1 || path[n - 1] != '/') &&
           strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/_@+:") ==
               n;
}

static void directory(struct sconn *c, const struct store *s, const char *path)
{
    size_t len;
    char *list = children(s, path, &len);

    if (len > XENSTORE_PAYLOAD_MAX)
        fail(c, E2BIG);
    else
        reply(c, XS_DIRECTORY, list, len, NULL, 0);
    free(list);
}

/* Whole names from an offset on, and after the last one an empty name. */
static void directory_part(struct simxs *xs, struct sconn *c, const struct store *s,
                           const char *path, size_t offset)
{
    size_t len, n, k = 0;
    char gen[24], *list = children(s, path, &len);

    list = must(realloc(list, len + 1));
    list[len++] = 0;
    n = snprintf(gen, sizeof(gen), "%llu", (unsigned long long)xs->generation) + 1;
    if (offset > len - 1)
        offset = len - 1;
    while (offset + k < len && n + k + strlen(list + offset + k) + 1 <= XENSTORE_PAYLOAD_MAX)
        k += strlen(list + offset + k) + 1;
    reply(c, XS_DIRECTORY_PART, gen, n, list + offset, k);
    free(list);
}

static void watch(struct sconn *c, const char *path, const char *token)
{
    struct watch *w;

    for (w = c->watches; w; w = w->next)
        if (!strcmp(w->path, path) && !strcmp(w->token, token))
            return fail(c, EEXIST);
    w = must(calloc(1, sizeof(*w)));
    *w = (struct watch){c->watches, copy(path, strlen(path)), copy(token, strlen(token))};
    c->watches = w;
    ok(c);
    reply(c, XS_WATCH_EVENT, path, strlen(path) + 1, token, strlen(token) + 1);
}

static void unwatch(struct sconn *c, const char *path, const char *token)
{
    for (struct watch **p = &c->watches, *w; (w = *p); p = &w->next) {
        if (strcmp(w->path, path) || strcmp(w->token, token))
            continue;
        *p = w->next;
        free(w->path);
        free(w->token);
        free(w);
        return ok(c);
    }
    fail(c, ENOENT);
}

static void tx_start(struct simxs *xs, struct sconn *c)
{
    struct tx *tx = must(calloc(1, sizeof(*tx)));
    char id[12];

    *tx = (struct tx){.next = c->txs,
                      .id = ++xs->last_tx,
                      .start = xs->generation,
                      .store = store_copy(&xs->store)};
    c->txs = tx;
    snprintf(id, sizeof(id), "%u", tx->id);
    reply(c, XS_TRANSACTION_START, id, strlen(id) + 1, NULL, 0);
}

static void tx_end(struct simxs *xs, struct sconn *c, struct tx *tx, const char *how)
{
    bool conflict = tx && tx->start != xs->generation;

    if (!tx)
        return fail(c, ENOENT);
    if (!strcmp(how, "T") && xs->conflicts) {
        xs->conflicts--;
        conflict = true;
    }
    if (!strcmp(how, "T") && conflict) {
        tx_free(c, tx);
        return fail(c, EAGAIN);
    }
    ok(c);
    if (!strcmp(how, "T"))
        commit(xs, tx);
    tx_free(c, tx);
}

static void domain_request(struct simxs *xs, struct sconn *c, const char *domid)
{
    char path[64];

    switch (c->hdr.type) {
    case XS_GET_DOMAIN_PATH:
        snprintf(path, sizeof(path), "/local/domain/%.20s", domid);
        return reply(c, c->hdr.type, path, strlen(path) + 1, NULL, 0);
    case XS_IS_DOMAIN_INTRODUCED:
        snprintf(path, sizeof(path), "/local/domain/%.20s", domid);
        return reply(c, c->hdr.type, find(&xs->store, path) ? "T" : "F", 2, NULL, 0);
    case XS_RESET_WATCHES: unwatch_all(c); return ok(c);
    case XS_RELEASE: fire(xs, "@releaseDomain", false); break;
    case XS_INTRODUCE: fire(xs, "@introduceDomain", false); break;
    }
    note(&xs->happened, c->hdr.type, domid, NULL);
    ok(c);
}

static void node_request(struct simxs *xs, struct sconn *c, struct tx *tx, const char *path,
                         const char *rest, size_t rest_len)
{
    struct store *s = tx ? &tx->store : &xs->store;
    struct node *node = find(s, path);
    uint32_t type = c->hdr.type;

    if (!valid(path))
        return fail(c, EINVAL);
    if (!node && type != XS_WRITE && type != XS_MKDIR)
        return fail(c, ENOENT);
    switch (type) {
    case XS_READ: return reply(c, type, node->value, node->len, NULL, 0);
    case XS_DIRECTORY: return directory(c, s, path);
    case XS_DIRECTORY_PART:
        return directory_part(xs, c, s, path, rest_len ? strtoul(rest, NULL, 10) : 0);
    case XS_GET_PERMS: return reply(c, type, "n0", 3, NULL, 0);
    case XS_SET_PERMS: return ok(c);
    case XS_WRITE:
        ok(c); /* before the events */
        set(s, path, rest, rest_len);
        return changed(xs, tx, XS_WRITE, path, find(s, path)->value);
    case XS_MKDIR:
        ok(c);
        if (!node)
            set(s, path, "", 0);
        return node ? (void)0 : changed(xs, tx, XS_WRITE, path, "");
    case XS_RM:
        if (!strcmp(path, "/"))
            return fail(c, EINVAL);
        ok(c);
        unset(s, path);
        return changed(xs, tx, XS_RM, path, NULL);
    }
}

static void request(struct simxs *xs, struct sconn *c)
{
    char *path = c->in + sizeof(c->hdr), *rest;
    size_t n = strnlen(path, c->hdr.len), rest_len;
    struct tx *tx = c->txs;

    path[c->hdr.len] = 0; /* room for it: see struct sconn */
    rest = n < c->hdr.len ? path + n + 1 : path + n;
    rest_len = path + c->hdr.len - rest;
    xs->requests[c->hdr.type & 63]++;
    while (tx && tx->id != c->hdr.tx_id)
        tx = tx->next;
    if (c->hdr.tx_id && !tx)
        return fail(c, ENOENT);
    switch (c->hdr.type) {
    case XS_TRANSACTION_START: return tx_start(xs, c);
    case XS_TRANSACTION_END: return tx_end(xs, c, tx, path);
    case XS_WATCH: return watch(c, path, rest);
    case XS_UNWATCH: return unwatch(c, path, rest);
    case XS_INTRODUCE:
    case XS_RELEASE:
    case XS_RESUME:
    case XS_GET_DOMAIN_PATH:
    case XS_IS_DOMAIN_INTRODUCED:
    case XS_RESET_WATCHES: return domain_request(xs, c, path);
    case XS_DIRECTORY:
    case XS_DIRECTORY_PART:
    case XS_READ:
    case XS_GET_PERMS:
    case XS_SET_PERMS:
    case XS_WRITE:
    case XS_MKDIR:
    case XS_RM: return node_request(xs, c, tx, path, rest, rest_len);
    default: return fail(c, ENOSYS);
    }
}

static void receive(struct simxs *xs, struct sconn *c)
{
    size_t want;
    ssize_t r;

    while (c->fd >= 0) {
        want = sizeof(c->hdr) + (c->got >= sizeof(c->hdr) ? c->hdr.len : 0);
        if (want > sizeof(c->in) - 1)
            return drop(c);
        if (c->got == want && c->got) {
            c->got = 0;
            request(xs, c);
            continue;
        }
        r = recv(c->fd, c->in + c->got, want - c->got, MSG_DONTWAIT);
        if (r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR))
            return drop(c);
        if (r < 0)
            return;
        c->got += r;
    }
}

/* ---- public face */

struct simxs *simxs_new(void)
{
    struct simxs *xs = must(calloc(1, sizeof(*xs)));

    xs->listener = -1;
    for (int i = 0; i < SIMXS_CONNS; i++)
        xs->conns[i].fd = -1;
    xs->store.nodes = must(calloc(1, sizeof(struct node)));
    xs->store.nodes[0] = (struct node){copy("/", 1), copy("", 0), 0};
    xs->store.n = 1;
    return xs;
}

void simxs_free(struct simxs *xs)
{
    simxs_drop(xs);
    if (xs->listener >= 0)
        close(xs->listener);
    xs->cb = NULL;
    tell(xs);
    store_free(&xs->store);
    free(xs);
}

void simxs_on_change(struct simxs *xs, simxs_cb *cb, void *u)
{
    xs->cb = cb;
    xs->u = u;
}

int simxs_listen(struct simxs *xs, const char *path)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(sun.sun_path))
        return -ENAMETOOLONG;
    strcpy(sun.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    unlink(path);
    if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) || listen(fd, 16)) {
        close(fd);
        return -errno;
    }
    xs->listener = fd;
    return 0;
}

int simxs_add_conn(struct simxs *xs, int fd)
{
    for (int i = 0; i < SIMXS_CONNS; i++) {
        if (xs->conns[i].fd < 0) {
            xs->conns[i] = (struct sconn){.fd = fd};
            return 0;
        }
    }
    return -ENOSPC;
}

unsigned simxs_pollfds(struct simxs *xs, struct pollfd *p, unsigned max)
{
    unsigned n = 0;

    if (xs->listener >= 0 && n < max)
        p[n++] = (struct pollfd){.fd = xs->listener, .events = POLLIN};
    for (struct sconn *c = xs->conns; c < xs->conns + SIMXS_CONNS && n < max; c++)
        if (c->fd >= 0)
            p[n++] = (struct pollfd){
                .fd = c->fd, .events = (xs->stalled ? 0 : POLLIN) | (c->out_len ? POLLOUT : 0)};
    return n;
}

void simxs_handle(struct simxs *xs)
{
    int fd;

    while (xs->listener >= 0 && (fd = accept4(xs->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        if (simxs_add_conn(xs, fd))
            close(fd);
    for (struct sconn *c = xs->conns; !xs->stalled && c < xs->conns + SIMXS_CONNS; c++) {
        receive(xs, c);
        tell(xs);
    }
    for (struct sconn *c = xs->conns; c < xs->conns + SIMXS_CONNS; c++)
        flush(c);
}

const char *simxs_read(struct simxs *xs, const char *path)
{
    struct node *node = find(&xs->store, path);

    return node ? node->value : NULL;
}

void simxs_write(struct simxs *xs, const char *path, const char *value)
{
    set(&xs->store, path, value, strlen(value));
    changed(xs, NULL, XS_WRITE, path, value);
    tell(xs);
}

void simxs_rm(struct simxs *xs, const char *path)
{
    if (unset(&xs->store, path))
        changed(xs, NULL, XS_RM, path, NULL);
    tell(xs);
}

void simxs_fire(struct simxs *xs, const char *path)
{
    fire(xs, path, false);
}

void simxs_stall(struct simxs *xs, bool on)
{
    xs->stalled = on;
}

void simxs_conflict(struct simxs *xs, unsigned n)
{
    xs->conflicts = n;
}

void simxs_drop(struct simxs *xs)
{
    for (struct sconn *c = xs->conns; c < xs->conns + SIMXS_CONNS; c++)
        drop(c);
}

unsigned simxs_watches(const struct simxs *xs)
{
    unsigned n = 0;

    for (const struct sconn *c = xs->conns; c < xs->conns + SIMXS_CONNS; c++)
        for (const struct watch *w = c->watches; w; w = w->next)
            n++;
    return n;
}

unsigned simxs_transactions(const struct simxs *xs)
{
    unsigned n = 0;

    for (const struct sconn *c = xs->conns; c < xs->conns + SIMXS_CONNS; c++)
        for (const struct tx *t = c->txs; t; t = t->next)
            n++;
    return n;
}

unsigned simxs_requests(const struct simxs *xs, uint32_t type)
{
    return xs->requests[type & 63];
}
