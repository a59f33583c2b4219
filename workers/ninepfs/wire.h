/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * 9P2000.L and 9P2000.u on the wire: numbers, bounds, a reader and a writer.
 *
 * Sources: the 9P2000 manual pages (intro(5)), the 9P2000.u and 9P2000.L documents.  Integers are
 * little endian; a string is len[2] and bytes without a NUL.  A reader only ever reads private
 * memory.
 */
#ifndef MOAT_NINEPFS_WIRE_H
#define MOAT_NINEPFS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum {
    P9_TSTATFS = 8, P9_TLOPEN = 12, P9_TLCREATE = 14, P9_TSYMLINK = 16, P9_TMKNOD = 18,
    P9_TRENAME = 20, P9_TREADLINK = 22, P9_TGETATTR = 24, P9_TSETATTR = 26,
    P9_TXATTRWALK = 30, P9_TXATTRCREATE = 32,
    P9_TREADDIR = 40, P9_TFSYNC = 50, P9_TLOCK = 52, P9_TGETLOCK = 54, P9_TLINK = 70,
    P9_TMKDIR = 72, P9_TRENAMEAT = 74, P9_TUNLINKAT = 76,
    P9_TVERSION = 100, P9_TAUTH = 102, P9_TATTACH = 104, P9_TFLUSH = 108, P9_TWALK = 110,
    P9_TOPEN = 112, P9_TCREATE = 114, P9_TREAD = 116, P9_TWRITE = 118, P9_TCLUNK = 120,
    P9_TREMOVE = 122, P9_TSTAT = 124, P9_TWSTAT = 126,
    P9_RLERROR = 7, P9_RERROR = 107,    /* every other reply is the request's number + 1 */
};

#define P9_HDR        7u            /* size[4] type[1] tag[2] */
#define P9_IOHDR      24u           /* what Linux calls IOHDRSZ: room for the fields beside data */
#define P9_NOTAG      0xffffu
#define P9_NOFID      0xffffffffu
#define P9_NONUNAME   0xffffffffu
#define P9_MAXWELEM   16u
#define P9_NAME_MAX   255u
#define P9_QID_LEN    13u
#define P9_MSIZE_MIN  2048u         /* a quarter of the smallest ring */

/* The longest T-message that is no Twrite: a Twalk of 16 full names, a symlink's target of 4095
 * bytes. */
#define P9_BODY_MAX   8192u

#define P9_QTDIR      0x80u
#define P9_QTSYMLINK  0x02u

struct p9_qid {
    uint8_t type;
    uint32_t version;
    uint64_t path;
};

/* From what the guest shall see: after a security model changed it.  path is the inode's number. */
void p9_qid_from(const struct stat *st, struct p9_qid *qid);

/* A string inside the request's private copy, not terminated; may hold any byte. */
struct p9_str {
    const char *s;
    uint16_t len;
};

/*
 * Reads fields.  What goes beyond the end sets `bad` and gives zeros (and empty strings) from then
 * on, so a handler reads all its fields and asks once, with p9_rd_end().
 */
struct p9_rd {
    const uint8_t *p, *end;
    bool bad;
};

void p9_rd_init(struct p9_rd *rd, const void *buf, size_t len);
uint8_t p9_rd8(struct p9_rd *rd);
uint16_t p9_rd16(struct p9_rd *rd);
uint32_t p9_rd32(struct p9_rd *rd);
uint64_t p9_rd64(struct p9_rd *rd);
struct p9_str p9_rd_str(struct p9_rd *rd);
/* Bytes that are left. */
size_t p9_rd_left(const struct p9_rd *rd);
/* True if every field was there and nothing is left over. */
bool p9_rd_end(const struct p9_rd *rd);

/*
 * A name of one component into buf, terminated: 0; -ENAMETOOLONG above 255 bytes; -EINVAL for "", a
 * NUL or a '/'; "." and ".." are -EINVAL too: no frontend sends them, and nothing below needs them.
 */
int p9_name(struct p9_str s, char buf[P9_NAME_MAX + 1]);
/* Any string without a NUL into buf, terminated; -ENAMETOOLONG if it has `max` bytes or more,
 * -EINVAL. */
int p9_text(struct p9_str s, char *buf, size_t max);
bool p9_str_is(struct p9_str s, const char *what);

/* Writes fields.  What does not fit sets `bad` and is left out. */
struct p9_wr {
    uint8_t *buf;
    size_t len, max;
    bool bad;
};

void p9_wr_init(struct p9_wr *wr, void *buf, size_t max);
void p9_wr8(struct p9_wr *wr, uint8_t v);
void p9_wr16(struct p9_wr *wr, uint16_t v);
void p9_wr32(struct p9_wr *wr, uint32_t v);
void p9_wr64(struct p9_wr *wr, uint64_t v);
void p9_wr_str(struct p9_wr *wr, const char *s, size_t len);
void p9_wr_qid(struct p9_wr *wr, const struct p9_qid *qid);
void p9_wr_bytes(struct p9_wr *wr, const void *p, size_t len);

/* At a place: for sizes that are known later. */
void p9_poke16(uint8_t *at, uint16_t v);
void p9_poke32(uint8_t *at, uint32_t v);

/* "Tread" and so on, for logs and tests; "?" for what is none. */
const char *p9_type_name(uint8_t type);

#endif
