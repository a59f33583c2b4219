/* SPDX-License-Identifier: LGPL-2.1-only */
/* messages.def as tables, and the one encoder and decoder that walk them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ipc/codec.h"

#define U8(n, d) {FIELD_U8, #n, offsetof(T, n), 1, d},
#define U16(n, d) {FIELD_U16, #n, offsetof(T, n), 2, d},
#define U32(n, d) {FIELD_U32, #n, offsetof(T, n), 4, d},
#define U64(n, d) {FIELD_U64, #n, offsetof(T, n), 8, d},
#define I32(n, d) {FIELD_I32, #n, offsetof(T, n), 4, d},
#define TEXT(n, size, d) {FIELD_TEXT, #n, offsetof(T, n), size, d},
#define RAW(n, size, d) {FIELD_RAW, #n, offsetof(T, n), size, d},
#define STR(n, max, d) {FIELD_STR, #n, offsetof(T, n), max, d},
#define BYTES(n, max, d) {FIELD_BYTES, #n, offsetof(T, n), max, d},

#define MESSAGE(NAME, number, from_, to_, phases_, minfds_, maxfds_, doc_, ...) \
    static const struct ipc_field *fields_##NAME(void) \
    { \
        typedef struct msg_##NAME T __attribute__((unused)); \
        static const struct ipc_field fields[] = {__VA_ARGS__ {FIELD_END, NULL, 0, 0, NULL}}; \
        return fields; \
    }
#include "ipc/messages.def"
#undef MESSAGE

#define MESSAGE(NAME, number, from_, to_, phases_, minfds_, maxfds_, doc_, ...) \
    {number, #NAME, from_, to_, phases_, minfds_, maxfds_, sizeof(struct msg_##NAME), NULL, doc_},
static struct ipc_message messages[] = {
#include "ipc/messages.def"
};
#undef MESSAGE
#define N_MESSAGES (sizeof(messages) / sizeof(messages[0]))

__attribute__((constructor)) static void link_fields(void)
{
    unsigned i = 0;

#define MESSAGE(NAME, ...) messages[i++].fields = fields_##NAME();
#include "ipc/messages.def"
#undef MESSAGE
}

const struct ipc_message *ipc_messages(unsigned *n)
{
    *n = N_MESSAGES;
    return messages;
}

const struct ipc_message *ipc_message_by_type(uint32_t type)
{
    for (unsigned i = 0; i < N_MESSAGES; i++)
        if (messages[i].type == type)
            return &messages[i];
    return NULL;
}

const char *ipc_type_name(uint32_t type)
{
    const struct ipc_message *m = ipc_message_by_type(type);

    return m ? m->name : NULL;
}

size_t ipc_struct_size(uint32_t type)
{
    const struct ipc_message *m = ipc_message_by_type(type);

    return m ? m->struct_size : 0;
}

/* x86-64 only: host order is wire order, so a number is a copy of its bytes. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little-endian");

static bool utf8_ok(const uint8_t *p, size_t len)
{
    size_t i = 0;

    while (i < len) {
        unsigned c = p[i++], more, min;

        if (!c)
            return false;
        if (c < 0x80)
            continue;
        if (c >= 0xc2 && c <= 0xdf)
            more = 1, min = 0x80, c &= 0x1f;
        else if (c >= 0xe0 && c <= 0xef)
            more = 2, min = 0x800, c &= 0x0f;
        else if (c >= 0xf0 && c <= 0xf4)
            more = 3, min = 0x10000, c &= 0x07;
        else
            return false;
        if (more > len - i)
            return false;
        while (more--) {
            if ((p[i] & 0xc0) != 0x80)
                return false;
            c = c << 6 | (p[i++] & 0x3f);
        }
        if (c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return false;
    }
    return true;
}

/* Printable ASCII, then at least one NUL, then nothing but NULs. */
static bool text_ok(const char *p, size_t size)
{
    size_t i = 0;

    while (i < size && p[i] >= 0x20 && p[i] <= 0x7e)
        i++;
    if (i == size)
        return false;
    for (; i < size; i++)
        if (p[i])
            return false;
    return true;
}

/* The number of bytes on the wire before a field's own data, and of that data when it is fixed. */
static uint32_t prefix_size(const struct ipc_field *f)
{
    return f->type == FIELD_STR ? 2 : f->type == FIELD_BYTES ? 4 : 0;
}

int ipc_encode(uint32_t type, const void *msg, uint8_t *buf, size_t size)
{
    const struct ipc_message *m = ipc_message_by_type(type);
    size_t at = 0;

    if (!m || (m->fields->type != FIELD_END && !msg))
        return -EINVAL;
    for (const struct ipc_field *f = m->fields; f->type != FIELD_END; f++) {
        const void *p = (const char *)msg + f->offset;
        uint32_t len = f->size;

        if (f->type == FIELD_TEXT && !text_ok(p, f->size))
            return -EINVAL;
        if (f->type == FIELD_STR) {
            len = (uint32_t)strnlen(p, (size_t)f->size + 1);
            if (len > f->size || !utf8_ok(p, len))
                return -EINVAL;
        } else if (f->type == FIELD_BYTES) {
            const struct ipc_bytes *b = p;

            len = b->len;
            p = b->p;
            if (len > f->size || (len && !p))
                return -EINVAL;
        }
        if (size - at < (size_t)prefix_size(f) + len)
            return -EINVAL;
        memcpy(buf + at, &len, prefix_size(f));
        at += prefix_size(f);
        if (len)
            memcpy(buf + at, p, len);
        at += len;
    }
    return (int)at;
}

static int bad(char why[96], const struct ipc_message *m, const struct ipc_field *f,
               const char *what)
{
    if (why)
        snprintf(why, 96, "%s%s%s: %s", m->name, f ? "." : "", f ? f->name : "", what);
    return -EPROTO;
}

int ipc_decode_buf(const struct ipc_message *m, const uint8_t *buf, size_t len, void *msg,
                   char why[96])
{
    size_t at = 0;

    memset(msg, 0, m->struct_size);
    for (const struct ipc_field *f = m->fields; f->type != FIELD_END; f++) {
        char *p = (char *)msg + f->offset;
        uint32_t n = f->size;

        if (prefix_size(f)) {
            if (len - at < prefix_size(f))
                return bad(why, m, f, "cut short");
            n = 0;
            memcpy(&n, buf + at, prefix_size(f));
            at += prefix_size(f);
            if (n > f->size)
                return bad(why, m, f, "too long");
        }
        if (len - at < n)
            return bad(why, m, f, "cut short");
        if (f->type == FIELD_BYTES)
            *(struct ipc_bytes *)(void *)p = (struct ipc_bytes){.p = buf + at, .len = n};
        else if (n)
            memcpy(p, buf + at, n);
        if (f->type == FIELD_TEXT && !text_ok(p, n))
            return bad(why, m, f, "not NUL-padded printable text");
        if (f->type == FIELD_STR && !utf8_ok(buf + at, n))
            return bad(why, m, f, "not UTF-8");
        at += n;
    }
    return at == len ? 0 : bad(why, m, NULL, "payload longer than the message");
}

void ipc_text(char *field, size_t size, const char *text)
{
    size_t i = 0;

    for (; text && text[i] && i + 1 < size; i++)
        field[i] = text[i] >= 0x20 && text[i] <= 0x7e ? text[i] : '?';
    memset(field + i, 0, size - i);
}
