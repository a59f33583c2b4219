/* SPDX-License-Identifier: LGPL-2.1-only */
/* json-c objects in the layout that yajl's beautifying generator gives them (indent: 4 spaces). */
#ifndef MOAT_SAVE_YAJL_H
#define MOAT_SAVE_YAJL_H

#include <stddef.h>
#include <stdint.h>

struct json_object;

/*
 * Writes the value and the newline behind it as a NUL-terminated, malloc()ed string.  0 and *text,
 * *len (with the NUL); -E2BIG: more than max bytes or deeper than YAJL_DEPTH;
 * -EINVAL: a number that JSON does not have; -ENOMEM.
 */
#define YAJL_DEPTH 32
int yajl_print(struct json_object *value, size_t max, char **text, uint32_t *len);

#endif
