/* SPDX-License-Identifier: LGPL-2.1-only */
/* How far a save is: a bar with rate and time left on a terminal, a line per stage otherwise. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "parent/cli/cli.h"

#define PAGE_KIB 4
#define BAR 30
#define REDRAW_MS 100

void progress_begin(struct progress *p)
{
    *p = (struct progress){.terminal = isatty(STDERR_FILENO), .started_ms = ipc_now_ms()};
}

static const char *stage_words(uint32_t stage)
{
    switch (stage) {
    case STAGE_CONFIG: return "configuration";
    case STAGE_MEMORY: return "memory";
    case STAGE_STATE: return "vcpu state";
    case STAGE_SYNC: return "writing to disk";
    }
    return "saving";
}

static void line(struct progress *p, const struct msg_PROGRESS *m, bool new_stage)
{
    if (!new_stage)
        return;
    if (m->stage == STAGE_MEMORY && m->total)
        fprintf(stderr, "moat: memory, round %u: %" PRIu64 " MiB\n", m->iteration + 1,
                m->total * PAGE_KIB / 1024);
    else
        fprintf(stderr, "moat: %s\n", stage_words(m->stage));
}

static void bar(struct progress *p, const struct msg_PROGRESS *m, int64_t now)
{
    double seconds = (double)(now - p->round_ms) / 1000;
    double rate = seconds > 0 ? (double)m->done * PAGE_KIB / 1024 / seconds : 0;
    double left = rate > 0 ? (double)(m->total - m->done) * PAGE_KIB / 1024 / rate : 0;
    int n = m->total ? (int)(m->done * BAR / m->total) : 0;

    fprintf(stderr, "\r\033[K%s", stage_words(m->stage));
    if (m->stage == STAGE_MEMORY && m->total)
        fprintf(stderr, ", round %u [%.*s%*s] %3" PRIu64 "%% %7.1f MiB/s %4.0f s left",
                m->iteration + 1, n, "##############################", BAR - n, "",
                m->done * 100 / m->total, rate, left);
    fflush(stderr);
    p->drawn = true;
    p->last_ms = now;
}

void progress_show(struct progress *p, const struct msg_PROGRESS *m)
{
    struct msg_PROGRESS shown = *m;
    bool new_stage = m->stage != p->stage || m->iteration != p->iteration;
    int64_t now = ipc_now_ms();

    if (cli.json)
        return;
    if (shown.total > UINT64_MAX / 100)
        shown.total = 0;
    if (shown.done > shown.total)
        shown.done = shown.total;
    if (new_stage) {
        p->stage = m->stage;
        p->iteration = m->iteration;
        p->round_ms = now;
    }
    if (!p->terminal)
        line(p, &shown, new_stage);
    else if (new_stage || now - p->last_ms >= REDRAW_MS || shown.done == shown.total)
        bar(p, &shown, now);
}

void progress_end(struct progress *p)
{
    if (p->drawn)
        fputs("\r\033[K", stderr);
    p->drawn = false;
}
