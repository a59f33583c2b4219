/* SPDX-License-Identifier: LGPL-2.1-only */
/* The operator's command.  It runs with the operator's own rights and talks to moatd only. */
#ifndef MOAT_CLI_H
#define MOAT_CLI_H

#include <stdbool.h>

#include "ipc/ipc.h"

struct cli_options {
    bool json;
    int verbose;
    const char *socket;
};
extern struct cli_options cli;

/* Every command: argv[0] is its name; returns the exit code. */
int cmd_list(int argc, char **argv);
int cmd_save(int argc, char **argv);
int cmd_jobs(int argc, char **argv);
int cmd_cancel(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

struct cli_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;      /* after "moat " */
    const char *help;       /* one line */
};
extern const struct cli_command cli_commands[];     /* ends with a NULL name */

/* "moat: ..." on stderr. */
void cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Prints the command's usage line on stderr; returns EXIT_USAGE. */
int cli_usage(const char *command);
/* Takes the options of a command that has none of its own, --json and -v; optind is then that of
 * the first operand.  0, or EXIT_USAGE after a message. */
int cli_options_only(int argc, char **argv, const char *command);

/* ---- client.c */

/* A connection to moatd with INTENT sent.  fd: goes with it, -1 for none; it stays the caller's.
 * 0, or an exit code after an error message. */
int client_open(struct ipc_chan *ch, const struct msg_INTENT *intent, int fd);

/* Puts a domain name or domid into the INTENT.  0, or EXIT_USAGE after a message. */
int client_domain(struct msg_INTENT *intent, const char *domain);

/* Waits for the next message and decodes it into a union of all that moatd may send.
 * 0, or an exit code after an error message (a lost connection). */
union client_message {
    struct msg_DENIED denied;
    struct msg_DOMAIN_ROW domain;
    struct msg_JOB_ROW job;
    struct msg_STARTED started;
    struct msg_PROGRESS progress;
    struct msg_NOTE note;
    struct msg_SAVED saved;
    struct msg_DONE done;
};
int client_next(struct ipc_chan *ch, uint32_t *type, union client_message *m);

/* For DENIED and DONE: prints what has to be said (text, or JSON with --json); the exit code. */
int client_end(uint32_t type, const union client_message *m);

void client_uuid(const uint8_t handle[16], char text[37]);

/* ---- savefile.c: FILE of a save, until it has its name */

struct savefile {
    int fd;                 /* what moatd gets */
    int dirfd;
    char name[256];         /* final name in dirfd, empty: there is nothing to name (a pipe) */
    char temporary[320];    /* hidden name, empty: O_TMPFILE */
    bool replace;           /* may replace a file of that name */
    bool stream;
};

/* 0, or an exit code after an error message.  keeps: the domain survives the save (-c, -p). */
int savefile_open(struct savefile *sf, const char *path, bool force, bool keeps);
/* Gives the file its name, durable.  0, or an exit code after a message. */
int savefile_commit(struct savefile *sf);
/* Closes; removes the hidden name if there still is one. */
void savefile_close(struct savefile *sf);

/* ---- progress.c */

struct progress {
    bool terminal;
    uint32_t stage, iteration;
    int64_t started_ms, round_ms, last_ms;
    bool drawn;
};
void progress_begin(struct progress *p);
void progress_show(struct progress *p, const struct msg_PROGRESS *m);
void progress_end(struct progress *p);

#endif
