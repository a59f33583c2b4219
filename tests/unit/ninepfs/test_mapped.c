/* SPDX-License-Identifier: LGPL-2.1-only */
/* Security model mapped-xattr: the guest's owners, modes and special files in QEMU's attributes. */
#include "tests/unit/ninepfs/u.h"
#include "workers/ninepfs/fs.h"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

static const struct p9_config mapped = { .model = &p9_model_mapped };

static const char *path_of(struct p9c *c, const char *name)
{
    static char path[512];

    snprintf(path, sizeof(path), "%s/%s", c->root, name);
    return path;
}

/* Byte for byte what QEMU would have written: little endian. */
static void host_attr(struct p9c *c, const char *name, const char *attr, uint64_t v, size_t len)
{
    uint8_t b[16];
    char full[64];

    for (size_t i = 0; i < sizeof(b); i++)
        b[i] = i < 8 ? (uint8_t)(v >> 8 * i) : 0;
    snprintf(full, sizeof(full), "user.virtfs.%s", attr);
    assert_int_equal(setxattr(path_of(c, name), full, b, len, 0), 0);
}

static uint64_t host_get(struct p9c *c, const char *name, const char *attr, size_t len)
{
    uint8_t b[16];
    char full[64];
    uint64_t v = 0;

    snprintf(full, sizeof(full), "user.virtfs.%s", attr);
    assert_int_equal(getxattr(path_of(c, name), full, b, sizeof(b)), (ssize_t)len);
    for (size_t i = 0; i < len; i++)
        v |= (uint64_t)b[i] << 8 * i;
    return v;
}

static bool host_lacks(struct p9c *c, const char *name, const char *attr)
{
    char full[64];

    snprintf(full, sizeof(full), "user.virtfs.%s", attr);
    return getxattr(path_of(c, name), full, NULL, 0) < 0 && errno == ENODATA;
}

static void what_is_made_is_private_on_the_host_and_noted(void **state)
{
    struct p9c *c = start_u(&mapped, 1, 2);
    struct u_stat st;

    assert_int_equal(p9c_attach(c, 1, 4242), 0);
    assert_int_equal(u_create(c, 1, "f", P9_DMSETUID | 0755, ORDWR, ""), 0);
    assert_int_equal(host_stat(c, "f").st_mode, S_IFREG | 0600);
    assert_int_equal(host_stat(c, "f").st_uid, geteuid());
    assert_int_equal(host_get(c, "f", "uid", 4), 4242);
    assert_int_equal(host_get(c, "f", "mode", 4), S_IFREG | 04755);
    assert_true(host_lacks(c, "f", "rdev"));
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_int_equal(st.mode, P9_DMSETUID | 0755);
    assert_int_equal(st.n_uid, 4242);
    assert_int_equal(p9c_write(c, 1, 0, "x", 1), 1);

    assert_int_equal(p9c_attach(c, 2, 7), 0);
    assert_int_equal(u_create(c, 2, "d", P9_DMDIR | P9_DMSETVTX | 0777, OREAD, ""), 0);
    assert_int_equal(host_stat(c, "d").st_mode, S_IFDIR | 0700);
    assert_int_equal(host_get(c, "d", "uid", 4), 7);
    assert_int_equal(host_get(c, "d", "mode", 4), S_IFDIR | 01777);
    assert_int_equal(u_stat(c, 2, &st), 0);
    assert_int_equal(st.mode, P9_DMDIR | P9_DMSETVTX | 0777);
    p9c_stop(c);
}

static void a_new_file_has_its_folders_group(void **state)
{
    struct p9c *c = start_u(&mapped, 1, 2);
    struct u_stat st = u_leave();

    assert_int_equal(u_make(c, 1, "d", P9_DMDIR | 0755, ""), 0);
    st.n_gid = 555;
    assert_int_equal(u_wstat(c, 1, &st), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "d"), 0);
    assert_int_equal(u_create(c, 2, "f", 0644, ORDWR, ""), 0);
    assert_int_equal(u_stat(c, 2, &st), 0);
    assert_int_equal(st.n_gid, 555);
    assert_int_equal(st.n_uid, 0);
    p9c_stop(c);
}

static void links_are_files_with_the_target_in_them(void **state)
{
    struct p9c *c = start_u(&mapped, 1, 2);
    struct u_stat st;
    char text[32];

    assert_int_equal(u_make(c, 1, "l", P9_DMSYMLINK | 0777, "/etc/passwd"), 0);
    assert_int_equal(host_stat(c, "l").st_mode, S_IFREG | 0600);
    host_text(c, "l", text, sizeof(text));
    assert_string_equal(text, "/etc/passwd");
    assert_int_equal(host_get(c, "l", "mode", 4), S_IFLNK | 0777);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_int_equal(st.mode, P9_DMSYMLINK | 0777);
    assert_int_equal(st.qid.type, P9_QTSYMLINK);
    assert_string_equal(st.ext, "/etc/passwd");
    /* Nobody writes a link's target. */
    assert_int_equal(u_open(c, 1, OREAD), -ELOOP);
    assert_int_equal(u_open(c, 1, ORDWR | P9_OTRUNC), -ELOOP);
    assert_int_equal(host_stat(c, "l").st_size, 11);
    st = u_leave();
    st.length = 0;
    assert_true(u_wstat(c, 1, &st) < 0);
    assert_int_equal(host_stat(c, "l").st_size, 11);
    assert_int_equal(p9c_walk(c, 1, 2, "x"), -ENOTDIR);
    assert_int_equal(p9c_walk(c, ROOT, 2, ""), 0);
    assert_int_equal(u_create(c, 2, "l", P9_DMSYMLINK, OREAD, "x"), -EEXIST);
    assert_int_equal(u_create(c, 2, "e", P9_DMSYMLINK, OREAD, ""), -ENOENT);
    p9c_stop(c);
}

static void devices_pipes_and_sockets_are_notes_only(void **state)
{
    static const struct {
        const char *name, *ext;
        uint32_t perm;
        mode_t mode;
    } made[] = {
        { "null", "c 1 3", P9_DMDEVICE | 0666, S_IFCHR | 0666 },
        { "disk", "b 259 70000", P9_DMDEVICE | 0660, S_IFBLK | 0660 },
        { "fifo", "", P9_DMNAMEDPIPE | 0600, S_IFIFO | 0600 },
        { "sock", "", P9_DMSOCKET | 0700, S_IFSOCK | 0700 },
    };
    struct p9c *c = start_u(&mapped, 1, 2);
    struct u_stat st;

    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(u_make(c, i + 1, made[i].name, made[i].perm, made[i].ext), 0);
        assert_int_equal(host_stat(c, made[i].name).st_mode, S_IFREG | 0600);
        assert_int_equal(host_get(c, made[i].name, "mode", 4), made[i].mode);
        assert_int_equal(u_stat(c, i + 1, &st), 0);
        assert_int_equal(st.mode, made[i].perm);
        assert_string_equal(st.ext, made[i].ext);
        assert_int_equal(u_open(c, i + 1, OREAD), -EPERM);
    }
    assert_true(host_get(c, "null", "rdev", 8) == makedev(1, 3));
    assert_true(host_get(c, "disk", "rdev", 8) == makedev(259, 70000));
    assert_true(host_lacks(c, "fifo", "rdev"));
    p9c_stop(c);
}

static void what_qemu_made_is_seen_as_it_was_meant(void **state)
{
    struct p9c *c = start_u(&mapped, 1, 2);
    struct u_stat st;

    host_file(c, "f", "text");
    host_attr(c, "f", "uid", 1000, 4);
    host_attr(c, "f", "gid", 100, 4);
    host_attr(c, "f", "mode", S_IFREG | 02751, 4);
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_int_equal(st.mode, P9_DMSETGID | 0751);
    assert_int_equal(st.n_uid, 1000);
    assert_int_equal(st.n_gid, 100);
    assert_int_equal(st.length, 4);

    host_file(c, "dev", "");
    host_attr(c, "dev", "mode", S_IFBLK | 0640, 4);
    host_attr(c, "dev", "rdev", makedev(8, 300), 8);
    assert_int_equal(p9c_walk(c, ROOT, 2, "dev"), 0);
    assert_int_equal(u_stat(c, 2, &st), 0);
    assert_int_equal(st.mode, P9_DMDEVICE | 0640);
    assert_string_equal(st.ext, "b 8 300");

    host_file(c, "l", "to/there");
    host_attr(c, "l", "mode", S_IFLNK | 0777, 4);
    assert_int_equal(p9c_walk(c, ROOT, 3, "l"), 0);
    assert_int_equal(u_stat(c, 3, &st), 0);
    assert_string_equal(st.ext, "to/there");
    /* The host's own: as it is. */
    host_file(c, "plain", "x");
    assert_int_equal(symlinkat("real", c->root_fd, "hl"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 4, "plain"), 0);
    assert_int_equal(u_stat(c, 4, &st), 0);
    assert_int_equal(st.mode, host_stat(c, "plain").st_mode & 07777);
    assert_int_equal(p9c_walk(c, ROOT, 5, "hl"), 0);
    assert_int_equal(u_stat(c, 5, &st), 0);
    assert_string_equal(st.ext, "real");
    p9c_stop(c);
}

static void attributes_that_cannot_be_are_not_believed(void **state)
{
    struct p9c *c = start_u(&mapped, 1, 2);
    struct u_stat st;

    host_file(c, "f", "text");
    mkdirat(c->root_fd, "d", 0700);
    /* A file is no folder, a folder nothing else. */
    host_attr(c, "f", "mode", S_IFDIR | 0755, 4);
    host_attr(c, "d", "mode", S_IFLNK | 0777, 4);
    assert_int_equal(p9c_walk(c, ROOT, 1, "f"), 0);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_int_equal(st.mode, 0755);
    assert_int_equal(st.qid.type, 0);
    assert_int_equal(p9c_walk(c, 1, 9, "x"), -ENOTDIR);
    assert_int_equal(p9c_walk(c, ROOT, 2, "d"), 0);
    assert_int_equal(u_stat(c, 2, &st), 0);
    assert_int_equal(st.mode, P9_DMDIR | 0777);
    /* No type, bits that are none, other sizes. */
    host_attr(c, "f", "mode", 0640, 4);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_int_equal(st.mode, 0640);
    host_attr(c, "f", "mode", 0xffffffff, 4);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_int_equal(st.mode, P9_DMSETUID | P9_DMSETGID | P9_DMSETVTX | 0777);
    host_attr(c, "f", "mode", 0777, 2);
    host_attr(c, "f", "uid", 5, 8);
    host_attr(c, "f", "gid", 5, 16);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_int_equal(st.mode, host_stat(c, "f").st_mode & 07777);
    assert_int_equal(st.n_uid, host_stat(c, "f").st_uid);
    assert_int_equal(st.n_gid, host_stat(c, "f").st_gid);
    p9c_stop(c);
}

static void modes_and_owners_change_in_the_notes(void **state)
{
    struct p9c *c = start_u(&mapped, 1, 2);
    struct u_stat st = u_leave();

    assert_int_equal(u_make(c, 1, "f", 0644, ""), 0);
    st.mode = P9_DMSETUID | 0711;
    assert_int_equal(u_wstat(c, 1, &st), 0);
    assert_int_equal(host_get(c, "f", "mode", 4), S_IFREG | 04711);
    assert_int_equal(host_stat(c, "f").st_mode, S_IFREG | 0600);
    /* chmod 0 keeps nobody out of what is the guest's. */
    st.mode = 0;
    assert_int_equal(u_wstat(c, 1, &st), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "f"), 0);
    assert_int_equal(u_open(c, 2, ORDWR), 0);
    /* The type stays. */
    assert_int_equal(u_make(c, 3, "null", P9_DMDEVICE | 0666, "c 1 3"), 0);
    st.mode = P9_DMDEVICE | 0600;
    assert_int_equal(u_wstat(c, 3, &st), 0);
    assert_int_equal(host_get(c, "null", "mode", 4), S_IFCHR | 0600);
    /* One of the two. */
    st = u_leave();
    st.n_uid = 12;
    assert_int_equal(u_wstat(c, 1, &st), 0);
    st = u_leave();
    st.n_gid = 34;
    assert_int_equal(u_wstat(c, 1, &st), 0);
    assert_int_equal(u_stat(c, 1, &st), 0);
    assert_int_equal(st.n_uid, 12);
    assert_int_equal(st.n_gid, 34);
    assert_int_equal(host_stat(c, "f").st_uid, geteuid());
    p9c_stop(c);
}

static void set_id(struct p9c *c, uint32_t fid)
{
    struct u_stat st = u_leave();

    st.mode = P9_DMSETUID | P9_DMSETGID | 0755;
    assert_int_equal(u_wstat(c, fid, &st), 0);
    assert_int_equal(host_get(c, "f", "mode", 4), S_IFREG | 06755);
}

static void a_program_that_changes_loses_its_set_id_bits(void **state)
{
    struct p9c *c = start_u(&mapped, 1, 2);
    struct u_stat st;

    assert_int_equal(u_make(c, 1, "f", 0755, ""), 0);
    set_id(c, 1);
    assert_int_equal(p9c_write(c, 1, 0, "x", 1), 1);
    assert_int_equal(host_get(c, "f", "mode", 4), S_IFREG | 0755);
    set_id(c, 1);
    st = u_leave();
    st.length = 0;
    assert_int_equal(u_wstat(c, 1, &st), 0);
    assert_int_equal(host_get(c, "f", "mode", 4), S_IFREG | 0755);
    set_id(c, 1);
    st = u_leave();
    st.n_uid = 9;
    assert_int_equal(u_wstat(c, 1, &st), 0);
    assert_int_equal(host_get(c, "f", "mode", 4), S_IFREG | 0755);
    set_id(c, 1);
    assert_int_equal(p9c_walk(c, ROOT, 2, "f"), 0);
    assert_int_equal(u_open(c, 2, ORDWR | P9_OTRUNC), 0);
    assert_int_equal(host_get(c, "f", "mode", 4), S_IFREG | 0755);
    p9c_stop(c);
}

/* The same names in .u's rows and in .L's entries. */
static void folders_list_the_types_that_the_guest_sees(void **state)
{
    struct p9c *c = start_u(&mapped, 1, 3);
    uint8_t buf[4000];
    struct u_stat st;
    struct p9_rd rd;
    unsigned int found = 0;
    int64_t r;

    assert_int_equal(u_make(c, 1, "l", P9_DMSYMLINK, "to"), 0);
    assert_int_equal(u_make(c, 2, "n", P9_DMDEVICE | 0600, "c 1 3"), 0);
    assert_int_equal(u_make(c, 3, "f", 0600, ""), 0);
    assert_int_equal(p9c_walk(c, ROOT, 4, ""), 0);
    assert_int_equal(u_open(c, 4, OREAD), 0);
    r = p9c_read(c, 4, 0, buf, sizeof(buf));
    assert_true(r > 0);
    for (p9_rd_init(&rd, buf, (size_t)r); !p9_rd_end(&rd);) {
        u_rd_stat(&rd, &st);
        found += !strcmp(st.name, "l") && st.mode == (P9_DMSYMLINK | 0777) && !strcmp(st.ext, "to");
        found += !strcmp(st.name, "n") && st.mode == (P9_DMDEVICE | 0600);
        found += !strcmp(st.name, "f") && st.mode == 0600;
    }
    assert_int_equal(found, 3);

    assert_int_equal(p9c_version(c, "9P2000.L", 8192), 0);
    assert_int_equal(p9c_attach(c, ROOT, 0), 0);
    assert_int_equal(p9c_lopen(c, ROOT, O_RDONLY), 0);
    p9c_begin(c, P9_TREADDIR);
    p9_wr32(&c->wr, ROOT);
    p9_wr64(&c->wr, 0);
    p9_wr32(&c->wr, 4000);
    assert_int_equal(p9c_call(c, 0, &rd), 0);
    p9_rd32(&rd);
    while (!p9_rd_end(&rd)) {
        uint8_t qtype = p9_rd8(&rd), type;
        struct p9_str name;

        p9_rd32(&rd);
        p9_rd64(&rd);
        p9_rd64(&rd);
        type = p9_rd8(&rd);
        name = p9_rd_str(&rd);
        assert_false(rd.bad);
        found += p9_str_is(name, "l") && type == DT_LNK && qtype == P9_QTSYMLINK;
        found += p9_str_is(name, "n") && type == DT_CHR && !qtype;
        found += p9_str_is(name, "f") && type == DT_REG && !qtype;
    }
    assert_int_equal(found, 6);
    p9c_stop(c);
}

/* Each entry needs a node for a moment: with none free the listing fails, and omits nothing. */
static void a_listing_without_room_for_nodes_fails(void **state)
{
    struct p9_config cfg = { .model = &p9_model_mapped, .max_nodes = 3 };
    struct p9c *c = start_u(&cfg, 1, 2);
    uint8_t buf[2000];

    host_file(c, "f", "x");
    host_file(c, "g", "x");
    host_file(c, "h", "x");
    assert_int_equal(p9c_walk(c, ROOT, 1, ""), 0);
    assert_int_equal(u_open(c, 1, OREAD), 0);
    assert_int_equal(p9c_walk(c, ROOT, 2, "f"), 0);
    assert_int_equal(p9c_walk(c, ROOT, 3, "g"), 0);
    /* What can be told comes; then the error, not the end. */
    for (uint64_t off = 0;;) {
        int64_t r = p9c_read(c, 1, off, buf, sizeof(buf));

        if (r < 0) {
            assert_int_equal(r, -EMFILE);
            break;
        }
        assert_true(r > 0);
        off += (uint64_t)r;
    }
    assert_int_equal(p9c_clunk(c, 2), 0);
    assert_true(p9c_read(c, 1, 0, buf, sizeof(buf)) > 5 * 63);
    p9c_stop(c);
}

static void its_attributes_are_hidden(void **state)
{
    assert_true(p9_model_mapped.hides("user.virtfs.uid"));
    assert_true(p9_model_mapped.hides("user.virtfs.anything"));
    assert_false(p9_model_mapped.hides("user.virtfs"));
    assert_false(p9_model_mapped.hides("user.mine"));
    assert_false(p9_model_mapped.hides("trusted.virtfs.uid"));
    /* But ACLs, under their own names. */
    assert_string_equal(p9_model_mapped.acl_prefix, "user.virtfs.");
}

static int cannot_note(struct p9_server *s, int fd, const struct stat *want)
{
    (void)s;
    (void)fd;
    (void)want;
    return -ENOSPC;
}

static void what_cannot_be_noted_is_not_made(void **state)
{
    struct p9_model failing = p9_model_mapped;
    struct p9_config cfg = { .model = &failing };
    struct p9c *c;

    failing.created = cannot_note;
    c = start_u(&cfg, 1, 2);
    assert_int_equal(p9c_walk(c, ROOT, 1, ""), 0);
    assert_int_equal(u_create(c, 1, "f", 0644, ORDWR, ""), -ENOSPC);
    assert_int_equal(u_create(c, 1, "f", P9_DMDIR | 0755, OREAD, ""), -ENOSPC);
    assert_false(host_has(c, "f"));
    assert_int_equal(c->server.fids.opens, 0);
    p9c_stop(c);
}

/* The export must be on a file system with user attributes. */
static int have_xattrs(void **state)
{
    struct p9c *c = p9c_start(NULL, 1, 1, 0);
    int r = setxattr(c->root, "user.moat-test", "x", 1, 0);

    p9c_stop(c);
    if (r < 0)
        print_error("no user attributes below TMPDIR or /tmp: set TMPDIR to a file system that has "
                    "them\n");
    return r;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_made_is_private_on_the_host_and_noted),
        cmocka_unit_test(a_new_file_has_its_folders_group),
        cmocka_unit_test(links_are_files_with_the_target_in_them),
        cmocka_unit_test(devices_pipes_and_sockets_are_notes_only),
        cmocka_unit_test(what_qemu_made_is_seen_as_it_was_meant),
        cmocka_unit_test(attributes_that_cannot_be_are_not_believed),
        cmocka_unit_test(modes_and_owners_change_in_the_notes),
        cmocka_unit_test(a_program_that_changes_loses_its_set_id_bits),
        cmocka_unit_test(folders_list_the_types_that_the_guest_sees),
        cmocka_unit_test(a_listing_without_room_for_nodes_fails),
        cmocka_unit_test(its_attributes_are_hidden),
        cmocka_unit_test(what_cannot_be_noted_is_not_made),
    };

    return cmocka_run_group_tests_name("9pfs: mapped-xattr", tests, have_xattrs, NULL);
}
