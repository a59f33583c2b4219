/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The two containers around libxc's stream, byte for byte as `xl save` of 4.17 writes them:
 * xl's file header with the JSON configuration, and libxl's stream version 2.
 */
#ifndef MOAT_SAVE_STREAM_H
#define MOAT_SAVE_STREAM_H

#include <stddef.h>
#include <stdint.h>

#define STREAM_FILE_HEADER 52   /* xl's header and the length of the JSON */
#define STREAM_LIBXL_HEADER 24  /* libxl's header and the LIBXC_CONTEXT record */
#define STREAM_END 8            /* libxl's END record */

/* json_len counts the NUL that ends the JSON; the JSON itself follows. */
void stream_file_header(uint8_t buf[STREAM_FILE_HEADER], uint32_t json_len);
void stream_libxl_header(uint8_t buf[STREAM_LIBXL_HEADER]);
void stream_end(uint8_t buf[STREAM_END]);

/* Writes all of it.  0 or -errno. */
int stream_write(int fd, const void *data, size_t len);

#endif
