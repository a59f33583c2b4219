/* SPDX-License-Identifier: LGPL-2.1-only */
/* The domctl that ends a domain, through libxenctrl, in the supervisor's short-lived helper. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <xenctrl.h>

#include "policy/launch/launch.h"

/* 1 = it is this domain, 0 = it is gone (or the domid is another's), -errno. */
static int is_it(xc_interface *xch, uint32_t domid, const uint8_t handle[16])
{
    xc_domaininfo_t info;
    int r = xc_domain_getinfolist(xch, domid, 1, &info);

    if (r < 0)
        return errno == ESRCH ? 0 : -errno;
    if (r != 1 || info.domain != domid || memcmp(info.handle, handle, sizeof(info.handle)))
        return 0;
    return 1;
}

int launch_destroy_domain(uint32_t domid, const uint8_t handle[16])
{
    const struct timespec pause = {.tv_nsec = 20000000};
    xc_interface *xch = NULL;
    int rc;

    xch = xc_interface_open(NULL, NULL, 0);
    if (!xch)
        return errno ? -errno : -ENODEV;
    for (;;) {
        /*
         * Safe if the caller lies, because only a domain with this very handle is destroyed.  That
         * the domid becomes another's between the two calls would need 32,000 creations meanwhile:
         * Xen and libxl give domids out in turn.
         */
        rc = is_it(xch, domid, handle);
        if (rc <= 0)
            break;
        if (!xc_domain_destroy(xch, domid)) {
            rc = 0;
            break;
        }
        if (errno != EAGAIN && errno != EINTR) {
            rc = errno == ESRCH ? 0 : -errno;
            break;
        }
        nanosleep(&pause, NULL);
    }
    xc_interface_close(xch);
    return rc;
}
