/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Frames and messages between the processes of moat.
 *
 * A channel is an AF_UNIX SOCK_SEQPACKET socket: one send is one frame is one receive, and file
 * descriptors belong to exactly one frame.  A frame is a 12-byte little-endian header and a payload
 * of a type listed in messages.def; header and payload together have at most IPC_FRAME_MAX bytes.
 *
 * A receiver checks length, type, direction, phase, number of fds, every bound, UTF-8 where text,
 * and that the payload is used up, before it looks at a value.  A frame that fails any of this is
 * the end of the peer: the functions say so with -EPROTO and a reason, they never guess.
 */
#ifndef MOAT_IPC_H
#define MOAT_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define IPC_VERSION     1
#define IPC_FRAME_MAX   65536
#define IPC_HEADER_SIZE 12
#define IPC_FDS_MAX     5

/* Who can be at the end of a channel. */
enum ipc_end {
    OPERATOR = 1 << 0,
    WARDEN = 1 << 1,
    PARENT = 1 << 2,
    FORKER = 1 << 3,
    SUPERVISOR = 1 << 4,
    RECORDER = 1 << 5,
    GATE = 1 << 6,
    WORKER = 1 << 7,
};

/* The receiver's view of how far one channel has come. */
enum ipc_phase {
    PH_OPEN = 1 << 0,       /* nothing said yet */
    PH_RUN = 1 << 1,        /* the job runs */
    PH_SUSPENDING = 1 << 2, /* the guest is being suspended; the worker waits for SUSPENDED */
    PH_SUSPENDED = 1 << 3,  /* the guest is suspended */
    PH_SAVED = 1 << 4,      /* SAVED was sent, COMMIT is awaited */
    PH_CLOSED = 1 << 5,     /* COMPLETE, COMMIT or DONE was said: nothing more is legal */
    PH_ANY = 0x3f,
};

/* Values that several messages share. */

enum intent_kind {
    KIND_LIST = 1,
    KIND_SAVE = 2,
    KIND_JOBS = 3,
    KIND_CANCEL = 4,
    KIND_RESUME = 5,    /* a domain that is suspended goes on */
    KIND_WATCH = 6,     /* tell when the domain shuts down and when it is gone */
};

#define INTENT_CHECKPOINT 0x1u     /* -c: the domain runs on */
#define INTENT_PAUSE 0x2u          /* -p: the domain stays paused */
#define INTENT_PRESERVE_DOMID 0x4u /* -D: c_info.domid stays in the image's configuration */
#define INTENT_LIVE 0x8u           /* --live: precopy rounds */
#define INTENT_LONG 0x10u          /* list -l */
#define INTENT_STREAM 0x20u        /* FILE is a pipe */
#define INTENT_SUSPENDED 0x40u     /* it stays suspended; FILE gets libxl's stream and no more */
#define INTENT_FLAGS 0x7fu

enum worker_kind {
    WORKER_SAVE = 1,
    WORKER_KINDS,
};

enum guest_type {
    GUEST_PVH = 1,
    GUEST_PV = 2,
    GUEST_HVM = 3,
};

enum domain_state {
    DOMAIN_RUNNING = 1,   /* running, blocked or paused: not shut down */
    DOMAIN_SUSPENDED = 2, /* shut down with reason suspend */
    DOMAIN_SHUTDOWN = 3,  /* shut down for another reason */
    DOMAIN_GONE = 4,      /* dying, or the domid is another domain's */
};

enum job_state {
    JOB_FREE = 0,
    JOB_STARTING = 1,
    JOB_RUNNING = 2,
    JOB_SUSPENDING = 3,
    JOB_SUSPENDED = 4,
    JOB_SAVED = 5,
    JOB_ENDING = 6,
};

/* Why a job ended; the words for each are in ipc/words.c. */
enum job_cause {
    CAUSE_NONE = 0,
    CAUSE_DEADLINE,          /* the operation's deadline */
    CAUSE_GUEST_IGNORED,     /* the guest did not acknowledge the suspend request */
    CAUSE_GUEST_TIMEDOUT,    /* acknowledged, but did not suspend in time */
    CAUSE_GUEST_DIED,        /* shut down for another reason, dying or gone */
    CAUSE_OPERATOR_GONE,     /* end of file on the connection before COMMIT */
    CAUSE_COMMIT_DEADLINE,   /* no COMMIT in time */
    CAUSE_CANCELLED,         /* moat cancel */
    CAUSE_WORKER_FAILED,     /* COMPLETE with an error */
    CAUSE_WORKER_DIED,       /* signal, exit status or no COMPLETE */
    CAUSE_PROTOCOL,          /* malformed, out of phase, from another pid */
    CAUSE_UNSEEN,            /* COMPLETE 0, but the warden did not see what a save does */
    CAUSE_XENSTORE,          /* xenstore did not answer */
    CAUSE_INTERRUPTED,       /* moat itself was restarted */
    CAUSE_REFUSED,           /* by rule or by a check; nothing was touched */
    CAUSE_INTERNAL,          /* a resource of moat's own is missing */
    CAUSES,
};

/* What xenstore tells of a domain (DESCRIBED.facts): paths that only the toolstack can write. */
#define XSFACT_PCI 0x1u          /* /libxl/D/device/pci */
#define XSFACT_9PFS 0x2u         /* /libxl/D/device/9pfs */
#define XSFACT_DEVICE_MODEL 0x4u /* /local/domain/D/image/device-model-pid */

enum xs_stage {
    XS_STAGE_READ = 1,    /* the job's read-only paths */
    XS_STAGE_SUSPEND = 2, /* also: control/shutdown may be written */
};

#define XSUNDO_SHUTDOWN 0x1u /* control/shutdown: "suspend" becomes "", anything else stays */
#define XSUNDO_RESUME 0x2u   /* XS_RESUME, after the domain was resumed */

enum record_what {
    RECORD_BEGIN = 1, /* a decision to act */
    RECORD_DENIED,    /* a decision not to act */
    RECORD_ACT,       /* before an act that changes a guest or its host */
    RECORD_END,       /* of a job that had a BEGIN */
    RECORD_NOTE,      /* of moat itself: start, stop, reload, gate refusals */
};

enum record_act {
    ACT_NONE = 0,
    ACT_SUSPEND,
    ACT_RESUME,
    ACT_PAUSE,
    ACT_UNPAUSE,
    ACT_DESTROY,
    ACT_LOGDIRTY,
    ACT_KILL,
    ACT_LEAVE,              /* suspended by us, it stays so: no undoing from here on */
    ACTS,
};

#define SAW_SUSPEND 0x1u    /* getdomaininfo: shut down, reason suspend */
#define SAW_LOGDIRTY_ON 0x2u
#define SAW_LOGDIRTY_OFF 0x4u
#define SAW_CONTEXT 0x8u    /* the rows that read the vcpu state were executed after the suspend */
#define SAW_DEATH 0x10u     /* the worker's pidfd became readable */
#define SAW_FINISHED 0x20u  /* the worker itself said that the image is complete */

/* Why the warden refused something (RECORD.refused is indexed by it). */
enum refusal {
    REFUSED_NONE = 0,
    REFUSED_NO_ROW,     /* no such row for this job, guest type or phase */
    REFUSED_DOMID,      /* another domain */
    REFUSED_VERSION,    /* interface version */
    REFUSED_SIZE,       /* struct, buffer or count out of bounds */
    REFUSED_VALUE,      /* a field that the row's check refuses */
    REFUSED_FRAME,      /* malformed or out-of-phase frame */
    REFUSED_PID,        /* frame from another process */
    REFUSED_FLOOD,      /* more than the bound */
    REFUSED_XENSTORE,   /* gate: path without a grant */
    REFUSED_STATE,      /* parent: not legal in the job's state */
    REFUSALS,
};

enum save_stage {
    STAGE_CONFIG = 1, /* header and configuration */
    STAGE_MEMORY,     /* pages */
    STAGE_STATE,      /* vcpu and device state */
    STAGE_SYNC,       /* fsync of FILE */
};

/* Exit codes of the command. */
#define EXIT_DONE 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_DENIED 3
#define EXIT_WORKER_DIED 4
#define EXIT_TIMED_OUT 5

/* Buffers of CALL up to this size travel in the frame, larger ones in the arena. */
#define ARENA_MIN 16384

/* A view of bytes inside the frame that was decoded; valid as long as that frame. */
struct ipc_bytes {
    const uint8_t *p;
    uint32_t len;
};

/* struct msg_NAME for every message */
#define U8(n, doc) uint8_t n;
#define U16(n, doc) uint16_t n;
#define U32(n, doc) uint32_t n;
#define U64(n, doc) uint64_t n;
#define I32(n, doc) int32_t n;
#define TEXT(n, size, doc) char n[size];
#define RAW(n, size, doc) uint8_t n[size];
#define STR(n, max, doc) char n[(max) + 1];
#define BYTES(n, max, doc) struct ipc_bytes n;
#define MESSAGE(NAME, number, from, to, phases, minfds, maxfds, doc, ...) \
    struct msg_##NAME { __VA_ARGS__ };
#include "ipc/messages.def"
#undef MESSAGE
#undef U8
#undef U16
#undef U32
#undef U64
#undef I32
#undef TEXT
#undef RAW
#undef STR
#undef BYTES

#define MESSAGE(NAME, number, ...) MSG_##NAME = (number),
enum ipc_type {
#include "ipc/messages.def"
};
#undef MESSAGE

/* One end of a channel.  Plain data: a zeroed struct with fd = -1 is a closed channel. */
struct ipc_chan {
    int fd;           /* SOCK_SEQPACKET; owned by whoever owns the struct */
    uint32_t self;    /* enum ipc_end */
    uint32_t peer;    /* enum ipc_end */
    uint32_t phase;   /* enum ipc_phase, set by the receiver's state machine */
    bool takes_fds;   /* false: frames are received without room for fds (from workers, always) */
    bool drops_fds; /* with takes_fds false: a frame may declare fds all the same; they are lost */
    bool wants_pid;   /* SO_PASSCRED is set: ipc_frame.pid is the sender */
};

struct ipc_frame {
    uint32_t type;                  /* enum ipc_type, checked against direction and phase */
    uint32_t job;
    uint32_t len;                   /* of the payload */
    pid_t pid;                      /* 0 = not asked for */
    unsigned declared;              /* fds that the sender attached, see ipc_chan.drops_fds */
    unsigned nfds;
    int fds[IPC_FDS_MAX]; /* owned by the caller of ipc_recv; take them with ipc_take_fd */
    uint8_t header[IPC_HEADER_SIZE];    /* as it came; right before the payload */
    uint8_t payload[IPC_FRAME_MAX - IPC_HEADER_SIZE];
    char why[96];                   /* after -EPROTO: which check failed */
};

/* Makes a connected pair of channels, close-on-exec, non-blocking.  0 or -errno. */
int ipc_pair(int fds[2]);

/* Sets SO_PASSCRED on the channel.  0 or -errno. */
int ipc_want_pid(struct ipc_chan *ch);

/*
 * Encodes and sends one message in one system call.  msg may be NULL for a message without fields.
 * fds stay the caller's.  0; -EAGAIN: the peer does not read (nothing was sent); -EPIPE and others:
 * the peer is gone; -EINVAL: the message does not fit its definition (a bug of the caller's).
 */
int ipc_send(const struct ipc_chan *ch, uint32_t type, uint32_t job, const void *msg,
             const int *fds, unsigned nfds);

/*
 * Receives one frame.  1: a frame whose header, direction, phase and fds are right; 0: nothing to
 * read now (never on a blocking socket); -ECONNRESET: end of file; -EPROTO: the peer broke the
 * protocol, see frame->why; other -errno.  On anything but 1 no fd is left open.
 */
int ipc_recv(const struct ipc_chan *ch, struct ipc_frame *frame);

/* Decodes the payload into struct msg_NAME of its type.  0 or -EPROTO with frame->why. */
int ipc_decode(struct ipc_frame *frame, void *msg);

/* Waits for one frame of this type at most timeout_ms (-1 = for ever), decodes it into msg.
 * 0; -ETIMEDOUT; -EPROTO (also for another type); -ECONNRESET.  For simple request-answer peers. */
int ipc_expect(const struct ipc_chan *ch, struct ipc_frame *frame, uint32_t type, void *msg,
               int timeout_ms);

/* CLOCK_MONOTONIC in milliseconds: for deadlines and rates. */
int64_t ipc_now_ms(void);

/* Takes fd number i out of the frame: the caller owns it.  -1 if there is none. */
int ipc_take_fd(struct ipc_frame *frame, unsigned i);

/* Closes the fds that nobody took. */
void ipc_close_fds(struct ipc_frame *frame);

/* For codec users that do not own a socket (tests, fuzzers, simulations). */
int ipc_encode(uint32_t type, const void *msg, uint8_t *buf, size_t size); /* length or -EINVAL */
const char *ipc_type_name(uint32_t type);                                  /* NULL = unknown */
size_t ipc_struct_size(uint32_t type); /* sizeof(struct msg_NAME) */

/* One line for logs: "SUSPENDED{rc=0}", escaped, never longer than size.  Returns buf. */
const char *ipc_print(uint32_t type, const void *msg, char *buf, size_t size);

/* Copies text into a TEXT or STR field: clamped, NUL-padded, unprintable bytes become '?'. */
void ipc_text(char *field, size_t size, const char *text);

/* Words (ipc/words.c): static strings, never NULL. */
const char *ipc_cause_words(uint32_t cause);   /* enum job_cause, a clause for an operator */
const char *ipc_kind_word(uint32_t kind);      /* enum intent_kind: "save" */
const char *ipc_state_word(uint32_t state);    /* enum job_state */
const char *ipc_act_word(uint32_t act);        /* enum record_act */
const char *ipc_refusal_word(uint32_t refusal);
int ipc_cause_exit(uint32_t cause);            /* exit code of the command */
int ipc_cause_rc(uint32_t cause);              /* libxl error code, 0 for CAUSE_NONE */

#endif
