/* SPDX-License-Identifier: LGPL-2.1-only */
/* A xenstore of two nodes, in place of libxenstore's functions of these names. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <xenstore.h>

#include "tests/unit/jobs/fake_xs.h"

struct fake_xs fake_xs;

static char *node(const char *path)
{
    return strstr(path, "/control/shutdown") ? fake_xs.shutdown : fake_xs.target;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    char *value = node(path);

    if (fake_xs.fails || !value[0]) {
        errno = fake_xs.fails ? fake_xs.fails : ENOENT;
        return NULL;
    }
    *len = (unsigned)strlen(value);
    return strdup(value);
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
              unsigned int len)
{
    if (fake_xs.fails) {
        errno = fake_xs.fails;
        return false;
    }
    memcpy(node(path), data, len);
    node(path)[len] = 0;
    fake_xs.writes++;
    return true;
}

static bool watch(struct xs_handle *h, const char *path, const char *token)
{
    struct fake_watch *w = &fake_xs.watches[fake_xs.nwatches++ % FAKE_WATCHES];

    w->path = strdup(path);
    w->token = strdup(token);
    return true;
}

static bool unwatch(struct xs_handle *h, const char *path, const char *token)
{
    for (int i = 0; i < FAKE_WATCHES; i++) {
        struct fake_watch *w = &fake_xs.watches[i];

        if (w->path && !strcmp(w->path, path) && !strcmp(w->token, token)) {
            free(w->path);
            free(w->token);
            w->path = w->token = NULL;
            return true;
        }
    }
    errno = ENOENT;
    return false;
}

/* The watch to fire is a choice of the test's: fake_xs_fire. */
static char **check_watch(struct xs_handle *h)
{
    uint64_t n;
    struct fake_watch *w = &fake_xs.watches[fake_xs.fired];
    char **v;

    if (!fake_xs.pending || !w->path) {
        errno = EAGAIN;
        return NULL;
    }
    fake_xs.pending = false;
    if (read(fake_xs.fd, &n, sizeof(n)) < 0)
        return NULL;
    v = malloc(2 * sizeof(*v) + strlen(w->path) + strlen(w->token) + 2);
    v[0] = (char *)(v + 2);
    strcpy(v[0], w->path);
    v[1] = v[0] + strlen(w->path) + 1;
    strcpy(v[1], w->token);
    return v;
}

static int fileno_(struct xs_handle *h)
{
    return fake_xs.fd;
}

static void destroy_postfork(struct xs_handle *h)
{
}

const moat_xs_ops fake_xs_ops = {watch, unwatch, check_watch, fileno_, destroy_postfork};

void fake_xs_fire(const char *path)
{
    uint64_t one = 1;

    for (int i = 0; i < FAKE_WATCHES; i++)
        if (fake_xs.watches[i].path && !strcmp(fake_xs.watches[i].path, path)) {
            fake_xs.fired = i;
            fake_xs.pending = true;
            if (write(fake_xs.fd, &one, sizeof(one)) < 0)
                abort();
            return;
        }
    abort();
}

void fake_xs_reset(void)
{
    if (!fake_xs.fd)
        fake_xs.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (int i = 0; i < FAKE_WATCHES; i++) {
        free(fake_xs.watches[i].path);
        free(fake_xs.watches[i].token);
    }
    fake_xs = (struct fake_xs){.fd = fake_xs.fd, .target = "196608"};
}
