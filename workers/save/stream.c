/* SPDX-License-Identifier: LGPL-2.1-only */
#include "workers/save/stream.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* xl: native byte order, which byteorder tells the reader. */
#define BYTEORDER 0x01020304u
#define MANDATORY_JSON 1u
#define MANDATORY_STREAMV2 2u

/* libxl: header big-endian, records little-endian. */
#define LIBXL_IDENT 0x4c6962786c466d74ull   /* "LibxlFmt" */
#define LIBXL_VERSION 2u
#define RECORD_END 0u
#define RECORD_LIBXC_CONTEXT 1u

struct file_header {
    char magic[32];
    uint32_t byteorder;
    uint32_t mandatory;
    uint32_t optional;
    uint32_t optional_len;
    uint32_t json_len;
};
_Static_assert(sizeof(struct file_header) == STREAM_FILE_HEADER, "layout of xl's header");

struct record {
    uint32_t type;
    uint32_t len;
};
_Static_assert(sizeof(struct record) == STREAM_END, "layout of libxl's records");

struct libxl_header {
    uint64_t ident;
    uint32_t version;
    uint32_t options;
    struct record libxc;
};
_Static_assert(sizeof(struct libxl_header) == STREAM_LIBXL_HEADER, "layout of libxl's header");

void stream_file_header(uint8_t buf[STREAM_FILE_HEADER], uint32_t json_len)
{
    struct file_header h = {
        .magic = "Xen saved domain, xl format\n \0 \r",
        .byteorder = BYTEORDER,
        .mandatory = MANDATORY_JSON | MANDATORY_STREAMV2,
        .optional_len = sizeof(uint32_t) + json_len,
        .json_len = json_len,
    };

    memcpy(buf, &h, sizeof(h));
}

void stream_libxl_header(uint8_t buf[STREAM_LIBXL_HEADER])
{
    struct libxl_header h = {
        .ident = htobe64(LIBXL_IDENT),
        .version = htobe32(LIBXL_VERSION),
        .libxc = { htole32(RECORD_LIBXC_CONTEXT), 0 },
    };

    memcpy(buf, &h, sizeof(h));
}

void stream_end(uint8_t buf[STREAM_END])
{
    struct record r = { htole32(RECORD_END), 0 };

    memcpy(buf, &r, sizeof(r));
}

int stream_write(int fd, const void *data, size_t len)
{
    const uint8_t *p = data;
    ssize_t r;

    while (len) {
        r = write(fd, p, len);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return -errno;
        if (!r)
            return -EIO;
        p += r;
        len -= r;
    }
    return 0;
}
