/* SPDX-License-Identifier: LGPL-2.1-only */
/* moat save. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "parent/cli/cli.h"

struct save {
    struct msg_INTENT intent;
    struct savefile file;
    struct ipc_chan ch;
    struct progress progress;
    struct msg_STARTED started;
    uint64_t bytes;
    volatile bool committed;        /* from here on ^C does not end the save */
    struct timespec begin;
};

/* ---- ^C: the save is ended in order and its end comes as always; a second one leaves at once */

static struct save *interruptible;
static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
    static const char ending[] = "moat: ending the save, its domain goes on; "
                                 "once more leaves without waiting for that\n";
    static const char too_late[] = "moat: the image is confirmed, its save cannot be ended any "
                                   "more; once more leaves without waiting for the rest\n";
    const struct save *s = interruptible;
    const bool late = s && s->committed;
    int saved = errno;

    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (!s || s->ch.fd < 0) {
        raise(sig);                     /* not begun, or over: as if there were no handler */
        return;
    }
    if (!late) {
        interrupted = 1;
        shutdown(s->ch.fd, SHUT_WR);
    }
    if (s->progress.drawn && write(STDERR_FILENO, "\n", 1) < 0)
        errno = saved;
    if (write(STDERR_FILENO, late ? too_late : ending,
              late ? sizeof(too_late) - 1 : sizeof(ending) - 1) < 0)
        errno = saved;
    errno = saved;
}

static void catch_signals(struct save *s)
{
    const struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    static const int signals[] = {SIGINT, SIGTERM};
    struct sigaction old;

    interruptible = s;
    for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        /* in the background of a shell they may be ignored, and stay so */
        if (!sigaction(signals[i], NULL, &old) && old.sa_handler != SIG_IGN)
            sigaction(signals[i], &sa, NULL);
}

static void show_note(const struct save *s, const struct msg_NOTE *n)
{
    /* xentoollog: 7 is a warning; with -v everything */
    if (n->level >= 8 || (n->level >= 7 && !cli.json) || cli.verbose)
        fprintf(stderr, "moat: job %u: %s\n", s->started.job, n->text);
}

static int image_complete(struct save *s)
{
    int code, rc;

    progress_end(&s->progress);
    if (interrupted)
        return 0;                       /* no name, no COMMIT: DONE says the rest */
    code = savefile_commit(&s->file);
    if (code)
        return code;
    s->committed = true;
    rc = ipc_send(&s->ch, MSG_COMMIT, s->started.job, NULL, NULL, 0);
    /* Closed at the other end: what was said last (a deadline has passed, say) is to be read. */
    if (rc && rc != -EPIPE && rc != -ECONNRESET) {
        cli_error("the image is complete and named, but moatd is gone: %s; the domain goes on",
                  strerror(-rc));
        return EXIT_FAILED;
    }
    return 0;
}

static double seconds_since(const struct timespec *t)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - t->tv_sec) + (double)(now.tv_nsec - t->tv_nsec) / 1e9;
}

static void report(const struct save *s, const char *path)
{
    const char *after = s->intent.flags & INTENT_CHECKPOINT ? "the domain runs on"
        : s->intent.flags & INTENT_PAUSE ? "the domain is paused" : "the domain is destroyed";
    double seconds = seconds_since(&s->begin);
    json_object *o;

    if (!cli.json) {
        fprintf(stderr, "moat: job %u: %s (domain %u) saved to %s: %.1f MiB in %.1f s; %s\n",
                s->started.job, s->started.name, s->started.domid, path,
                (double)s->bytes / 1048576, seconds, after);
        return;
    }
    o = json_object_new_object();
    json_object_object_add(o, "code", json_object_new_int(EXIT_DONE));
    json_object_object_add(o, "reason", json_object_new_string("done"));
    json_object_object_add(o, "job", json_object_new_int64(s->started.job));
    json_object_object_add(o, "domid", json_object_new_int64(s->started.domid));
    json_object_object_add(o, "name", json_object_new_string(s->started.name));
    json_object_object_add(o, "file", json_object_new_string(path));
    json_object_object_add(o, "bytes", json_object_new_uint64(s->bytes));
    json_object_object_add(o, "seconds", json_object_new_double(seconds));
    /* FILE - is standard output: the report must not end in the image */
    fprintf(strcmp(path, "-") ? stdout : stderr, "%s\n",
            json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    json_object_put(o);
}

static int follow(struct save *s, const char *path)
{
    union client_message m;
    uint32_t type;
    int code;

    for (;;) {
        code = client_next(&s->ch, &type, &m);
        if (code) {
            progress_end(&s->progress);
            if (s->committed)
                cli_error("%s is complete and stays", path);
            return code;
        }
        switch (type) {
        case MSG_STARTED: s->started = m.started; break;
        case MSG_PROGRESS: progress_show(&s->progress, &m.progress); break;
        case MSG_NOTE: show_note(s, &m.note); break;
        case MSG_SAVED:
            s->bytes = m.saved.bytes;
            code = image_complete(s);
            if (code)
                return code;
            break;
        case MSG_DENIED:
        case MSG_DONE:
            progress_end(&s->progress);
            if (type == MSG_DONE && !m.done.exit_code) {
                report(s, path);
                return EXIT_DONE;
            }
            code = client_end(type, &m);
            if (s->committed)
                cli_error("%s is complete and stays", path);
            return code;
        }
    }
}

static int parse_deadline(const char *text, uint32_t *seconds)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || n < 1 || n > 86400) {
        cli_error("--deadline: \"%s\" is not a number of seconds from 1 to 86400", text);
        return EXIT_USAGE;
    }
    *seconds = (uint32_t)n;
    return 0;
}

static int parse(int argc, char **argv, struct msg_INTENT *intent, bool *force)
{
    static const struct option options[] = {
        {"live", no_argument, NULL, 'L'}, {"deadline", required_argument, NULL, 'd'},
        {"force", no_argument, NULL, 'f'}, {"json", no_argument, NULL, 'j'},
        {"verbose", no_argument, NULL, 'v'}, {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "cpDfv", options, NULL)) != -1) {
        switch (c) {
        case 'c': intent->flags |= INTENT_CHECKPOINT; break;
        case 'p': intent->flags |= INTENT_PAUSE; break;
        case 'D': intent->flags |= INTENT_PRESERVE_DOMID; break;
        case 'L': intent->flags |= INTENT_LIVE; break;
        case 'f': *force = true; break;
        case 'j': cli.json = true; break;
        case 'v': cli.verbose++; break;
        case 'd':
            if (parse_deadline(optarg, &intent->deadline))
                return EXIT_USAGE;
            break;
        default: return cli_usage("save");
        }
    }
    if (argc - optind != 2)
        return cli_usage("save");
    if ((intent->flags & INTENT_CHECKPOINT) && (intent->flags & INTENT_PAUSE)) {
        cli_error(
            "-c and -p exclude each other: after the save the domain either runs or is paused");
        return EXIT_USAGE;
    }
    return client_domain(intent, argv[optind]);
}

int cmd_save(int argc, char **argv)
{
    struct save s = {.intent = {.kind = KIND_SAVE}, .file = {.fd = -1, .dirfd = -1},
                     .ch = {.fd = -1}};
    const char *path;
    bool force = false;
    int code = parse(argc, argv, &s.intent, &force);

    if (code)
        return code;
    /* A reader of the messages that goes away does not end the save. */
    signal(SIGPIPE, SIG_IGN);
    path = argv[optind + 1];
    code = savefile_open(&s.file, path, force,
                         s.intent.flags & (INTENT_CHECKPOINT | INTENT_PAUSE));
    if (code)
        goto out;
    if (s.file.stream)
        s.intent.flags |= INTENT_STREAM;
    clock_gettime(CLOCK_MONOTONIC, &s.begin);
    progress_begin(&s.progress);
    catch_signals(&s);
    code = client_open(&s.ch, &s.intent, s.file.fd);
    if (!code)
        code = follow(&s, path);
out:
    interruptible = NULL;
    if (s.ch.fd >= 0)
        close(s.ch.fd);
    savefile_close(&s.file);
    return code;
}
