/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Verification.  The recorder may be writing: the log counts up to the size that it had while the
 * state stood still.  Everything in the files is hostile: they are what is being judged.
 */
#include "policy/audit/chain.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRIES 20

__attribute__((format(printf, 3, 4)))
static int bad(struct audit_report *report, uint64_t line, const char *fmt, ...)
{
    va_list ap;

    report->bad_line = line;
    va_start(ap, fmt);
    vsnprintf(report->why, sizeof(report->why), fmt, ap);
    va_end(ap);
    return 1;
}

/* Reads one line of the *left bytes into buf[AUDIT_LINE_MAX + 1].  Its length without newline;
 * *complete says whether there was one; -1 = the end; -2 = longer than a line can be. */
static int get_line(FILE *f, uint64_t *left, char *buf, bool *complete)
{
    int len = 0;
    int c;

    *complete = false;
    while (*left && (c = getc(f)) != EOF) {
        --*left;
        if (c == '\n') {
            *complete = true;
            return len;
        }
        if (len == AUDIT_LINE_MAX)
            return -2;
        buf[len++] = (char)c;
    }
    return len ? len : -1;
}

/* What the state says about the line that was just read; the state covers line state->sequence. */
static int compare_state(const struct audit_state *state, const struct audit_state *at,
                         struct audit_report *report, bool with_key)
{
    if (at->sequence != state->sequence)
        return 0;
    if (sodium_memcmp(at->hash, state->hash, AUDIT_HASH_SIZE) != 0)
        return bad(report, report->lines, "its hash is not the one in the state: it was changed, "
                   "or the log was made anew");
    if (with_key && sodium_memcmp(at->key, state->key, AUDIT_KEY_SIZE) != 0)
        return bad(report, report->lines, "the key after it is not the one in the state: the state "
                   "was made anew, or the key is another log's");
    return 0;
}

/*
 * Lines up to the state's are checked with K_0 if it is given.  The one line that a crash or a
 * running recorder can have put after it is checked with the state's key; any further one is not
 * ours.
 */
static int check_line(const char *buf, size_t len, const struct audit_state *state,
                      struct audit_state *at, bool with_key, struct audit_report *report)
{
    bool after = state && at->sequence >= state->sequence;
    struct audit_line l;
    const char *why;

    if (after && at->sequence > state->sequence)
        return bad(report, report->lines, "it stands behind line %llu, the last one that the state "
                   "knows: it was added, or the state is an old copy",
                   (unsigned long long)state->sequence);
    why = audit_split(buf, len, &l);
    if (!why)
        why = audit_follows(after ? state : at, buf, &l, with_key || after);
    if (why)
        return bad(report, report->lines, "%s", why);
    audit_advance(at, &l, with_key);
    report->last_sequence = at->sequence;
    return state ? compare_state(state, at, report, with_key) : 0;
}

int audit_verify_stream(FILE *f, uint64_t size, const struct audit_state *state, const uint8_t *key,
                        struct audit_report *report)
{
    char buf[AUDIT_LINE_MAX + 1];
    struct audit_state at = { .sequence = 0 };
    bool complete;
    int len, rc = 0;

    memset(report, 0, sizeof(*report));
    if (key)
        memcpy(at.key, key, AUDIT_KEY_SIZE);
    if (state)
        rc = compare_state(state, &at, report, key != NULL);
    while (rc == 0 && (len = get_line(f, &size, buf, &complete)) != -1) {
        report->lines++;
        if (len == -2)
            rc = bad(report, report->lines, "the line is longer than any that the recorder writes");
        else if (!complete)
            rc = bad(report, report->lines, "the line has no end: a crash while it was written "
                     "(the recorder cuts it off when it starts), or an addition");
        else
            rc = check_line(buf, (size_t)len, state, &at, key != NULL, report);
    }
    if (rc == 0 && ferror(f))
        rc = errno ? -errno : -EIO;
    if (rc == 0 && state && at.sequence < state->sequence)
        rc = bad(report, report->lines + 1, "it is missing: the state knows %llu lines, the end of "
                 "the log was cut off", (unsigned long long)state->sequence);
    sodium_memzero(&at, sizeof(at));
    return rc;
}

/* 1 = read, 0 = there is a file but no valid slot in it, -errno. */
static int read_state(const char *path, struct audit_state *state)
{
    uint8_t file[AUDIT_STATE_SIZE + 1];
    char *name = NULL;
    size_t len;
    FILE *f;
    int rc;

    if (asprintf(&name, "%s.state", path) < 0)
        return -ENOMEM;
    f = fopen(name, "re");
    rc = f ? 0 : -errno;
    free(name);
    if (!f)
        return rc;
    setvbuf(f, NULL, _IONBF, 0);
    len = fread(file, 1, sizeof(file), f);
    rc = ferror(f) ? -EIO : audit_get_state(file, len, state);
    fclose(f);
    sodium_memzero(file, sizeof(file));
    return rc;
}

/* The size that the log has with this state: the state is the same before and after looking.
 * Like read_state(); *size is set whatever it says. */
static int take_snapshot(const char *path, FILE *f, struct audit_state *state, uint64_t *size)
{
    struct audit_state again = { 0 };
    struct stat st;
    int have, r;

    for (int i = 0; ; i++) {
        memset(state, 0, sizeof(*state));
        have = read_state(path, state);
        r = fstat(fileno(f), &st);
        *size = r < 0 ? 0 : (uint64_t)st.st_size;
        memset(&again, 0, sizeof(again));
        if (read_state(path, &again) == have && memcmp(state, &again, sizeof(again)) == 0 &&
            have != 0)
            break;
        if (i == TRIES)
            break;
    }
    sodium_memzero(&again, sizeof(again));
    return have;
}

static int verify_once(const char *path, const uint8_t *key, struct audit_report *report)
{
    struct audit_state state;
    FILE *f = fopen(path, "re");
    uint64_t size;
    int rc, have;

    if (!f)
        return -errno;
    have = take_snapshot(path, f, &state, &size);
    rc = audit_verify_stream(f, size, have == 1 ? &state : NULL, key, report);
    sodium_memzero(&state, sizeof(state));
    fclose(f);
    if (rc != 0 || have == 1)
        return rc;
    if (have == -EACCES || have == -EPERM) {
        snprintf(report->why, sizeof(report->why), "the state is readable for root only: whether "
                 "lines are missing at the end was not checked");
        return 0;
    }
    return bad(report, report->lines + 1,
               "the log's state is %s: lines may be missing from here on",
               have == -ENOENT ? "gone" : have == 0 ? "damaged" : strerror(-have));
}

int audit_verify(const char *path, const char *key, struct audit_report *report)
{
    static const struct timespec moment = { .tv_nsec = 20000000 };
    uint8_t k0[AUDIT_KEY_SIZE];
    int rc;

    memset(report, 0, sizeof(*report));
    if (sodium_init() < 0)
        return -EIO;
    if (key && !audit_unhex(key, strlen(key), k0))
        return -EINVAL;
    /* half a line can be one that is being written: look again before accusing anybody */
    for (int i = 0; i < 3; i++) {
        rc = verify_once(path, key ? k0 : NULL, report);
        if (rc != 1)
            break;
        nanosleep(&moment, NULL);
    }
    sodium_memzero(k0, sizeof(k0));
    return rc;
}
