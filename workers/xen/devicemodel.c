/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * xc_interface_open() opens a handle for device model operations.  A worker gets one that can do
 * nothing: a library function that uses it needs symbols that are not here, and does not link.
 */
#include <stddef.h>
#include <xendevicemodel.h>

struct xendevicemodel_handle {
    int unused;
};
static struct xendevicemodel_handle handle;

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger,
                                           unsigned int open_flags)
{
    return &handle;
}

int xendevicemodel_close(xendevicemodel_handle *dmod)
{
    return 0;
}
