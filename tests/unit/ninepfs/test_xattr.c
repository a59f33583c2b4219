/* SPDX-License-Identifier: LGPL-2.1-only */
/* Extended attributes: a value of one moment to read, all or nothing to write. */
#include "tests/unit/ninepfs/calls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/xattr.h>

#include "workers/ninepfs/fs.h"

/* ---------- where such attributes are */

static bool works_in(const char *dir)
{
    char path[64];
    bool ok;
    int fd;

    if (strlen(dir) > 40)
        return false;
    snprintf(path, sizeof(path), "%s/moat-xattr.XXXXXX", dir);
    fd = mkstemp(path);
    if (fd < 0)
        return false;
    ok = fsetxattr(fd, "user.moat", "1", 1, 0) == 0;
    close(fd);
    unlink(path);
    return ok;
}

static bool found;

static int find_folder(void **state)
{
    const char *tmp = getenv("TMPDIR"), *must = getenv("MUST_WORK");
    char cwd[256];
    const char *dirs[] = { tmp, "/tmp", "/var/tmp", getcwd(cwd, sizeof(cwd)), "/dev/shm" };

    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && !found; i++)
        if (dirs[i] && works_in(dirs[i])) {
            setenv("TMPDIR", dirs[i], 1);
            found = true;
        }
    if (found)
        return 0;
    print_error("no folder of a file system with user xattrs: tried TMPDIR, /tmp, /var/tmp, the "
                "working folder, /dev/shm\n");
    return must && !strcmp(must, "1") ? -1 : 0;
}

static struct p9c *start(const struct p9_config *cfg)
{
    if (!found)
        skip();
    return start_l(cfg, 2, 2);
}

/* ---------- calls */

/* fid: of the file; newfid holds the value then.  The size, or -errno. */
static int64_t x_walk(struct p9c *c, uint32_t fid, uint32_t newfid, const char *name)
{
    struct p9_rd rd;
    int rc;

    p9c_begin(c, P9_TXATTRWALK);
    p9_wr32(&c->wr, fid);
    p9_wr32(&c->wr, newfid);
    p9c_str(c, name);
    rc = p9c_call(c, 0, &rd);
    return rc ? rc : (int64_t)p9_rd64(&rd);
}

static int x_create(struct p9c *c, uint32_t fid, const char *name, uint64_t size, uint32_t flags)
{
    p9c_begin(c, P9_TXATTRCREATE);
    p9_wr32(&c->wr, fid);
    p9c_str(c, name);
    p9_wr64(&c->wr, size);
    p9_wr32(&c->wr, flags);
    return p9c_call(c, 0, NULL);
}

/* As Linux's getxattr(2): walk, read all, clunk. */
static int64_t x_get(struct p9c *c, uint32_t fid, const char *name, char *buf, size_t max)
{
    int64_t size = x_walk(c, fid, 901, name), done = 0, r;

    if (size < 0)
        return size;
    assert_true((uint64_t)size <= max);
    while (done < size) {
        r = p9c_read(c, 901, (uint64_t)done, buf + done, (uint32_t)(size - done));
        assert_true(r > 0);
        done += r;
    }
    assert_int_equal(p9c_read(c, 901, (uint64_t)size, buf, 16), 0);
    assert_int_equal(p9c_clunk(c, 901), 0);
    return size;
}

/* As Linux's setxattr(2): clone, create, write, clunk. */
static int x_set(struct p9c *c, uint32_t fid, const char *name, const char *value, size_t size,
                 uint32_t flags)
{
    size_t done = 0;
    int rc;

    assert_int_equal(p9c_walk(c, fid, 902, ""), 0);
    rc = x_create(c, 902, name, size, flags);
    if (rc) {
        assert_int_equal(p9c_clunk(c, 902), 0);
        return rc;
    }
    while (done < size) {
        size_t part = size - done < 3000 ? size - done : 3000;

        assert_int_equal(p9c_write(c, 902, done, value + done, (uint32_t)part), part);
        done += part;
    }
    return p9c_clunk(c, 902);
}

static ssize_t host_get(struct p9c *c, const char *file, const char *name, char *buf, size_t max)
{
    int fd = openat(c->root_fd, file, O_RDONLY | O_CLOEXEC);
    ssize_t r = fgetxattr(fd, name, buf, max);

    r = r < 0 ? -errno : r;
    close(fd);
    return r;
}

static void host_set(struct p9c *c, const char *file, const char *name, const char *value,
                     size_t len)
{
    int fd = openat(c->root_fd, file, O_RDONLY | O_CLOEXEC);

    assert_int_equal(fsetxattr(fd, name, value, len, 0), 0);
    close(fd);
}

/* ---------- tests */

static void what_is_set_is_read_and_listed(void **state)
{
    struct p9c *c = start(NULL);
    char buf[4096];

    guest_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(x_get(c, 1, "", buf, sizeof(buf)), 0);
    assert_int_equal(x_get(c, 1, "user.none", buf, sizeof(buf)), -ENODATA);
    assert_int_equal(x_set(c, 1, "user.a", "value", 5, 0), 0);
    assert_int_equal(x_set(c, 1, "user.b", "", 0, 0), 0);
    assert_int_equal(host_get(c, "f", "user.a", buf, sizeof(buf)), 5);
    assert_memory_equal(buf, "value", 5);
    assert_int_equal(x_get(c, 1, "user.a", buf, sizeof(buf)), 5);
    assert_memory_equal(buf, "value", 5);
    /* An empty value is a value. */
    assert_int_equal(x_get(c, 1, "user.b", buf, sizeof(buf)), 0);
    assert_int_equal(x_get(c, 1, "", buf, sizeof(buf)), 14);
    assert_true(!memcmp(buf, "user.a\0user.b", 14) || !memcmp(buf, "user.b\0user.a", 14));
    /* On a folder, and through an open file's fid. */
    assert_int_equal(x_set(c, ROOT, "user.d", "1", 1, 0), 0);
    assert_int_equal(x_get(c, ROOT, "user.d", buf, sizeof(buf)), 1);
    guest_open(c, 2, "f", O_RDONLY);
    assert_int_equal(x_get(c, 2, "user.a", buf, sizeof(buf)), 5);
    p9c_stop(c);
}

static void flags_and_removal_are_linuxs(void **state)
{
    struct p9c *c = start(NULL);
    char buf[64];

    guest_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(x_set(c, 1, "user.a", "x", 1, XATTR_REPLACE), -ENODATA);
    assert_int_equal(x_set(c, 1, "user.a", "x", 1, XATTR_CREATE), 0);
    assert_int_equal(x_set(c, 1, "user.a", "y", 1, XATTR_CREATE), -EEXIST);
    assert_int_equal(x_set(c, 1, "user.a", "z", 1, XATTR_REPLACE), 0);
    assert_int_equal(x_get(c, 1, "user.a", buf, sizeof(buf)), 1);
    assert_int_equal(buf[0], 'z');
    assert_int_equal(x_set(c, 1, "user.a", "y", 1, 4), -EINVAL);
    /* removexattr(2) is a replacement by nothing. */
    assert_int_equal(x_set(c, 1, "user.a", "", 0, XATTR_REPLACE), 0);
    assert_int_equal(host_get(c, "f", "user.a", buf, sizeof(buf)), -ENODATA);
    assert_int_equal(x_set(c, 1, "user.a", "", 0, XATTR_REPLACE), -ENODATA);
    p9c_stop(c);
}

static void only_the_guests_own_names_exist(void **state)
{
    static const char *const names[] = {
        "trusted.x", "security.capability", "security.selinux", "system.posix_acl_access",
        "system.posix_acl_default", "user", "userx.a", "x", "system.nfs4_acl",
    };
    struct p9c *c = start(NULL);
    char name[300], buf[4096];

    guest_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    host_set(c, "f", "user.a", "1", 1);
    if (geteuid() == 0)
        host_set(c, "f", "trusted.secret", "1", 1);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(x_get(c, 1, names[i], buf, sizeof(buf)), -EOPNOTSUPP);
        assert_int_equal(x_set(c, 1, names[i], "1", 1, 0), -EOPNOTSUPP);
    }
    assert_int_equal(x_get(c, 1, "", buf, sizeof(buf)), 7);
    assert_string_equal(buf, "user.a");
    memset(name, 'n', sizeof(name));
    memcpy(name, "user.", 5);
    name[256] = 0;
    assert_int_equal(x_get(c, 1, name, buf, sizeof(buf)), -ERANGE);
    assert_int_equal(x_set(c, 1, name, "1", 1, 0), -ERANGE);
    name[255] = 0;
    assert_int_equal(x_get(c, 1, name, buf, sizeof(buf)), -ENODATA);
    p9c_stop(c);
}

/* A security model with attributes of its own. */
static bool hides(const char *name)
{
    return !strncmp(name, "user.model.", 11);
}

static void a_models_attributes_are_hidden_and_keep_acls(void **state)
{
    const struct p9_model model = { .name = "test", .hides = hides, .acl_prefix = "user.model." };
    struct p9_config cfg = { .model = &model };
    struct p9c *c = start(&cfg);
    char buf[4096];

    host_file(c, "f", "text");
    host_set(c, "f", "user.model.uid", "1", 1);
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(x_get(c, 1, "user.model.uid", buf, sizeof(buf)), -ENODATA);
    assert_int_equal(x_set(c, 1, "user.model.uid", "2", 1, 0), -EACCES);
    assert_int_equal(x_set(c, 1, "user.model.uid", "", 0, XATTR_REPLACE), -EACCES);
    assert_int_equal(host_get(c, "f", "user.model.uid", buf, sizeof(buf)), 1);
    assert_int_equal(buf[0], '1');
    assert_int_equal(x_get(c, 1, "", buf, sizeof(buf)), 0);
    /* ACLs are bytes to us. */
    assert_int_equal(x_get(c, 1, "system.posix_acl_access", buf, sizeof(buf)), -ENODATA);
    assert_int_equal(x_set(c, 1, "system.posix_acl_access", "acl", 3, 0), 0);
    assert_int_equal(host_get(c, "f", "user.model.system.posix_acl_access", buf, sizeof(buf)), 3);
    assert_int_equal(x_get(c, 1, "system.posix_acl_access", buf, sizeof(buf)), 3);
    assert_int_equal(x_get(c, 1, "", buf, sizeof(buf)), 24);
    assert_string_equal(buf, "system.posix_acl_access");
    /* As Linux removes one: no bytes, no flag; also if there is none. */
    assert_int_equal(x_set(c, 1, "system.posix_acl_access", "", 0, 0), 0);
    assert_int_equal(x_get(c, 1, "system.posix_acl_access", buf, sizeof(buf)), -ENODATA);
    assert_int_equal(x_set(c, 1, "system.posix_acl_access", "", 0, 0), 0);
    p9c_stop(c);
}

static void a_value_is_read_as_it_was_at_the_walk(void **state)
{
    struct p9c *c = start(NULL);
    char buf[4096], big[2000];

    memset(big, 'b', sizeof(big));
    guest_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    host_set(c, "f", "user.a", "first", 5);
    assert_int_equal(x_walk(c, 1, 2, "user.a"), 5);
    host_set(c, "f", "user.a", big, sizeof(big));
    assert_int_equal(x_walk(c, 1, 3, "user.a"), sizeof(big));
    host_set(c, "f", "user.a", "s", 1);
    assert_int_equal(x_walk(c, 1, 4, "user.a"), 1);
    assert_int_equal(p9c_read(c, 2, 0, buf, sizeof(buf)), 5);
    assert_memory_equal(buf, "first", 5);
    assert_int_equal(p9c_read(c, 2, 3, buf, 1), 1);
    assert_int_equal(buf[0], 's');
    assert_int_equal(p9c_read(c, 2, 5, buf, 1), 0);
    assert_int_equal(p9c_read(c, 2, UINT64_MAX, buf, 1), 0);
    assert_int_equal(p9c_read(c, 3, 0, buf, sizeof(buf)), sizeof(big));
    assert_memory_equal(buf, big, sizeof(big));
    assert_int_equal(p9c_read(c, 4, 0, buf, sizeof(buf)), 1);
    /* It is to be read and nothing else. */
    assert_int_equal(p9c_write(c, 2, 0, "x", 1), -EBADF);
    assert_int_equal(p9c_walk(c, 2, 9, ""), -EINVAL);
    assert_int_equal(p9c_lopen(c, 2, O_RDWR), -EBADF);
    assert_int_equal(x_walk(c, 2, 9, "user.a"), -EINVAL);
    assert_int_equal(x_create(c, 2, "user.a", 1, 0), -EINVAL);
    /* A number in use stays what it is. */
    assert_int_equal(x_walk(c, 1, 2, "user.a"), -EBADF);
    assert_int_equal(x_walk(c, 1, 1, "user.a"), -EBADF);
    assert_int_equal(p9c_read(c, 2, 0, buf, sizeof(buf)), 5);
    p9c_stop(c);
}

static void a_value_that_did_not_come_whole_is_not_set(void **state)
{
    struct p9c *c = start(NULL);
    char buf[64];

    guest_file(c, "f", "text");
    host_set(c, "f", "user.a", "old", 3);
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(x_create(c, 1, "user.a", 4, 0), 0);
    assert_int_equal(p9c_write(c, 1, 0, "ne", 2), 2);
    assert_int_equal(p9c_clunk(c, 1), -EINVAL);
    assert_int_equal(p9c_clunk(c, 1), -EBADF);
    assert_int_equal(host_get(c, "f", "user.a", buf, sizeof(buf)), 3);
    /* No holes, and nothing beyond what was announced. */
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(x_create(c, 1, "user.a", 4, 0), 0);
    assert_int_equal(p9c_read(c, 1, 0, buf, 4), -EBADF);
    assert_int_equal(p9c_write(c, 1, 1, "x", 1), -EINVAL);
    assert_int_equal(p9c_write(c, 1, UINT64_MAX, "x", 1), -EINVAL);
    assert_int_equal(p9c_write(c, 1, 0, "12345", 5), -ENOSPC);
    assert_int_equal(p9c_write(c, 1, 0, "123", 3), 3);
    assert_int_equal(p9c_write(c, 1, 3, "45", 2), -ENOSPC);
    assert_int_equal(p9c_write(c, 1, 1, "abc", 3), 3);
    assert_int_equal(p9c_write(c, 1, 4, "", 0), 0);
    assert_int_equal(p9c_clunk(c, 1), 0);
    assert_int_equal(host_get(c, "f", "user.a", buf, sizeof(buf)), 4);
    assert_memory_equal(buf, "1abc", 4);
    /* A new session drops it. */
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(x_create(c, 1, "user.a", 1, 0), 0);
    assert_int_equal(p9c_write(c, 1, 0, "x", 1), 1);
    assert_int_equal(p9c_version(c, "9P2000.L", 1 << 20), 0);
    assert_int_equal(host_get(c, "f", "user.a", buf, sizeof(buf)), 4);
    p9c_stop(c);
}

static void sizes_are_bounded_and_their_sum_too(void **state)
{
    struct p9c *c = start(NULL);
    char big[3000];
    uint32_t n = 0;
    int rc = 0;

    memset(big, 'b', sizeof(big));
    guest_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(x_create(c, 1, "user.a", 65537, 0), -E2BIG);
    assert_int_equal(x_create(c, 1, "user.a", UINT64_MAX, 0), -E2BIG);
    /* Each of the largest size, until the device has had its share. */
    for (n = 0; n < 1000 && !rc; n++) {
        assert_int_equal(p9c_walk(c, ROOT, 10 + n, "f"), 0);
        rc = x_create(c, 10 + n, "user.a", 65536, 0);
    }
    assert_int_equal(rc, -ENOMEM);
    assert_in_range(n, 32, 64);
    assert_int_equal(x_walk(c, 1, 5, ""), 0);
    for (uint32_t i = 0; i < n - 1; i++)
        assert_int_equal(p9c_clunk(c, 10 + i), -EINVAL);
    assert_int_equal(p9c_clunk(c, 10 + n - 1), 0);
    assert_int_equal(p9c_clunk(c, 5), 0);
    assert_int_equal(atomic_load(&c->server.xattr_bytes), 0);
    /* And there is room again. */
    assert_int_equal(x_set(c, 1, "user.a", big, sizeof(big), 0), 0);
    p9c_stop(c);
}

static void a_file_without_a_name_keeps_its_attributes(void **state)
{
    struct p9c *c = start(NULL);
    char buf[64];

    guest_file(c, "f", "text");
    guest_open(c, 1, "f", O_RDWR);
    assert_int_equal(x_set(c, 1, "user.a", "1", 1, 0), 0);
    assert_int_equal(c_unlinkat(c, ROOT, "f", 0), 0);
    guest_file(c, "f", "other");
    assert_int_equal(x_get(c, 1, "user.a", buf, sizeof(buf)), 1);
    assert_int_equal(x_set(c, 1, "user.b", "2", 1, 0), 0);
    assert_int_equal(x_get(c, 1, "user.b", buf, sizeof(buf)), 1);
    assert_int_equal(host_get(c, "f", "user.b", buf, sizeof(buf)), -ENODATA);
    /* Links, FIFOs: as Linux says. */
    assert_int_equal(c_symlink(c, ROOT, "s", "f"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "s"), 0);
    assert_int_equal(x_get(c, 2, "user.a", buf, sizeof(buf)), -ENODATA);
    assert_int_equal(x_set(c, 2, "user.a", "1", 1, 0), -EPERM);
    assert_int_equal(host_get(c, "f", "user.a", buf, sizeof(buf)), -ENODATA);
    p9c_stop(c);
}

static void a_read_only_export_takes_none(void **state)
{
    struct p9_config cfg = { .read_only = true };
    struct p9c *c = start(&cfg);
    char buf[64];

    host_file(c, "f", "text");
    host_set(c, "f", "user.a", "1", 1);
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(x_set(c, 1, "user.a", "2", 1, 0), -EROFS);
    assert_int_equal(x_get(c, 1, "user.a", buf, sizeof(buf)), 1);
    p9c_stop(c);
}

/* ---------- races */

static atomic_bool enough;

static void *resize(void *arg)
{
    struct p9c *c = arg;
    int fd = openat(c->root_fd, "f", O_RDONLY | O_CLOEXEC);
    char value[1000];

    for (unsigned int i = 0; !atomic_load(&enough); i++) {
        size_t len = i % 2 ? 3 : sizeof(value);

        memset(value, i % 2 ? 's' : 'L', sizeof(value));
        if (fsetxattr(fd, "user.a", value, len, 0))
            break;
    }
    close(fd);
    return NULL;
}

static void a_value_that_changes_its_size_is_never_torn(void **state)
{
    struct p9c *c = start(NULL);
    int sizes[2] = { 0 };
    char buf[4096];
    pthread_t other;
    int64_t n;

    guest_file(c, "f", "text");
    host_set(c, "f", "user.a", "sss", 3);
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    atomic_store(&enough, false);
    assert_int_equal(pthread_create(&other, NULL, resize, c), 0);
    for (int i = 0; i < 20000 && (i < 200 || !sizes[0] || !sizes[1]); i++) {
        n = x_get(c, 1, "user.a", buf, sizeof(buf));
        assert_true(n == 3 || n == 1000);
        sizes[n == 3]++;
        for (int64_t k = 0; k < n; k++)
            if (buf[k] != (n == 3 ? 's' : 'L'))
                fail_msg("byte %d of %d is %d", (int)k, (int)n, buf[k]);
    }
    atomic_store(&enough, true);
    pthread_join(other, NULL);
    assert_true(sizes[0] && sizes[1]);
    p9c_stop(c);
}

static void nothing_is_left_behind(void **state)
{
    int before = count_fds();
    struct p9c *c = start(NULL);
    char buf[64];

    guest_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(x_set(c, 1, "user.a", "value", 5, 0), 0);
        assert_int_equal(x_get(c, 1, "user.a", buf, sizeof(buf)), 5);
        assert_int_equal(x_get(c, 1, "user.b", buf, sizeof(buf)), -ENODATA);
    }
    assert_int_equal(c->server.fids.count, 2);
    assert_int_equal(x_walk(c, 1, 3, "user.a"), 5);
    assert_int_equal(x_create(c, 1, "user.a", 5, 0), 0);
    p9c_stop(c);
    assert_int_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_set_is_read_and_listed),
        cmocka_unit_test(flags_and_removal_are_linuxs),
        cmocka_unit_test(only_the_guests_own_names_exist),
        cmocka_unit_test(a_models_attributes_are_hidden_and_keep_acls),
        cmocka_unit_test(a_value_is_read_as_it_was_at_the_walk),
        cmocka_unit_test(a_value_that_did_not_come_whole_is_not_set),
        cmocka_unit_test(sizes_are_bounded_and_their_sum_too),
        cmocka_unit_test(a_file_without_a_name_keeps_its_attributes),
        cmocka_unit_test(a_read_only_export_takes_none),
        cmocka_unit_test(a_value_that_changes_its_size_is_never_torn),
        cmocka_unit_test(nothing_is_left_behind),
    };

    return cmocka_run_group_tests_name("9pfs: xattrs", tests, find_folder, NULL);
}
