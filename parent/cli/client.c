/* SPDX-License-Identifier: LGPL-2.1-only */
/* One connection to moatd is one command. */
#include <errno.h>
#include <json-c/json.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "parent/cli/cli.h"

#define SILENCE_MS 10000

int client_domain(struct msg_INTENT *intent, const char *domain)
{
    if (!*domain || strlen(domain) >= sizeof(intent->domain)) {
        cli_error("a domain is a name of 1 to %zu characters or a domid",
                  sizeof(intent->domain) - 1);
        return EXIT_USAGE;
    }
    for (const char *p = domain; *p; p++)
        if (*p < 0x20 || *p > 0x7e) {
            cli_error("a domain's name has printable ASCII characters only; use its domid");
            return EXIT_USAGE;
        }
    ipc_text(intent->domain, sizeof(intent->domain), domain);
    return 0;
}

static int connect_to_moatd(struct ipc_chan *ch)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(cli.socket) >= sizeof(sa.sun_path)) {
        cli_error("--socket: the path is longer than %zu characters", sizeof(sa.sun_path) - 1);
        return EXIT_USAGE;
    }
    strcpy(sa.sun_path, cli.socket);
    *ch = (struct ipc_chan){.fd = -1, .self = OPERATOR, .peer = WARDEN | PARENT, .phase = PH_RUN};
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
        cli_error("cannot reach moatd at %s: %s; is moatd running?", cli.socket, strerror(errno));
        if (fd >= 0)
            close(fd);
        return EXIT_FAILED;
    }
    ch->fd = fd;                        /* not before: what a signal ends is a connection */
    return 0;
}

/* The listening socket outlives the process behind it: while moatd restarts, nobody answers. */
static void tell_of_silence(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (!poll(&p, 1, SILENCE_MS))
        cli_error("no answer from moatd for %d s: it is busy or starting; still waiting",
                  SILENCE_MS / 1000);
}

int client_open(struct ipc_chan *ch, const struct msg_INTENT *intent, int fd)
{
    struct msg_INTENT m = *intent;
    int code = connect_to_moatd(ch), rc;

    if (code)
        return code;
    m.version = IPC_VERSION;
    rc = ipc_send(ch, MSG_INTENT, 0, &m, &fd, fd >= 0);
    if (!rc) {
        tell_of_silence(ch->fd);
        return 0;
    }
    cli_error("cannot send to moatd: %s", strerror(-rc));
    close(ch->fd);
    ch->fd = -1;
    return EXIT_FAILED;
}

int client_next(struct ipc_chan *ch, uint32_t *type, union client_message *m)
{
    static struct ipc_frame f;
    int rc = ipc_recv(ch, &f);

    if (rc == 1)
        rc = ipc_decode(&f, m);
    if (rc == -EPROTO)
        cli_error("moatd sent what this command does not understand (%s); are both of one version?",
                  f.why);
    else if (rc)
        cli_error("moatd closed the connection%s%s; `moat list` shows how the domain is",
                  rc == -ECONNRESET ? "" : ": ", rc == -ECONNRESET ? "" : strerror(-rc));
    if (rc)
        return EXIT_FAILED;
    /* For a terminal: whatever process of moat made it, nothing but printable ASCII. */
    if (f.type == MSG_NOTE)
        ipc_text(m->note.text, sizeof(m->note.text), m->note.text);
    else if (f.type == MSG_DONE)
        ipc_text(m->done.message, sizeof(m->done.message), m->done.message);
    *type = f.type;
    return 0;
}

static const char *reason_word(uint32_t code)
{
    static const char *const words[] = {"done", "failed", "usage", "denied", "worker died",
                                        "timed out"};

    return code < sizeof(words) / sizeof(words[0]) ? words[code] : "failed";
}

static void print_json_end(uint32_t type, const union client_message *m, uint32_t code)
{
    json_object *o = json_object_new_object();

    json_object_object_add(o, "code", json_object_new_int((int)code));
    json_object_object_add(o, "reason", json_object_new_string(reason_word(code)));
    if (type == MSG_DENIED) {
        json_object_object_add(o, "message", json_object_new_string(m->denied.message));
        json_object_object_add(o, "rule_line", json_object_new_int((int)m->denied.line));
    } else {
        json_object_object_add(o, "message", json_object_new_string(m->done.message));
        json_object_object_add(o, "phase", json_object_new_string(ipc_state_word(m->done.phase)));
        json_object_object_add(o, "rc", json_object_new_int(m->done.rc));
        json_object_object_add(o, "errno", json_object_new_int(m->done.errnum));
        json_object_object_add(o, "worker_status", json_object_new_int(m->done.worker_status));
    }
    printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
    json_object_put(o);
}

int client_end(uint32_t type, const union client_message *m)
{
    uint32_t code = type == MSG_DENIED ? m->denied.exit_code : m->done.exit_code;
    const char *words = type == MSG_DENIED ? m->denied.message : m->done.message;

    if (code > EXIT_TIMED_OUT)
        code = EXIT_FAILED;
    if (cli.json)
        print_json_end(type, m, code);
    else if (code && type == MSG_DENIED && m->denied.line)
        cli_error("%s (moat.conf line %u)", words, m->denied.line);
    else if (code)
        cli_error("%s", words);
    return (int)code;
}

void client_uuid(const uint8_t h[16], char text[37])
{
    static const char hex[] = "0123456789abcdef";
    char *p = text;

    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = hex[h[i] >> 4];
        *p++ = hex[h[i] & 15];
    }
    *p = 0;
}
