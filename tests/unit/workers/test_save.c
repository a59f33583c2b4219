/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The save worker with the real libxenguest, behind the real call_execute(): what it writes, what
 * it says when something fails, and what it does when its peers do not keep the protocol.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/workers/worker_run.h"
#include "workers/save/stream.h"

static struct worker_run r;

static int setup(void **state)
{
    fake_xen_reset();
    r = (struct worker_run){ .file = -1 };
    return 0;
}

static int teardown(void **state)
{
    free(r.image);
    return 0;
}

static void assert_saved(void)
{
    assert_true(WIFEXITED(r.status));
    assert_true(r.completed);
    assert_int_equal(r.finished, !r.complete.retval);
    if (r.complete.retval)
        fail_msg("%s", r.complete.message);
    assert_int_equal(WEXITSTATUS(r.status), 0);
    assert_int_equal(r.refusals, 0);
    assert_int_equal(r.suspends, 1);
    assert_string_equal(r.complete.message, "");
    assert_false(xen.logdirty);
}

static void assert_failed(int errnum, const char *words)
{
    assert_true(r.completed);
    assert_int_equal(r.complete.retval, -1);
    if (r.complete.errnum != errnum)
        fail_msg("errno %d, not %d: %s", r.complete.errnum, errnum, r.complete.message);
    assert_non_null(strstr(r.complete.message, words));
    assert_true(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 1);
    assert_false(xen.logdirty);
}

/* Exit status 1 and not a word: the peer broke the protocol or is gone. */
static void assert_lost(void)
{
    assert_false(r.completed);
    assert_true(WIFEXITED(r.status) && WEXITSTATUS(r.status) == 1);
}

/* ---- reading an image */

static uint8_t pages[XEN_PAGES][4096];
static uint8_t present[XEN_PAGES];
static uint32_t records;        /* bits 1 << type */
static uint32_t context_len;

static uint32_t u32(size_t at)
{
    uint32_t v;

    assert_true(at + 4 <= r.image_len);
    memcpy(&v, r.image + at, 4);
    return v;
}

static void page_data(size_t at, uint32_t len)
{
    uint32_t count = u32(at);
    size_t data = at + 8 + count * 8ull;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t pfn;

        memcpy(&pfn, r.image + at + 8 + i * 8ull, 8);
        if (pfn >> 60 == 0xf)           /* no page */
            continue;
        pfn &= 0xfffffffffffffull;
        assert_true(pfn < XEN_PAGES && data + 4096 <= at + len);
        memcpy(pages[pfn], r.image + data, 4096);
        present[pfn]++;
        data += 4096;
    }
    assert_int_equal(data, at + len);
}

/* Walks the libxl stream from there to the end; every byte must belong to something. */
static void read_stream(size_t at)
{
    uint8_t head[STREAM_LIBXL_HEADER];
    uint32_t type, len;

    memset(present, 0, sizeof(present));
    records = context_len = 0;
    stream_libxl_header(head);
    assert_memory_equal(r.image + at, head, sizeof(head));
    at += sizeof(head);
    assert_memory_equal(r.image + at, "\xff\xff\xff\xff\xff\xff\xff\xffXENF", 12);
    at += 24;
    assert_int_equal(u32(at), 2);                   /* PVH is HVM here */
    assert_int_equal(u32(at + 8), 4);
    assert_int_equal(u32(at + 12), 17);
    at += 16;
    do {
        type = u32(at);
        len = u32(at + 4);
        at += 8;
        assert_true(type < 32 && at + len <= r.image_len);
        records |= 1u << type;
        if (type == 1)
            page_data(at, len);
        if (type == 9)
            context_len = len;
        at += (len + 7ull) & ~7ull;
    } while (type);
    assert_int_equal(r.image_len, at + STREAM_END);  /* libxl's END is the last */
    assert_int_equal(u32(at), 0);
    assert_int_equal(u32(at + 4), 0);
}

static void read_image(void)
{
    read_stream(STREAM_FILE_HEADER + u32(STREAM_FILE_HEADER - 4));
}

static void assert_page(unsigned gfn, unsigned writes)
{
    assert_int_equal(pages[gfn][0], fake_xen_byte(gfn, writes, 0));
    assert_int_equal(pages[gfn][4095], fake_xen_byte(gfn, writes, 4095));
}

/* ---- promises */

static void a_save_is_complete(void **state)
{
    worker_run(&r);
    assert_saved();
    read_image();
    for (unsigned i = 0; i < XEN_PAGES; i++) {
        assert_int_equal(present[i], i != XEN_HOLE);
        if (i != XEN_HOLE)
            assert_page(i, 0);
    }
    assert_int_equal(records, 1u << 0 | 1u << 1 | 1u << 8 | 1u << 9 | 1u << 10 | 1u << 0x10 |
                                  1u << 0x11 | 1u << 0x12);
    assert_int_equal(context_len, XEN_CONTEXT);     /* it came through the arena */
    assert_int_equal(r.complete.bytes, r.image_len);
    assert_int_equal(r.ctx.saw, SAW_SUSPEND | SAW_CONTEXT | SAW_LOGDIRTY_OFF);
    assert_int_equal(r.befores, 0);
    assert_int_equal(r.ctx.executed[HV_HVM_GET_PARAM], 16);
    assert_int_equal(r.ctx.executed[HV_LOGDIRTY_CLEAN], 0);
}

static void a_live_save_has_the_last_state_of_each_page(void **state)
{
    r.flags = INTENT_LIVE;
    worker_run(&r);
    assert_saved();
    read_image();
    for (unsigned i = 0; i < XEN_PAGES; i++) {
        bool first = i >= XEN_FIRST_DIRTY && i < XEN_FIRST_DIRTY + 100;

        if (i != XEN_HOLE)
            assert_page(i, first || i == XEN_LAST_DIRTY);
    }
    assert_int_equal(present[XEN_FIRST_DIRTY], 2);
    assert_true(present[XEN_LAST_DIRTY] >= 2);
    assert_int_equal(r.ctx.saw, SAW_SUSPEND | SAW_CONTEXT | SAW_LOGDIRTY_ON | SAW_LOGDIRTY_OFF);
    assert_int_equal(r.befores, 1);
    assert_int_equal(r.ctx.executed[HV_LOGDIRTY_CLEAN_FINAL], 1);
    assert_true(r.ctx.executed[HV_LOGDIRTY_CLEAN] >= 1);
}

/* What libxl_domain_suspend() writes: no header of xl's, no configuration, from FILE's offset on. */
static void a_domain_that_stays_suspended_is_a_bare_stream(void **state)
{
    for (unsigned live = 0; live < 2; live++) {
        fake_xen_reset();
        r = (struct worker_run){ .file = -1, .offset = 4099,
                                 .flags = INTENT_SUSPENDED | (live ? INTENT_LIVE : 0) };
        worker_run(&r);
        assert_saved();
        assert_true(r.image_len > 4099);
        for (size_t i = 0; i < 4099; i++)
            assert_int_equal(r.image[i], 0);
        assert_int_equal(r.complete.bytes, r.image_len - 4099);
        r.image_len -= 4099;
        memmove(r.image, r.image + 4099, r.image_len);
        read_stream(0);
        assert_page(0, 0);
        assert_true(r.stages & 1u << STAGE_SYNC);
        free(r.image);
        r.image = NULL;
    }
}

static void progress_has_all_stages(void **state)
{
    worker_run(&r);
    assert_saved();
    assert_int_equal(r.stages, 1u << STAGE_CONFIG | 1u << STAGE_MEMORY | 1u << STAGE_STATE |
                                   1u << STAGE_SYNC);
    assert_int_equal(r.last_done, XEN_PAGES);
    assert_int_equal(r.last_total, XEN_PAGES);
    assert_true(r.progresses < 30);         /* at most ten a second, and the ends of rounds */
}

static void a_guest_that_does_not_suspend_is_no_errno(void **state)
{
    for (unsigned live = 0; live < 2; live++) {
        fake_xen_reset();
        r = (struct worker_run){ .file = -1, .suspend_rc = -8, .flags = live ? INTENT_LIVE : 0 };
        worker_run(&r);
        assert_failed(0, "not suspended");
        assert_int_equal(r.ctx.saw & (SAW_SUSPEND | SAW_CONTEXT), 0);
        if (live)
            assert_int_equal(r.ctx.saw & SAW_LOGDIRTY_OFF, SAW_LOGDIRTY_OFF);
        free(r.image);
        r.image = NULL;
    }
}

/* The file cannot grow beyond some size: the error is that one, wherever it happens. */
static void a_failed_write_is_the_cause(void **state)
{
    size_t whole, i;

    worker_run(&r);
    assert_saved();
    whole = r.image_len;
    free(r.image);
    for (i = 0; i < 12; i++) {
        const size_t sizes[] = { 10, 100, 890, 920, 950, 1200, 5000, whole / 2, whole - 40000,
                                 whole - 15000, whole - 100, whole - 1 };

        fake_xen_reset();
        r = (struct worker_run){ .file = -1, .fsize = sizes[i], .flags = i & 1 ? INTENT_LIVE : 0 };
        worker_run(&r);
        if (i & 1 && !r.complete.retval)
            fail_msg("a live image of more than %zu bytes fits", sizes[i]);
        assert_failed(EFBIG, "File too large");
        free(r.image);
        r.image = NULL;
    }
}

static void a_full_disk_has_those_words(void **state)
{
    r.file = open("/dev/full", O_WRONLY | O_CLOEXEC);
    worker_run(&r);
    assert_failed(ENOSPC, "No space left on device");
    assert_int_equal(r.suspends, 0);
}

static void a_closed_pipe_is_an_error_not_a_signal(void **state)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    close(fds[0]);
    r.file = fds[1];
    r.flags = INTENT_STREAM | INTENT_CHECKPOINT;
    worker_run(&r);
    assert_failed(EPIPE, "Broken pipe");
}

static void a_pipe_is_not_fsynced(void **state)
{
    uint8_t buf[65536];
    int fds[2];
    pid_t reader;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    reader = fork();
    if (!reader) {
        close(fds[1]);
        while (read(fds[0], buf, sizeof(buf)) > 0)
            ;
        _exit(0);
    }
    close(fds[0]);
    r.file = fds[1];
    r.flags = INTENT_STREAM | INTENT_CHECKPOINT;
    worker_run(&r);
    assert_int_equal(waitpid(reader, NULL, 0), reader);
    assert_saved();
    assert_int_equal(r.complete.bytes, 0);
}

static void xens_refusal_is_the_cause(void **state)
{
    static const enum hv_row rows[] = { HV_GETDOMAININFO, HV_MAXIMUM_GPFN, HV_GET_CPU_POLICY,
                                        HV_GETPAGEFRAMEINFO3, HV_GETTSCINFO, HV_GETHVMCONTEXT,
                                        HV_HVM_GET_PARAM };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fake_xen_reset();
        r = (struct worker_run){ .file = -1 };
        xen.fail_row = rows[i];
        worker_run(&r);
        assert_failed(EIO, "Input/output error");
        assert_true(r.logs > 0);
        free(r.image);
        r.image = NULL;
    }
}

/* As on a Xen without shadow paging: then libxenguest's own errno is that of its second attempt. */
static void a_xen_that_cannot_log_dirty_pages_is_named(void **state)
{
    r.flags = INTENT_LIVE;
    xen.fail_row = HV_LOGDIRTY_ENABLE;
    xen.fail_errno = EOPNOTSUPP;
    worker_run(&r);
    assert_failed(EOPNOTSUPP, "save without --live: Operation not supported");
    assert_int_equal(r.suspends, 0);
    assert_int_equal(r.ctx.saw & SAW_LOGDIRTY_ON, 0);
}

static void another_domains_state_is_never_saved(void **state)
{
    xen.gone = true;
    worker_run(&r);
    assert_failed(ESRCH, "No such process");
    assert_int_equal(r.suspends, 0);
}

static void a_peer_that_breaks_the_protocol_ends_the_worker(void **state)
{
    static const enum mischief kinds[] = { WARDEN_SHORT_DATA, WARDEN_BAD_ERRNO, WARDEN_GOES,
                                           WARDEN_OTHER_JOB, PARENT_GOES, PARENT_STARTS_AGAIN };

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        fake_xen_reset();
        r = (struct worker_run){ .file = -1, .mischief = kinds[i] };
        worker_run(&r);
        assert_lost();
        free(r.image);
        r.image = NULL;
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_save_is_complete),
        T(a_live_save_has_the_last_state_of_each_page),
        T(a_domain_that_stays_suspended_is_a_bare_stream),
        T(progress_has_all_stages),
        T(a_guest_that_does_not_suspend_is_no_errno),
        T(a_failed_write_is_the_cause),
        T(a_full_disk_has_those_words),
        T(a_closed_pipe_is_an_error_not_a_signal),
        T(a_pipe_is_not_fsynced),
        T(xens_refusal_is_the_cause),
        T(a_xen_that_cannot_log_dirty_pages_is_named),
        T(another_domains_state_is_never_saved),
        T(a_peer_that_breaks_the_protocol_ends_the_worker),
    };

    return cmocka_run_group_tests_name("workers/save", tests, NULL, NULL);
}
