/* SPDX-License-Identifier: LGPL-2.1-only */
/* What parser, matcher, fuzzer and tests share beyond rules.h. */
#ifndef MOAT_RULES_PARSE_H
#define MOAT_RULES_PARSE_H

#include <stdio.h>

#include "policy/rules/rules.h"

#define RULES_LINE_MAX 1024     /* characters of one line of moat.conf */
#define RULES_NAME_MAX 40       /* characters of a rule's name */
#define RULES_ERRORS_MAX 100    /* after so many a file is not read further */

#define RULES_DEFAULT_SOCKET "/run/moat/moat.sock"
#define RULES_DEFAULT_AUDIT "/var/log/moat/audit.jsonl"

/* [limits]: LIMIT(key, member of struct rules_limits, smallest, largest, default) */
#define RULES_LIMITS(LIMIT)                                             \
    LIMIT("jobs-per-operator", jobs_per_operator, 1, 64, 4)             \
    LIMIT("save-deadline", save_deadline, 1, 86400, 600)                \
    LIMIT("suspend-deadline", suspend_deadline, 1, 3600, 60)            \
    LIMIT("commit-deadline", commit_deadline, 1, 3600, 60)

/* rules_parse() of an open file; name is what errors call it; f stays the caller's.  err may be
 * NULL.  If no error was found, rules_table_ok(t) holds. */
int rules_parse_stream(FILE *f, const char *name, struct rules_table *t, struct rules_daemon *d,
                       FILE *err);

bool rules_pattern_char(char c);

/* near.c: the word that is most likely meant, or NULL when none is near. */
const char *rules_nearest(const char *word, const char *const *words, size_t n);

#endif
