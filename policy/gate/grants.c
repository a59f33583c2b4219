/* SPDX-License-Identifier: LGPL-2.1-only */
/* The table of grants and its comparison with a request.  Pure functions: see
 * tests/fuzz/fuzz_gate.c */
#include "policy/gate/gate.h"

#define T_READ (1u << XS_READ)
#define T_WRITE (1u << XS_WRITE)
#define T_WATCH (1u << XS_WATCH)

static const struct grant {
    uint32_t kind, stage, types;
    const char *path;
    const char *values[4];
} grants[] = {
#define VALUES(...)                                                                                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define GRANT(kind, stage, types, path, values, because) {kind, stage, types, path, values},
#include "policy/gate/grants.def"
};

/* Cuts a payload at its NULs: the path ends at the first one, and a request that has bytes where
 * its type has none (a second path, a NUL inside a token) is not cut but refused. */
bool gate_split(uint32_t type, const char *payload, uint32_t len, struct gate_request *rq)
{
    size_t n = strnlen(payload, len), rest;

    *rq = (struct gate_request){.path = payload};
    if (n == len)
        return false;
    rest = len - n - 1;
    switch (type) {
    case XS_READ: return rest == 0;
    case XS_WRITE:
        rq->value = payload + n + 1;
        rq->value_len = rest;
        return true;
    case XS_WATCH:
    case XS_UNWATCH:
        rq->token = payload + n + 1;
        return rest && rest <= GATE_TOKEN && strnlen(rq->token, rest) == rest - 1;
    default: return false;
    }
}

/* Exact comparison: "..", "//", a trailing slash or another domid are simply other strings. */
static bool path_fits(const char *template, const char *path, const char *dec)
{
    size_t n = strlen(dec);

    while (*template) {
        if (*template == '$') {
            if (strncmp(path, dec, n))
                return false;
            path += n;
            template += sizeof("$DOMID") - 1;
        } else if (*template ++ != *path++) {
            return false;
        }
    }
    return !*path;
}

static bool value_fits(const struct grant *gr, const struct gate_request *rq)
{
    for (unsigned i = 0; i < 4 && gr->values[i]; i++)
        if (strlen(gr->values[i]) == rq->value_len &&
            !memcmp(gr->values[i], rq->value, rq->value_len))
            return true;
    return false;
}

static bool grant_covers(const struct grant *gr, const struct gate_job *j, uint32_t type,
                         const struct gate_request *rq)
{
    return gr->kind == j->kind && gr->stage <= j->stage && type < 32 && gr->types >> type & 1 &&
           path_fits(gr->path, rq->path, j->dec) && (type != XS_WRITE || value_fits(gr, rq));
}

/* Safe if the parent lies: it names neither job nor domid, both follow from the path, and the path
 * must be, byte for byte, one that a grant of a running job spells out. */
bool gate_covers(const struct gate_table *t, uint32_t type, struct gate_request *rq)
{
    static const struct gate_job standing;

    for (unsigned i = 0; i < sizeof(grants) / sizeof(grants[0]); i++) {
        if (!grants[i].kind && grant_covers(&grants[i], &standing, type, rq)) {
            rq->job = 0;
            return true;
        }
        for (unsigned k = 0; grants[i].kind && k < GATE_JOBS; k++) {
            if (t->jobs[k].job && grant_covers(&grants[i], &t->jobs[k], type, rq)) {
                rq->job = t->jobs[k].job;
                return true;
            }
        }
    }
    return false;
}

struct gate_job *gate_find(struct gate_table *t, uint32_t job)
{
    for (unsigned i = 0; i < GATE_JOBS; i++)
        if (t->jobs[i].job == job)
            return &t->jobs[i];
    return NULL;
}

int gate_grant(struct gate_table *t, uint32_t job, uint32_t kind, uint32_t domid, uint32_t stage)
{
    struct gate_job *j = job ? gate_find(t, job) : NULL;

    if (!job || !kind || !domid || domid >= GATE_FIRST_RESERVED)
        return -EINVAL;
    if (!j && !(j = gate_find(t, 0)))
        return -ENOSPC;
    t->njobs += !j->job;
    *j = (struct gate_job){.job = job, .kind = kind, .domid = domid, .stage = stage};
    snprintf(j->dec, sizeof(j->dec), "%u", domid);
    return 0;
}

void gate_revoke(struct gate_table *t, uint32_t job)
{
    struct gate_job *j = gate_find(t, job);

    if (!job || !j)
        return;
    *j = (struct gate_job){0};
    t->njobs--;
}
