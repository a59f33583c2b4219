/* SPDX-License-Identifier: LGPL-2.1-only */
#ifndef TESTS_LIB_WRAP_H
#define TESTS_LIB_WRAP_H

/* So many allocations of this thread succeed, all further ones fail; negative: none fails. */
extern _Thread_local int allocations_left;

#endif
