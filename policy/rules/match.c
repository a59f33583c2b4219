/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Matching of requests against the table.  The warden runs this on a table that another process
 * made and on names that a toolstack chose: no allocation, and every loop has a bound.
 */
#include "policy/rules/rules.h"

#include <string.h>

#include "policy/rules/parse.h"

/* Overflow uid and gid: what the kernel shows when an id has no meaning here.  It is nobody. */
#define OVERFLOW_ID 65534

#define OPERATION(NAME, bit, word, doc) | OP_##NAME
static const uint32_t known_ops = 0
#include "policy/rules/ops.def"
    ;
#undef OPERATION

static bool all_zero(const void *p, size_t len)
{
    const uint8_t *b = p;

    for (size_t i = 0; i < len; i++) {
        if (b[i])
            return false;
    }
    return true;
}

bool rules_pattern_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '.' || c == '_' || c == '-' || c == '*' || c == '?';
}

static bool limit_ok(uint32_t value, uint32_t min, uint32_t max)
{
    return value >= min && value <= max;
}

static bool limits_ok(const struct rules_limits *l)
{
#define LIMIT(key, member, min, max, preset)            \
    if (!limit_ok(l->member, min, max))                 \
        return false;
    RULES_LIMITS(LIMIT)
#undef LIMIT
    return true;
}

static bool row_ok(const struct rule_row *row)
{
    size_t len = strnlen(row->pattern, sizeof(row->pattern));

    if (row->subject != SUBJECT_UID && row->subject != SUBJECT_GID)
        return false;
    if (row->id == OVERFLOW_ID || row->id == UINT32_MAX)
        return false;
    if (!row->ops || (row->ops & ~known_ops) || row->allow > 1 || !row->line)
        return false;
    if (len == 0 || len == sizeof(row->pattern))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!rules_pattern_char(row->pattern[i]))
            return false;
    }
    return all_zero(row->pattern + len, sizeof(row->pattern) - len);
}

bool rules_table_ok(const struct rules_table *t)
{
    if (t->magic != RULES_MAGIC || t->version != RULES_VERSION || t->pad)
        return false;
    if (t->nrows > RULES_ROWS || !limits_ok(&t->limits))
        return false;
    for (uint32_t i = 0; i < t->nrows; i++) {
        if (!row_ok(&t->rows[i]))
            return false;
    }
    return all_zero(&t->rows[t->nrows], (RULES_ROWS - t->nrows) * sizeof(t->rows[0]));
}

/*
 * On a mismatch only the last '*' has to take one more character: what an earlier one could take
 * instead, the last one can take as well.  So at most strlen(pattern) * strlen(name) steps.
 */
bool rules_pattern_match(const char *pattern, const char *name)
{
    const char *star = NULL;
    const char *retry = NULL;

    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            retry = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static bool is_peer(const struct rule_row *row, const struct rules_peer *peer)
{
    uint32_t ngids = peer->ngids < 64 ? peer->ngids : 64;

    if (row->id == OVERFLOW_ID)
        return false;
    if (row->subject == SUBJECT_UID)
        return row->id == peer->uid;
    if (row->subject != SUBJECT_GID)
        return false;
    if (row->id == peer->gid)
        return true;
    for (uint32_t i = 0; i < ngids; i++) {
        if (row->id == peer->gids[i])
            return true;
    }
    return false;
}

/* An allowed save is allowed in every form; a denied one says nothing about a checkpoint. */
static bool covers(const struct rule_row *row, uint32_t op)
{
    if (row->ops & op & ~(uint32_t)(OP_SAVE | OP_CHECKPOINT))
        return true;
    if (op & OP_CHECKPOINT)
        return (row->ops & OP_CHECKPOINT) || (row->allow && (row->ops & OP_SAVE));
    return (row->ops & op & OP_SAVE) != 0;
}

struct rules_verdict rules_match(const struct rules_table *t, const struct rules_peer *peer,
                                 uint32_t op, const char *name)
{
    struct rules_verdict v = { .allow = false, .line = 0 };
    uint32_t nrows = t->nrows < RULES_ROWS ? t->nrows : RULES_ROWS;

    if (peer->uid == OVERFLOW_ID)
        return v;
    for (uint32_t i = 0; i < nrows; i++) {
        const struct rule_row *row = &t->rows[i];

        if (!is_peer(row, peer) || !covers(row, op))
            continue;
        if (name && !rules_pattern_match(row->pattern, name))
            continue;
        v.allow = row->allow == 1;
        v.line = row->line;
        break;
    }
    return v;
}

bool rules_any(const struct rules_table *t, const struct rules_peer *peer, uint32_t ops)
{
    uint32_t nrows = t->nrows < RULES_ROWS ? t->nrows : RULES_ROWS;

    if (peer->uid == OVERFLOW_ID)
        return false;
    for (uint32_t i = 0; i < nrows; i++) {
        const struct rule_row *row = &t->rows[i];

        if (row->allow && row->ops & ops && is_peer(row, peer))
            return true;
    }
    return false;
}
