/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Between the parent's libxenstore and xenstored.  The parent's request ids and watch tokens never
 * reach xenstored, and a transaction id only if it is in the table: what comes back is told apart
 * by numbers of our own alone.
 */
#include <stdlib.h>

#include "policy/gate/gate.h"

/* Room for one answer is kept free: a parent that does not read is not read either. */
bool gate_forward_ready(const struct gate *g)
{
    return gate_conn_room(&g->parent) >= GATE_MSG;
}

static void answer(struct gate *g, uint32_t type, const char *payload, size_t len)
{
    struct xsd_sockmsg h = {
        .type = type, .req_id = g->parent.hdr.req_id, .tx_id = g->parent.hdr.tx_id};

    gate_conn_put(&g->parent, &h, payload, len, NULL, 0);
}

static void say_error(struct gate *g, const char *word)
{
    answer(g, XS_ERROR, word, strlen(word) + 1);
}

static void refuse(struct gate *g)
{
    ipc_text(g->refused_path, sizeof(g->refused_path), gate_conn_payload(&g->parent));
    if (g->refused != UINT32_MAX)
        g->refused++;
    say_error(g, "EACCES");
}

/* What has no answer may still take effect, behind the warden's next undo: therefore that is the
 * end. */
static int up(struct gate *g, uint32_t type, uint32_t tx, const void *a, size_t alen, const void *b,
              size_t blen)
{
    struct xsd_sockmsg h = {.type = type, .tx_id = tx};
    int r = gate_conn_ask(g, &g->upstream, &h, a, alen, b, blen, gate_now() + GATE_ASK_MS);

    if (r == -ETIMEDOUT)
        gate_die(1, "xenstored has not answered for %d s", GATE_ASK_MS / 1000);
    return r;
}

static void pass_answer(struct gate *g)
{
    answer(g, g->upstream.hdr.type, gate_conn_payload(&g->upstream), g->upstream.hdr.len);
}

/* The parent's watches have decimal numbers as tokens up here: it can neither have this one's
 * events, nor take it back. */
#define OWN_TOKEN "gate"

void gate_forward_start(struct gate *g)
{
    int r = up(g, XS_WATCH, 0, "@releaseDomain", sizeof("@releaseDomain"), OWN_TOKEN,
               sizeof(OWN_TOKEN));

    if (r < 0)
        gate_die(1, "xenstored does not tell of domains that end: %s", strerror(-r));
}

/* ---- transactions */

static struct gate_tx *tx_find(struct gate *g, uint32_t id)
{
    for (struct gate_tx *t = g->txs; t < g->txs + GATE_TXS; t++)
        if (t->used && t->id == id)
            return t;
    return NULL;
}

/* A transaction belongs to the job of its first request; it never spans two. */
static bool tx_bind(struct gate *g, struct gate_tx *tx, uint32_t job)
{
    unsigned n = 0;

    for (struct gate_tx *t = g->txs; t < g->txs + GATE_TXS; t++)
        n += t->used && t->job == job;
    if (!job || (tx->job ? tx->job != job : n >= GATE_JOB_TXS))
        return false;
    tx->job = job;
    return true;
}

static void tx_start(struct gate *g)
{
    struct gate_tx *t = g->txs;

    if (g->parent.hdr.tx_id || !g->table.njobs || g->parent.hdr.len > 1)
        return refuse(g);
    while (t < g->txs + GATE_TXS && t->used)
        t++;
    if (t == g->txs + GATE_TXS)
        return say_error(g, "ENOSPC");
    if (up(g, XS_TRANSACTION_START, 0, "", 1, NULL, 0) >= 0)
        *t = (struct gate_tx){true, strtoul(gate_conn_payload(&g->upstream), NULL, 10), 0};
    pass_answer(g);
}

static void tx_end(struct gate *g)
{
    struct gate_tx *t = tx_find(g, g->parent.hdr.tx_id);
    const char *how = gate_conn_payload(&g->parent);

    if (!t || g->parent.hdr.len != 2 || (strcmp(how, "T") && strcmp(how, "F")))
        return refuse(g);
    up(g, XS_TRANSACTION_END, t->id, how, 2, NULL, 0);
    t->used = false;
    pass_answer(g);
}

/* ---- watches */

static struct gate_watch *watch_find(struct gate *g, const struct gate_request *rq)
{
    for (struct gate_watch *w = g->watches; w < g->watches + GATE_WATCHES; w++)
        if (w->used && !strcmp(w->path, rq->path) && !strcmp(w->token, rq->token))
            return w;
    return NULL;
}

/* Asks upstream for XS_WATCH or XS_UNWATCH; the token there is the watch's index here. */
static int up_watch(struct gate *g, uint32_t type, const struct gate_watch *w)
{
    char token[12];

    snprintf(token, sizeof(token), "%u", (unsigned)(w - g->watches));
    return up(g, type, 0, w->path, strlen(w->path) + 1, token, strlen(token) + 1);
}

static void watch(struct gate *g, const struct gate_request *rq)
{
    struct gate_watch *new = NULL;
    unsigned n = 0;

    if (watch_find(g, rq))
        return say_error(g, "EEXIST");
    for (struct gate_watch *w = g->watches; w < g->watches + GATE_WATCHES; w++) {
        n += w->used && w->job == rq->job;
        new = w->used ? new : w;
    }
    if (!new || n >= GATE_JOB_WATCHES)
        return say_error(g, "ENOSPC");
    *new = (struct gate_watch){.used = true, .job = rq->job};
    snprintf(new->path, sizeof(new->path), "%s", rq->path);
    snprintf(new->token, sizeof(new->token), "%s", rq->token);
    new->used = up_watch(g, XS_WATCH, new) >= 0;
    pass_answer(g);
}

/* An unwatch of what is not there (any more: the job may just have ended) is no attack, and nothing
 * of it goes upstream: it is answered as xenstored would, and not counted. */
static void unwatch(struct gate *g, const struct gate_request *rq)
{
    struct gate_watch *w = watch_find(g, rq);

    if (!w)
        return say_error(g, "ENOENT");
    up_watch(g, XS_UNWATCH, w);
    w->used = false;
    pass_answer(g);
}

/* The path in an event is not read, and the parent is told its own: below a watched node a guest
 * can make names.  Events of one watch merge until the parent reads, so that their number has a
 * bound. */
void gate_forward_event(struct gate *g)
{
    const char *path = gate_conn_payload(&g->upstream);
    size_t n = strnlen(path, g->upstream.hdr.len);
    const char *token = n < g->upstream.hdr.len ? path + n + 1 : ""; /* a NUL ends the payload */
    unsigned long i = *token >= '0' && *token <= '9' ? strtoul(token, NULL, 10) : GATE_WATCHES;

    if (!strcmp(token, OWN_TOKEN))
        g->released = true;
    if (i < GATE_WATCHES)
        g->watches[i].pending = true;
}

void gate_forward_events(struct gate *g)
{
    struct xsd_sockmsg h = {.type = XS_WATCH_EVENT};

    for (struct gate_watch *w = g->watches; w < g->watches + GATE_WATCHES; w++) {
        if (!w->used || !w->pending || gate_conn_room(&g->parent) < 2 * GATE_MSG)
            continue;
        gate_conn_put(&g->parent, &h, w->path, strlen(w->path) + 1, w->token, strlen(w->token) + 1);
        w->pending = false;
    }
}

/* ---- the parent's requests */

static void path_request(struct gate *g)
{
    const struct xsd_sockmsg *h = &g->parent.hdr;
    struct gate_tx *tx = h->tx_id ? tx_find(g, h->tx_id) : NULL;
    struct gate_request rq;

    if (!gate_split(h->type, gate_conn_payload(&g->parent), h->len, &rq) || (h->tx_id && !tx))
        return refuse(g);
    if (h->type == XS_UNWATCH && !tx)
        return unwatch(g, &rq);
    if (!gate_covers(&g->table, h->type, &rq))
        return refuse(g);
    if (h->type == XS_WATCH && !tx)
        return watch(g, &rq);
    if (h->type == XS_WATCH || (tx && !tx_bind(g, tx, rq.job)))
        return refuse(g);
    /* Safe if the parent lies: the whole payload was compared with a grant, a written value too. */
    up(g, h->type, h->tx_id, gate_conn_payload(&g->parent), h->len, NULL, 0);
    pass_answer(g);
}

void gate_forward_parent(struct gate *g)
{
    switch (g->parent.hdr.type) {
    case XS_READ:
    case XS_WRITE:
    case XS_WATCH:
    case XS_UNWATCH: return path_request(g);
    case XS_TRANSACTION_START: return tx_start(g);
    case XS_TRANSACTION_END: return tx_end(g);
    default: return refuse(g);
    }
}

/* A transaction of the job may hold a write that is no longer granted: it goes whatever it holds.
 */
void gate_forward_recheck(struct gate *g, uint32_t job)
{
    for (struct gate_watch *w = g->watches; w < g->watches + GATE_WATCHES; w++) {
        struct gate_request rq = {.path = w->path};

        if (!w->used || w->job != job || (gate_covers(&g->table, XS_WATCH, &rq) && rq.job == job))
            continue;
        up_watch(g, XS_UNWATCH, w);
        w->used = false;
    }
    for (struct gate_tx *t = g->txs; t < g->txs + GATE_TXS; t++) {
        if (!t->used || (t->job != job && g->table.njobs))
            continue;
        up(g, XS_TRANSACTION_END, t->id, "F", 2, NULL, 0);
        t->used = false;
    }
}
