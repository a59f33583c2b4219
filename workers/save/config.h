/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The JSON configuration in an image: the domain's userdata file with what has changed since the
 * domain was made, laid out as libxl (yajl) lays it out.  The file is root's, but its strings come
 * from whoever wrote the guest's configuration: parsed here, where nothing is at stake.
 */
#ifndef MOAT_SAVE_CONFIG_H
#define MOAT_SAVE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_MAX (1u << 20)   /* bytes of the userdata file, and of what is made from it */

struct config_values {
    uint64_t target_kb;         /* memory/target from xenstore, 0 = leave what the file says */
    bool keep_domid;            /* -D */
    uint32_t domid;
    const char *sched;          /* libxl's name of the domain's scheduler, NULL = unknown */
    int64_t weight;             /* each -1 = this scheduler has no such parameter */
    int64_t cap;
    int64_t period;
    int64_t budget;
};

/*
 * text: the userdata file's len bytes (libxl ends it with a NUL, which is not required).
 * On success *json is a malloc()ed string and *json_len its length with the NUL that ends it, as
 * both belong into the image.  0; -E2BIG, -EINVAL, -ENOMEM with a reason in why.
 */
int config_make(const char *text, size_t len, const struct config_values *v, char **json,
                uint32_t *json_len, char why[128]);

/* Reads the whole file from offset 0 into *text (malloc()ed), which must have 1 to CONFIG_MAX
 * bytes.  0 or -errno and why. */
int config_read(int fd, char **text, size_t *len, char why[128]);

#endif
