#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only
"""operator.t: operators who speak to moat.sock without the moat command (tests/hostile/operator.c): FILEs
that are none, frames that are none, connections without end.  An honest operator is served meanwhile."""

import os
import shutil
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hostile as h     # noqa: E402

h.enter(["name=web,domid=1,type=pvh,mem=4,sum=1,ack-ms=50", "name=db1,domid=2,type=pv,mem=4,sum=1"])
PROGRAM = "/run/sim/operator"
HOME = "/home/admind"
tap = h.Tap()
audit = h.Audit()
seen = []       # the audit log's lines


def operator(*args, user="admind", **kw):
    return subprocess.Popen([PROGRAM] + [str(a) for a in args], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, stdin=subprocess.PIPE, user=h.USERS[user],
                            group=h.USERS[user], extra_groups=[], cwd="/", text=True, **kw)


def ask(*args, user="admind", seconds=60):
    p = operator(*args, user=user)
    try:
        return p.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        p.kill()
        return "no end: " + p.communicate()[0]


def problems(before):
    """What must hold after every attack, whatever was tried."""
    if h.residents() != before:
        yield "resident processes: %s, were %s" % (h.residents(), before)
    for domid in (1, 2):
        s = h.state(domid)
        if not s or (s["shutdown"], s["logdirty"], s["pauses"], s["pins"]) != ("-", "0", "0", "0"):
            yield "domain %d: %s" % (domid, s)
    if h.leftovers():
        yield "left: %s" % h.leftovers()


def at_rest():
    """No worker, each begin has its end, and web is gone or runs without a pin."""
    seen.extend(audit.new())
    s = h.state(1)
    return not h.leftovers() and len(h.ends(seen)) == len([e for e in seen if e["what"] == "begin"]) \
        and (s is None or (s["pins"], s["shutdown"]) == ("0", "-"))


def settle():
    h.wait_until(10, at_rest)


# ---- FILE

def files():
    """(kind, path, wanted words): as operator.c opens it, and what the answer must say."""
    os.mkfifo(HOME + "/fifo")
    os.mkdir(HOME + "/folder")
    for name in ("plain", "fifo", "folder"):
        if name == "plain":
            open(HOME + "/plain", "w").close()
        shutil.chown(HOME + "/" + name, "admind")
    os.symlink("/dev/null", HOME + "/link")
    not_regular, not_writing = "not a regular file", "not open for writing"
    yield "none", "-", "save needs a FILE"
    yield "fifo", HOME + "/fifo", not_regular
    yield "pipe", "-", not_regular
    yield "socket", "-", not_regular
    yield "moat", "-", not_regular
    yield "directory", HOME + "/folder", not_writing
    yield "path", HOME + "/plain", not_writing
    yield "read", HOME + "/plain", not_writing
    yield "append", HOME + "/plain", "open for appending"
    for device in ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", HOME + "/link", "/dev/mem",
                   "/dev/xen/privcmd"):
        yield "write", device, "not a regular file|unopened"
    # Files that belong to the process which opens them, and would be written by another.
    for path in ("/proc/self/comm", "/proc/self/oom_score_adj", "/proc/self/mem", "/proc/self/clear_refs",
                 "/proc/self/coredump_filter", "/proc/self/timerslack_ns", "/sys/kernel/mm/ksm/run",
                 "/proc/sys/kernel/hostname", "/proc/self/attr/current"):
        yield "write", path, "keeps nothing|not a regular file|unopened"


def test_files():
    for kind, path, wanted in files():
        before = h.residents()
        out = ask("save", kind, path)
        bad = list(problems(before))
        tap.ok(not bad and any(w in out for w in wanted.split("|")),
               "FILE %s %s is refused" % (kind, path), out, *bad)


def test_memfd():
    """A file in memory is a regular file: it is written, and that is all.  A sealed one fails."""
    for kind, want_done in (("memfd", False), ("sealed", False)):
        before = h.residents()
        out = ask("save", kind, "-")
        settle()
        bad = list(problems(before))
        tap.ok(not bad and "BREACH" not in out, "FILE %s changes nothing on the host" % kind, out, *bad)


# ---- conversations

NEED_RIGHTS = ("intent-twice", "commit-early", "half-close", "suspend-resume")
LINES = 20 + 256 + 40   # of the audit log for one conversation: refusals, watches, what time adds


def test_talks():
    for name in subprocess.check_output([PROGRAM, "list"], text=True).split():
        before = h.residents()
        # Bounds are per user: floods are another one's than the honest operator's.
        p = operator("talk", name, user="admind" if name in NEED_RIGHTS else "backupd")
        slow = []
        while p.poll() is None:
            took = h.serves(5)
            if took is None or took > 2:
                slow.append("moat list took %s s meanwhile" % took)
            time.sleep(0.1)
        out = p.stdout.read()
        lines = len(audit.new()) if "flood" in name or "hoard" in name else 0
        settle()
        bad = list(problems(before)) + slow
        if lines > LINES:
            bad.append("%d lines in the audit log" % lines)
        tap.ok(not bad and "held" in out and "BREACH" not in out,
               "%s: answered or closed, and others are served" % name, out, *bad)


# ---- connections

def test_connections():
    before = h.residents()
    p = operator("connect", 200, user="mallory")
    made = p.stdout.readline()
    took = max(h.serves(10) or 99 for _ in range(5))
    tap.ok(took < 2, "200 silent connections of one user: another is served", "%.2f s" % took, made)
    status, out = h.moat("admind", "save", "-c", "db1", HOME + "/beside.img")
    tap.ok(status == 0, "and can save", out)
    p.communicate()
    tap.ok(not list(problems(before)), "and nothing is left of them", *problems(before))
    crowd = [operator("connect", 20, user=u) for u in ("mallory", "backupd")]
    for c in crowd:
        c.stdout.readline()
    took = h.serves(10)
    tap.ok(took is not None and took < 2, "silent connections of several users: another is served",
           took)
    for c in crowd:
        c.communicate()
    # The silence of the operator's own connections ends within the two seconds that each has.
    own = operator("connect", 64)
    own.stdout.readline()
    answered = h.wait_until(6, lambda: h.serves(5) is not None)
    tap.ok(answered, "an operator's own silent connections end by themselves")
    own.communicate()


def test_many_users():
    """Eight silent users with eight connections each fill all 64 places, for two seconds at most."""
    crowd = [subprocess.Popen([PROGRAM, "connect", "8"], stdout=subprocess.PIPE, stdin=subprocess.PIPE,
                              user=21000 + i, group=21000 + i, extra_groups=[], text=True)
             for i in range(10)]
    for c in crowd:
        c.stdout.readline()
    began = time.monotonic()
    answered = h.wait_until(6, lambda: h.serves(5) is not None)
    tap.ok(answered, "all places taken by silent users: they are free again in time",
           time.monotonic() - began)
    for c in crowd:
        c.communicate()


def test_nobody():
    """The uid that user namespaces map strangers to matches no rule."""
    p = subprocess.run(["moat", "list"], capture_output=True, text=True, user=65534, group=65534,
                       extra_groups=[])
    tap.ok("web" not in p.stdout, "uid 65534 sees no domain", p.stdout)
    out = ask("save", "none", "-", user="mallory")
    tap.ok("denied" in out, "an operator without a rule is told so", out)


def test_lost_operators():
    """Operators that vanish at each moment of a save: the domain goes on, no file has the name."""
    for after in (0.0, 0.02, 0.05, 0.08, 0.12):
        settle()
        seen.clear()
        p = h.command("admind", "save", "web", HOME + "/lost.img")
        time.sleep(after)
        p.kill()
        p.communicate()
        settle()
        ends, begins = h.ends(seen), [e for e in seen if e["what"] == "begin"]
        alive = h.state(1) is not None
        named = os.path.exists(HOME + "/lost.img")
        tap.ok((alive or named) and len(ends) == len(begins), "an operator killed after %.2f s: a domain or an "
               "image, never neither, and an end for each begin" % after, h.state(1), ends)
        if not alive:
            h.wait_until(5, lambda: h.simctl("create", "name=web,domid=1,type=pvh,mem=4,ack-ms=50"))
        if named:
            os.unlink(HOME + "/lost.img")


shutil.copy(os.environ["BUILD"] + "/hostile/operator", PROGRAM)
moatd = h.start_moatd()
test_files()
test_memfd()
test_talks()
test_connections()
test_many_users()
test_nobody()
test_lost_operators()
settle()
status, out = h.moat("admind", "save", "-c", "web", HOME + "/after.img")
tap.ok(status == 0, "after all that an honest operator can save", out)
good, out = h.audit_verifies()
tap.ok(good, "the audit log verifies", out)
left = [f for f in h.files("admind") if f.endswith(".img") and f not in ("after.img", "beside.img") and
        stat.S_ISREG(os.stat(HOME + "/" + f).st_mode) and f not in ("twice.img", "early.img")]
tap.ok(not left, "no image is left of what failed", left)
for problem in h.stop_moatd(moatd):
    tap.ok(False, problem)
tap.finish()
