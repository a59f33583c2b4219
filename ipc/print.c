/* SPDX-License-Identifier: LGPL-2.1-only */
/* Messages as one line of text, for logs and failing tests. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ipc/codec.h"

struct out {
    char *buf;
    size_t size, at;
};

__attribute__((format(printf, 2, 3))) static void put(struct out *o, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (o->at + 1 >= o->size)
        return;
    va_start(ap, fmt);
    n = vsnprintf(o->buf + o->at, o->size - o->at, fmt, ap);
    va_end(ap);
    o->at += n < 0 ? 0 : (size_t)n;
    if (o->at >= o->size)
        o->at = o->size - 1;
}

static void put_text(struct out *o, const char *text, size_t max)
{
    put(o, "\"");
    for (size_t i = 0; i < max && text[i]; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\')
            put(o, "\\x%02x", c);
        else
            put(o, "%c", c);
    }
    put(o, "\"");
}

static void put_field(struct out *o, const struct ipc_field *f, const char *p)
{
    put(o, "%s=", f->name);
    switch (f->type) {
    case FIELD_U8: put(o, "%u", *(const uint8_t *)p); break;
    case FIELD_U16: put(o, "%u", *(const uint16_t *)(const void *)p); break;
    case FIELD_U32: put(o, "%u", *(const uint32_t *)(const void *)p); break;
    case FIELD_U64: put(o, "%" PRIu64, *(const uint64_t *)(const void *)p); break;
    case FIELD_I32: put(o, "%d", *(const int32_t *)(const void *)p); break;
    case FIELD_TEXT: put_text(o, p, f->size); break;
    case FIELD_STR: put_text(o, p, f->size); break;
    case FIELD_RAW:
        for (uint32_t i = 0; i < f->size && i < 16; i++)
            put(o, "%02x", (uint8_t)p[i]);
        put(o, "%s", f->size > 16 ? ".." : "");
        break;
    case FIELD_BYTES: put(o, "<%u bytes>", ((const struct ipc_bytes *)(const void *)p)->len); break;
    case FIELD_END: break;
    }
}

const char *ipc_print(uint32_t type, const void *msg, char *buf, size_t size)
{
    const struct ipc_message *m = ipc_message_by_type(type);
    struct out o = {.buf = buf, .size = size};

    if (size)
        buf[0] = 0;
    if (!m) {
        put(&o, "unknown message 0x%x", type);
        return buf;
    }
    put(&o, "%s{", m->name);
    for (const struct ipc_field *f = m->fields; f->type != FIELD_END; f++) {
        if (f != m->fields)
            put(&o, " ");
        put_field(&o, f, (const char *)msg + f->offset);
    }
    put(&o, "}");
    return buf;
}
