/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * A frontend that means harm, one promise per test.  Beside the export stands a tree that no guest
 * may touch: after each test its files, modes, times and bytes are what they were.
 */
#include "tests/unit/ninepfs/calls.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "workers/ninepfs/limits.h"

/* ---------- the canary */

static char canary[64];
static struct stat canary_was[3];

static void canary_path(char buf[96], int i)
{
    static const char *const what[] = { "", "/file", "/dir" };

    snprintf(buf, 96, "%s%s", canary, what[i]);
}

static int canary_set(void **state)
{
    const char *tmp = getenv("TMPDIR");
    char path[96];
    int fd;

    snprintf(canary, sizeof(canary), "%.30s/moat-9p-canary.XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(canary));
    canary_path(path, 1);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "canary", 6), 6);
    close(fd);
    canary_path(path, 2);
    assert_int_equal(mkdir(path, 0750), 0);
    for (int i = 0; i < 3; i++) {
        canary_path(path, i);
        assert_int_equal(lstat(path, &canary_was[i]), 0);
    }
    return 0;
}

static int canary_lives(void **state)
{
    struct stat st;
    char path[96];

    for (int i = 2; i >= 0; i--) {
        const struct stat *was = &canary_was[i];

        canary_path(path, i);
        if (lstat(path, &st) < 0 || st.st_ino != was->st_ino || st.st_mode != was->st_mode ||
            st.st_size != was->st_size || st.st_nlink != was->st_nlink ||
            st.st_ctim.tv_sec != was->st_ctim.tv_sec ||
            st.st_ctim.tv_nsec != was->st_ctim.tv_nsec) {
            print_error("%s was touched\n", path);
            return -1;
        }
    }
    canary_path(path, 1);
    unlink(path);
    canary_path(path, 2);
    rmdir(path);
    rmdir(canary);
    return 0;
}

/* ---------- helpers */

static struct p9c *start_small(void)
{
    return start_l(NULL, 2, 1);
}

/* Frames as they come: size as said, not as it is. */
static void raw(struct p9c *c, unsigned int ring, uint32_t size, uint8_t type, uint16_t tag,
                const void *body, uint32_t len)
{
    uint8_t hdr[P9_HDR];

    p9_poke32(hdr, size);
    hdr[4] = type;
    p9_poke16(hdr + 5, tag);
    p9c_put(&c->ring[ring], hdr, sizeof(hdr));
    if (len)
        p9c_put(&c->ring[ring], body, len);
    p9c_ring_bell(&c->ring[ring]);
}

static void expect_end(struct p9c *c)
{
    assert_int_equal(p9c_get(c, 0, c->r, sizeof(c->r)), -EPIPE);
    assert_int_equal(p9c_ended(c, 0), -EPROTO);
    p9c_stop(c);
}

/* The device still serves: of both rings. */
static void expect_life(struct p9c *c)
{
    struct p9_rd rd;

    for (unsigned int ring = 0; ring < c->nrings; ring++) {
        p9c_begin(c, P9_TGETATTR);
        p9_wr32(&c->wr, ROOT);
        p9_wr64(&c->wr, 0x7ff);
        assert_int_equal(p9c_call(c, ring, &rd), 0);
    }
    p9c_stop(c);
}

/* ---------- sizes and indices */

#define ENDS_WITH_SIZE(name, size)                                                               \
    static void name(void **state)                                                               \
    {                                                                                            \
        struct p9c *c = start_small();                                                           \
                                                                                                 \
        raw(c, 0, size, P9_TCLUNK, 1, NULL, 0);                                                  \
        expect_end(c);                                                                           \
    }
ENDS_WITH_SIZE(a_size_of_0_ends_the_device, 0)
ENDS_WITH_SIZE(a_size_of_1_ends_the_device, 1)
ENDS_WITH_SIZE(a_size_of_2_ends_the_device, 2)
ENDS_WITH_SIZE(a_size_of_3_ends_the_device, 3)
ENDS_WITH_SIZE(a_size_of_4_ends_the_device, 4)
ENDS_WITH_SIZE(a_size_of_5_ends_the_device, 5)
ENDS_WITH_SIZE(a_size_of_6_ends_the_device, 6)
ENDS_WITH_SIZE(a_size_above_msize_ends_the_device, 2049)
ENDS_WITH_SIZE(a_size_above_the_ring_ends_the_device, 4097)
ENDS_WITH_SIZE(a_size_of_31_bits_ends_the_device, 0x7fffffff)
ENDS_WITH_SIZE(a_size_with_the_sign_bit_ends_the_device, 0x80000000u)
ENDS_WITH_SIZE(a_size_of_all_ones_ends_the_device, 0xffffffffu)

#define ENDS_WITH_PROD(name, by)                                                                 \
    static void name(void **state)                                                               \
    {                                                                                            \
        struct p9c *c = start_small();                                                           \
                                                                                                 \
        c->ring[0].out_prod += by;                                                               \
        p9c_ring_bell(&c->ring[0]);                                                              \
        expect_end(c);                                                                           \
    }
ENDS_WITH_PROD(more_queued_than_a_ring_ends_the_device, 4097)
ENDS_WITH_PROD(half_of_all_indices_queued_ends_the_device, 0x80000000u)
ENDS_WITH_PROD(an_index_that_goes_back_ends_the_device, (uint32_t)-1)

static void a_header_alone_waits_and_can_be_stopped(void **state)
{
    struct p9c *c = start_small();

    c->timeout_ms = 50;
    raw(c, 0, 100, P9_TCLUNK, 1, NULL, 0);
    assert_int_equal(p9c_get(c, 0, c->r, sizeof(c->r)), -ETIMEDOUT);
    p9c_stop(c);
}

static void a_header_rewritten_while_it_waits_is_taken_once(void **state)
{
    struct p9c *c = start_small();
    uint32_t at = c->ring[0].out_prod & (c->ring[0].size - 1);

    c->timeout_ms = 50;
    raw(c, 0, 11, P9_TCLUNK, 1, NULL, 0);
    assert_int_equal(p9c_get(c, 0, c->r, sizeof(c->r)), -ETIMEDOUT);
    p9_poke32(c->ring[0].out + at, 0xffffffffu);
    c->timeout_ms = 10000;
    p9c_put(&c->ring[0], "\1\0\0\0", 4);
    p9c_ring_bell(&c->ring[0]);
    expect_end(c);
}

static void a_consumer_ahead_of_us_ends_the_device(void **state)
{
    struct p9c *c = start_small();

    c->ring[0].intf->in_cons = c->ring[0].in_cons + 4000;
    p9c_begin(c, P9_TCLUNK);
    p9_wr32(&c->wr, 9);
    p9c_send(c, 0);
    expect_end(c);
}

static void every_request_may_come_in_bytes(void **state)
{
    struct p9c *c = start_small();
    uint8_t t[64];
    struct p9_wr wr;

    host_file(c, "f", "text");
    p9_wr_init(&wr, t, sizeof(t));
    p9_wr32(&wr, 20);
    p9_wr8(&wr, P9_TWALK);
    p9_wr16(&wr, 5);
    p9_wr32(&wr, ROOT);
    p9_wr32(&wr, 1);
    p9_wr16(&wr, 1);
    p9_wr_str(&wr, "f", 1);
    assert_int_equal(wr.len, 20);
    for (size_t i = 0; i < wr.len; i++) {
        p9c_put(&c->ring[0], t + i, 1);
        p9c_ring_bell(&c->ring[0]);
        sched_yield();
    }
    assert_int_equal(p9c_get(c, 0, c->r, sizeof(c->r)), 9 + 13);
    assert_int_equal(c->r[4], P9_TWALK + 1);
    expect_life(c);
}

static void a_request_wraps_at_every_offset(void **state)
{
    for (uint32_t back = 0; back < 40; back++) {
        struct p9c *c = p9c_start_at(NULL, 1, 1, 0, 0u - back);
        char text[16] = "0123456789abcde", got[16];

        assert_int_equal(p9c_version(c, "9P2000.L", 8192), 0);
        assert_int_equal(p9c_attach(c, ROOT, 0), 0);
        assert_int_equal(p9c_lcreate(c, ROOT, "f", O_RDWR, 0600), 0);
        assert_int_equal(p9c_write(c, ROOT, 0, text, 16), 16);
        assert_int_equal(p9c_read(c, ROOT, 0, got, 16), 16);
        assert_memory_equal(text, got, 16);
        p9c_stop(c);
    }
}

/* ---------- a second thread of the peer */

#ifndef __SANITIZE_THREAD__
struct mutate {
    uint8_t *at;
    size_t len;
    atomic_bool enough;
};

static void *mutate_main(void *arg)
{
    struct mutate *m = arg;

    for (uint32_t i = 1; !atomic_load(&m->enough); i = i * 1664525 + 1013904223)
        __atomic_store_n(m->at + (i >> 8) % m->len, (uint8_t)(i >> 24), __ATOMIC_RELAXED);
    return NULL;
}

/* Names and counts change under the server: whatever it does, it does inside, and ends. */
static void with_mutation(size_t from, size_t len, bool in_page)
{
    struct p9c *c = start_l(NULL, 1, 1);
    struct mutate m = { .len = len };
    pthread_t thread;
    int n;

    m.at = (in_page ? (uint8_t *)c->ring[0].intf : c->ring[0].out) + from;
    c->timeout_ms = 200;
    assert_int_equal(symlinkat(canary, c->root_fd, "l"), 0);
    assert_int_equal(pthread_create(&thread, NULL, mutate_main, &m), 0);
    for (int i = 0; i < 300 && !p9c_ended(c, 0); i++) {
        p9c_begin(c, i & 1 ? P9_TMKDIR : P9_TUNLINKAT);
        p9_wr32(&c->wr, ROOT);
        p9c_str(c, "l/../x");
        p9_wr32(&c->wr, i & 1 ? 0755 : 0);
        if (i & 1)
            p9_wr32(&c->wr, 0);
        if (p9c_room(&c->ring[0]) < c->wr.len)
            break;
        p9c_send(c, 0);
        n = p9c_get(c, 0, c->r, sizeof(c->r));
        if (n < 0)
            break;
    }
    atomic_store(&m.enough, true);
    pthread_join(thread, NULL);
    p9c_stop(c);
}

static void names_that_change_while_they_are_read_stay_inside(void **state)
{
    for (int i = 0; i < 10; i++)
        with_mutation(0, 4096, false);
}

static void indices_that_change_while_they_are_read_harm_nothing(void **state)
{
    for (int i = 0; i < 10; i++)
        with_mutation(0, 132, true);
}

#endif

static void a_front_that_never_drains_stops_only_its_ring(void **state)
{
    struct p9c *c = start_small();
    struct p9_rd rd;

    for (int i = 0; i < 100 && p9c_room(&c->ring[0]) > 64; i++) {
        p9c_begin(c, P9_TGETATTR);
        p9_wr32(&c->wr, ROOT);
        p9_wr64(&c->wr, 0x7ff);
        p9c_send(c, 0);
    }
    for (int i = 0; i < 50; i++) {
        p9c_begin(c, P9_TGETATTR);
        p9_wr32(&c->wr, ROOT);
        p9_wr64(&c->wr, 0x7ff);
        assert_int_equal(p9c_call(c, 1, &rd), 0);
    }
    p9c_stop(c);
}

/* ---------- fields */

static void a_read_of_all_ones_is_clamped(void **state)
{
    struct p9c *c = start_small();
    struct p9_rd rd;

    host_file(c, "f", "text");
    guest_open(c, 1, "f", O_RDONLY);
    p9c_begin(c, P9_TREAD);
    p9_wr32(&c->wr, 1);
    p9_wr64(&c->wr, 0);
    p9_wr32(&c->wr, 0xffffffffu);
    assert_int_equal(p9c_call(c, 0, &rd), 0);
    assert_int_equal(p9_rd32(&rd), 4);
    expect_life(c);
}

static void a_readdir_of_all_ones_is_clamped(void **state)
{
    struct p9c *c = start_small();
    struct p9_rd rd;

    guest_open(c, 1, "", O_RDONLY);
    p9c_begin(c, P9_TREADDIR);
    p9_wr32(&c->wr, 1);
    p9_wr64(&c->wr, 0xffffffffffffffffu);
    p9_wr32(&c->wr, 0xffffffffu);
    p9c_call(c, 0, &rd);
    assert_true(c->r_len <= c->msize);
    expect_life(c);
}

static int io_at(struct p9c *c, uint8_t type, uint64_t off, uint32_t count, uint32_t len)
{
    p9c_begin(c, type);
    p9_wr32(&c->wr, 1);
    p9_wr64(&c->wr, off);
    p9_wr32(&c->wr, count);
    for (uint32_t i = 0; i < len; i++)
        p9_wr8(&c->wr, 'x');
    return p9c_call(c, 0, NULL);
}

static void offsets_beyond_any_file_are_refused(void **state)
{
    struct p9c *c = start_small();

    host_file(c, "f", "text");
    guest_open(c, 1, "f", O_RDWR);
    assert_int_equal(io_at(c, P9_TREAD, 0xffffffffffffffffu, 10, 0), -EINVAL);
    assert_int_equal(io_at(c, P9_TWRITE, 0xffffffffffffffffu, 4, 4), -EFBIG);
    assert_int_equal(io_at(c, P9_TWRITE, 0x7fffffffffffffffu, 4, 4), -EFBIG);
    expect_life(c);
}

static void a_write_whose_count_is_not_its_length_is_refused(void **state)
{
    struct p9c *c = start_small();

    host_file(c, "f", "text");
    guest_open(c, 1, "f", O_RDWR);
    assert_int_equal(io_at(c, P9_TWRITE, 0, 5, 4), -EPROTO);
    assert_int_equal(io_at(c, P9_TWRITE, 0, 3, 4), -EPROTO);
    assert_int_equal(io_at(c, P9_TWRITE, 0, 0xffffffffu, 4), -EPROTO);
    expect_life(c);
}

static void strings_longer_than_their_message_are_refused(void **state)
{
    struct p9c *c = start_small();

    p9c_begin(c, P9_TMKDIR);
    p9_wr32(&c->wr, ROOT);
    p9_wr16(&c->wr, 0xffff);
    p9_wr_bytes(&c->wr, "name", 4);
    assert_int_equal(p9c_call(c, 0, NULL), -EPROTO);
    p9c_begin(c, P9_TWALK);
    p9_wr32(&c->wr, ROOT);
    p9_wr32(&c->wr, 1);
    p9_wr16(&c->wr, 0xffff);
    assert_true(p9c_call(c, 0, NULL) < 0);
    expect_life(c);
}

static void every_number_with_no_body_has_an_answer(void **state)
{
    struct p9c *c = start_small();

    for (unsigned int type = 0; type < 256; type++) {
        raw(c, 0, P9_HDR, (uint8_t)type, (uint16_t)type, NULL, 0);
        assert_true(p9c_get(c, 0, c->r, sizeof(c->r)) >= (int)P9_HDR);
        assert_int_equal(c->r[4], P9_RLERROR);
        assert_int_equal(c->r[5], type);
    }
    expect_life(c);
}

static void replies_as_requests_are_refused(void **state)
{
    struct p9c *c = start_small();
    uint8_t body[32] = { 0 };

    for (unsigned int type = 1; type < 256; type += 2) {
        raw(c, 0, P9_HDR + sizeof(body), (uint8_t)type, 1, body, sizeof(body));
        assert_true(p9c_get(c, 0, c->r, sizeof(c->r)) >= (int)P9_HDR);
        assert_int_equal(c->r[4], P9_RLERROR);
    }
    expect_life(c);
}

/* ---------- fids and tags */

static void a_fid_in_use_is_not_given_twice(void **state)
{
    struct p9c *c = start_small();

    assert_int_equal(p9c_walk(c, ROOT, 1, ""), 0);
    assert_true(p9c_walk(c, ROOT, 1, "") < 0);
    assert_true(p9c_attach(c, 1, 0) < 0);
    assert_true(p9c_attach(c, ROOT, 0) < 0);
    assert_int_equal(p9c_clunk(c, 1), 0);
    expect_life(c);
}

static void nofid_names_no_file(void **state)
{
    struct p9c *c = start_small();

    assert_true(p9c_attach(c, P9_NOFID, 0) < 0);
    assert_true(p9c_walk(c, ROOT, P9_NOFID, "") < 0);
    assert_true(p9c_clunk(c, P9_NOFID) < 0);
    expect_life(c);
}

static void one_tag_for_many_requests_has_many_answers(void **state)
{
    struct p9c *c = start_small();
    uint8_t body[12] = { 0 };

    for (int i = 0; i < 20; i++)
        raw(c, (unsigned int)i & 1, P9_HDR + 12, P9_TGETATTR, 7, body, 12);
    for (int i = 0; i < 20; i++) {
        assert_true(p9c_get(c, (unsigned int)i & 1, c->r, sizeof(c->r)) > (int)P9_HDR);
        assert_int_equal(c->r[4], P9_TGETATTR + 1);
    }
    expect_life(c);
}

static void a_flush_of_itself_and_of_nothing_ends(void **state)
{
    struct p9c *c = start_small();
    struct p9_rd rd;

    for (unsigned int ring = 0; ring < 2; ring++) {
        p9c_begin(c, P9_TFLUSH);
        p9_wr16(&c->wr, 0x7777);
        assert_int_equal(p9c_call(c, ring, &rd), 0);
    }
    c->timeout_ms = 500;
    p9c_begin(c, P9_TFLUSH);
    p9_wr16(&c->wr, c->tag);
    p9c_call(c, 0, &rd);
    c->timeout_ms = 10000;
    expect_life(c);
}

/* Requests on one ring, Tflushes for them on the other, in no order. */
static void flushes_across_rings_lose_no_ring(void **state)
{
    struct p9c *c = start_small();
    uint8_t body[12] = { 0 };
    int n;

    for (uint16_t i = 0; i < 500; i++) {
        uint8_t old[2];

        p9_poke16(old, i);
        raw(c, i & 1, P9_HDR + 12, P9_TGETATTR, i, body, 12);
        raw(c, !(i & 1), P9_HDR + 2, P9_TFLUSH, 0x8000, old, 2);
        /* The flush is always answered, once the request's reply was taken, if there is one. */
        for (n = 0; n < 10000; n++) {
            c->timeout_ms = 0;
            if (p9c_get(c, i & 1, c->r, sizeof(c->r)) > 0)
                p9c_bell_consumed(&c->ring[i & 1]);
            c->timeout_ms = 1;
            if (p9c_get(c, !(i & 1), c->r, sizeof(c->r)) > 0 && c->r[4] == P9_TFLUSH + 1)
                break;
        }
        assert_true(n < 10000);
        c->timeout_ms = 10000;
    }
    usleep(20000);
    c->timeout_ms = 0;
    while (p9c_get(c, 0, c->r, sizeof(c->r)) > 0 || p9c_get(c, 1, c->r, sizeof(c->r)) > 0)
        ;
    c->timeout_ms = 10000;
    expect_life(c);
}

static void reads_race_with_clunks_of_the_other_ring(void **state)
{
    struct p9c *c = start_small();

    host_file(c, "f", "text");
    for (int i = 0; i < 500; i++) {
        guest_open(c, 1, "f", O_RDONLY);
        p9c_begin(c, P9_TREAD);
        p9_wr32(&c->wr, 1);
        p9_wr64(&c->wr, 0);
        p9_wr32(&c->wr, 100);
        p9c_send(c, 1);
        assert_int_equal(p9c_clunk(c, 1), 0);
        assert_true(p9c_get(c, 1, c->r, sizeof(c->r)) > (int)P9_HDR);
        if (c->r[4] == P9_TREAD + 1) {
            assert_memory_equal(c->r + 11, "text", 4);
        } else {
            assert_int_equal(c->r[4], P9_RLERROR);
            assert_int_equal(c->r[7], EBADF);
        }
    }
    assert_int_equal(c->server.fids.count, 1);
    assert_int_equal(c->server.fids.opens, 0);
    expect_life(c);
}

static void a_new_session_takes_all_fids_from_all_rings(void **state)
{
    struct p9c *c = start_small();

    host_file(c, "f", "text");
    for (uint32_t i = 1; i < 200; i++)
        guest_open(c, i, "f", O_RDONLY);
    assert_int_equal(p9c_version(c, "9P2000.L", 8192), 0);
    assert_int_equal(c->server.fids.count, 0);
    assert_int_equal(c->server.fids.opens, 0);
    assert_int_equal(p9c_clunk(c, 1), -EBADF);
    assert_int_equal(p9c_attach(c, ROOT, 0), 0);
    expect_life(c);
}

static void an_exclusive_create_that_fails_leaves_its_fid(void **state)
{
    struct p9c *c = start_small();

    host_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, ""), 0);
    assert_int_equal(p9c_lcreate(c, 1, "f", O_RDWR | O_EXCL, 0644), -EEXIST);
    assert_int_equal(p9c_lcreate(c, 1, "g", O_RDWR | O_EXCL, 0644), 0);
    assert_int_equal(p9c_write(c, 1, 0, "x", 1), 1);
    assert_true(host_has(c, "g"));
    expect_life(c);
}

static void thousands_of_fids_of_one_file_are_one_descriptor(void **state)
{
    struct p9_config cfg = { .max_fids = 9000 };
    struct p9c *c = start_l(&cfg, 2, 1);
    int before;
    uint32_t n = 0;

    host_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    before = count_fds();
    while (!p9c_walk(c, 1, 1000000007u * (n + 1) & 0x7fffffff, "")) {
        n++;
        assert_true(n < 9000);
    }
    assert_true(n > 8900);
    assert_int_equal(count_fds(), before);
    assert_int_equal(c->server.nodes.count, 2);
    expect_life(c);
}

/* ---------- names and kinds of files */

static void names_with_ways_out_are_refused(void **state)
{
    static const char *const bad[] = { "..", ".", "", "/", "a/b", "../x", "/etc", "..\0x" };
    struct p9c *c = start_small();

    assert_int_equal(mkdirat(c->root_fd, "a", 0755), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        size_t len = i == 7 ? 4 : strlen(bad[i]);
        uint32_t words[2] = { 0755, 0 };

        p9c_begin(c, P9_TWALK);
        p9_wr32(&c->wr, ROOT);
        p9_wr32(&c->wr, 1);
        p9_wr16(&c->wr, 1);
        p9_wr_str(&c->wr, bad[i], len);
        assert_true(p9c_call(c, 0, NULL) < 0);
        assert_true(send_named(c, P9_TMKDIR, ROOT, bad[i], len, words, 2) < 0);
        assert_true(send_named(c, P9_TUNLINKAT, ROOT, bad[i], len, words + 1, 1) < 0);
    }
    assert_int_equal(c->server.fids.count, 1);
    expect_life(c);
}

static void a_link_to_the_outside_leads_nowhere(void **state)
{
    struct p9c *c = start_small();
    char path[96];

    canary_path(path, 1);
    assert_int_equal(c_symlink(c, ROOT, "file", path), 0);
    assert_int_equal(c_symlink(c, ROOT, "dir", canary), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "file"), 0);
    assert_true(p9c_lopen(c, 1, O_RDWR) < 0);
    assert_true(p9c_lopen(c, 1, O_RDWR | 01000) < 0);
    assert_true(p9c_walk(c, ROOT, 2, "dir/file") < 0);
    assert_int_equal(p9c_walk(c, ROOT, 3, "dir"), 0);
    assert_true(c_mkdir(c, 3, "x", 0755) < 0);
    assert_true(p9c_lcreate(c, 3, "x", O_RDWR, 0644) < 0);
    assert_true(c_unlinkat(c, 3, "file", 0) < 0);
    assert_int_equal(p9c_walk(c, ROOT, 4, ""), 0);
    assert_true(p9c_lcreate(c, 4, "file", O_RDWR | 01000, 0644) < 0);
    expect_life(c);
}

static void attributes_of_a_link_are_the_links(void **state)
{
    struct p9c *c = start_small();
    struct setattr all = { .valid = 0x1ff, .mode = 0, .atime = { 1, 1 }, .mtime = { 1, 1 } };
    char path[96];

    canary_path(path, 1);
    assert_int_equal(c_symlink(c, ROOT, "l", path), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "l"), 0);
    for (uint32_t bit = 1; bit < 0x200; bit <<= 1) {
        all.valid = bit;
        c_setattr(c, 1, &all);
    }
    p9c_begin(c, P9_TXATTRWALK);
    p9_wr32(&c->wr, 1);
    p9_wr32(&c->wr, 2);
    p9c_str(c, "user.x");
    assert_true(p9c_call(c, 0, NULL) < 0);
    expect_life(c);
}

static void fifos_and_devices_are_never_opened(void **state)
{
    struct p9c *c = start_small();

    assert_int_equal(mkfifoat(c->root_fd, "fifo", 0666), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "fifo"), 0);
    assert_true(p9c_lopen(c, 1, O_RDONLY) < 0);
    assert_true(p9c_lopen(c, 1, O_WRONLY) < 0);
    assert_true(p9c_lopen(c, 1, O_RDWR | 01000) < 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, ""), 0);
    assert_true(p9c_lcreate(c, 2, "fifo", O_WRONLY, 0644) < 0);
    if (!mknodat(c->root_fd, "null", S_IFCHR | 0666, makedev(1, 3))) {
        assert_int_equal(p9c_walk(c, ROOT, 3, "null"), 0);
        assert_true(p9c_lopen(c, 3, O_RDWR) < 0);
    }
    assert_true(c_mknod(c, ROOT, "dev", S_IFBLK | 0600, 8, 0) < 0);
    expect_life(c);
}

/* Another process, as fast as it can, puts a link where the folder is. */
static void swapped(void (*act)(struct p9c *c))
{
    struct p9c *c = start_small();
    pid_t pid;
    int status;

    assert_int_equal(mkdirat(c->root_fd, "d", 0755), 0);
    assert_int_equal(symlinkat(canary, c->root_fd, "l"), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        for (;;)
            if (renameat2(c->root_fd, "d", c->root_fd, "l", RENAME_EXCHANGE) < 0)
                _exit(1);
    }
    for (int i = 0; i < 1500; i++)
        act(c);
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    expect_life(c);
}

static void swap_create(struct p9c *c)
{
    if (!p9c_walk(c, ROOT, 1, "d")) {
        if (!p9c_lcreate(c, 1, "file", O_RDWR | 01000, 0666))
            p9c_write(c, 1, 0, "gone", 4);
        p9c_clunk(c, 1);
    }
}

static void swap_remove(struct p9c *c)
{
    if (!p9c_walk(c, ROOT, 1, "d")) {
        c_unlinkat(c, 1, "file", 0);
        c_unlinkat(c, 1, "dir", 0x200);
        c_renameat(c, 1, "file", ROOT, "stolen");
        p9c_clunk(c, 1);
    }
    if (!p9c_walk(c, ROOT, 1, "d/file"))
        p9c_remove(c, 1);
}

static void swap_read(struct p9c *c)
{
    char text[8];

    if (!p9c_walk(c, ROOT, 1, "d/file")) {
        if (!p9c_lopen(c, 1, O_RDONLY) && p9c_read(c, 1, 0, text, 6) == 6)
            assert_memory_not_equal(text, "canary", 6);
        p9c_clunk(c, 1);
    }
}

static void creates_through_a_swapped_folder_stay_inside(void **state)
{
    swapped(swap_create);
}

static void removes_through_a_swapped_folder_stay_inside(void **state)
{
    swapped(swap_remove);
}

static void reads_through_a_swapped_folder_stay_inside(void **state)
{
    swapped(swap_read);
}

/* The server itself deletes here: by names that it looked up before. */
static void making_room_through_a_swapped_folder_stays_inside(void **state)
{
    struct p9_quota_config qc = { .max_files = 6, .auto_delete = true };
    struct p9_config cfg = { .limits = &p9_quota_limits };
    struct p9c *c = p9c_start(&cfg, 1, 1, 0);
    struct p9_quota *q;
    char name[16];
    pid_t pid;

    assert_int_equal(mkdirat(c->root_fd, "d", 0755), 0);
    assert_int_equal(symlinkat(canary, c->root_fd, "l"), 0);
    host_file(c, "d/file", "x");
    assert_int_equal(p9_quota_new(&qc, c->root_fd, &q), 0);
    c->server.cfg.limits_arg = q;
    assert_int_equal(p9_server_start(&c->server), 0);
    c->running = 1;
    assert_int_equal(p9c_version(c, "9P2000.L", 8192), 0);
    assert_int_equal(p9c_attach(c, ROOT, 0), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        for (;;)
            if (renameat2(c->root_fd, "d", c->root_fd, "l", RENAME_EXCHANGE) < 0)
                _exit(1);
    }
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        if (!p9c_walk(c, ROOT, 1, i & 1 ? "d" : "")) {
            p9c_lcreate(c, 1, i & 1 ? "file" : name, O_RDWR, 0644);
            p9c_clunk(c, 1);
        }
    }
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    p9c_stop(c);
    p9_quota_free(q);
}

/* ---------- coming and going */

static long resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &size, &resident), 2);
    fclose(f);
    return resident;
}

static int count_threads(void)
{
    DIR *d = opendir("/proc/self/task");
    int n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void one_visit(int root_fd, int proc_fd, uint8_t *mem, const int bell[2])
{
    struct p9_config cfg = { .root_fd = root_fd, .proc_fd = proc_fd };
    static struct p9_server s;
    struct p9_ring_intf *intf = (struct p9_ring_intf *)mem;
    uint8_t *out = mem + P9_RING_PAGE + 4096;
    struct p9_wr wr;
    uint64_t one = 1;

    memset(mem, 0, P9_RING_PAGE + 8192);
    assert_int_equal(p9_server_init(&s, &cfg), 0);
    assert_int_equal(p9_server_add_ring(&s, intf, mem + P9_RING_PAGE, 1, &p9_ring_eventfd,
                                        bell[0], bell[1]), 0);
    /* A session, a root, a walk and an open, half of a request; then nobody is there any more. */
    p9_wr_init(&wr, out, 4096);
    p9_wr32(&wr, 21);
    p9_wr8(&wr, P9_TVERSION);
    p9_wr16(&wr, P9_NOTAG);
    p9_wr32(&wr, 2048);
    p9_wr_str(&wr, "9P2000.L", 8);
    p9_wr32(&wr, 23);
    p9_wr8(&wr, P9_TATTACH);
    p9_wr16(&wr, 0);
    p9_wr32(&wr, 0);
    p9_wr32(&wr, P9_NOFID);
    p9_wr_str(&wr, "", 0);
    p9_wr_str(&wr, "", 0);
    p9_wr32(&wr, 0);
    p9_wr32(&wr, 20);
    p9_wr8(&wr, P9_TWALK);
    p9_wr16(&wr, 1);
    p9_wr32(&wr, 0);
    p9_wr32(&wr, 1);
    p9_wr16(&wr, 1);
    p9_wr_str(&wr, "f", 1);
    p9_wr32(&wr, 15);
    p9_wr8(&wr, P9_TLOPEN);
    p9_wr16(&wr, 1);
    p9_wr32(&wr, 1);
    p9_wr32(&wr, O_RDWR);
    p9_wr32(&wr, 99);
    __atomic_store_n(&intf->out_prod, (uint32_t)wr.len, __ATOMIC_RELEASE);
    assert_int_equal(write(bell[0], &one, sizeof(one)), sizeof(one));
    assert_int_equal(p9_server_start(&s), 0);
    for (int i = 0; i < 20000 && atomic_load(&s.ring[0]->ops) < 4; i++)
        usleep(50);
    assert_int_equal(atomic_load(&s.ring[0]->ops), 4);
    assert_int_equal(atomic_load(&s.ring[0]->errors), 0);
    pthread_mutex_lock(&s.fids.lock);
    assert_int_equal(s.fids.opens, 1);
    pthread_mutex_unlock(&s.fids.lock);
    p9_server_free(&s);
}

static void a_thousand_visits_leave_no_descriptor_thread_or_page(void **state)
{
    struct p9c *c = p9c_start(NULL, 1, 1, 0);
    uint8_t *mem = mmap(NULL, P9_RING_PAGE + 8192, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int fds, threads, bell[2] = { c->ring[0].to_server, c->ring[0].to_us };
    long pages;

    assert_true(mem != MAP_FAILED);
    host_file(c, "f", "text");
    for (int i = 0; i < 50; i++)
        one_visit(c->root_fd, c->proc_fd, mem, bell);
    fds = count_fds();
    threads = count_threads();
    pages = resident_pages();
    for (int i = 0; i < 1000; i++)
        one_visit(c->root_fd, c->proc_fd, mem, bell);
    assert_int_equal(count_fds(), fds);
    assert_int_equal(count_threads(), threads);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    /* One page a visit would be 1000. */
    assert_true(resident_pages() - pages < 250);
#endif
    (void)pages;
    munmap(mem, P9_RING_PAGE + 8192);
    p9c_stop(c);
}

#define T(f) cmocka_unit_test_setup_teardown(f, canary_set, canary_lives)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_size_of_0_ends_the_device),
        T(a_size_of_1_ends_the_device),
        T(a_size_of_2_ends_the_device),
        T(a_size_of_3_ends_the_device),
        T(a_size_of_4_ends_the_device),
        T(a_size_of_5_ends_the_device),
        T(a_size_of_6_ends_the_device),
        T(a_size_above_msize_ends_the_device),
        T(a_size_above_the_ring_ends_the_device),
        T(a_size_of_31_bits_ends_the_device),
        T(a_size_with_the_sign_bit_ends_the_device),
        T(a_size_of_all_ones_ends_the_device),
        T(more_queued_than_a_ring_ends_the_device),
        T(half_of_all_indices_queued_ends_the_device),
        T(an_index_that_goes_back_ends_the_device),
        T(a_header_alone_waits_and_can_be_stopped),
        T(a_header_rewritten_while_it_waits_is_taken_once),
        T(a_consumer_ahead_of_us_ends_the_device),
        T(every_request_may_come_in_bytes),
        T(a_request_wraps_at_every_offset),
#ifndef __SANITIZE_THREAD__
        /* Races are what these are about. */
        T(names_that_change_while_they_are_read_stay_inside),
        T(indices_that_change_while_they_are_read_harm_nothing),
#endif
        T(a_front_that_never_drains_stops_only_its_ring),
        T(a_read_of_all_ones_is_clamped),
        T(a_readdir_of_all_ones_is_clamped),
        T(offsets_beyond_any_file_are_refused),
        T(a_write_whose_count_is_not_its_length_is_refused),
        T(strings_longer_than_their_message_are_refused),
        T(every_number_with_no_body_has_an_answer),
        T(replies_as_requests_are_refused),
        T(a_fid_in_use_is_not_given_twice),
        T(nofid_names_no_file),
        T(one_tag_for_many_requests_has_many_answers),
        T(a_flush_of_itself_and_of_nothing_ends),
        T(flushes_across_rings_lose_no_ring),
        T(reads_race_with_clunks_of_the_other_ring),
        T(a_new_session_takes_all_fids_from_all_rings),
        T(an_exclusive_create_that_fails_leaves_its_fid),
        T(thousands_of_fids_of_one_file_are_one_descriptor),
        T(names_with_ways_out_are_refused),
        T(a_link_to_the_outside_leads_nowhere),
        T(attributes_of_a_link_are_the_links),
        T(fifos_and_devices_are_never_opened),
        T(creates_through_a_swapped_folder_stay_inside),
        T(removes_through_a_swapped_folder_stay_inside),
        T(reads_through_a_swapped_folder_stay_inside),
        T(making_room_through_a_swapped_folder_stays_inside),
        T(a_thousand_visits_leave_no_descriptor_thread_or_page),
    };

    return cmocka_run_group_tests_name("9pfs: hostile peers", tests, NULL, NULL);
}
