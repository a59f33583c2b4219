/* SPDX-License-Identifier: LGPL-2.1-only */
/* The parser's state, between parse.c (lines, sections, keys) and values.c (what keys may hold). */
#ifndef MOAT_RULES_PARSER_H
#define MOAT_RULES_PARSER_H

#include "policy/rules/parse.h"

/* A list has at most this many items because a line has at most RULES_LINE_MAX characters. */
#define RULES_LIST_MAX (RULES_LINE_MAX / 2)

enum section_kind {
    SECTION_NONE,       /* before the first section */
    SECTION_DAEMON,
    SECTION_LIMITS,
    SECTION_RULE,
    SECTION_BAD,        /* reported; its keys are skipped */
};

struct subject {
    uint32_t kind;      /* enum rule_subject */
    uint32_t id;
};

/* The rule that is being read; it becomes rows at its end. */
struct rule {
    struct subject subjects[RULES_LIST_MAX];
    unsigned nsubjects;
    char patterns[RULES_LIST_MAX][RULES_PATTERN];
    unsigned npatterns;
    uint32_t ops;
    bool allow;
};

struct section_seen {
    char name[RULES_NAME_MAX + sizeof("rule ")];
    unsigned line;
};

struct parser {
    FILE *in;
    FILE *err;                      /* may be NULL */
    const char *file;
    struct rules_table *t;
    struct rules_daemon *d;
    unsigned line;                  /* of the line that inih has */
    unsigned errors;
    bool awaits_key;                /* the last line must reach the handler */
    enum section_kind kind;
    char section[RULES_NAME_MAX + sizeof("rule ")];
    unsigned section_line;
    uint32_t keys_seen;             /* bit per key of this section */
    unsigned section_errors;
    struct rule rule;
    struct section_seen *seen;      /* every section so far */
    unsigned nseen;
};

/* Counts an error at this line; key may be NULL.  Text of the file in it is escaped. */
void parser_error(struct parser *p, unsigned line, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Each takes one value; what is wrong with it goes to parser_error(). */
void value_number(struct parser *p, const char *key, const char *value, uint32_t min, uint32_t max,
                  uint32_t *out);
void value_path(struct parser *p, const char *key, const char *value, size_t base_max, char *out,
                size_t size);
void value_operators(struct parser *p, const char *key, const char *value);
void value_operations(struct parser *p, const char *key, const char *value);
void value_domains(struct parser *p, const char *key, const char *value);
void value_decision(struct parser *p, const char *key, const char *value);

#endif
