/* SPDX-License-Identifier: LGPL-2.1-only */
#include "workers/save/config.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/save/yajl.h"

int config_read(int fd, char **text, size_t *len, char why[128])
{
    char *buf = malloc(CONFIG_MAX + 1);
    size_t n = 0;
    ssize_t r;
    int rc;

    if (!buf) {
        snprintf(why, 128, "the domain's configuration: out of memory");
        return -ENOMEM;
    }
    do {
        r = pread(fd, buf + n, CONFIG_MAX + 1 - n, n);
        if (r > 0)
            n += r;
    } while (n <= CONFIG_MAX && (r > 0 || (r < 0 && errno == EINTR)));
    rc = r < 0 ? -errno : n > CONFIG_MAX ? -E2BIG : !n ? -ENODATA : 0;
    if (rc) {
        snprintf(why, 128, "cannot read the domain's configuration: %s",
                 n > CONFIG_MAX ? "more than 1 MiB" : !n && !r ? "it is empty" : strerror(-rc));
        free(buf);
        return rc;
    }
    *text = buf;
    *len = n;
    return 0;
}

static bool only_blanks(const char *text, size_t len)
{
    while (len && strchr(" \t\r\n", *text) && *text) {
        text++;
        len--;
    }
    return !len;
}

/* One JSON object, then nothing but blanks and, at the end, NULs. */
static struct json_object *parse(const char *text, size_t len, char why[128])
{
    struct json_tokener *tok = json_tokener_new_ex(YAJL_DEPTH);
    struct json_object *top = NULL;
    size_t end = 0;

    if (!tok) {
        snprintf(why, 128, "the domain's configuration: out of memory");
        return NULL;
    }
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
    while (len && !text[len - 1])
        len--;
    top = json_tokener_parse_ex(tok, text, len);
    if (json_tokener_get_error(tok) == json_tokener_success)
        end = json_tokener_get_parse_end(tok);
    if (!end)
        snprintf(why, 128, "the domain's configuration is no JSON: %s",
                 json_tokener_get_error(tok) == json_tokener_continue
                     ? "it is cut off" : json_tokener_error_desc(json_tokener_get_error(tok)));
    else if (!json_object_is_type(top, json_type_object) ||
             !only_blanks(text + end, len - end)) {
        snprintf(why, 128, "the domain's configuration is not one JSON object");
        end = 0;
    }
    json_tokener_free(tok);
    if (!end) {
        json_object_put(top);
        return NULL;
    }
    return top;
}

/*
 * Sets a member.  One that is there keeps its place; a new one goes behind `after`, where libxl
 * would write it (json-c can only append, so what follows is taken out and put back).
 */
static int set(struct json_object *map, const char *key, const char *after, struct json_object *v)
{
    struct json_object *rest;
    bool behind = false;
    int rc = 0;

    if (!v)
        return -ENOMEM;
    if (json_object_object_get_ex(map, key, NULL) || !json_object_object_get_ex(map, after, NULL))
        return json_object_object_add(map, key, v) ? -ENOMEM : 0;
    rest = json_object_new_object();
    if (!rest) {
        json_object_put(v);
        return -ENOMEM;
    }
    json_object_object_foreach(map, k, member) {
        if (behind && json_object_object_add(rest, k, json_object_get(member)))
            rc = -ENOMEM;
        if (!strcmp(k, after))
            behind = true;
    }
    json_object_object_foreach(rest, gone, unused) {
        (void)unused;
        json_object_object_del(map, gone);
    }
    if (json_object_object_add(map, key, v))
        rc = -ENOMEM;
    json_object_object_foreach(rest, again, kept)
        if (json_object_object_add(map, again, json_object_get(kept)))
            rc = -ENOMEM;
    json_object_put(rest);
    return rc;
}

/* libxl compares xenstore's target with the configuration's by the video memory. */
static int set_target(struct json_object *b_info, uint64_t target_kb)
{
    struct json_object *video;
    uint64_t kb = target_kb;

    if (json_object_object_get_ex(b_info, "video_memkb", &video) &&
        json_object_is_type(video, json_type_int))
        kb += json_object_get_uint64(video);
    return set(b_info, "target_memkb", "max_memkb", json_object_new_uint64(kb));
}

static int add_param(struct json_object *params, const char *key, int64_t value)
{
    struct json_object *v;

    if (value < 0)
        return 0;
    v = json_object_new_int64(value);
    return !v || json_object_object_add(params, key, v) ? -ENOMEM : 0;
}

/* The file's sched_params are what the domain was made with; the hypervisor knows today's. */
static int set_sched(struct json_object *b_info, const struct config_values *v)
{
    struct json_object *params = json_object_new_object();
    struct json_object *name = json_object_new_string(v->sched);

    if (!params || !name || json_object_object_add(params, "sched", name)) {
        json_object_put(params);
        return -ENOMEM;
    }
    if (add_param(params, "weight", v->weight) || add_param(params, "cap", v->cap) ||
        add_param(params, "period", v->period) || add_param(params, "budget", v->budget)) {
        json_object_put(params);
        return -ENOMEM;
    }
    return set(b_info, "sched_params", "video_memkb", params);
}

static int change(struct json_object *top, const struct config_values *v, char why[128])
{
    struct json_object *c_info, *b_info;
    int rc = 0;

    if (!json_object_object_get_ex(top, "c_info", &c_info) ||
        !json_object_is_type(c_info, json_type_object) ||
        !json_object_object_get_ex(top, "b_info", &b_info) ||
        !json_object_is_type(b_info, json_type_object)) {
        snprintf(why, 128, "the domain's configuration has no c_info or no b_info");
        return -EINVAL;
    }
    if (v->keep_domid)
        rc = set(c_info, "domid", "uuid", json_object_new_int64(v->domid));
    else
        json_object_object_del(c_info, "domid");
    if (!rc && v->target_kb)
        rc = set_target(b_info, v->target_kb);
    if (!rc && v->sched)
        rc = set_sched(b_info, v);
    if (rc)
        snprintf(why, 128, "the domain's configuration: %s", strerror(-rc));
    return rc;
}

int config_make(const char *text, size_t len, const struct config_values *v, char **json,
                uint32_t *json_len, char why[128])
{
    struct json_object *top;
    int rc;

    if (len > CONFIG_MAX) {
        snprintf(why, 128, "the domain's configuration has more than 1 MiB");
        return -E2BIG;
    }
    top = parse(text, len, why);
    if (!top)
        return -EINVAL;
    rc = change(top, v, why);
    if (!rc) {
        rc = yajl_print(top, CONFIG_MAX, json, json_len);
        if (rc)
            snprintf(why, 128, "the domain's configuration: %s", strerror(-rc));
    }
    json_object_put(top);
    return rc;
}
