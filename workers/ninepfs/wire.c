/* SPDX-License-Identifier: LGPL-2.1-only */
#include "workers/ninepfs/wire.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

void p9_qid_from(const struct stat *st, struct p9_qid *qid)
{
    qid->type = S_ISDIR(st->st_mode) ? P9_QTDIR : S_ISLNK(st->st_mode) ? P9_QTSYMLINK : 0;
    /* A guest that caches compares it: another one whenever the data may be others. */
    qid->version = (uint32_t)st->st_mtim.tv_sec ^ (uint32_t)st->st_mtim.tv_nsec ^
                   ((uint32_t)st->st_size << 8);
    qid->path = st->st_ino;
}

/* ---------- reading */

void p9_rd_init(struct p9_rd *rd, const void *buf, size_t len)
{
    rd->p = buf;
    rd->end = rd->p + len;
    rd->bad = false;
}

size_t p9_rd_left(const struct p9_rd *rd)
{
    return rd->bad ? 0 : (size_t)(rd->end - rd->p);
}

bool p9_rd_end(const struct p9_rd *rd)
{
    return !rd->bad && rd->p == rd->end;
}

static const uint8_t *take(struct p9_rd *rd, size_t len)
{
    const uint8_t *at = rd->p;

    if (p9_rd_left(rd) < len) {
        rd->bad = true;
        return NULL;
    }
    rd->p += len;
    return at;
}

uint8_t p9_rd8(struct p9_rd *rd)
{
    const uint8_t *at = take(rd, 1);

    return at ? *at : 0;
}

uint16_t p9_rd16(struct p9_rd *rd)
{
    const uint8_t *at = take(rd, 2);
    uint16_t v = 0;

    if (at)
        memcpy(&v, at, sizeof(v));
    return le16toh(v);
}

uint32_t p9_rd32(struct p9_rd *rd)
{
    const uint8_t *at = take(rd, 4);
    uint32_t v = 0;

    if (at)
        memcpy(&v, at, sizeof(v));
    return le32toh(v);
}

uint64_t p9_rd64(struct p9_rd *rd)
{
    const uint8_t *at = take(rd, 8);
    uint64_t v = 0;

    if (at)
        memcpy(&v, at, sizeof(v));
    return le64toh(v);
}

struct p9_str p9_rd_str(struct p9_rd *rd)
{
    struct p9_str s = { "", 0 };
    uint16_t len = p9_rd16(rd);
    const uint8_t *at = take(rd, len);

    if (at) {
        s.s = (const char *)at;
        s.len = len;
    }
    return s;
}

int p9_text(struct p9_str s, char *buf, size_t max)
{
    if (s.len >= max)
        return -ENAMETOOLONG;
    if (memchr(s.s, 0, s.len))
        return -EINVAL;
    memcpy(buf, s.s, s.len);
    buf[s.len] = 0;
    return 0;
}

int p9_name(struct p9_str s, char buf[P9_NAME_MAX + 1])
{
    int rc = p9_text(s, buf, P9_NAME_MAX + 1);

    if (rc)
        return rc;
    if (!s.len || memchr(buf, '/', s.len) || !strcmp(buf, ".") || !strcmp(buf, ".."))
        return -EINVAL;
    return 0;
}

bool p9_str_is(struct p9_str s, const char *what)
{
    return s.len == strlen(what) && !memcmp(s.s, what, s.len);
}

/* ---------- writing */

void p9_wr_init(struct p9_wr *wr, void *buf, size_t max)
{
    wr->buf = buf;
    wr->len = 0;
    wr->max = max;
    wr->bad = false;
}

void p9_wr_bytes(struct p9_wr *wr, const void *p, size_t len)
{
    if (wr->bad || wr->max - wr->len < len) {
        wr->bad = true;
        return;
    }
    if (len)
        memcpy(wr->buf + wr->len, p, len);
    wr->len += len;
}

void p9_wr8(struct p9_wr *wr, uint8_t v)
{
    p9_wr_bytes(wr, &v, sizeof(v));
}

void p9_wr16(struct p9_wr *wr, uint16_t v)
{
    v = htole16(v);
    p9_wr_bytes(wr, &v, sizeof(v));
}

void p9_wr32(struct p9_wr *wr, uint32_t v)
{
    v = htole32(v);
    p9_wr_bytes(wr, &v, sizeof(v));
}

void p9_wr64(struct p9_wr *wr, uint64_t v)
{
    v = htole64(v);
    p9_wr_bytes(wr, &v, sizeof(v));
}

void p9_wr_str(struct p9_wr *wr, const char *s, size_t len)
{
    if (len > UINT16_MAX || wr->max - wr->len < len + 2) {
        wr->bad = true;
        return;
    }
    p9_wr16(wr, (uint16_t)len);
    p9_wr_bytes(wr, s, len);
}

void p9_wr_qid(struct p9_wr *wr, const struct p9_qid *qid)
{
    p9_wr8(wr, qid->type);
    p9_wr32(wr, qid->version);
    p9_wr64(wr, qid->path);
}

void p9_poke16(uint8_t *at, uint16_t v)
{
    v = htole16(v);
    memcpy(at, &v, sizeof(v));
}

void p9_poke32(uint8_t *at, uint32_t v)
{
    v = htole32(v);
    memcpy(at, &v, sizeof(v));
}

/* ---------- names */

const char *p9_type_name(uint8_t type)
{
    static const char *const name[128] = {
        [P9_TSTATFS] = "Tstatfs", [P9_TLOPEN] = "Tlopen", [P9_TLCREATE] = "Tlcreate",
        [P9_TSYMLINK] = "Tsymlink", [P9_TMKNOD] = "Tmknod", [P9_TRENAME] = "Trename",
        [P9_TREADLINK] = "Treadlink", [P9_TGETATTR] = "Tgetattr", [P9_TSETATTR] = "Tsetattr",
        [P9_TXATTRWALK] = "Txattrwalk", [P9_TXATTRCREATE] = "Txattrcreate",
        [P9_TREADDIR] = "Treaddir", [P9_TFSYNC] = "Tfsync", [P9_TLOCK] = "Tlock",
        [P9_TGETLOCK] = "Tgetlock", [P9_TLINK] = "Tlink", [P9_TMKDIR] = "Tmkdir",
        [P9_TRENAMEAT] = "Trenameat", [P9_TUNLINKAT] = "Tunlinkat", [P9_TVERSION] = "Tversion",
        [P9_TAUTH] = "Tauth", [P9_TATTACH] = "Tattach", [P9_TFLUSH] = "Tflush",
        [P9_TWALK] = "Twalk", [P9_TOPEN] = "Topen", [P9_TCREATE] = "Tcreate", [P9_TREAD] = "Tread",
        [P9_TWRITE] = "Twrite", [P9_TCLUNK] = "Tclunk", [P9_TREMOVE] = "Tremove",
        [P9_TSTAT] = "Tstat", [P9_TWSTAT] = "Twstat",
    };

    return type < 128 && name[type] ? name[type] : "?";
}
