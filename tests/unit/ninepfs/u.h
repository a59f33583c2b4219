/* SPDX-License-Identifier: LGPL-2.1-only */
/* The .u requests, for tests. */
#ifndef MOAT_TESTS_UNIT_NINEPFS_U_H
#define MOAT_TESTS_UNIT_NINEPFS_U_H

#include "tests/unit/ninepfs/p9.h"
#include "workers/ninepfs/u.h"

enum { OREAD = 0, OWRITE = 1, ORDWR = 2, OEXEC = 3 };

static inline struct p9c *start_u(const struct p9_config *cfg, unsigned int rings,
                                  unsigned int order)
{
    struct p9c *c = p9c_start(cfg, rings, order, 1);

    assert_int_equal(p9c_version(c, "9P2000.u", 1 << 20), 0);
    assert_int_equal(p9c_attach(c, ROOT, 0), 0);
    return c;
}

static inline int u_open(struct p9c *c, uint32_t fid, uint8_t mode)
{
    p9c_begin(c, P9_TOPEN);
    p9_wr32(&c->wr, fid);
    p9_wr8(&c->wr, mode);
    return p9c_call(c, 0, NULL);
}

static inline int u_create(struct p9c *c, uint32_t fid, const char *name, uint32_t perm,
                           uint8_t mode, const char *ext)
{
    struct p9_rd rd;
    int rc;

    p9c_begin(c, P9_TCREATE);
    p9_wr32(&c->wr, fid);
    p9c_str(c, name);
    p9_wr32(&c->wr, perm);
    p9_wr8(&c->wr, mode);
    p9c_str(c, ext);
    rc = p9c_call(c, 0, &rd);
    if (!rc)
        assert_int_equal(p9_rd_left(&rd), P9_QID_LEN + 4);
    return rc;
}

/* Creates below the root on a fid of its own, which is left open. */
static inline int u_make(struct p9c *c, uint32_t fid, const char *name, uint32_t perm,
                         const char *ext)
{
    int rc = p9c_walk(c, ROOT, fid, "");

    return rc ? rc : u_create(c, fid, name, perm, perm & P9_DMDIR ? OREAD : ORDWR, ext);
}

struct u_stat {
    uint16_t size, type;
    uint32_t dev;
    struct p9_qid qid;
    uint32_t mode, atime, mtime;
    uint64_t length;
    char name[256], uid[64], gid[64], muid[64], ext[4200];
    uint32_t n_uid, n_gid, n_muid;
};

static inline void rd_text(struct p9_rd *rd, char *buf, size_t max)
{
    assert_int_equal(p9_text(p9_rd_str(rd), buf, max), 0);
}

/* One stat; checks that its size is what it has. */
static inline void u_rd_stat(struct p9_rd *rd, struct u_stat *st)
{
    const uint8_t *at = rd->p;

    st->size = p9_rd16(rd);
    st->type = p9_rd16(rd);
    st->dev = p9_rd32(rd);
    st->qid.type = p9_rd8(rd);
    st->qid.version = p9_rd32(rd);
    st->qid.path = p9_rd64(rd);
    st->mode = p9_rd32(rd);
    st->atime = p9_rd32(rd);
    st->mtime = p9_rd32(rd);
    st->length = p9_rd64(rd);
    rd_text(rd, st->name, sizeof(st->name));
    rd_text(rd, st->uid, sizeof(st->uid));
    rd_text(rd, st->gid, sizeof(st->gid));
    rd_text(rd, st->muid, sizeof(st->muid));
    rd_text(rd, st->ext, sizeof(st->ext));
    st->n_uid = p9_rd32(rd);
    st->n_gid = p9_rd32(rd);
    st->n_muid = p9_rd32(rd);
    assert_false(rd->bad);
    assert_int_equal(rd->p - at, st->size + 2);
    assert_int_equal(st->size, 61 + strlen(st->name) + strlen(st->uid) + strlen(st->gid) +
                                   strlen(st->muid) + strlen(st->ext));
}

static inline int u_stat(struct p9c *c, uint32_t fid, struct u_stat *st)
{
    struct p9_rd rd;
    uint16_t n;
    int rc;

    p9c_begin(c, P9_TSTAT);
    p9_wr32(&c->wr, fid);
    rc = p9c_call(c, 0, &rd);
    if (rc)
        return rc;
    n = p9_rd16(&rd);
    assert_int_equal(n, p9_rd_left(&rd));
    u_rd_stat(&rd, st);
    assert_true(p9_rd_end(&rd));
    return 0;
}

/* The stat that changes nothing. */
static inline struct u_stat u_leave(void)
{
    struct u_stat st;

    memset(&st, 0, sizeof(st));
    st.type = UINT16_MAX;
    st.dev = st.mode = st.atime = st.mtime = st.n_uid = st.n_gid = st.n_muid = UINT32_MAX;
    st.length = UINT64_MAX;
    memset(&st.qid, 0xff, sizeof(st.qid));
    return st;
}

static inline int u_wstat(struct p9c *c, uint32_t fid, const struct u_stat *st)
{
    uint16_t size = (uint16_t)(61 + strlen(st->name) + strlen(st->uid) + strlen(st->gid) +
                               strlen(st->muid) + strlen(st->ext));

    p9c_begin(c, P9_TWSTAT);
    p9_wr32(&c->wr, fid);
    p9_wr16(&c->wr, (uint16_t)(size + 2));
    p9_wr16(&c->wr, size);
    p9_wr16(&c->wr, st->type);
    p9_wr32(&c->wr, st->dev);
    p9_wr_qid(&c->wr, &st->qid);
    p9_wr32(&c->wr, st->mode);
    p9_wr32(&c->wr, st->atime);
    p9_wr32(&c->wr, st->mtime);
    p9_wr64(&c->wr, st->length);
    p9c_str(c, st->name);
    p9c_str(c, st->uid);
    p9c_str(c, st->gid);
    p9c_str(c, st->muid);
    p9c_str(c, st->ext);
    p9_wr32(&c->wr, st->n_uid);
    p9_wr32(&c->wr, st->n_gid);
    p9_wr32(&c->wr, st->n_muid);
    return p9c_call(c, 0, NULL);
}

/* What the host says of a name below the export. */
static inline struct stat host_stat(struct p9c *c, const char *name)
{
    struct stat st;

    assert_int_equal(fstatat(c->root_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    return st;
}

static inline bool host_has(struct p9c *c, const char *name)
{
    return !faccessat(c->root_fd, name, F_OK, AT_SYMLINK_NOFOLLOW);
}

#endif
