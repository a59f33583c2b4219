/* SPDX-License-Identifier: LGPL-2.1-only */
/* What each key of moat.conf may hold. */
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "policy/rules/parser.h"

void value_number(struct parser *p, const char *key, const char *value, uint32_t min, uint32_t max,
                  uint32_t *out)
{
    uint64_t n = 0;
    size_t len = strlen(value);

    if (len == 0 || strspn(value, "0123456789") != len) {
        parser_error(p, p->line, key, "'%s' is not a number; allowed: %u to %u", value, min, max);
        return;
    }
    for (size_t i = 0; i < len && n <= max; i++)
        n = n * 10 + (unsigned)(value[i] - '0');
    if (n < min || n > max) {
        parser_error(p, p->line, key, "%s is out of range; allowed: %u to %u", value, min, max);
        return;
    }
    *out = (uint32_t)n;
}

static bool has_dots(const char *path)
{
    for (const char *s = path; (s = strstr(s, "/.")); s++) {
        if (s[2] == '/' || s[2] == '\0' || (s[2] == '.' && (s[3] == '/' || s[3] == '\0')))
            return true;
    }
    return false;
}

static bool printable(const char *s)
{
    for (; *s; s++) {
        if (*s <= ' ' || *s > '~')
            return false;
    }
    return true;
}

/* base_max: longest last component, 0 = any. */
void value_path(struct parser *p, const char *key, const char *value, size_t base_max, char *out,
                size_t size)
{
    size_t len = strlen(value);
    const char *base = strrchr(value, '/');

    if (value[0] != '/') {
        parser_error(p, p->line, key, "'%s' is not an absolute path; allowed: a path that begins "
                     "with '/'", value);
    } else if (len >= size) {
        parser_error(p, p->line, key, "the path has %zu characters; allowed: at most %zu", len,
                     size - 1);
    } else if (!printable(value)) {
        parser_error(p, p->line, key, "'%s' has blanks or unprintable characters; allowed: "
                     "printable ASCII", value);
    } else if (has_dots(value) || strstr(value, "//") || base[1] == '\0') {
        parser_error(p, p->line, key, "'%s' is not the plain path of a file; allowed: no '.', '..' "
                     "or empty component", value);
    } else if (base_max && strlen(base + 1) > base_max) {
        parser_error(p, p->line, key, "the file's name has %zu characters; allowed: at most %zu",
                     strlen(base + 1), base_max);
    } else {
        memset(out, 0, size);
        memcpy(out, value, len);
    }
}

/* ---- lists */

/* Cuts the next item off *rest into item[RULES_LINE_MAX + 1]. false = the list is used up. */
static bool next_item(const char **rest, char *item)
{
    const char *start = *rest;
    size_t len;

    if (!start)
        return false;
    len = strcspn(start, ",");
    *rest = start[len] ? start + len + 1 : NULL;
    while (len && isspace((unsigned char)*start)) {
        start++;
        len--;
    }
    while (len && isspace((unsigned char)start[len - 1]))
        len--;
    if (len > RULES_LINE_MAX)
        len = RULES_LINE_MAX;
    memcpy(item, start, len);
    item[len] = '\0';
    return true;
}

typedef void (*item_fn)(struct parser *p, const char *key, const char *item);

static void each_item(struct parser *p, const char *key, const char *value, item_fn fn)
{
    char item[RULES_LINE_MAX + 1];
    const char *rest = value;

    while (next_item(&rest, item)) {
        if (item[0])
            fn(p, key, item);
        else
            parser_error(p, p->line, key, "an empty item in the list; allowed: items separated by "
                         "one comma each");
    }
}

static void item_operator(struct parser *p, const char *key, const char *item)
{
    struct subject s;
    struct passwd *pw;
    struct group *gr;

    if (item[0] == '@') {
        gr = getgrnam(item + 1);
        if (!gr) {
            parser_error(p, p->line, key, "unknown group '%s'; allowed: @ and a group that this "
                         "host knows (getent group)", item + 1);
            return;
        }
        s = (struct subject){ SUBJECT_GID, gr->gr_gid };
    } else {
        pw = getpwnam(item);
        if (!pw) {
            parser_error(p, p->line, key, "unknown user '%s'; allowed: users that this host knows "
                         "(getent passwd), @GROUP for a group", item);
            return;
        }
        s = (struct subject){ SUBJECT_UID, pw->pw_uid };
    }
    if (s.id == 65534 || s.id == UINT32_MAX) {
        parser_error(p, p->line, key, "'%s' has the id of nobody and matches no one; allowed: "
                     "users and @groups with an id of their own", item);
        return;
    }
    if (p->rule.nsubjects < RULES_LIST_MAX)
        p->rule.subjects[p->rule.nsubjects++] = s;
}

void value_operators(struct parser *p, const char *key, const char *value)
{
    each_item(p, key, value, item_operator);
}

#define OPERATION(NAME, bit, word, doc) word,
static const char *const words[] = {
#include "policy/rules/ops.def"
};
#undef OPERATION

/* The words as one text; the literal pieces make "list, save, ..., ". */
#define OPERATION(NAME, bit, word, doc) word ", "
static const char all_words[] =
#include "policy/rules/ops.def"
    ;
#undef OPERATION

static void item_operation(struct parser *p, const char *key, const char *item)
{
    uint32_t bit = rules_op_bit(item);
    const char *near = rules_nearest(item, words, sizeof(words) / sizeof(words[0]));
    int len = (int)(sizeof(all_words) - sizeof(", "));

    if (bit) {
        p->rule.ops |= bit;
        return;
    }
    if (near)
        parser_error(p, p->line, key, "unknown operation '%s', did you mean '%s'?; allowed: %.*s",
                     item, near, len, all_words);
    else
        parser_error(p, p->line, key, "unknown operation '%s'; allowed: %.*s", item, len,
                     all_words);
}

void value_operations(struct parser *p, const char *key, const char *value)
{
    each_item(p, key, value, item_operation);
}

static void item_domain(struct parser *p, const char *key, const char *item)
{
    size_t len = strlen(item);

    for (size_t i = 0; i < len; i++) {
        if (!rules_pattern_char(item[i])) {
            parser_error(p, p->line, key, "bad character '%c' in pattern '%s'; allowed: letters, "
                         "digits, '.', '_', '-', '*' and '?'", item[i], item);
            return;
        }
    }
    if (len >= RULES_PATTERN) {
        parser_error(p, p->line, key, "a pattern of %zu characters; allowed: at most %d", len,
                     RULES_PATTERN - 1);
        return;
    }
    if (p->rule.npatterns < RULES_LIST_MAX) {
        char *pattern = p->rule.patterns[p->rule.npatterns++];

        memset(pattern, 0, RULES_PATTERN);
        memcpy(pattern, item, len);
    }
}

void value_domains(struct parser *p, const char *key, const char *value)
{
    each_item(p, key, value, item_domain);
}

void value_decision(struct parser *p, const char *key, const char *value)
{
    static const char *const decisions[] = { "allow", "deny" };
    const char *near = rules_nearest(value, decisions, 2);

    if (strcmp(value, "allow") == 0)
        p->rule.allow = true;
    else if (strcmp(value, "deny") == 0)
        p->rule.allow = false;
    else if (near)
        parser_error(p, p->line, key, "unknown decision '%s', did you mean '%s'?; allowed: allow, "
                     "deny", value, near);
    else
        parser_error(p, p->line, key, "unknown decision '%s'; allowed: allow, deny", value);
}
