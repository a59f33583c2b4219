/* SPDX-License-Identifier: LGPL-2.1-only */
/* libxl_domain_resume: a domain that is suspended goes on. */

#include <stdio.h>

#include "lib/request.h"
#include "parent/event/core.h"

struct resume {
    libxl__request req;
    char what[40];
};

static const char *resume_message(libxl__egc *egc, libxl__request *r, uint32_t type,
                                  const union libxl__request_message *m)
{
    return type == MSG_PROGRESS ? NULL : "the answer to another request";
}

static void resume_done(libxl__egc *egc, libxl__request *r, enum libxl__request_end end, int rc)
{
    libxl__ao_complete(egc, r->ao, rc);
}

int libxl_domain_resume(libxl_ctx *ctx, uint32_t domid, int suspend_cancel,
                        const libxl_asyncop_how *ao_how)
{
    AO_CREATE(ctx, domid, ao_how);
    struct resume *s;
    int rc;

    GCNEW(s);
    if (!s) {
        rc = ERROR_NOMEM;
        goto out;
    }
    snprintf(s->what, sizeof(s->what), "resume of domain %u", domid);
    if (!suspend_cancel) {
        LOG(ERROR, "%s: only co-operative resume (suspend_cancel 1) is supported", s->what);
        rc = ERROR_NI;
        goto out;
    }
    s->req = (libxl__request){
        .ctx = ctx, .ao = ao, .what = s->what, .domid = domid, .kind = KIND_RESUME, .file = -1,
        .message = resume_message, .done = resume_done,
    };
    rc = libxl__request_start(egc, &s->req);
    if (rc)
        goto out;
    return AO_INPROGRESS;

out:
    return AO_CREATE_FAIL(rc);
}
