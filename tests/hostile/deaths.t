#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only
"""deaths.t [PROCESS...]: kill -9 of each process of moat at points spread over a save, on the simulated host.

Environment: ROUNDS (1) and POINTS (3) of each process; SEED repeats a run.  After each death the guarantees
of moat must hold: see guarantees()."""

import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hostile as h     # noqa: E402

WEB = "name=web,domid=1,type=pvh,mem=96,dirty=3000,sum=1,ack-ms=40,suspend-ms=40"
h.enter([WEB, "name=db1,domid=2,type=pv,mem=4,sum=1"])

PROCESSES = ("supervisor", "warden", "recorder", "gate", "parent", "forker", "worker", "moat")
ROUNDS = int(os.environ.get("ROUNDS", "1"))
POINTS = int(os.environ.get("POINTS", "3"))
SEED = int(os.environ.get("SEED", str(random.SystemRandom().randrange(1 << 30))))
IMAGE = "/home/admind/web.img"
MODES = (["-c", "--live"], [], ["-p"], ["--live"], ["-c"])
tap = h.Tap()
tap.note("seed %d: SEED=%d repeats it" % (SEED, SEED))
rng = random.Random(SEED)
audit = h.Audit()
moatd = None


def start():
    global moatd
    moatd = h.start_moatd()


def fresh_domain():
    """web as at the beginning, whatever has become of it."""
    if h.state(1):
        h.simctl("destroy", 1)
        h.wait_until(10, lambda: h.state(1) is None)
    while h.userdata(1):        # simctl destroys the domain, not its toolstack's files
        os.unlink(h.userdata(1))
    h.wait_until(5, lambda: h.simctl("create", WEB) is not None)
    for name in h.files("admind"):
        os.unlink("/home/admind/" + name)


# ---- what must hold

def runs(paused):
    s = h.state(1)
    return s and (s["shutdown"], s["logdirty"], s["pins"]) == ("-", "0", "0") and \
        s["pauses"] in (("0", "1") if paused else ("0",)) and \
        h.simctl("read", "/local/domain/1/control/shutdown") != "suspend"


def traces():
    """What is left of the domain."""
    nodes = ("/local/domain/1", "/libxl/1", "/local/domain/0/backend/vbd/1",
             "/local/domain/0/backend/console/1")
    found = [n for n in nodes if h.simctl("read", n) is not None]
    return found + [p for p in (h.userdata(1), h.state(1)) if p]


def complete(sum_at_suspend):
    """Words for what is wrong with the image under its final name, or None."""
    r = subprocess.run([h.TOP + "/tests/sim/imagesum.py", IMAGE], capture_output=True, text=True)
    if r.returncode:
        return "the image is incomplete: " + r.stderr.strip().splitlines()[-1]
    with open(IMAGE, "rb") as f:
        f.seek(-8, os.SEEK_END)
        if f.read() != b"\0" * 8:
            return "the image has no END record"
    if sum_at_suspend and r.stdout.strip() != sum_at_suspend:
        return "the image is not the guest's memory: %s, %s" % (r.stdout.strip(), sum_at_suspend)
    return None


def begun_without_end(lines):
    count = {}
    for e in lines:
        if e["what"] in ("begin", "end"):
            count.setdefault(e["job"], []).append(e["what"])
    return {j: w for j, w in count.items() if w != ["begin", "end"]}


def guarantees(options, status, lines):
    keeps = "-c" in options or "-p" in options
    named = os.path.exists(IMAGE)
    if not (runs("-p" in options) or (not keeps and named and not traces())):
        yield "the domain neither runs nor is gone with a complete image: image %s, left %s" % (
            named, traces())
    if named:
        wrong = complete(h.simctl("sum", 1) if h.state(1) else None)
        if wrong:
            yield wrong
    if status == 0 and not named:
        yield "success without an image"
    hidden = [f for f in h.files("admind") if f != "web.img"]
    if hidden:
        yield "files: %s" % hidden
    if begun_without_end(lines):
        yield "audit: %s" % begun_without_end(lines)
    good, out = h.audit_verifies()
    if not good:
        yield "audit: " + out
    if h.leftovers():
        yield "left: %s" % h.leftovers()
    if h.state(2) is None or h.state(2)["shutdown"] != "-":
        yield "db1: %s" % h.state(2)


# ---- one death

def victim(name, process, end):
    """The pid to kill; a worker is waited for until `end`."""
    if name == "moat":
        return process.pid
    while True:
        pid = h.residents().get(name)
        if pid or name != "worker" or time.monotonic() > end or process.poll() is not None:
            return pid


def recovered(name):
    """moat serves again; words if not."""
    global moatd
    if name == "supervisor":
        moatd.wait()
        if not h.wait_until(25, lambda: not set(h.residents()) - {"supervisor"}):
            return ["residents outlive the supervisor: %s" % h.residents()]
        start()
    if not h.wait_until(25, lambda: h.serves(3) is not None):
        return ["moat does not serve again"]
    return []


def settled(options):
    keeps = "-c" in options or "-p" in options
    named = os.path.exists(IMAGE)
    return not h.leftovers() and (runs("-p" in options) or (not keeps and named and not traces()))


def all_ended(lines):
    """A destroy that the next warden takes over has its end when all is gone."""
    lines += audit.new()
    return not begun_without_end(lines)


def death(name, options, delay, took):
    global moatd
    if moatd.poll() is not None:
        start()
    fresh_domain()
    audit.new()
    began = time.monotonic()
    process = h.command("admind", "save", *options, "web", IMAGE)
    time.sleep(max(0, began + delay - time.monotonic()))
    pid = victim(name, process, began + took)
    at = time.monotonic() - began
    if pid:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pid = None
    status, out = h.finish(process, 30)
    problems = [] if status is not None else ["the command does not end"]
    if pid or name != "worker":
        problems += recovered(name)
    lines = []
    h.wait_until(15, lambda: settled(options) and all_ended(lines))
    problems += guarantees(options, status, lines)
    tap.ok(not problems, "kill -9 of %s in save %s: all guarantees hold" % (name, " ".join(options)),
           "at %.3f s of %.3f s, %s, exit status %s" % (at, took, "killed" if pid else "not there", status),
           *problems, out[-300:], h.moatd_log()[-700:])
    if name not in ("worker", "moat"):      # the next one comes back after 1 s, not after 2, 4 ...
        h.stop_moatd(moatd)
        start()


def duration(options):
    """How long such a save takes until the domain's end is done."""
    fresh_domain()
    began = time.monotonic()
    status, out = h.moat("admind", "save", *options, "web", IMAGE)
    if status != 0:
        sys.exit("a save without any death fails: %s %s" % (status, out))
    return time.monotonic() - began


def deaths(wanted):
    took = {tuple(m): duration(m) for m in MODES}
    tap.note("saves take " + ", ".join("%s %.3f s" % (" ".join(m) or "(destroying)", took[tuple(m)])
                                       for m in MODES))
    n = 0
    for _ in range(ROUNDS):
        for name in wanted:
            for point in range(POINTS):
                options = MODES[n % len(MODES)] if POINTS > 1 else rng.choice(MODES)
                t = took[tuple(options)]
                death(name, options, (point + rng.random()) / POINTS * t * 1.05, t)
                n += 1
    tap.note("%d deaths" % n)


# ---- other ends

def stopped_worker():
    fresh_domain()
    for options in (["-c", "--live"], []):
        audit.new()
        process = h.command("admind", "save", "--deadline", "2", *options, "web", IMAGE)
        pid = h.wait_until(5, lambda: h.residents().get("worker"))
        if pid:
            os.kill(pid, signal.SIGSTOP)
        status, out = h.finish(process, 30)
        h.wait_until(5, lambda: settled(["-c"]))
        problems = list(guarantees(["-c"], status, audit.new()))
        tap.ok(status == 5 and not problems, "SIGSTOP of the worker in save %s: a timeout, and the guest "
               "goes on" % " ".join(options), status, out, *problems)


def full_disk():
    fresh_domain()
    small = "/home/admind/small"
    os.mkdir(small)
    subprocess.check_call(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0777", "tmpfs", small])
    for options in (["-c"], ["-c", "--live"], []):
        audit.new()
        status, out = h.moat("admind", "save", *options, "web", small + "/web.img")
        h.wait_until(5, lambda: settled(["-c"]))
        problems = [p for p in guarantees(["-c"], 1, audit.new()) if not p.startswith("files: ['small']")]
        tap.ok(status == 1 and "No space left on device" in out and not problems and
               not os.listdir(small), "a full disk in save %s: said so, and the guest goes on" %
               " ".join(options), status, out, os.listdir(small), *problems)
    subprocess.check_call(["umount", small])
    os.rmdir(small)


def stopped_resident(name):
    """A resident that hangs counts as dead: all are started again, and the guest goes on."""
    fresh_domain()
    audit.new()
    process = h.command("admind", "save", "-c", "web", IMAGE)
    h.wait_until(5, lambda: h.residents().get("worker"))
    pid = h.residents()[name]
    os.kill(pid, signal.SIGSTOP)
    h.serves(3)     # a question that needs it: the warden waits for an answer, and not for ever
    served = h.wait_until(90, lambda: h.residents().get(name) not in (None, pid) and
                          h.serves(3) is not None)
    status, out = h.finish(process, 30)
    h.wait_until(15, lambda: settled(["-c"]))
    problems = list(guarantees(["-c"], status, audit.new()))
    tap.ok(served and not problems, "SIGSTOP of %s: moat serves again, and the guest goes on" % name,
           status, out, *problems, h.moatd_log()[-700:])


wanted = [p for p in PROCESSES if not sys.argv[1:] or p in sys.argv[1:]]
start()
deaths(wanted)
stopped_worker()
full_disk()
if ROUNDS > 1:      # each takes the patience that the warden has with a resident
    for resident in ("recorder", "gate"):
        stopped_resident(resident)
for problem in h.stop_moatd(moatd):
    tap.ok(False, problem)
tap.finish()
