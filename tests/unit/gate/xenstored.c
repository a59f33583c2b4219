/* SPDX-License-Identifier: LGPL-2.1-only */
/* The simulated xenstored, as one of this folder's objects. */
#include "tests/sim/xenstore.c" /* NOLINT */
