/* SPDX-License-Identifier: LGPL-2.1-only */
/* Security model mapped-xattr under 9P2000.L. */
#include "tests/unit/ninepfs/calls.h"
#include "workers/ninepfs/attr.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

static const struct p9_config mapped = { .model = &p9_model_mapped };

static uint32_t note(struct p9c *c, const char *name, const char *attr)
{
    char path[512];
    uint8_t b[4];

    snprintf(path, sizeof(path), "%s/%s", c->root, name);
    assert_int_equal(getxattr(path, attr, b, sizeof(b)), 4);
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static int lcreate(struct p9c *c, uint32_t fid, const char *name, uint32_t mode, uint32_t gid)
{
    p9c_begin(c, P9_TLCREATE);
    p9_wr32(&c->wr, fid);
    p9c_str(c, name);
    p9_wr32(&c->wr, O_RDWR);
    p9_wr32(&c->wr, mode);
    p9_wr32(&c->wr, gid);
    return p9c_call(c, 0, NULL);
}

static void a_new_file_has_the_users_id_and_the_requests_group(void **state)
{
    struct p9c *c = start_l(&mapped, 1, 2);
    struct p9c_attr a;
    struct stat st;

    assert_int_equal(p9c_attach(c, 1, 1000), 0);
    assert_int_equal(lcreate(c, 1, "f", 04751, 2000), 0);
    assert_int_equal(p9c_getattr(c, 1, &a), 0);
    assert_int_equal(a.mode, S_IFREG | 04751);
    assert_int_equal(a.uid, 1000);
    assert_int_equal(a.gid, 2000);
    assert_int_equal(host_stat(c, "f", &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(note(c, "f", "user.virtfs.uid"), 1000);
    assert_int_equal(note(c, "f", "user.virtfs.gid"), 2000);
    assert_int_equal(note(c, "f", "user.virtfs.mode"), S_IFREG | 04751);

    assert_int_equal(c_mkdir(c, ROOT, "d", 02775), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "d"), 0);
    assert_int_equal(p9c_getattr(c, 2, &a), 0);
    assert_int_equal(a.mode, S_IFDIR | 02775);
    assert_int_equal(host_stat(c, "d", &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0700);
    p9c_stop(c);
}

static void links_and_devices_are_files_with_notes(void **state)
{
    struct p9c *c = start_l(&mapped, 1, 2);
    struct p9c_attr a;
    char text[32];
    struct stat st;

    assert_int_equal(c_symlink(c, ROOT, "l", "/etc/passwd"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 1, "l"), 0);
    assert_int_equal(p9c_getattr(c, 1, &a), 0);
    assert_int_equal(a.mode, S_IFLNK | 0777);
    assert_int_equal(a.size, 11);
    assert_int_equal(a.qid.type, P9_QTSYMLINK);
    assert_int_equal(c_readlink(c, 1, text, sizeof(text)), 0);
    assert_string_equal(text, "/etc/passwd");
    assert_int_equal(p9c_lopen(c, 1, O_RDWR), -ELOOP);
    assert_int_equal(host_stat(c, "l", &st), 0);
    assert_true(S_ISREG(st.st_mode));

    assert_int_equal(c_mknod(c, ROOT, "null", S_IFCHR | 0666, 1, 3), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "null"), 0);
    assert_int_equal(p9c_getattr(c, 2, &a), 0);
    assert_int_equal(a.mode, S_IFCHR | 0666);
    assert_int_equal(a.rdev, 1 << 8 | 3);
    assert_int_equal(p9c_lopen(c, 2, O_RDWR), -EPERM);
    assert_int_equal(c_readlink(c, 2, text, sizeof(text)), -EINVAL);
    assert_int_equal(host_stat(c, "null", &st), 0);
    assert_true(S_ISREG(st.st_mode));

    /* They move and go like files. */
    assert_int_equal(c_renameat(c, ROOT, "null", ROOT, "zero"), 0);
    assert_int_equal(c_link(c, ROOT, 2, "two"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 3, "two"), 0);
    assert_int_equal(p9c_getattr(c, 3, &a), 0);
    assert_int_equal(a.mode, S_IFCHR | 0666);
    assert_int_equal(a.nlink, 2);
    assert_int_equal(c_unlinkat(c, ROOT, "zero", 0), 0);
    assert_int_equal(c_unlinkat(c, ROOT, "l", 0), 0);
    p9c_stop(c);
}

static void attributes_change_in_the_notes_also_without_a_name(void **state)
{
    struct setattr a = { .valid = P9_ATTR_MODE | P9_ATTR_UID | P9_ATTR_GID, .mode = S_IFREG | 0640,
                         .uid = 11, .gid = 22 };
    struct p9c *c = start_l(&mapped, 1, 2);
    struct p9c_attr got;

    guest_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(note(c, "f", "user.virtfs.uid"), 11);
    assert_int_equal(note(c, "f", "user.virtfs.gid"), 22);
    assert_int_equal(note(c, "f", "user.virtfs.mode"), S_IFREG | 0640);
    assert_int_equal(p9c_lopen(c, 1, O_RDWR), 0);
    assert_int_equal(c_unlinkat(c, ROOT, "f", 0), 0);
    a.mode = 0600;
    a.uid = 33;
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(p9c_getattr(c, 1, &got), 0);
    assert_int_equal(got.mode, S_IFREG | 0600);
    assert_int_equal(got.uid, 33);
    p9c_stop(c);
}

static void the_notes_are_no_attributes_of_the_guests(void **state)
{
    struct p9c *c = start_l(&mapped, 1, 2);
    struct p9_rd rd;

    guest_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    p9c_begin(c, P9_TXATTRWALK);
    p9_wr32(&c->wr, 1);
    p9_wr32(&c->wr, 2);
    p9c_str(c, "user.virtfs.uid");
    assert_int_equal(p9c_call(c, 0, NULL), -ENODATA);
    p9c_begin(c, P9_TXATTRWALK);
    p9_wr32(&c->wr, 1);
    p9_wr32(&c->wr, 2);
    p9c_str(c, "");
    assert_int_equal(p9c_call(c, 0, &rd), 0);
    assert_int_equal(p9_rd64(&rd), 0);
    p9c_begin(c, P9_TXATTRCREATE);
    p9_wr32(&c->wr, 1);
    p9c_str(c, "user.virtfs.mode");
    p9_wr64(&c->wr, 4);
    p9_wr32(&c->wr, 0);
    assert_int_equal(p9c_call(c, 0, NULL), -EACCES);
    p9c_stop(c);
}

static void writing_and_truncating_opens_drop_set_id_bits(void **state)
{
    struct setattr a = { .valid = P9_ATTR_MODE, .mode = 06755 };
    struct p9c *c = start_l(&mapped, 1, 2);

    guest_file(c, "f", "text");
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(note(c, "f", "user.virtfs.mode"), S_IFREG | 06755);
    guest_open(c, 2, "f", O_RDWR | O_TRUNC);
    assert_int_equal(note(c, "f", "user.virtfs.mode"), S_IFREG | 0755);
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(p9c_write(c, 2, 0, "x", 1), 1);
    assert_int_equal(note(c, "f", "user.virtfs.mode"), S_IFREG | 0755);
    /* Set-gid on what is no program marks locking, and stays. */
    a.mode = 02644;
    assert_int_equal(c_setattr(c, 1, &a), 0);
    assert_int_equal(p9c_write(c, 2, 0, "x", 1), 1);
    assert_int_equal(note(c, "f", "user.virtfs.mode"), S_IFREG | 02644);
    p9c_stop(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_file_has_the_users_id_and_the_requests_group),
        cmocka_unit_test(links_and_devices_are_files_with_notes),
        cmocka_unit_test(attributes_change_in_the_notes_also_without_a_name),
        cmocka_unit_test(the_notes_are_no_attributes_of_the_guests),
        cmocka_unit_test(writing_and_truncating_opens_drop_set_id_bits),
    };

    return cmocka_run_group_tests_name("9pfs: mapped-xattr, .L", tests, NULL, NULL);
}
