/* SPDX-License-Identifier: LGPL-2.1-only */
/* Record locks: a process's, not an open file's; true for the host too; nobody waits. */
#include "tests/unit/ninepfs/calls.h"

enum { RD = 0, WR = 1, UN = 2 };
enum { OK = 0, BLOCKED = 1 };

/* The status, or -errno. */
static int lock_flags(struct p9c *c, uint32_t fid, int type, uint32_t flags, uint64_t start,
                      uint64_t len, uint32_t pid)
{
    struct p9_rd rd;
    int rc;

    p9c_begin(c, P9_TLOCK);
    p9_wr32(&c->wr, fid);
    p9_wr8(&c->wr, (uint8_t)type);
    p9_wr32(&c->wr, flags);
    p9_wr64(&c->wr, start);
    p9_wr64(&c->wr, len);
    p9_wr32(&c->wr, pid);
    p9c_str(c, "guest");
    rc = p9c_call(c, 0, &rd);
    if (rc)
        return rc;
    rc = p9_rd8(&rd);
    return p9_rd_end(&rd) ? rc : -EPROTO;
}

static int lock(struct p9c *c, uint32_t fid, int type, uint64_t start, uint64_t len, uint32_t pid)
{
    return lock_flags(c, fid, type, 0, start, len, pid);
}

struct found {
    int type;
    uint64_t start, len;
    uint32_t pid;
    char client[64];
};

static int getlock(struct p9c *c, uint32_t fid, int type, uint64_t start, uint64_t len,
                   uint32_t pid, struct found *f)
{
    struct p9_rd rd;
    int rc;

    p9c_begin(c, P9_TGETLOCK);
    p9_wr32(&c->wr, fid);
    p9_wr8(&c->wr, (uint8_t)type);
    p9_wr64(&c->wr, start);
    p9_wr64(&c->wr, len);
    p9_wr32(&c->wr, pid);
    p9c_str(c, "guest");
    rc = p9c_call(c, 0, &rd);
    if (rc)
        return rc;
    f->type = p9_rd8(&rd);
    f->start = p9_rd64(&rd);
    f->len = p9_rd64(&rd);
    f->pid = p9_rd32(&rd);
    rc = p9_text(p9_rd_str(&rd), f->client, sizeof(f->client));
    return rc || !p9_rd_end(&rd) ? -EPROTO : 0;
}

/* May another opening on the host have that lock now? */
static bool host_may(struct p9c *c, short type, off_t start, off_t len)
{
    struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
    int fd = openat(c->root_fd, "f", O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_OFD_GETLK, &fl), 0);
    close(fd);
    return fl.l_type == F_UNLCK;
}

/* A server with a file "f" that is open as fids 1 and 2. */
static struct p9c *start_with(const struct p9_config *cfg)
{
    struct p9c *c = start_l(cfg, 2, 2);

    guest_file(c, "f", "0123456789");
    guest_open(c, 1, "f", O_RDWR);
    guest_open(c, 2, "f", O_RDWR);
    return c;
}

static struct p9c *start(void)
{
    return start_with(NULL);
}

/* ---------- tests */

static void locks_exclude_other_processes_by_ranges(void **state)
{
    struct p9c *c = start();

    assert_int_equal(lock(c, 1, WR, 0, 10, 100), OK);
    assert_int_equal(lock(c, 2, WR, 5, 10, 200), BLOCKED);
    assert_int_equal(lock(c, 2, RD, 9, 1, 200), BLOCKED);
    assert_int_equal(lock(c, 2, WR, 10, 10, 200), OK);
    assert_int_equal(lock(c, 1, RD, 0, 0, 100), BLOCKED);
    /* Read locks stand side by side. */
    assert_int_equal(lock(c, 1, RD, 0, 10, 100), OK);
    assert_int_equal(lock(c, 2, RD, 0, 10, 200), OK);
    assert_int_equal(lock(c, 1, WR, 0, 10, 100), BLOCKED);
    assert_int_equal(lock(c, 2, UN, 0, 10, 200), OK);
    assert_int_equal(lock(c, 1, WR, 0, 10, 100), OK);
    /* A part of it. */
    assert_int_equal(lock(c, 1, UN, 4, 2, 100), OK);
    assert_int_equal(lock(c, 2, WR, 4, 2, 200), OK);
    assert_int_equal(lock(c, 2, WR, 3, 1, 200), BLOCKED);
    p9c_stop(c);
}

static void a_blocking_request_is_answered_at_once(void **state)
{
    struct p9c *c = start();

    c->timeout_ms = 60000;
    assert_int_equal(lock(c, 1, WR, 0, 0, 100), OK);
    for (int i = 0; i < 100; i++)
        assert_int_equal(lock_flags(c, 2, WR, 1, 0, 0, 200), BLOCKED);
    /* Those who were refused leave nothing. */
    assert_int_equal(c->server.locks.owners, 1);
    assert_int_equal(lock(c, 1, UN, 0, 0, 100), OK);
    assert_int_equal(lock_flags(c, 2, WR, 1, 0, 0, 200), OK);
    /* After a server's restart: as any other lock. */
    assert_int_equal(lock_flags(c, 2, RD, 2, 0, 0, 200), OK);
    assert_int_equal(lock_flags(c, 2, RD, 4, 0, 0, 200), -EINVAL);
    p9c_stop(c);
}

static void a_process_does_not_shut_itself_out(void **state)
{
    struct p9c *c = start();

    assert_int_equal(lock(c, 1, RD, 0, 10, 100), OK);
    assert_int_equal(lock(c, 2, WR, 0, 10, 100), OK);
    assert_false(host_may(c, F_RDLCK, 0, 1));
    assert_int_equal(lock(c, 2, UN, 0, 10, 100), OK);
    assert_true(host_may(c, F_WRLCK, 0, 0));
    /* The fid that is left keeps them; Linux unlocks when it closes. */
    assert_int_equal(lock(c, 1, WR, 0, 10, 100), OK);
    assert_int_equal(lock(c, 2, WR, 20, 10, 100), OK);
    assert_int_equal(p9c_clunk(c, 1), 0);
    assert_false(host_may(c, F_RDLCK, 0, 1));
    assert_int_equal(p9c_clunk(c, 2), 0);
    assert_true(host_may(c, F_WRLCK, 0, 0));
    p9c_stop(c);
}

static void a_child_that_inherits_the_file_frees_nothing_of_its_parents(void **state)
{
    struct p9c *c = start();

    assert_int_equal(lock(c, 1, WR, 0, 10, 100), OK);
    assert_int_equal(lock(c, 1, WR, 0, 10, 101), BLOCKED);
    assert_int_equal(lock(c, 1, UN, 0, 0, 101), OK);
    assert_false(host_may(c, F_RDLCK, 0, 1));
    assert_int_equal(lock(c, 1, WR, 10, 10, 101), OK);
    assert_int_equal(lock(c, 1, UN, 0, 0, 100), OK);
    assert_true(host_may(c, F_WRLCK, 0, 10));
    assert_false(host_may(c, F_WRLCK, 10, 10));
    assert_int_equal(c->server.locks.owners, 1);
    p9c_stop(c);
}

static void the_hosts_processes_count(void **state)
{
    struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 3, .l_len = 2 };
    struct p9c *c = start();
    struct found f;
    int fd = openat(c->root_fd, "f", O_RDWR | O_CLOEXEC);

    assert_int_equal(fcntl(fd, F_OFD_SETLK, &fl), 0);
    assert_int_equal(lock(c, 1, RD, 0, 0, 100), BLOCKED);
    assert_int_equal(getlock(c, 1, RD, 0, 0, 100, &f), 0);
    assert_int_equal(f.type, WR);
    assert_int_equal(f.start, 3);
    assert_int_equal(f.len, 2);
    /* Which process it is stays on the host. */
    assert_int_equal(f.pid, 0);
    assert_string_equal(f.client, "");
    assert_int_equal(lock(c, 1, WR, 0, 3, 100), OK);
    fl.l_start = 0;
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &fl), -1);
    close(fd);
    assert_int_equal(lock(c, 1, WR, 0, 0, 100), OK);
    p9c_stop(c);
}

static void getlock_tells_what_is_in_the_way(void **state)
{
    struct p9c *c = start();
    struct found f;

    assert_int_equal(getlock(c, 1, WR, 5, 7, 100, &f), 0);
    assert_int_equal(f.type, UN);
    assert_int_equal(f.start, 5);
    assert_int_equal(f.len, 7);
    assert_int_equal(f.pid, 100);
    assert_string_equal(f.client, "guest");
    assert_int_equal(lock(c, 1, RD, 2, 0, 100), OK);
    /* Not one's own, through whichever fid. */
    assert_int_equal(getlock(c, 1, WR, 0, 0, 100, &f), 0);
    assert_int_equal(f.type, UN);
    assert_int_equal(getlock(c, 2, WR, 0, 0, 100, &f), 0);
    assert_int_equal(f.type, UN);
    assert_int_equal(getlock(c, 1, WR, 0, 0, 200, &f), 0);
    assert_int_equal(f.type, RD);
    assert_int_equal(f.start, 2);
    assert_int_equal(f.len, 0);
    assert_int_equal(getlock(c, 2, RD, 0, 0, 200, &f), 0);
    assert_int_equal(f.type, UN);
    assert_int_equal(getlock(c, 1, UN, 0, 0, 100, &f), -EINVAL);
    assert_int_equal(c->server.locks.owners, 1);
    p9c_stop(c);
}

static void ranges_and_fids_that_cannot_be_are_refused(void **state)
{
    static const struct { uint64_t start, len; int rc; } ranges[] = {
        { 1ull << 63, 1, -EINVAL }, { UINT64_MAX, 1, -EINVAL }, { 0, 1ull << 63, -EINVAL },
        { 0, UINT64_MAX, -EINVAL }, { INT64_MAX, 2, -EOVERFLOW }, { 2, INT64_MAX, -EOVERFLOW },
        { INT64_MAX, 1, OK }, { 1, INT64_MAX, OK }, { INT64_MAX, 0, OK },
    };
    struct p9c *c = start();
    struct found f;

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
        for (int type = RD; type <= UN; type++) {
            assert_int_equal(lock(c, 1, type, ranges[i].start, ranges[i].len, 1), ranges[i].rc);
            if (ranges[i].rc)
                assert_int_equal(getlock(c, 1, type, ranges[i].start, ranges[i].len, 1, &f),
                                 type == UN ? -EINVAL : ranges[i].rc);
        }
    assert_int_equal(lock(c, 1, 3, 0, 0, 1), -EINVAL);
    assert_int_equal(lock(c, 1, 255, 0, 0, 1), -EINVAL);
    assert_int_equal(lock(c, 99, WR, 0, 0, 1), -EBADF);
    assert_int_equal(lock(c, ROOT, WR, 0, 0, 1), -EBADF);
    assert_int_equal(p9c_walk(c, ROOT, 3, "f"), 0);
    assert_int_equal(lock(c, 3, RD, 0, 0, 1), -EBADF);
    assert_int_equal(getlock(c, 3, RD, 0, 0, 1, &f), -EBADF);
    p9c_stop(c);
}

static void flock_for_writing_works_on_a_file_opened_for_reading(void **state)
{
    struct p9_config cfg = { .read_only = true };
    struct p9c *c = start();

    guest_open(c, 3, "f", O_RDONLY);
    assert_int_equal(lock(c, 3, WR, 0, 0, 300), OK);
    assert_false(host_may(c, F_RDLCK, 0, 0));
    p9c_stop(c);
    /* Not where nothing may be opened for writing: then it is said. */
    c = start_l(&cfg, 1, 2);
    host_file(c, "f", "text");
    guest_open(c, 3, "f", O_RDONLY);
    assert_int_equal(lock(c, 3, RD, 0, 0, 300), OK);
    assert_int_equal(lock(c, 3, WR, 0, 0, 300), -ENOLCK);
    assert_false(host_may(c, F_WRLCK, 0, 0));
    p9c_stop(c);
}

static void locks_follow_the_file_not_the_name(void **state)
{
    struct p9c *c = start();

    assert_int_equal(lock(c, 1, WR, 0, 0, 100), OK);
    assert_int_equal(c_renameat(c, ROOT, "f", ROOT, "g"), 0);
    guest_file(c, "f", "another");
    guest_open(c, 3, "f", O_RDWR);
    guest_open(c, 4, "g", O_RDWR);
    assert_int_equal(lock(c, 3, WR, 0, 0, 200), OK);
    assert_int_equal(lock(c, 4, WR, 0, 0, 200), BLOCKED);
    assert_int_equal(c_unlinkat(c, ROOT, "g", 0), 0);
    assert_int_equal(lock(c, 2, WR, 0, 0, 200), BLOCKED);
    assert_int_equal(lock(c, 1, UN, 0, 0, 100), OK);
    assert_int_equal(lock(c, 2, WR, 0, 0, 200), OK);
    p9c_stop(c);
}

static void a_new_session_frees_all(void **state)
{
    struct p9c *c = start();

    assert_int_equal(lock(c, 1, WR, 0, 0, 100), OK);
    assert_int_equal(p9c_version(c, "9P2000.L", 1 << 20), 0);
    assert_true(host_may(c, F_WRLCK, 0, 0));
    assert_int_equal(c->server.locks.owners, 0);
    assert_int_equal(c->server.locks.uses, 0);
    p9c_stop(c);
}

static void owners_have_a_limit_and_come_back(void **state)
{
    struct p9_config cfg = { .max_lock_owners = 50 };
    struct p9c *c = start_with(&cfg);
    int before = count_fds();
    uint32_t pid;
    int rc = OK;

    /* A file that thousands of children lock in turn: none stays. */
    for (pid = 1; pid <= 1000; pid++) {
        assert_int_equal(lock(c, 1, WR, 0, 0, pid), OK);
        assert_int_equal(lock(c, 1, UN, 0, 0, pid), OK);
    }
    assert_int_equal(c->server.locks.owners, 0);
    assert_int_equal(count_fds(), before);
    /* One that makes up processes. */
    for (pid = 1; pid <= 1000 && rc == OK; pid++)
        rc = lock(c, 1, RD, 0, 0, pid);
    assert_int_equal(rc, -ENOLCK);
    assert_int_equal(c->server.locks.owners, 50);
    assert_int_equal(lock(c, 2, RD, 0, 0, 1), OK);
    assert_int_equal(lock(c, 2, RD, 0, 0, 1u << 31), -ENOLCK);
    assert_int_equal(p9c_clunk(c, 1), 0);
    assert_int_equal(c->server.locks.owners, 1);
    assert_int_equal(c->server.locks.uses, 1);
    assert_int_equal(lock(c, 2, RD, 0, 0, 1u << 31), OK);
    assert_int_equal(p9c_clunk(c, 2), 0);
    assert_int_equal(c->server.locks.owners, 0);
    p9c_stop(c);
}

/* ---------- two rings at once */

static int read_status(struct p9c *c, const uint8_t *reply, int n)
{
    struct p9_rd rd;

    p9_rd_init(&rd, reply, (size_t)n);
    p9_rd32(&rd);
    if (p9_rd8(&rd) != P9_TLOCK + 1)
        return -1;
    p9_rd16(&rd);
    return p9_rd8(&rd);
}

/* On that ring, for the fid 1 + ring. */
static void send_lock(struct p9c *c, unsigned int ring, int type, uint64_t start, uint64_t len,
                      uint32_t pid)
{
    p9c_begin(c, P9_TLOCK);
    p9_wr32(&c->wr, 1 + ring);
    p9_wr8(&c->wr, (uint8_t)type);
    p9_wr32(&c->wr, 0);
    p9_wr64(&c->wr, start);
    p9_wr64(&c->wr, len);
    p9_wr32(&c->wr, pid);
    p9c_str(c, "guest");
    p9c_send(c, ring);
}

/* Both rings lock and unlock the same file for the same process and for two; whatever comes first,
 * at the end there is no lock, and no owner. */
static void two_rings_may_lock_at_once(void **state)
{
    struct p9c *c = start();
    uint8_t reply[64];
    int n;

    for (int i = 0; i < 2000; i++) {
        for (unsigned int ring = 0; ring < 2; ring++)
            send_lock(c, ring, i & 1 ? UN : WR, 0, 0, i & 2 ? 100 : 100 + ring);
        for (unsigned int ring = 0; ring < 2; ring++) {
            n = p9c_get(c, ring, reply, sizeof(reply));
            assert_int_equal(n, P9_HDR + 1);
            n = read_status(c, reply, n);
            assert_true(n == OK || (n == BLOCKED && !(i & 3)));
        }
        /* One process: its lock is there now, whoever made the owner. */
        if ((i & 3) == 2)
            assert_false(host_may(c, F_RDLCK, 0, 0));
        if (i & 1)
            assert_true(host_may(c, F_WRLCK, 0, 0));
    }
    assert_int_equal(p9c_clunk(c, 1), 0);
    assert_int_equal(p9c_clunk(c, 2), 0);
    assert_int_equal(c->server.locks.owners, 0);
    assert_int_equal(c->server.locks.uses, 0);
    p9c_stop(c);
}

/* What one request is refused takes nothing from another one of the same process. */
static void a_refusal_beside_a_lock_leaves_the_lock(void **state)
{
    struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };
    struct p9c *c = start();
    uint8_t reply[64];
    int n, fd = openat(c->root_fd, "f", O_RDWR | O_CLOEXEC);

    assert_int_equal(fcntl(fd, F_OFD_SETLK, &fl), 0);
    for (int i = 0; i < 3000; i++) {
        send_lock(c, 0, WR, 0, 1, 100);
        send_lock(c, 1, WR, 5, 1, 100);
        n = p9c_get(c, 0, reply, sizeof(reply));
        assert_int_equal(read_status(c, reply, n), BLOCKED);
        n = p9c_get(c, 1, reply, sizeof(reply));
        assert_int_equal(read_status(c, reply, n), OK);
        if (host_may(c, F_RDLCK, 5, 1))
            fail_msg("the lock of round %d is gone", i);
        assert_int_equal(lock(c, 1, UN, 0, 0, 100), OK);
        assert_int_equal(c->server.locks.owners, 0);
    }
    close(fd);
    p9c_stop(c);
}

static void nothing_is_left_behind(void **state)
{
    int before = count_fds();
    struct p9c *c = start();

    for (uint32_t pid = 0; pid < 20; pid++)
        assert_int_equal(lock(c, 1 + pid % 2, RD, pid, 1, pid), OK);
    p9c_stop(c);
    assert_int_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(locks_exclude_other_processes_by_ranges),
        cmocka_unit_test(a_blocking_request_is_answered_at_once),
        cmocka_unit_test(a_process_does_not_shut_itself_out),
        cmocka_unit_test(a_child_that_inherits_the_file_frees_nothing_of_its_parents),
        cmocka_unit_test(the_hosts_processes_count),
        cmocka_unit_test(getlock_tells_what_is_in_the_way),
        cmocka_unit_test(ranges_and_fids_that_cannot_be_are_refused),
        cmocka_unit_test(flock_for_writing_works_on_a_file_opened_for_reading),
        cmocka_unit_test(locks_follow_the_file_not_the_name),
        cmocka_unit_test(a_new_session_frees_all),
        cmocka_unit_test(owners_have_a_limit_and_come_back),
        cmocka_unit_test(two_rings_may_lock_at_once),
        cmocka_unit_test(a_refusal_beside_a_lock_leaves_the_lock),
        cmocka_unit_test(nothing_is_left_behind),
    };

    return cmocka_run_group_tests_name("9pfs: locks", tests, NULL, NULL);
}
