/* SPDX-License-Identifier: LGPL-2.1-only */
/* A log in a folder of its own, records to write, files to tamper with. */
#ifndef MOAT_AUDIT_FIXTURE_H
#define MOAT_AUDIT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/audit/chain.h"

#define FIXTURE_LINES 6

struct fixture {
    char dir[64];
    char path[128];
    char state_path[160];
    int dirfd;
    char key[65];           /* K_0 */
    struct audit_log log;   /* open only between fixture_open() and audit_close() */
};

static inline void record_fill(struct msg_RECORD *r, uint32_t what, const char *message)
{
    memset(r, 0, sizeof(*r));
    r->what = what;
    r->job = 7;
    r->act = ACT_SUSPEND;
    r->uid = r->loginuid = 1000;
    r->gid = 100;
    r->pid = 4321;
    r->ngids = 2;
    r->gids[0] = 100;
    r->gids[4] = 27;
    r->kind = KIND_SAVE;
    r->flags = INTENT_CHECKPOINT | INTENT_LIVE;
    r->deadline = 600;
    strcpy(r->asked, "web1");
    r->domid = 5;
    memset(r->handle, 0xab, sizeof(r->handle));
    strcpy(r->name, "web1");
    r->line = 12;
    r->worker_status = 0;
    r->saw = SAW_SUSPEND | SAW_DEATH;
    r->executed[4] = 3;
    r->refused[4 * REFUSED_DOMID] = 1;
    snprintf(r->message, sizeof(r->message), "%s", message);
}

static inline void fixture_append(struct fixture *f, const char *message)
{
    struct msg_RECORD r;
    uint64_t sequence;

    record_fill(&r, RECORD_NOTE, message);
    assert_int_equal(audit_append(&f->log, &r, &sequence), 0);
}

/* Opens the log and expects it to open. */
static inline void fixture_open(struct fixture *f)
{
    char key[65], why[128];
    int rc;

    memset(&f->log, 0, sizeof(f->log));
    rc = audit_open(&f->log, f->dirfd, "audit.jsonl", key, why);
    if (rc)
        fail_msg("audit_open: %s: %s", strerror(-rc), why);
    if (key[0])
        strcpy(f->key, key);
}

/* Expects the log not to open, and the reason to contain word. */
static inline void fixture_refused(struct fixture *f, const char *word)
{
    char key[65], why[128];

    memset(&f->log, 0, sizeof(f->log));
    assert_true(audit_open(&f->log, f->dirfd, "audit.jsonl", key, why) < 0);
    if (!strstr(why, word))
        fail_msg("refused with '%s', expected '%s'", why, word);
}

static inline int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f || sodium_init() < 0)
        return -1;
    strcpy(f->dir, "/tmp/moat-audit-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/audit.jsonl", f->dir);
    snprintf(f->state_path, sizeof(f->state_path), "%s.state", f->path);
    f->dirfd = open(f->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->dirfd >= 0);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    unlink(f->path);
    unlink(f->state_path);
    assert_int_equal(rmdir(f->dir), 0);     /* nothing else was left there */
    close(f->dirfd);
    free(f);
    return 0;
}

/* A closed log with FIXTURE_LINES lines. */
static inline int fixture_setup_lines(void **state)
{
    struct fixture *f;
    struct msg_RECORD r;
    uint64_t sequence;

    fixture_setup(state);
    f = *state;
    fixture_open(f);
    for (unsigned i = 0; i < FIXTURE_LINES; i++) {
        record_fill(&r, RECORD_BEGIN + i % 5, "a message");
        assert_int_equal(audit_append(&f->log, &r, &sequence), 0);
        assert_int_equal(sequence, i + 1);
    }
    audit_close(&f->log);
    return 0;
}

/* Whole file; NUL-terminated, to be freed. */
static inline char *slurp(const char *path, size_t *len)
{
    FILE *f = fopen(path, "re");
    char *p = calloc(1, 1 << 20);

    assert_non_null(f);
    *len = fread(p, 1, (1 << 20) - 1, f);
    fclose(f);
    return p;
}

static inline void spill(const char *path, const void *p, size_t len)
{
    FILE *f = fopen(path, "we");

    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* Line number n (from 1) in text. */
static inline char *line_at(char *text, unsigned n)
{
    while (--n)
        text = strchr(text, '\n') + 1;
    return text;
}

static inline void expect_good(struct fixture *f, uint64_t lines)
{
    struct audit_report report;

    if (audit_verify(f->path, f->key, &report) != 0)
        fail_msg("line %llu: %s", (unsigned long long)report.bad_line, report.why);
    assert_int_equal(report.lines, lines);
    assert_int_equal(report.last_sequence, lines);
    assert_int_equal(audit_verify(f->path, NULL, &report), 0);
}

/* key: NULL or K_0.  The reason must contain word. */
static inline void expect_bad(struct fixture *f, const char *key, uint64_t line, const char *word)
{
    struct audit_report report;

    assert_int_equal(audit_verify(f->path, key, &report), 1);
    if (report.bad_line != line || !strstr(report.why, word))
        fail_msg("line %llu: %s; expected line %llu: %s", (unsigned long long)report.bad_line,
                 report.why, (unsigned long long)line, word);
}

#endif
