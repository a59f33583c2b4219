/* SPDX-License-Identifier: LGPL-2.1-only */
/* The descriptors that messages.def becomes: what codec.c, print.c, frame.c and protocol_main.c
 * share. */
#ifndef MOAT_IPC_CODEC_H
#define MOAT_IPC_CODEC_H

#include "ipc/ipc.h"

enum ipc_field_type {
    FIELD_END = 0,
    FIELD_U8,
    FIELD_U16,
    FIELD_U32,
    FIELD_U64,
    FIELD_I32,
    FIELD_TEXT,
    FIELD_RAW,
    FIELD_STR,
    FIELD_BYTES,
};

struct ipc_field {
    enum ipc_field_type type;
    const char *name;
    size_t offset;      /* in struct msg_NAME */
    uint32_t size;      /* bytes of TEXT and RAW, maximum of STR and BYTES */
    const char *doc;
};

struct ipc_message {
    uint32_t type;
    const char *name;
    uint32_t from;      /* enum ipc_end bits */
    uint32_t to;
    uint32_t phases;    /* enum ipc_phase bits */
    unsigned min_fds;
    unsigned max_fds;
    size_t struct_size;
    const struct ipc_field *fields;
    const char *doc;
};

/* Every message in the order of messages.def; *n is their number. */
const struct ipc_message *ipc_messages(unsigned *n);

/* NULL if there is no such type. */
const struct ipc_message *ipc_message_by_type(uint32_t type);

/* Decodes with the reason in why (NULL: not wanted).  0 or -EPROTO. */
int ipc_decode_buf(const struct ipc_message *m, const uint8_t *buf, size_t len, void *msg,
                   char why[96]);

#endif
