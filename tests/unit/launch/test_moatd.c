/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The whole of launching with stand-ins for the programs (fake/fake.c), in a private mount
 * namespace with users, devices, xenstore and folders of its own: nothing of the host is touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "paths.h"
#include "policy/launch/launch.h"
#include "tests/unit/launch/launch_test.h"

#define LOG "/run/stderr"
#define CONF "/run/moat.conf"
#define USERDATA XEN_LIB_DIR "/userdata-d.7.aabb0000-0000-0000-0000-000000000000.libxl-json"
#ifdef MOAT_SANITIZED
#define ENV "env=2 "            /* the sanitizers' options, and /proc for them */
#define PROC "proc=1 "
#else
#define ENV "env=0 "
#define PROC "proc=0 "
#endif
#define FOUR(n) #n "," #n "," #n "," #n
#define IDS(n) "uid=" FOUR(n) " gid=" FOUR(n) " groups=, "
#define UID_MOAT 64990
#define UID_WORKER 64994

static pid_t moatd;
static int notify = -1;

/* In place of the domctl. */
int launch_destroy_domain(uint32_t domid, const uint8_t handle[16])
{
    return domid == 7 && handle[0] == 0xaa ? 0 : -EBADMSG;
}

/* ---- the private host */

static void install(const char *name)
{
    char cmd[256];

    snprintf(cmd, sizeof(cmd), "cp /run/fake " MOAT_LIBEXECDIR "/%s", name);
    assert_int_equal(system(cmd), 0);
}

static int listen_at(const char *path, int type)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    strcpy(sa.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 16), 0);
    return fd;
}

static void users(void)
{
    write_text("/run/passwd", "root:x:0:0::/root:/bin/sh\nmoat:x:64990:64990::/:/bin/false\n"
               "moat-warden:x:64991:64991::/:/bin/false\nmoat-gate:x:64992:64992::/:/bin/false\n"
               "moat-audit:x:64993:64993::/:/bin/false\nmoat-worker:x:64994:64994::/:/bin/false\n");
    write_text("/run/group", "root:x:0:\nmoat:x:64990:\n");
    assert_int_equal(mount("/run/passwd", "/etc/passwd", NULL, MS_BIND, NULL), 0);
    assert_int_equal(mount("/run/group", "/etc/group", NULL, MS_BIND, NULL), 0);
}

static void devices(void)
{
    tmpfs_on("/dev");
    assert_int_equal(mkdir("/dev/xen", 0755), 0);
    assert_int_equal(mknod("/dev/null", S_IFCHR | 0666, makedev(1, 3)), 0);
    assert_int_equal(mknod("/dev/xen/privcmd", S_IFCHR | 0600, makedev(1, 3)), 0);
    assert_int_equal(mknod("/dev/xen/evtchn", S_IFCHR | 0600, makedev(1, 3)), 0);
}

static int host(void **state)
{
    umask(022);
    private_host();
    assert_int_equal(system("${CC:-cc} -std=gnu11 -D_GNU_SOURCE -static -I. -o /run/fake "
                            "tests/unit/launch/fake/fake.c ipc/frame.c ipc/codec.c"), 0);
    tmpfs_on("/usr/libexec");
    assert_int_equal(mkdir(MOAT_LIBEXECDIR, 0755), 0);
    install("warden");
    install("gate");
    install("recorder");
    install("save");
    users();
    devices();
    tmpfs_on("/var/log");
    assert_int_equal(mkdir("/run/xenstored", 0755), 0);
    listen_at(XENSTORED_SOCKET, SOCK_STREAM);
    notify = listen_at("/run/notify", SOCK_DGRAM);
    setenv("NOTIFY_SOCKET", "/run/notify", 1);
    write_text(CONF, "[daemon]\n");
    assert_int_equal(chmod(CONF, 0600), 0);
    return 0;
}

/* ---- moatd and what it says */

static pid_t run_moatd(const char *config)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (!pid) {
        struct launch l = {.config = config, .lock = -1, .undo = -1, .log = -1, .listener = -1,
                           .table = -1};
        int fd = open(LOG, O_WRONLY | O_CREAT | O_APPEND, 0644), null = open("/dev/null", O_RDWR);

        /* a death of the test's is no death of moatd's, and the other way round */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fd, 2);
        dup2(null, 0);
        dup2(null, 1);
        signal(SIGSEGV, SIG_DFL);
        close_range(3, ~0u, 0);
        if (launch_setup(&l) || launch_cut())
            _exit(1);
        _exit(launch_supervise(&l));
    }
    return pid;
}

static char *log_text(void)
{
    static char text[1 << 18];
    int fd = open(LOG, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = 0;
    close(fd);
    return text;
}

/* Waits until the n-th occurrence is in the log; returns where. */
static const char *wait_log(const char *what, int n, int seconds)
{
    for (int i = 0; i < seconds * 50; i++) {
        const char *p = log_text();

        for (int k = 0; k < n && p; k++) {
            p = strstr(p, what);
            p = p && k + 1 < n ? p + 1 : p;
        }
        if (p)
            return p;
        usleep(20000);
    }
    print_error("%d times '%s' is not in:\n%s\n", n, what, log_text());
    fail();
    return NULL;
}

static void expect_notify(const char *what)
{
    char text[128] = "";
    struct timeval tv = {.tv_sec = 20};

    setsockopt(notify, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    assert_true(recv(notify, text, sizeof(text) - 1, 0) > 0);
    assert_int_equal(strncmp(text, what, strlen(what)), 0);
}

static void command(const char *word)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX, .sun_path = "/run/moat/moat.sock"};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(send(fd, word, strlen(word), 0), strlen(word));
    close(fd);
}

/* One field of /proc/PID/status, as text. */
static const char *status_of(pid_t pid, const char *key)
{
    static char value[128];
    char path[64], line[256];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    f = fopen(path, "r");
    value[0] = 0;
    while (f && fgets(line, sizeof(line), f))
        if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
            sscanf(line + strlen(key) + 1, " %127[^\n]", value);
    if (f)
        fclose(f);
    return value;
}

/* Other tests of moat may run on this machine: only our users count. */
static bool ours(pid_t pid)
{
    int uid = atoi(status_of(pid, "Uid"));

    return uid >= UID_MOAT && uid <= UID_WORKER && *status_of(pid, "State") != 'Z';
}

/* The process with this name, 0 if there is none.  parent: 0 = any. */
static pid_t find(const char *comm, pid_t parent)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    pid_t found = 0;

    while ((e = readdir(d))) {
        pid_t pid = atoi(e->d_name);

        if (pid && !strcmp(status_of(pid, "Name"), comm) && ours(pid) &&
            (!parent || atoi(status_of(pid, "PPid")) == parent))
            found = pid;
    }
    closedir(d);
    return found;
}

/* The same for one that is being started: READY comes from the warden, the others take their names
 * when they get to it. */
static pid_t await_process(const char *comm, pid_t parent)
{
    pid_t pid = 0;

    for (int i = 0; i < 250 && !(pid = find(comm, parent)); i++)
        usleep(20000);
    return pid;
}

/* How many processes run under moat's users. */
static int residents(void)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    int n = 0;

    while ((e = readdir(d))) {
        pid_t pid = atoi(e->d_name);

        n += pid && ours(pid);
    }
    closedir(d);
    return n;
}

static void no_resident_within(int seconds)
{
    for (int i = 0; i < seconds * 50 && residents(); i++)
        usleep(20000);
    assert_int_equal(residents(), 0);
}

static void contains(const char *line, const char *what)
{
    const char *end = strchr(line, '\n') ?: line + strlen(line);
    const char *p = strstr(line, what);

    if (!p || p > end)
        print_error("'%s' is not in '%.*s'\n", what, (int)(end - line), line);
    assert_true(p && p < end);
}

/* ---- refusals at start */

static void not_started(const char *config, const char *why)
{
    int status;
    pid_t pid;

    unlink(LOG);
    pid = run_moatd(config);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    if (!strstr(log_text(), why))
        print_error("'%s' is not in: %s\n", why, log_text());
    assert_non_null(strstr(log_text(), why));
}

static void a_missing_user_is_named_with_what_to_do(void **state)
{
    write_text("/run/passwd2", "root:x:0:0::/root:/bin/sh\nmoat:x:64990:64990::/:/bin/false\n"
               "moat-warden:x:64991:64991::/:/bin/false\n");
    assert_int_equal(mount("/run/passwd2", "/etc/passwd", NULL, MS_BIND, NULL), 0);
    not_started(CONF, "no user moat-gate: run `make install` or systemd-sysusers");
    assert_int_equal(umount("/etc/passwd"), 0);
}

static void a_host_without_xen_is_told_so(void **state)
{
    assert_int_equal(rename("/dev/xen/privcmd", "/dev/privcmd"), 0);
    not_started(CONF, "not a Xen host with a loaded xen-privcmd module");
    assert_int_equal(rename("/dev/privcmd", "/dev/xen/privcmd"), 0);
}

static void a_bad_configuration_is_told_with_its_line(void **state)
{
    write_text("/run/bad.conf", "[daemon]\nsokcet = /run/x\n");
    not_started("/run/bad.conf", "/run/bad.conf:2:");
    not_started("/run/none.conf", "/run/none.conf: No such file or directory");
    write_text("/run/open.conf", "[daemon]\n");
    assert_int_equal(chmod("/run/open.conf", 0666), 0);
    not_started("/run/open.conf", "/run/open.conf: everybody may write it");
}

static void a_log_folder_of_somebody_else_is_not_taken_over(void **state)
{
    struct stat st;

    write_text("/run/log.conf", "[daemon]\naudit = /var/lib/audit.jsonl\n");
    not_started("/run/log.conf", "does not belong to moat-audit");
    assert_int_equal(stat("/var/lib", &st), 0);
    assert_int_equal(st.st_uid, 0);
}

static void a_second_moatd_is_not_started_beside_the_first(void **state)
{
    int fd = open("/run/moat/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    pid_t pid;

    assert_int_equal(flock(fd, LOCK_EX), 0);
    unlink(LOG);
    pid = run_moatd(CONF);
    wait_log("waiting for a previous moatd's lock", 1, 5);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(fd);
}

/* ---- one run, looked at from all sides */

static void it_starts_and_says_that_it_is_ready(void **state)
{
    struct stat st;

    unlink(LOG);
    moatd = run_moatd(CONF);
    expect_notify("READY=1");
    assert_int_equal(stat("/run/moat/moat.sock", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0666);
    assert_int_equal(stat("/run/moat/private", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat("/run/moat/undo", &st), 0);
    assert_int_equal(st.st_size, 65536);
    assert_int_equal(st.st_uid, 64991);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat("/var/log/moat", &st), 0);
    assert_int_equal(st.st_uid, 64993);
    assert_int_equal(st.st_mode & 07777, 0750);
}

static void each_resident_gets_its_fds_and_nothing_else(void **state)
{
    const char *line = wait_log("@moat-audit fds", 1, 5);

    contains(line, "fds=0,1,2,3,4,9, args=audit.jsonl,");
    contains(line, ENV IDS(64993) "bnd=0000000020000000 status=1 " PROC "etc=0");
    line = wait_log("@moat-gate fds", 1, 5);
    contains(line, "fds=0,1,2,3,4,5,6,9, args=64990, " ENV IDS(64992)
             "bnd=0000000000000000 status=1 " PROC "etc=0");
    line = wait_log("@moat-warden fds", 1, 5);
    contains(line, "fds=0,1,2,3,4,5,6,7,8,9,10,11, args= " ENV IDS(64991)
             "bnd=0000000000000000 status=1 " PROC "etc=0");
}

static void the_warden_gets_a_sealed_table_and_nodes_of_its_own(void **state)
{
    struct stat st;

    contains(wait_log("@moat-warden table", 1, 5),
             "table=1 seals=f undo=65536 node=1 owner=1 opens=1");
    assert_int_equal(stat("/dev/xen/privcmd", &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

/* No more than the list in setup.c, in every set that counts. */
static void the_supervisor_holds_its_list_only(void **state)
{
    static const char list[] = "00000000282401e1";

    assert_string_equal(status_of(moatd, "CapEff"), list);
    assert_string_equal(status_of(moatd, "CapPrm"), list);
    assert_string_equal(status_of(moatd, "CapBnd"), list);
    assert_string_equal(status_of(moatd, "CapInh"), "0000000000000000");
    assert_string_equal(status_of(moatd, "NoNewPrivs"), "1");
}

/* What the root of a process holds: "a,b,".  Under sanitizers also what their run time needs. */
static void root_holds(pid_t pid, const char *expected)
{
    char path[64], names[1024];
    struct dirent *e;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%d/root", pid);
    d = opendir(path);
    assert_non_null(d);
    names[0] = 0;
    while ((e = readdir(d)))
        if (e->d_name[0] != '.' && strlen(names) + strlen(e->d_name) + 2 < sizeof(names))
            strcat(strcat(names, e->d_name), ",");
    closedir(d);
#ifdef MOAT_SANITIZED
    assert_non_null(strstr(names, expected));
#else
    assert_string_equal(names, expected);
#endif
}

static void locked(pid_t pid, int uid)
{
    char ids[64];

    snprintf(ids, sizeof(ids), "%d\t%d\t%d\t%d", uid, uid, uid, uid);
    assert_string_equal(status_of(pid, "Uid"), ids);
    assert_string_equal(status_of(pid, "Gid"), ids);
    assert_string_equal(status_of(pid, "Groups"), "");
    assert_string_equal(status_of(pid, "CapEff"), "0000000000000000");
    assert_string_equal(status_of(pid, "CapPrm"), "0000000000000000");
    assert_string_equal(status_of(pid, "CapBnd"), "0000000000000000");
    assert_string_equal(status_of(pid, "CapAmb"), "0000000000000000");
    assert_string_equal(status_of(pid, "NoNewPrivs"), "1");
    assert_string_equal(status_of(pid, "Seccomp"), "2");
}

static void the_parent_has_no_right_and_no_file(void **state)
{
    pid_t parent = await_process("moatd-parent", moatd);

    assert_true(parent > 0);
    wait_log("@moat-gate xenstore request", 2, 5);      /* watch, unwatch: then it locks */
    for (int i = 0; i < 250 && strcmp(status_of(parent, "Seccomp"), "2"); i++)
        usleep(20000);
    locked(parent, UID_MOAT);
    root_holds(parent, "");
}

static void same_namespace(pid_t pid, const char *ns, bool expected)
{
    char path[64], a[64] = "", b[64] = "";

    snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, ns);
    assert_true(readlink(path, a, sizeof(a) - 1) > 0);
    snprintf(path, sizeof(path), "/proc/self/ns/%s", ns);
    assert_true(readlink(path, b, sizeof(b) - 1) > 0);
    assert_int_equal(!strcmp(a, b), expected);
}

static void the_forker_has_the_workers_programs_and_no_network(void **state)
{
    pid_t forker = await_process("moatd-forker", await_process("moatd-parent", moatd));

    assert_true(forker > 0);
    for (int i = 0; i < 250 && strcmp(status_of(forker, "Seccomp"), "2"); i++)
        usleep(20000);
    locked(forker, UID_WORKER);
    same_namespace(forker, "net", false);
    same_namespace(forker, "ipc", false);
    same_namespace(forker, "mnt", false);
    root_holds(forker, "save,");
}

static void a_worker_is_the_parents_child_and_holds_two_sockets(void **state)
{
    const char *line;
    pid_t worker;

    command("spawn");
    line = wait_log("spawned rc=", 1, 10);
    contains(line, "rc=0 errnum=0");
    contains(line, "pidfd=1");
    line = wait_log("worker: @moat-save", 1, 10);
    contains(line, "fds=0,1,2,3,4,9, args= " ENV IDS(64994) "bnd=0000000000000000 "
             "status=1 " PROC "etc=0");
    contains(wait_log("worker: @moat-save blocking", 1, 10), "blocking=1");
    assert_null(strstr(log_text(), "reaches /proc"));
    worker = find("moat-save", find("moatd-parent", moatd));
    assert_true(worker > 0);
    locked(worker, UID_WORKER);
    /* a job has one worker */
    command("spawn");
    contains(wait_log("spawned rc=", 2, 10), "errnum=17");
    command("kill");
    wait_log("killed rc=0", 1, 5);
    for (int i = 0; i < 250 && find("moat-save", 0); i++)
        usleep(20000);
    assert_int_equal(find("moat-save", 0), 0);
}

static void the_warden_gets_a_domains_configuration(void **state)
{
    write_text(USERDATA, "{json}");
    command("open");
    contains(wait_log("@moat-warden opened", 1, 5), "rc=0 errnum=0 job=3 text={json} mode=0");
}

static void the_warden_has_a_domain_destroyed(void **state)
{
    command("destroy");
    contains(wait_log("@moat-warden destroyed", 1, 5), "rc=0 domid=7 errnum=0");
    assert_int_equal(access(USERDATA, F_OK), -1);
    command("destroy0");
    contains(wait_log("@moat-warden destroyed", 2, 5), "domid=0 errnum=22");
}

static void a_reload_sends_new_rules_and_a_bad_file_changes_nothing(void **state)
{
    write_text(CONF, "[daemon]\n[limits]\nsave-deadline = 77\n");
    assert_int_equal(kill(moatd, SIGHUP), 0);
    wait_log("@moat-warden message TABLE", 1, 5);
    write_text(CONF, "[limits]\nsave-deadline = never\n");
    assert_int_equal(kill(moatd, SIGHUP), 0);
    wait_log("/run/moat.conf:2:", 1, 5);
    wait_log("the old rules stay", 1, 5);
    write_text(CONF, "[daemon]\n");
    assert_null(strstr(strstr(log_text(), "message TABLE") + 1, "message TABLE"));
}

/* ---- deaths */

static int starts = 1;

static void all_start_again_after(const char *comm, bool forker)
{
    pid_t parent = await_process("moatd-parent", moatd);
    pid_t old = await_process("moat-gate", moatd);
    pid_t victim = await_process(comm, forker ? parent : moatd);

    assert_true(victim > 0 && old > 0);
    assert_int_equal(kill(victim, SIGKILL), 0);
    starts++;
    wait_log("@moat-warden table=1", starts, 60);
    expect_notify("READY=1");
    assert_int_not_equal(find("moat-gate", moatd), old);
    assert_int_not_equal(find("moatd-parent", moatd), parent);
    assert_true(kill(parent, 0) && errno == ESRCH);
}

static void when_the_gate_dies_all_start_again(void **state)
{
    all_start_again_after("moat-gate", false);
    wait_log("moat-gate: ended by signal 9", 1, 1);
    wait_log("starting again in 1 s", 1, 1);
}

static void when_the_forker_dies_all_start_again(void **state)
{
    all_start_again_after("moatd-forker", true);
    wait_log("starting again in 2 s", 1, 1);
}

static void when_the_parent_dies_its_workers_die_and_all_start_again(void **state)
{
    command("spawn");
    wait_log("worker: @moat-save blocking", 2, 10);
    assert_true(await_process("moat-save", 0) > 0);
    all_start_again_after("moatd-parent", false);
    assert_int_equal(find("moat-save", 0), 0);
}

static void a_warden_that_talks_garbage_is_ended(void **state)
{
    command("garbage");
    wait_log("moatd: warden: frame", 1, 5);
    starts++;
    wait_log("@moat-warden table=1", starts, 60);
    expect_notify("READY=1");
}

static void when_the_supervisor_is_killed_nothing_stays_and_the_undo_file_does(void **state)
{
    char mark[8] = "";
    int fd = open("/run/moat/undo", O_RDWR);

    assert_int_equal(pwrite(fd, "a slot", 6, 64), 6);
    close(fd);
    command("spawn");
    wait_log("worker: @moat-save blocking", 3, 10);
    assert_int_equal(kill(moatd, SIGKILL), 0);
    assert_int_equal(waitpid(moatd, NULL, 0), moatd);
    no_resident_within(10);
    moatd = run_moatd(CONF);
    expect_notify("READY=1");
    fd = open("/run/moat/undo", O_RDONLY);
    assert_int_equal(pread(fd, mark, 6, 64), 6);
    assert_string_equal(mark, "a slot");
    close(fd);
}

static void a_stop_is_orderly(void **state)
{
    int status;

    wait_log("@moat-warden table=1", starts + 1, 10);
    assert_int_equal(kill(moatd, SIGTERM), 0);
    expect_notify("STOPPING=1");
    assert_int_equal(waitpid(moatd, &status, 0), moatd);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    no_resident_within(5);
    assert_int_equal(access("/run/moat/moat.sock", F_OK), -1);
    assert_int_equal(access("/run/moat/private/xenstore", F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_user_is_named_with_what_to_do),
        cmocka_unit_test(a_host_without_xen_is_told_so),
        cmocka_unit_test(a_bad_configuration_is_told_with_its_line),
        cmocka_unit_test(a_log_folder_of_somebody_else_is_not_taken_over),
        cmocka_unit_test(a_second_moatd_is_not_started_beside_the_first),
        cmocka_unit_test(it_starts_and_says_that_it_is_ready),
        cmocka_unit_test(each_resident_gets_its_fds_and_nothing_else),
        cmocka_unit_test(the_warden_gets_a_sealed_table_and_nodes_of_its_own),
        cmocka_unit_test(the_supervisor_holds_its_list_only),
        cmocka_unit_test(the_parent_has_no_right_and_no_file),
        cmocka_unit_test(the_forker_has_the_workers_programs_and_no_network),
        cmocka_unit_test(a_worker_is_the_parents_child_and_holds_two_sockets),
        cmocka_unit_test(the_warden_gets_a_domains_configuration),
        cmocka_unit_test(the_warden_has_a_domain_destroyed),
        cmocka_unit_test(a_reload_sends_new_rules_and_a_bad_file_changes_nothing),
        cmocka_unit_test(when_the_gate_dies_all_start_again),
        cmocka_unit_test(when_the_forker_dies_all_start_again),
        cmocka_unit_test(when_the_parent_dies_its_workers_die_and_all_start_again),
        cmocka_unit_test(a_warden_that_talks_garbage_is_ended),
        cmocka_unit_test(when_the_supervisor_is_killed_nothing_stays_and_the_undo_file_does),
        cmocka_unit_test(a_stop_is_orderly),
    };

    if (geteuid()) {
        fprintf(stderr, "test_moatd: must be run as root\n");
        return 1;
    }
    return cmocka_run_group_tests(tests, host, NULL);
}
