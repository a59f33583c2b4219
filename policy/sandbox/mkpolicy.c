/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Build-time compiler of the sandbox policies (needs libseccomp; nothing that is installed does).
 *
 *   mkpolicy NAME.policy [--add SUPPLEMENT.policy]... [--log | --trap]
 *            --header OUT.h --golden OUT.txt
 *
 * A policy is a list of lines; '#' starts a comment.
 *
 *   allow NAME, NAME...                    these system calls, whatever their arguments
 *   allow NAME argN == VALUE               only with this argument; several lines are alternatives
 *   allow NAME argN & MASK == VALUE and argM == VALUE
 *   errno ERRNAME NAME, NAME... [as above] refused with an errno instead of death
 *   default kill                           the rest ends the process; must stand in every policy
 *
 * A supplement (--add, for builds under sanitizers or with a simulation, never installed) widens:
 * an unconditional line of it replaces the policy's lines for that call.
 *
 * MASK and VALUE are numbers or names from the table below, joined by '|'.  Arguments are compared
 * in their low 32 bits: every argument that a policy names is an int to the kernel (fd, ioctl
 * number, fcntl command, signal, option) or a set of flags of which it looks at the low half only,
 * so garbage in the upper half must not make a difference.  Other architectures' entries (int 0x80,
 * x32) end the process.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xen/sys/evtchn.h>
#include <xen/sys/gntdev.h>
#include <xen/sys/privcmd.h>

#include "policy/sandbox/dump.h"

#define RULES_MAX 256
#define CALLS_MAX 32
#define SOURCES_MAX 8

struct constant {
    const char *name;
    uint64_t value;
};

#define C(name) {#name, (uint32_t)(name)}
static const struct constant constants[] = {
    /* sys/mman.h; MAP_TYPE: linux/mman.h */
    C(PROT_NONE), C(PROT_READ), C(PROT_WRITE), C(PROT_EXEC),
    C(MAP_SHARED), C(MAP_PRIVATE), C(MAP_ANONYMOUS), C(MAP_TYPE), C(MAP_FIXED),
    C(MADV_DONTNEED), C(MADV_FREE), C(MADV_DONTFORK), C(MADV_DOFORK), C(MADV_NORMAL),
    /* fcntl.h */
    C(F_GETFL), C(F_SETFL), C(F_GETFD), C(F_SETFD), C(F_DUPFD_CLOEXEC), C(F_ADD_SEALS),
    C(F_GET_SEALS), C(F_OFD_SETLK), C(F_SETLK), C(O_PATH), C(O_CREAT), C(O_ACCMODE), C(O_RDONLY),
    C(AT_EMPTY_PATH), C(O_RDWR), C(O_WRONLY),
    /* sys/socket.h */
    C(AF_UNIX), C(AF_NETLINK), C(SOL_SOCKET), C(SO_PEERCRED), C(SO_PEERGROUPS), C(SO_PASSCRED),
    C(SO_TYPE), C(SO_SNDBUF), C(SO_RCVBUF), C(SO_ERROR), C(SO_ACCEPTCONN), C(SO_DOMAIN),
    /* linux/prctl.h, sys/wait.h, sched.h, signal.h, linux/seccomp.h, asm/ioctls.h */
    C(PR_SET_PDEATHSIG), C(PR_SET_NO_NEW_PRIVS), C(PR_GET_NO_NEW_PRIVS), C(PR_SET_NAME),
    C(PR_SET_DUMPABLE), C(PR_CAPBSET_READ), C(P_PID), C(P_PIDFD), C(P_ALL), C(WNOHANG), C(WEXITED),
    C(SECCOMP_SET_MODE_FILTER), C(SIGKILL), C(SIGABRT), C(TCGETS), C(FIONBIO),
    /* xen/sys/privcmd.h, evtchn.h, gntdev.h */
    C(IOCTL_PRIVCMD_HYPERCALL), C(IOCTL_PRIVCMD_MMAPBATCH_V2), C(IOCTL_PRIVCMD_RESTRICT),
    C(IOCTL_PRIVCMD_DM_OP), C(IOCTL_PRIVCMD_MMAP_RESOURCE),
    C(IOCTL_EVTCHN_BIND_VIRQ), C(IOCTL_EVTCHN_BIND_INTERDOMAIN), C(IOCTL_EVTCHN_NOTIFY),
    C(IOCTL_EVTCHN_UNBIND), C(IOCTL_EVTCHN_RESTRICT_DOMID),
    C(IOCTL_GNTDEV_MAP_GRANT_REF), C(IOCTL_GNTDEV_UNMAP_GRANT_REF),
};
/* What libc's calls survive. */
static const struct constant errnos[] = {
    C(ENOSYS), C(EPERM), C(EACCES), C(ENOENT), C(ENOMEM), C(ENOTTY), C(EINVAL), C(EBADF),
};
#undef C

struct rule {
    int nr;
    uint32_t action;
    unsigned nargs;
    struct scmp_arg_cmp args[4];
    const char *file;
    unsigned line;
};

static struct rule rules[RULES_MAX];
static unsigned nrules;
static const char *sources[SOURCES_MAX];
static unsigned nsources;
static bool have_default;
static uint32_t default_action = SCMP_ACT_KILL_PROCESS;

/* Where we are, for messages. */
static const char *file;
static unsigned line;

__attribute__((noreturn, format(printf, 1, 2))) static void bad(const char *format, ...)
{
    va_list ap;

    if (file)
        fprintf(stderr, "%s:%u: ", file, line);
    else
        fprintf(stderr, "mkpolicy: ");
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

/* The next word: a name, a number, or one of == & | and the comma. NULL at the end of the line. */
static char *word(char **p)
{
    static char buf[128];
    size_t n = 0;
    char *s = *p + strspn(*p, " \t\r\n");

    if (!*s || *s == '#')
        return NULL;
    if (isalnum((unsigned char)*s) || *s == '_')
        while (isalnum((unsigned char)s[n]) || s[n] == '_')
            n++;
    else if (s[0] == '=' && s[1] == '=')
        n = 2;
    else
        n = 1;
    if (n >= sizeof(buf))
        bad("word too long");
    memcpy(buf, s, n);
    buf[n] = 0;
    *p = s + n;
    return buf;
}

static char *peek(char *p)
{
    return word(&p);
}

static bool accept_word(char **p, const char *expected)
{
    char *w = peek(*p);

    if (!w || strcmp(w, expected))
        return false;
    word(p);
    return true;
}

static const struct constant *lookup(const struct constant *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(table[i].name, name))
            return &table[i];
    return NULL;
}

static uint32_t one_value(char **p)
{
    const char *w = word(p);
    const struct constant *c;
    char *end;
    unsigned long v;

    if (!w)
        bad("a value is missing at the end of the line");
    if (isdigit((unsigned char)*w)) {
        errno = 0;
        v = strtoul(w, &end, 0);
        if (*end || errno || v > UINT32_MAX)
            bad("'%s' is no number of 32 bits", w);
        return (uint32_t)v;
    }
    c = lookup(constants, sizeof(constants) / sizeof(constants[0]), w);
    if (!c)
        bad("unknown constant '%s'; the table of constants is in mkpolicy.c", w);
    return (uint32_t)c->value;
}

static uint32_t value(char **p)
{
    uint32_t v = one_value(p);

    while (accept_word(p, "|"))
        v |= one_value(p);
    return v;
}

static struct scmp_arg_cmp condition(char **p)
{
    const char *w = word(p);
    uint32_t mask = UINT32_MAX, datum;
    unsigned n;

    if (!w || strncmp(w, "arg", 3) || w[3] < '0' || w[3] > '5' || w[4])
        bad("expected arg0 to arg5, not '%s'", w ? w : "the end of the line");
    n = (unsigned)(w[3] - '0');
    if (accept_word(p, "&"))
        mask = value(p);
    if (!accept_word(p, "=="))
        bad("expected '==' after arg%u", n);
    datum = value(p);
    if (datum & ~mask)
        bad("arg%u: the value 0x%x has bits outside of the mask 0x%x: never true", n, datum, mask);
    return SCMP_CMP(n, SCMP_CMP_MASKED_EQ, mask, datum);
}

/* Takes out every earlier rule for this call. */
static void forget(int nr)
{
    unsigned n = 0;

    for (unsigned i = 0; i < nrules; i++)
        if (rules[i].nr != nr)
            rules[n++] = rules[i];
    nrules = n;
}

static void add(const struct rule *r)
{
    for (unsigned i = 0; i < nrules; i++) {
        if (rules[i].nr != r->nr || (rules[i].nargs && r->nargs))
            continue;
        /* Without and with conditions: in one file a mistake; a supplement only widens. */
        if (!nsources)
            bad("this call has a rule already, %s:%u, and one of the two is unconditional",
                rules[i].file, rules[i].line);
        if (r->nargs)
            return;
        forget(r->nr);
        break;
    }
    if (nrules == RULES_MAX)
        bad("more than %d rules", RULES_MAX);
    rules[nrules++] = *r;
}

static void rule_line(uint32_t action, char **p)
{
    struct rule r = {.action = action, .file = file, .line = line};
    int calls[CALLS_MAX];
    unsigned ncalls = 0;
    const char *w;

    do {
        w = word(p);
        if (!w)
            bad("a system call's name is missing");
        if (ncalls == CALLS_MAX)
            bad("more than %d calls in one line", CALLS_MAX);
        calls[ncalls] = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, w);
        if (calls[ncalls++] < 0)
            bad("unknown system call '%s'", w);
    } while (accept_word(p, ","));

    if (peek(*p)) {
        do {
            if (r.nargs == sizeof(r.args) / sizeof(r.args[0]))
                bad("too many conditions");
            r.args[r.nargs] = condition(p);
            r.nargs++;
        } while (accept_word(p, "and"));
    }
    if (peek(*p))
        bad("'%s' was not expected here", peek(*p));
    for (unsigned i = 0; i < ncalls; i++) {
        r.nr = calls[i];
        add(&r);
    }
}

static void policy_line(char *text)
{
    char *p = text;
    const char *w = word(&p);
    const struct constant *e;

    if (!w)
        return;
    if (!strcmp(w, "allow")) {
        rule_line(SCMP_ACT_ALLOW, &p);
    } else if (!strcmp(w, "errno")) {
        w = word(&p);
        e = w ? lookup(errnos, sizeof(errnos) / sizeof(errnos[0]), w) : NULL;
        if (!e)
            bad("unknown errno '%s'; the table is in mkpolicy.c", w ? w : "");
        rule_line(SCMP_ACT_ERRNO((uint16_t)e->value), &p);
    } else if (!strcmp(w, "default")) {
        if (!accept_word(&p, "kill") || peek(p))
            bad("the only default is 'default kill'");
        have_default = true;
    } else {
        bad("'%s': a line starts with allow, errno or default", w);
    }
}

static void read_policy(const char *path)
{
    char text[512];
    FILE *f = fopen(path, "r");

    if (!f)
        bad("cannot open %s: %s", path, strerror(errno));
    file = path;
    line = 0;
    while (fgets(text, sizeof(text), f)) {
        line++;
        if (!strchr(text, '\n') && !feof(f))
            bad("line too long");
        policy_line(text);
    }
    if (ferror(f))
        bad("cannot read: %s", strerror(errno));
    fclose(f);
    file = NULL;
    if (nsources == SOURCES_MAX)
        bad("more than %d policies", SOURCES_MAX);
    sources[nsources++] = path;
}

static void check(int r, const char *what)
{
    if (r < 0)
        bad("%s: %s", what, strerror(-r));
}

/* Compiles the rules.  *n: instructions; the array is malloc'ed. */
static struct sock_filter *compile(unsigned *n)
{
    scmp_filter_ctx ctx = seccomp_init(default_action);
    struct sock_filter *code;
    off_t size;
    int fd, r;

    if (!ctx)
        bad("libseccomp refuses to start");
    /* Only the native entry: int 0x80 and x32 have other numbers for the same calls. */
    check(seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "BADARCH");
    if (seccomp_arch_native() != SCMP_ARCH_X86_64)
        bad("the policies are for x86-64 only");
    for (unsigned i = 0; i < nrules; i++) {
        file = rules[i].file;
        line = rules[i].line;
        if (rules[i].action == default_action)
            continue;
        r = seccomp_rule_add_array(ctx, rules[i].action, rules[i].nr, rules[i].nargs,
                                   rules[i].args);
        if (r == -EEXIST)
            bad("the same rule stands in the policy twice");
        check(r, "libseccomp refuses this rule");
    }
    file = NULL;
    fd = memfd_create("bpf", MFD_CLOEXEC);
    if (fd < 0)
        bad("memfd_create: %s", strerror(errno));
    check(seccomp_export_bpf(ctx, fd), "libseccomp cannot make the filter");
    size = lseek(fd, 0, SEEK_END);
    code = malloc((size_t)size);
    if (!code || pread(fd, code, (size_t)size, 0) != size)
        bad("cannot read the filter back");
    close(fd);
    seccomp_release(ctx);
    *n = (unsigned)((size_t)size / sizeof(*code));
    if (*n > BPF_MAXINSNS)
        bad("%u instructions: more than the kernel takes", *n);
    return code;
}

static void write_header(const char *path, const char *name, const struct sock_filter *code,
                         unsigned n)
{
    FILE *f = fopen(path, "w");

    if (!f)
        bad("cannot write %s: %s", path, strerror(errno));
    fprintf(f, "/* Made by mkpolicy; do not edit. */\n#define POLICY_SOURCES_%s", name);
    for (unsigned i = 0; i < nsources; i++)
        fprintf(f, "%s\"%s\"", i ? ", " : " ", sources[i]);
    if (default_action == SCMP_ACT_TRAP)
        fprintf(f, "\n#define POLICY_TRAP 1");
    fprintf(f, "\nstatic const struct sock_filter policy_%s[] = {\n", name);
    for (unsigned i = 0; i < n; i++)
        fprintf(f, "    {0x%04x, %u, %u, 0x%08x},\n", code[i].code, code[i].jt, code[i].jf,
                code[i].k);
    fprintf(f, "};\n");
    if (fclose(f))
        bad("cannot write %s: %s", path, strerror(errno));
}

static const char *call_name(unsigned nr)
{
    static char *name;

    free(name);
    name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, (int)nr);
    return name;
}

static void write_golden(const char *path, const struct sock_filter *code, unsigned n)
{
    FILE *f = fopen(path, "w");

    if (!f)
        bad("cannot write %s: %s", path, strerror(errno));
    sandbox_dump(f, code, n, call_name);
    if (fclose(f))
        bad("cannot write %s: %s", path, strerror(errno));
}

int main(int argc, char **argv)
{
    const char *policy = NULL, *header = NULL, *golden = NULL;
    struct sock_filter *code;
    char name[64];
    unsigned n;

    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;

        if (!strcmp(argv[i], "--log"))
            default_action = SCMP_ACT_LOG;
        else if (!strcmp(argv[i], "--trap"))
            default_action = SCMP_ACT_TRAP;
        else if (!strcmp(argv[i], "--add") && next && policy)
            read_policy(argv[++i]);
        else if (!strcmp(argv[i], "--header") && next)
            header = argv[++i];
        else if (!strcmp(argv[i], "--golden") && next)
            golden = argv[++i];
        else if (argv[i][0] != '-' && !policy)
            read_policy(policy = argv[i]);
        else
            bad("usage: mkpolicy NAME.policy [--add FILE]... [--log|--trap] --header H --golden G");
    }
    if (!policy || !header || !golden)
        bad("a policy, --header and --golden are needed");
    if (!have_default)
        bad("%s: the line 'default kill' is missing", policy);
    snprintf(name, sizeof(name), "%s", strrchr(policy, '/') ? strrchr(policy, '/') + 1 : policy);
    name[strcspn(name, ".")] = 0;
    code = compile(&n);
    write_header(header, name, code, n);
    write_golden(golden, code, n);
    free(code);
    return 0;
}
