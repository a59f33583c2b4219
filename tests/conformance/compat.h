/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef CONFORMANCE_COMPAT_H
#define CONFORMANCE_COMPAT_H

/* The one place where the two libraries differ for a program: what it includes. */
#ifdef CONF_LIBXL
#include <libxl.h>
#include <libxl_event.h>
#include <libxl_utils.h>
#else
#include <moat/libxl_event.h>
#endif

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#endif
