/* SPDX-License-Identifier: LGPL-2.1-only */
/* Events: to the application's callback, or queued until it asks. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/lib.h"

static uint64_t type_bit(libxl_event_type type)
{
    return (unsigned)type < 64 ? UINT64_C(1) << type : 0;
}

/* Unless it is for the application's callback, by the hooks of this moment. */
bool libxl__api_event_queued(libxl_ctx *ctx, libxl_event *event)
{
    struct libxl__api *api = libxl__api(ctx);

    if (api->event_hooks && api->event_hooks->event_occurs &&
        (api->event_hooks->event_occurs_mask & type_bit(event->type)))
        return false;
    STAILQ_INSERT_TAIL(&api->queue, CONTAINER_OF(event, struct libxl__event_box, event), entry);
    libxl__poller_events(ctx);
    return true;
}

/* The callback runs unlocked, for it may call anything. */
void libxl__api_event_occurs(void *user, libxl_event *event)
{
    struct libxl__api *api = user;
    void (*occurs)(void *user, libxl_event *event) = NULL;
    void *occurs_user = NULL;

    libxl__ctx_lock(api->ctx);
    if (!libxl__api_event_queued(api->ctx, event)) {
        occurs = api->event_hooks->event_occurs;
        occurs_user = api->event_user;
    }
    libxl__ctx_unlock(api->ctx);
    if (occurs)
        occurs(occurs_user, event);
}

void libxl_event_register_callbacks(libxl_ctx *ctx, const libxl_event_hooks *hooks, void *user)
{
    struct libxl__api *api = libxl__api(ctx);

    libxl__ctx_lock(ctx);
    api->event_hooks = hooks;
    api->event_user = user;
    libxl__ctx_unlock(ctx);
}

/* The core has logged it already. */
void libxl__api_disaster(void *user, libxl_event_type type, const char *msg, int errnoval)
{
    struct libxl__api *api = user;
    const libxl_event_hooks *hooks;

    libxl__ctx_lock(api->ctx);
    hooks = api->event_hooks;
    if (!hooks || !hooks->disaster) {
        fprintf(stderr, "libmoat: events are lost and will go on being lost: %s%s%s%s%s\n", msg,
                errnoval ? ": " : "", errnoval ? strerror(errnoval) : "",
                type ? "; type " : "", type ? libxl_event_type_to_string(type) : "");
        fflush(stderr);
        exit(-1);
    }
    hooks->disaster(api->event_user, type, msg, errnoval);
    libxl__ctx_unlock(api->ctx);
}

/* ---------- the queue ---------- */

static int take_event(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
                      libxl_event_predicate *predicate, void *predicate_user)
{
    struct libxl__api *api = libxl__api(ctx);
    struct libxl__event_box *box;

    STAILQ_FOREACH(box, &api->queue, entry) {
        if (!(typemask & type_bit(box->event.type)))
            continue;
        if (predicate && !predicate(&box->event, predicate_user))
            continue;
        STAILQ_REMOVE(&api->queue, box, libxl__event_box, entry);
        *event_r = &box->event;
        return 0;
    }
    return ERROR_NOT_READY;
}

int libxl_event_check(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
                      libxl_event_predicate *predicate, void *predicate_user)
{
    int rc;

    libxl__ctx_lock(ctx);
    rc = take_event(ctx, event_r, typemask, predicate, predicate_user);
    libxl__ctx_unlock(ctx);
    return rc;
}

int libxl_event_wait(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
                     libxl_event_predicate *predicate, void *predicate_user)
{
    struct libxl__poller poller;
    int rc;

    libxl__poller_init(&poller);
    poller.for_events = true;
    libxl__ctx_lock(ctx);
    for (;;) {
        rc = take_event(ctx, event_r, typemask, predicate, predicate_user);
        if (rc != ERROR_NOT_READY)
            break;
        rc = libxl__poller_turn(ctx, &poller);
        if (rc)
            break;
    }
    libxl__poller_idle(ctx);
    libxl__ctx_unlock(ctx);
    libxl__poller_close(ctx, &poller);
    return rc;
}

void libxl__events_free(libxl_ctx *ctx)
{
    struct libxl__api *api = libxl__api(ctx);
    struct libxl__event_box *box;

    libxl__ctx_lock(ctx);
    while ((box = STAILQ_FIRST(&api->queue))) {
        STAILQ_REMOVE_HEAD(&api->queue, entry);
        libxl_event_free(ctx, &box->event);
    }
    libxl__ctx_unlock(ctx);
}

/* ---------- names ---------- */

const char *libxl_event_type_to_string(libxl_event_type type)
{
    switch (type) {
    case LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN: return "domain_shutdown";
    case LIBXL_EVENT_TYPE_DOMAIN_DEATH: return "domain_death";
    case LIBXL_EVENT_TYPE_DISK_EJECT: return "disk_eject";
    case LIBXL_EVENT_TYPE_OPERATION_COMPLETE: return "operation_complete";
    case LIBXL_EVENT_TYPE_DOMAIN_CREATE_CONSOLE_AVAILABLE:
        return "domain_create_console_available";
    }
    return NULL;
}

const char *libxl_error_to_string(libxl_error rc)
{
    static const char *const words[] = {
        NULL, "nonspecific", "version", "fail", "ni", "nomem", "inval", "badfail", "guest_timedout",
        "timedout", "noparavirt", "not_ready", "osevent_reg_fail", "bufferfull", "unknown_child",
        "lock_fail", "json_config_empty", "device_exists", "checkpoint_devops_does_not_match",
        "checkpoint_device_not_supported", "vnuma_config_invalid", "domain_notfound", "aborted",
        "notfound", "domain_destroyed", "feature_removed", "protocol_error_qmp",
        "unknown_qmp_error", "qmp_generic_error", "qmp_command_not_found", "qmp_device_not_active",
        "qmp_device_not_found", "qemu_api",
    };
    size_t n = -(size_t)rc;                     /* a positive rc becomes a huge n */

    _Static_assert(sizeof(words) / sizeof(*words) == 1 - ERROR_QEMU_API, "a word for each error");
    return n < sizeof(words) / sizeof(*words) ? words[n] : NULL;
}
