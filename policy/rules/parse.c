/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * moat.conf.  inih splits lines into key and value and calls back; this file is its reader, so that
 * lines are counted where they are read, and knows sections, keys and what must not be missing.
 *
 * inih by itself cuts section names at 50 bytes, splits long lines, takes an indented line for a
 * continuation of the value before and tells only the first error: the reader hands it one
 * unindented key line at a time and nothing else.
 */
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "policy/rules/parser.h"

/* The log's name is kept in audit_log.name with room for ".state". */
#define AUDIT_NAME_MAX 56

void parser_error(struct parser *p, unsigned line, const char *key, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    p->errors++;
    p->section_errors++;
    if (!p->err)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (char *s = text; *s; s++) {
        if (*s < ' ' || *s > '~')
            *s = '?';
    }
    fprintf(p->err, "%s:%u: ", p->file, line);
    if (p->section[0])
        fprintf(p->err, "[%s]%s", p->section, key ? " " : ": ");
    fprintf(p->err, "%s%s%s\n", key ? key : "", key ? ": " : "", text);
}

/* ---- keys */

enum key_kind {
    KEY_SOCKET, KEY_AUDIT,
    KEY_LIMIT,
    KEY_OPERATORS, KEY_OPERATIONS, KEY_DOMAINS, KEY_DECISION,
};

struct key {
    enum section_kind section;
    enum key_kind kind;
    const char *name;
    uint32_t min, max;      /* of KEY_LIMIT */
    size_t offset;          /* of KEY_LIMIT in struct rules_limits */
};

static const struct key keys[] = {
    { SECTION_DAEMON, KEY_SOCKET, "socket", 0, 0, 0 },
    { SECTION_DAEMON, KEY_AUDIT, "audit", 0, 0, 0 },
#define LIMIT(key, member, min, max, preset) \
    { SECTION_LIMITS, KEY_LIMIT, key, min, max, offsetof(struct rules_limits, member) },
    RULES_LIMITS(LIMIT)
#undef LIMIT
    { SECTION_RULE, KEY_OPERATORS, "operators", 0, 0, 0 },
    { SECTION_RULE, KEY_OPERATIONS, "operations", 0, 0, 0 },
    { SECTION_RULE, KEY_DOMAINS, "domains", 0, 0, 0 },
    { SECTION_RULE, KEY_DECISION, "decision", 0, 0, 0 },
};

#define NKEYS (sizeof(keys) / sizeof(keys[0]))

static void unknown_key(struct parser *p, const char *name)
{
    const char *allowed[NKEYS];
    char list[256] = "";
    const char *near;
    size_t n = 0;

    for (size_t i = 0; i < NKEYS; i++) {
        if (keys[i].section != p->kind)
            continue;
        allowed[n++] = keys[i].name;
        strncat(list, n > 1 ? ", " : "", sizeof(list) - strlen(list) - 1);
        strncat(list, keys[i].name, sizeof(list) - strlen(list) - 1);
    }
    near = rules_nearest(name, allowed, n);
    if (near)
        parser_error(p, p->line, NULL, "unknown key '%s', did you mean '%s'?; allowed: %s", name,
                     near, list);
    else
        parser_error(p, p->line, NULL, "unknown key '%s'; allowed: %s", name, list);
}

static void take_value(struct parser *p, const struct key *k, const char *value)
{
    switch (k->kind) {
    case KEY_SOCKET:
        value_path(p, k->name, value, 0, p->d->socket, sizeof(p->d->socket));
        break;
    case KEY_AUDIT:
        value_path(p, k->name, value, AUDIT_NAME_MAX, p->d->audit, sizeof(p->d->audit));
        break;
    case KEY_LIMIT:
        value_number(p, k->name, value, k->min, k->max,
                     (uint32_t *)((char *)&p->t->limits + k->offset));
        break;
    case KEY_OPERATORS:
        value_operators(p, k->name, value);
        break;
    case KEY_OPERATIONS:
        value_operations(p, k->name, value);
        break;
    case KEY_DOMAINS:
        value_domains(p, k->name, value);
        break;
    case KEY_DECISION:
        value_decision(p, k->name, value);
        break;
    }
}

/* inih's handler.  Its idea of the section is not used. */
static int on_key(void *user, const char *section, const char *name, const char *value)
{
    struct parser *p = user;

    p->awaits_key = false;
    if (p->kind == SECTION_BAD)
        return 1;
    if (p->kind == SECTION_NONE) {
        parser_error(p, p->line, NULL, "key '%s' stands before any section; allowed: [daemon], "
                     "[limits], [rule NAME] first", name);
        return 1;
    }
    for (size_t i = 0; i < NKEYS; i++) {
        if (keys[i].section != p->kind || strcmp(keys[i].name, name) != 0)
            continue;
        if (p->keys_seen & (1u << i)) {
            parser_error(p, p->line, name, "given twice; allowed: once in a section");
            return 1;
        }
        p->keys_seen |= 1u << i;
        if (value[0])
            take_value(p, &keys[i], value);
        else
            parser_error(p, p->line, name, "has no value; allowed: %s = VALUE", name);
        return 1;
    }
    unknown_key(p, name);
    return 1;
}

/* ---- sections */

static void add_rows(struct parser *p)
{
    const struct rule *r = &p->rule;
    struct rules_table *t = p->t;
    uint64_t rows = (uint64_t)r->nsubjects * r->npatterns;

    if (rows > RULES_ROWS - t->nrows) {
        parser_error(p, p->section_line, NULL, "too many rows: %u operators x %u domains, and %u "
                     "rows before it; allowed: %d rows in all (use groups and patterns)",
                     r->nsubjects, r->npatterns, t->nrows, RULES_ROWS);
        return;
    }
    for (unsigned i = 0; i < r->nsubjects; i++) {
        for (unsigned j = 0; j < r->npatterns; j++) {
            struct rule_row *row = &t->rows[t->nrows++];

            row->subject = r->subjects[i].kind;
            row->id = r->subjects[i].id;
            row->ops = r->ops;
            row->allow = r->allow;
            row->line = p->section_line;
            memcpy(row->pattern, r->patterns[j], RULES_PATTERN);
        }
    }
}

static void end_section(struct parser *p)
{
    if (p->kind != SECTION_RULE)
        return;
    for (size_t i = 0; i < NKEYS; i++) {
        if (keys[i].section == SECTION_RULE && !(p->keys_seen & (1u << i)))
            parser_error(p, p->section_line, NULL, "'%s' is missing; a rule has operators, "
                         "operations, domains and decision", keys[i].name);
    }
    if (!p->section_errors)
        add_rows(p);
}

static bool remember_section(struct parser *p)
{
    struct section_seen *seen;

    for (unsigned i = 0; i < p->nseen; i++) {
        if (strcmp(p->seen[i].name, p->section) == 0) {
            parser_error(p, p->line, NULL, "section given twice, first in line %u; allowed: each "
                         "section once", p->seen[i].line);
            return false;
        }
    }
    seen = realloc(p->seen, (p->nseen + 1) * sizeof(*seen));
    if (!seen) {
        parser_error(p, p->line, NULL, "out of memory");
        return false;
    }
    p->seen = seen;
    memcpy(seen[p->nseen].name, p->section, sizeof(p->section));
    seen[p->nseen++].line = p->line;
    return true;
}

static enum section_kind section_kind(struct parser *p, const char *name)
{
    static const char *const sections[] = { "daemon", "limits", "rule" };
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const char *rule = name + strcspn(name, " \t");
    const char *near;
    char word[32];

    if (strcmp(name, "daemon") == 0)
        return SECTION_DAEMON;
    if (strcmp(name, "limits") == 0)
        return SECTION_LIMITS;
    snprintf(word, sizeof(word), "%.*s", (int)strcspn(name, " \t"), name);
    if (strcmp(word, "rule") != 0) {
        near = rules_nearest(word, sections, 3);
        parser_error(p, p->line, NULL, "unknown section [%s]%s%s%s; allowed: [daemon], [limits], "
                     "[rule NAME]", name, near ? ", did you mean '" : "", near ? near : "",
                     near ? "'?" : "");
        return SECTION_BAD;
    }
    rule += strspn(rule, " \t");
    if (*rule == '\0') {
        parser_error(p, p->line, NULL, "the rule has no name; allowed: [rule NAME]");
        return SECTION_BAD;
    }
    if (strspn(rule, chars) != strlen(rule) || strlen(rule) > RULES_NAME_MAX) {
        parser_error(p, p->line, NULL, "bad rule name '%s'; allowed: at most %d letters, digits, "
                     "'.', '_' and '-'", rule, RULES_NAME_MAX);
        return SECTION_BAD;
    }
    snprintf(p->section, sizeof(p->section), "rule %s", rule);
    return SECTION_RULE;
}

/* line: "[...]", trimmed and without a comment. */
static void begin_section(struct parser *p, char *line)
{
    char *end = strchr(line, ']');
    char *name = line + 1;

    end_section(p);
    memset(&p->rule, 0, sizeof(p->rule));
    memset(p->section, 0, sizeof(p->section));
    p->keys_seen = 0;
    p->section_errors = 0;
    p->section_line = p->line;
    p->kind = SECTION_BAD;
    if (!end || end[1]) {
        parser_error(p, p->line, NULL, "'%s' is no section; allowed: [daemon], [limits], "
                     "[rule NAME], alone on its line", line);
        return;
    }
    *end = '\0';
    while (end > name && isspace((unsigned char)end[-1]))
        *--end = '\0';
    while (isspace((unsigned char)*name))
        name++;
    p->kind = section_kind(p, name);
    if (p->kind == SECTION_BAD)
        return;
    if (p->kind != SECTION_RULE)
        snprintf(p->section, sizeof(p->section), "%s", name);
    if (!remember_section(p))
        p->kind = SECTION_BAD;
}

/* ---- lines */

/* Reads one line into raw[RULES_LINE_MAX + 1].  1 = a line, 0 = end, -1 = unusable and reported. */
static int get_line(struct parser *p, char *raw)
{
    size_t len = 0;
    bool nul = false;
    int c = getc(p->in);

    if (c == EOF)
        return 0;
    p->line++;
    for (; c != EOF && c != '\n'; c = getc(p->in)) {
        if (c == '\0')
            nul = true;
        if (len <= RULES_LINE_MAX)
            raw[len] = (char)c;
        len++;
    }
    if (len > RULES_LINE_MAX) {
        parser_error(p, p->line, NULL, "the line has %zu characters; allowed: at most %d", len,
                     RULES_LINE_MAX);
        return -1;
    }
    if (nul) {
        parser_error(p, p->line, NULL, "the line has a NUL byte; allowed: text");
        return -1;
    }
    raw[len] = '\0';
    return 1;
}

/* Takes byte order mark, blanks around, and comments off.  Points into raw. */
static char *trim(const struct parser *p, char *raw)
{
    char *s = raw;
    char *end;

    if (p->line == 1 && strncmp(s, "\xef\xbb\xbf", 3) == 0)
        s += 3;
    while (isspace((unsigned char)*s))
        s++;
    for (end = s; *end; end++) {
        if ((*end == ';' || *end == '#') && (end == s || isspace((unsigned char)end[-1])))
            break;
    }
    while (end > s && isspace((unsigned char)end[-1]))
        end--;
    *end = '\0';
    return s;
}

static void check_last_line(struct parser *p)
{
    if (p->awaits_key)
        parser_error(p, p->line, NULL, "the line is neither a section nor a key; allowed: "
                     "KEY = VALUE");
    p->awaits_key = false;
}

/* inih's reader: at most num - 1 bytes of one line into str, NULL at the end. */
static char *read_line(char *str, int num, void *stream)
{
    struct parser *p = stream;
    char raw[RULES_LINE_MAX + 1];
    char *s = raw;
    int r;

    check_last_line(p);
    if (p->errors >= RULES_ERRORS_MAX) {
        parser_error(p, p->line, NULL, "too many errors, the rest of the file was not read");
        return NULL;
    }
    r = get_line(p, raw);
    if (r == 0)
        return NULL;
    snprintf(str, (size_t)num, "\n");
    if (r < 0)
        return str;
    s = trim(p, raw);
    if (*s == '[') {
        begin_section(p, s);
    } else if (*s) {
        if (snprintf(str, (size_t)num, "%s\n", s) >= num) {
            parser_error(p, p->line, NULL, "the line has %zu characters; allowed: at most %d",
                         strlen(s), num - 2);
            snprintf(str, (size_t)num, "\n");
            return str;
        }
        p->awaits_key = true;
    }
    return str;
}

static void set_defaults(struct rules_table *t, struct rules_daemon *d)
{
    memset(t, 0, sizeof(*t));
    memset(d, 0, sizeof(*d));
    t->magic = RULES_MAGIC;
    t->version = RULES_VERSION;
#define LIMIT(key, member, min, max, preset) t->limits.member = (preset);
    RULES_LIMITS(LIMIT)
#undef LIMIT
    snprintf(d->socket, sizeof(d->socket), "%s", RULES_DEFAULT_SOCKET);
    snprintf(d->audit, sizeof(d->audit), "%s", RULES_DEFAULT_AUDIT);
}

int rules_parse_stream(FILE *f, const char *name, struct rules_table *t, struct rules_daemon *d,
                       FILE *err)
{
    struct parser *p = calloc(1, sizeof(*p));
    int errors;

    set_defaults(t, d);
    if (!p) {
        if (err)
            fprintf(err, "%s: out of memory\n", name);
        return 1;
    }
    p->in = f;
    p->err = err;
    p->file = name;
    p->t = t;
    p->d = d;
    /* the default of 200 is short for a list of operators; newline and NUL come on top */
    ini_max_line = RULES_LINE_MAX + 2;
    ini_parse_stream(read_line, p, on_key, p);
    if (p->errors < RULES_ERRORS_MAX)
        end_section(p);
    if (ferror(f))
        parser_error(p, p->line, NULL, "cannot read on: %s", strerror(errno));
    errors = (int)p->errors;
    free(p->seen);
    free(p);
    return errors;
}

int rules_parse(const char *path, struct rules_table *t, struct rules_daemon *d, FILE *err)
{
    FILE *f = fopen(path, "re");
    int errors;

    if (!f) {
        set_defaults(t, d);
        if (err)
            fprintf(err, "%s: cannot open: %s; expected is a readable file\n",
                    path, strerror(errno));
        return 1;
    }
    errors = rules_parse_stream(f, path, t, d, err);
    fclose(f);
    return errors;
}
