/* SPDX-License-Identifier: LGPL-2.1-only */
/* The .L requests that change names and attributes, as calls: 0 or -errno of the reply. */
#ifndef MOAT_TESTS_UNIT_NINEPFS_CALLS_H
#define MOAT_TESTS_UNIT_NINEPFS_CALLS_H

#include "tests/unit/ninepfs/p9.h"

/* As strings with bytes that C strings have not. */
static inline int send_named(struct p9c *c, uint8_t type, uint32_t fid, const char *name,
                             size_t len, const uint32_t *words, int n)
{
    p9c_begin(c, type);
    p9_wr32(&c->wr, fid);
    p9_wr_str(&c->wr, name, len);
    for (int i = 0; i < n; i++)
        p9_wr32(&c->wr, words[i]);
    return p9c_call(c, 0, NULL);
}

static inline int c_mkdir(struct p9c *c, uint32_t dfid, const char *name, uint32_t mode)
{
    uint32_t words[] = { mode, 0 };

    return send_named(c, P9_TMKDIR, dfid, name, strlen(name), words, 2);
}

static inline int c_mknod(struct p9c *c, uint32_t dfid, const char *name, uint32_t mode,
                          uint32_t hi, uint32_t lo)
{
    uint32_t words[] = { mode, hi, lo, 0 };

    return send_named(c, P9_TMKNOD, dfid, name, strlen(name), words, 4);
}

static inline int c_unlinkat(struct p9c *c, uint32_t dfid, const char *name, uint32_t flags)
{
    return send_named(c, P9_TUNLINKAT, dfid, name, strlen(name), &flags, 1);
}

static inline int c_symlink(struct p9c *c, uint32_t dfid, const char *name, const char *target)
{
    p9c_begin(c, P9_TSYMLINK);
    p9_wr32(&c->wr, dfid);
    p9c_str(c, name);
    p9c_str(c, target);
    p9_wr32(&c->wr, 0);
    return p9c_call(c, 0, NULL);
}

static inline int c_readlink(struct p9c *c, uint32_t fid, char *buf, size_t max)
{
    struct p9_rd rd;
    int rc;

    p9c_begin(c, P9_TREADLINK);
    p9_wr32(&c->wr, fid);
    rc = p9c_call(c, 0, &rd);
    if (!rc)
        rc = p9_text(p9_rd_str(&rd), buf, max);
    return rc ? rc : p9_rd_end(&rd) ? 0 : -EPROTO;
}

static inline int c_link(struct p9c *c, uint32_t dfid, uint32_t fid, const char *name)
{
    p9c_begin(c, P9_TLINK);
    p9_wr32(&c->wr, dfid);
    p9_wr32(&c->wr, fid);
    p9c_str(c, name);
    return p9c_call(c, 0, NULL);
}

static inline int c_rename(struct p9c *c, uint32_t fid, uint32_t dfid, const char *name)
{
    p9c_begin(c, P9_TRENAME);
    p9_wr32(&c->wr, fid);
    p9_wr32(&c->wr, dfid);
    p9c_str(c, name);
    return p9c_call(c, 0, NULL);
}

static inline int c_renameat(struct p9c *c, uint32_t ofid, const char *oname, uint32_t nfid,
                             const char *nname)
{
    p9c_begin(c, P9_TRENAMEAT);
    p9_wr32(&c->wr, ofid);
    p9c_str(c, oname);
    p9_wr32(&c->wr, nfid);
    p9c_str(c, nname);
    return p9c_call(c, 0, NULL);
}

/* One Tsetattr; what is not named is all ones, as Linux's client leaves it. */
struct setattr {
    uint32_t valid, mode, uid, gid;
    uint64_t size, atime[2], mtime[2];
};

static inline int c_setattr(struct p9c *c, uint32_t fid, const struct setattr *a)
{
    p9c_begin(c, P9_TSETATTR);
    p9_wr32(&c->wr, fid);
    p9_wr32(&c->wr, a->valid);
    p9_wr32(&c->wr, a->mode);
    p9_wr32(&c->wr, a->uid);
    p9_wr32(&c->wr, a->gid);
    p9_wr64(&c->wr, a->size);
    p9_wr64(&c->wr, a->atime[0]);
    p9_wr64(&c->wr, a->atime[1]);
    p9_wr64(&c->wr, a->mtime[0]);
    p9_wr64(&c->wr, a->mtime[1]);
    return p9c_call(c, 0, NULL);
}

/* A new file of the guest's, closed again. */
static inline void guest_file(struct p9c *c, const char *name, const char *text)
{
    assert_int_equal(p9c_walk(c, ROOT, 900, ""), 0);
    assert_int_equal(p9c_lcreate(c, 900, name, O_RDWR, 0644), 0);
    assert_int_equal(p9c_write(c, 900, 0, text, (uint32_t)strlen(text)), strlen(text));
    assert_int_equal(p9c_clunk(c, 900), 0);
}

/* fid, walked to and opened. */
static inline void guest_open(struct p9c *c, uint32_t fid, const char *name, uint32_t flags)
{
    assert_int_equal(p9c_walk(c, ROOT, fid, name), 0);
    assert_int_equal(p9c_lopen(c, fid, flags), 0);
}

/* The host's view: 0 or -errno. */
static inline int host_stat(struct p9c *c, const char *name, struct stat *st)
{
    return fstatat(c->root_fd, name, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static inline bool host_has(struct p9c *c, const char *name)
{
    struct stat st;

    return !host_stat(c, name, &st);
}

#endif
