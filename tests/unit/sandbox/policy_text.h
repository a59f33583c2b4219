/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * What a policy file says, worked out from its text alone: a second, naive reading beside
 * mkpolicy's, so that the kernel's behaviour is compared with the text and not with the compiler.
 */
#ifndef MOAT_TEST_POLICY_TEXT_H
#define MOAT_TEST_POLICY_TEXT_H

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <xenctrl.h>
#include <xen/sys/evtchn.h>
#include <xen/sys/gntdev.h>
#include <xen/sys/privcmd.h>

#define TEXT_RULES 256
#define VERDICT_KILL (-1)       /* else 0 = allowed, > 0 = refused with this errno */

struct text_cond {
    unsigned arg;
    uint32_t mask;
    uint32_t value;
};

struct text_rule {
    int nr;
    int verdict;
    unsigned nconds;
    struct text_cond conds[4];
};

struct text_policy {
    unsigned n;
    struct text_rule rules[TEXT_RULES];
};

struct text_name {
    const char *name;
    uint32_t value;
};

static const struct text_name text_calls[] = {
#define CALL(name) {#name, SYS_##name},
#include "tests/unit/sandbox/calls.def"
#undef CALL
};

#define K(name) {#name, (uint32_t)(name)}
static const struct text_name text_constants[] = {
    K(PROT_NONE), K(PROT_READ), K(PROT_WRITE), K(PROT_EXEC), K(MAP_SHARED), K(MAP_PRIVATE),
    K(MAP_ANONYMOUS), K(MAP_TYPE), K(MADV_DONTNEED), K(F_GETFL), K(F_SETFL), K(F_GETFD), K(F_SETFD),
    K(F_ADD_SEALS), K(F_GET_SEALS), K(O_CREAT), K(AT_EMPTY_PATH), K(MADV_DONTFORK),
    K(MADV_DOFORK), K(AF_UNIX), K(AF_NETLINK),
    K(SOL_SOCKET), K(SO_PEERCRED), K(SO_PEERGROUPS), K(SO_PASSCRED), K(SO_ERROR), K(SO_TYPE),
    K(PR_SET_PDEATHSIG), K(PR_SET_NO_NEW_PRIVS), K(PR_SET_NAME), K(PR_SET_DUMPABLE),
    K(SECCOMP_SET_MODE_FILTER), K(TCGETS), K(IOCTL_PRIVCMD_HYPERCALL), K(IOCTL_PRIVCMD_RESTRICT),
    K(IOCTL_PRIVCMD_MMAPBATCH_V2), K(IOCTL_EVTCHN_NOTIFY), K(IOCTL_EVTCHN_BIND_INTERDOMAIN),
    K(IOCTL_EVTCHN_RESTRICT_DOMID), K(IOCTL_GNTDEV_MAP_GRANT_REF), K(ENOSYS), K(EPERM), K(EACCES),
    K(ENOENT), K(ENOMEM), K(ENOTTY), K(EINVAL), K(EBADF),
};
#undef K

static inline void text_die(const char *path, unsigned line, const char *what, const char *word)
{
    fprintf(stderr, "%s:%u: the test does not understand: %s %s\n", path, line, what,
            word ? word : "");
    abort();
}

static inline bool text_find(const struct text_name *t, size_t n, const char *name, uint32_t *value)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(t[i].name, name)) {
            *value = t[i].value;
            return true;
        }
    return false;
}

static inline const char *text_call_name(unsigned nr)
{
    for (size_t i = 0; i < sizeof(text_calls) / sizeof(text_calls[0]); i++)
        if (text_calls[i].value == nr)
            return text_calls[i].name;
    return NULL;
}

/* "A|B|0x1" */
static inline uint32_t text_value(const char *path, unsigned line, char *text)
{
    uint32_t v = 0, one;
    char *save = NULL;

    for (char *w = strtok_r(text, "| \t", &save); w; w = strtok_r(NULL, "| \t", &save)) {
        if (*w >= '0' && *w <= '9')
            one = (uint32_t)strtoul(w, NULL, 0);
        else if (!text_find(text_constants, sizeof(text_constants) / sizeof(text_constants[0]), w,
                            &one))
            text_die(path, line, "constant", w);
        v |= one;
    }
    return v;
}

/* "argN [& MASK] == VALUE" */
static inline void text_cond(const char *path, unsigned line, char *text, struct text_cond *c)
{
    char *eq = strstr(text, "=="), *and = strchr(text, '&');

    if (strncmp(text, "arg", 3) || !eq)
        text_die(path, line, "condition", text);
    *eq = 0;
    c->arg = (unsigned)(text[3] - '0');
    c->mask = and ? text_value(path, line, and + 1) : UINT32_MAX;
    c->value = text_value(path, line, eq + 2);
}

static inline void text_line(struct text_policy *p, const char *path, unsigned line, char *s,
                             bool supplement)
{
    struct text_rule r = {0};
    char *conds, *save = NULL;
    uint32_t v;

    if (!strncmp(s, "default", 7))
        return;
    if (!strncmp(s, "errno ", 6)) {
        char *e = s + 6, *end = strchr(e, ' ');

        *end = 0;
        r.verdict = (int)text_value(path, line, e);
        s = end + 1;
    } else if (!strncmp(s, "allow ", 6)) {
        s += 6;
    } else {
        text_die(path, line, "line", s);
    }
    conds = strstr(s, " arg");
    if (conds) {
        *conds++ = 0;
        while (conds) {
            char *next = strstr(conds, " and ");

            if (next)
                *next = 0;
            text_cond(path, line, conds, &r.conds[r.nconds++]);
            conds = next ? next + 5 : NULL;
        }
    }
    for (char *w = strtok_r(s, ", \t", &save); w; w = strtok_r(NULL, ", \t", &save)) {
        if (!text_find(text_calls, sizeof(text_calls) / sizeof(text_calls[0]), w, &v))
            text_die(path, line, "system call (add it to calls.def)", w);
        r.nr = (int)v;
        /* a supplement's unconditional line replaces what was there */
        for (unsigned i = 0; supplement && !r.nconds && i < p->n; i++)
            if (p->rules[i].nr == r.nr)
                p->rules[i].nr = -1;
        if (p->n == TEXT_RULES)
            text_die(path, line, "too many rules", NULL);
        p->rules[p->n++] = r;
    }
}

/* Adds one file. */
static inline void text_read(struct text_policy *p, const char *path, bool supplement)
{
    FILE *f = fopen(path, "r");
    char text[512];
    unsigned line = 0;

    if (!f)
        text_die(path, 0, "cannot open", strerror(errno));
    while (fgets(text, sizeof(text), f)) {
        char *s = text + strspn(text, " \t");
        size_t n;

        line++;
        s[strcspn(s, "#\n")] = 0;
        n = strlen(s);
        while (n && (s[n - 1] == ' ' || s[n - 1] == '\t'))
            s[--n] = 0;
        if (n)
            text_line(p, path, line, s, supplement);
    }
    fclose(f);
}

static inline int text_verdict(const struct text_policy *p, int nr, const uint64_t args[6])
{
    int verdict = VERDICT_KILL;

    for (unsigned i = 0; i < p->n; i++) {
        const struct text_rule *r = &p->rules[i];
        bool holds = r->nr == nr;

        for (unsigned c = 0; holds && c < r->nconds; c++)
            holds = ((uint32_t)args[r->conds[c].arg] & r->conds[c].mask) == r->conds[c].value;
        if (holds && (verdict == VERDICT_KILL || !r->verdict))
            verdict = r->verdict;
    }
    return verdict;
}

#endif
