/* SPDX-License-Identifier: LGPL-2.1-only */
#include "workers/save/yajl.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct out {
    char *buf;
    size_t len;
    size_t size;
    size_t max;
    int rc;         /* the first error; after it nothing is written */
};

static void put(struct out *o, const char *s, size_t n)
{
    size_t size = o->size ? o->size : 4096;
    char *buf;

    if (o->rc)
        return;
    if (n > o->max - o->len) {
        o->rc = -E2BIG;
        return;
    }
    while (size - o->len < n)
        size *= 2;
    if (size != o->size) {
        buf = realloc(o->buf, size);
        if (!buf) {
            o->rc = -ENOMEM;
            return;
        }
        o->buf = buf;
        o->size = size;
    }
    memcpy(o->buf + o->len, s, n);
    o->len += n;
}

static void put_text(struct out *o, const char *s)
{
    put(o, s, strlen(s));
}

static void put_indent(struct out *o, unsigned depth)
{
    while (depth--)
        put(o, "    ", 4);
}

/* Escapes what yajl escapes; bytes from 0x20 up, '/' among them, go through. */
static void put_string(struct out *o, const char *s, size_t n)
{
    static const char shorts[32] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                     ['\r'] = 'r' };
    char esc[8];
    size_t i;

    put(o, "\"", 1);
    for (i = 0; i < n; i++) {
        unsigned char c = s[i];

        if (c == '"' || c == '\\')
            snprintf(esc, sizeof(esc), "\\%c", c);
        else if (c < 32 && shorts[c])
            snprintf(esc, sizeof(esc), "\\%c", shorts[c]);
        else if (c < 32)
            snprintf(esc, sizeof(esc), "\\u00%02X", c);
        else {
            put(o, s + i, 1);
            continue;
        }
        put_text(o, esc);
    }
    put(o, "\"", 1);
}

static void put_value(struct out *o, struct json_object *v, unsigned depth);

/* yajl ends the line of an opening bracket at once, so that an empty map has an empty line. */
static void put_map(struct out *o, struct json_object *v, unsigned depth)
{
    bool first = true;

    put(o, "{\n", 2);
    json_object_object_foreach(v, key, member) {
        if (!first)
            put(o, ",\n", 2);
        first = false;
        put_indent(o, depth + 1);
        put_string(o, key, strlen(key));
        put(o, ": ", 2);
        put_value(o, member, depth + 1);
    }
    put(o, "\n", 1);
    put_indent(o, depth);
    put(o, "}", 1);
}

static void put_array(struct out *o, struct json_object *v, unsigned depth)
{
    size_t i, n = json_object_array_length(v);

    put(o, "[\n", 2);
    for (i = 0; i < n; i++) {
        if (i)
            put(o, ",\n", 2);
        put_indent(o, depth + 1);
        put_value(o, json_object_array_get_idx(v, i), depth + 1);
    }
    put(o, "\n", 1);
    put_indent(o, depth);
    put(o, "]", 1);
}

static void put_int(struct out *o, struct json_object *v)
{
    char number[32];
    int64_t i = json_object_get_int64(v);

    if (i < 0)
        snprintf(number, sizeof(number), "%" PRId64, i);
    else
        snprintf(number, sizeof(number), "%" PRIu64, json_object_get_uint64(v));
    put_text(o, number);
}

/* json-c keeps the text that a number was parsed from; it also parses NaN and Infinity. */
static void put_double(struct out *o, struct json_object *v)
{
    const char *text = json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN);

    if (!text || text[strspn(text, "+-.0123456789eE")])
        o->rc = o->rc ? o->rc : -EINVAL;
    else
        put_text(o, text);
}

static void put_value(struct out *o, struct json_object *v, unsigned depth)
{
    if (depth > YAJL_DEPTH) {
        o->rc = o->rc ? o->rc : -E2BIG;
        return;
    }
    switch (json_object_get_type(v)) {
    case json_type_object:
        put_map(o, v, depth);
        break;
    case json_type_array:
        put_array(o, v, depth);
        break;
    case json_type_string:
        put_string(o, json_object_get_string(v), json_object_get_string_len(v));
        break;
    case json_type_int:
        put_int(o, v);
        break;
    case json_type_double:
        put_double(o, v);
        break;
    case json_type_boolean:
        put_text(o, json_object_get_boolean(v) ? "true" : "false");
        break;
    case json_type_null:
        put_text(o, "null");
        break;
    }
}

int yajl_print(struct json_object *value, size_t max, char **text, uint32_t *len)
{
    struct out o = { .max = max < UINT32_MAX ? max : UINT32_MAX };

    put_value(&o, value, 0);
    put(&o, "\n", 2);           /* with the NUL */
    if (o.rc) {
        free(o.buf);
        return o.rc;
    }
    *text = o.buf;
    *len = o.len;
    return 0;
}
