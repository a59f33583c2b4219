/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The gate's request filter: whatever the payload, what passes is one of the few requests that are
 * spelled out here a second time, independently of grants.def.  The first byte is the request type,
 * the second the stage of the job of domain 5; the rest is the payload.
 */
#include <stdlib.h>

#include "policy/gate/gate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is(const struct gate_request *rq, const char *path)
{
    return !strcmp(rq->path, path);
}

static bool legal(uint32_t type, uint32_t stage, const struct gate_request *rq)
{
    bool shutdown = is(rq, "/local/domain/5/control/shutdown");

    switch (type) {
    case XS_READ: return shutdown || is(rq, "/local/domain/5/memory/target");
    case XS_WATCH: return (shutdown || is(rq, "@releaseDomain")) && strlen(rq->token) < GATE_TOKEN;
    case XS_WRITE:
        return shutdown && stage >= XS_STAGE_SUSPEND &&
               (!rq->value_len || (rq->value_len == 7 && !memcmp(rq->value, "suspend", 7)));
    default: return false;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gate_table table;
    struct gate_request rq;
    uint32_t type, stage;
    char *payload;
    bool console;

    if (size < 2 || size - 2 > XENSTORE_PAYLOAD_MAX)
        return 0;
    type = data[0];
    stage = data[1] % 3;
    if (gate_grant(&table, 1, KIND_SAVE, 5, stage))
        abort();
    payload = malloc(size - 1); /* exactly as large as gate_conn_read's: one NUL behind it */
    if (!payload)
        return 0;
    memcpy(payload, data + 2, size - 2);
    payload[size - 2] = 0;
    if (gate_split(type, payload, size - 2, &rq) && gate_covers(&table, type, &rq) &&
        !(stage ? legal(type, stage, &rq) : is(&rq, "@releaseDomain")))
        abort();
    if (gate_destroy_backend(payload, 5, &console) && !strstr(payload, "/5/"))
        abort();
    free(payload);
    return 0;
}
