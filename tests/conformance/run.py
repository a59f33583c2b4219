#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only
"""run.py FOLDER USER [SIDE...]: plays every case of FOLDER/SIDE/PROGRAM (sides libxl, as root, and moat, as
USER) and compares the traces, with what FOLDER/differences.txt allows.  Runs as root in dom0.

Prints "pass CASE" or "fail CASE" and why, and last "N passed, N failed"; leaves SIDE.trace, SIDE.log and SIDE.times
(seconds of each case) in the current folder.  What a program may ask (fd 3) and is answered (fd 4), one line each:

    guest               domid of the guest that counts, running
    spare               domid of a domain that has never run and is paused
    state DOMID         running, paused, suspended, shut down N, dying, gone
    counts DOMID        "yes" when the guest counts on
    shutdown DOMID N    ends it with that reason, as the guest itself would
    destroy, pause, unpause DOMID
    settled DOMID       its state when it has done what control/shutdown says
    control DOMID       what control/shutdown says
"""
import ctypes
import difflib
import fcntl
import os
import re
import select
import signal
import subprocess
import sys
import time

PROGRAMS = "ctx queue poll hooks death suspend child threads".split()
CASE_SECONDS = 150
LEAST = 60


class Hypervisor:
    """What the runner itself asks Xen: libxenctrl, as little as possible."""

    def __init__(self):
        self.lib = ctypes.CDLL("libxenctrl.so.4.17")
        self.guest_lib = ctypes.CDLL("libxenguest.so.4.17")
        self.store_lib = ctypes.CDLL("libxenstore.so.4")
        self.store_lib.xs_open.restype = ctypes.c_void_p
        self.xsh = ctypes.c_void_p(self.store_lib.xs_open(ctypes.c_ulong(0)))
        self.lib.xc_interface_open.restype = ctypes.c_void_p
        self.xch = ctypes.c_void_p(self.lib.xc_interface_open(None, None, 0))

    def state(self, domid):
        info = (ctypes.c_uint32 * 4096)()
        found = self.lib.xc_domain_getinfo(self.xch, ctypes.c_uint32(domid), 1, info)
        if found != 1 or info[0] != domid:
            return "gone"
        flags, reason = info[2], info[3]
        if flags & 1:
            return "dying"
        if flags & 6:
            return "suspended" if reason == 2 else f"shut down {reason}"
        return "paused" if flags & 8 else "running"

    def call(self, name, domid, *args):
        r = getattr(self.lib, name)(self.xch, ctypes.c_uint32(domid), *args)
        return "ok" if r == 0 else f"{name} failed"

    def resume(self, domid):
        self.guest_lib.xc_domain_resume(self.xch, ctypes.c_uint32(domid), 1)
        # Without that xenstored does not tell of its next shutdown.
        self.store_lib.xs_resume_domain(self.xsh, ctypes.c_uint32(domid))


class Domains:
    """The guest and the spare domains, made when they are asked for."""

    def __init__(self, xen):
        self.xen = xen
        self.guest = None
        self.spares = 0
        self.used = False

    def create(self, name, *options):
        config = open("/guest/pvh.cfg").read()
        config = re.sub(r'^name = .*$', f'name = "{name}"', config, flags=re.M)
        config = re.sub(r'^memory = .*$', 'memory = 128', config, flags=re.M)
        with open(f"/tmp/conf-{name}.cfg", "w") as f:
            f.write(config)
        self.note(name)
        open(self.log(name), "w").close()
        made = subprocess.run(["xl", "create", "-e", *options, f"/tmp/conf-{name}.cfg"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if made.returncode:
            raise RuntimeError(f"xl create {name}: {made.stdout[-200:]!r}")
        return int(subprocess.check_output(["xl", "domid", name]))

    def note(self, name):
        """lib.sh removes what is listed there."""
        with open(f"/tmp/{os.environ.get('BOX_CASE', 'shell')}/.guests", "a") as f:
            f.write(name + "\n")

    def log(self, name):
        return f"/var/log/xen/console/guest-{name}.log"

    def counted(self):
        said = re.findall(rb"guest: count (\d+)", open(self.log("web"), "rb").read())
        return int(said[-1]) if said else 0

    def counts(self, seconds=25):
        until, first = time.monotonic() + seconds, self.counted()
        while self.counted() < first + 2:
            if time.monotonic() > until or self.xen.state(self.guest) != "running":
                return False
            time.sleep(0.05)
        return True

    def the_guest(self):
        for _ in range(3):
            self.put_right(False)
            self.used = True
            if self.guest is None:
                self.guest = self.create("web")
            # One that has only just been resumed does not hear the next request to suspend; one that had taken
            # note of an earlier case's request suspends late.
            if self.counts(100):
                return self.guest
        raise RuntimeError(f"the guest does not count: it is {self.xen.state(self.guest)}")

    def put_right(self, crashed):
        """After each case the guest runs again, whatever the case did to it."""
        if self.guest is None or not self.used:
            return
        self.used = False
        self.xen.call("xc_domain_unpause", self.guest)
        if crashed or self.control(self.guest) != "empty":
            # A request to suspend that was left behind is heard late.
            state = self.settled(self.guest)
        else:
            state = self.xen.state(self.guest)
        if state == "suspended":
            self.xen.resume(self.guest)
        elif state != "running":
            subprocess.run(["xl", "destroy", "web"], capture_output=True)
            self.guest = None

    def settled(self, domid):
        until = time.monotonic() + 20
        while time.monotonic() < until and self.control(domid) != "empty":
            time.sleep(0.1)
        time.sleep(1)
        return self.xen.state(domid)

    def spare(self):
        self.spares += 1
        return self.create(f"spare{self.spares}", "-p")

    def answer(self, question):
        word, *args = question.split()
        domid = int(args[0]) if args else -1
        if word == "guest":
            return str(self.the_guest())
        if word == "spare":
            return str(self.spare())
        if word == "state":
            return self.xen.state(domid)
        if word == "counts":
            return "yes" if self.counts() else "no"
        if word == "shutdown":
            return self.xen.call("xc_domain_shutdown", domid, ctypes.c_int(int(args[1])))
        if word in ("pause", "unpause"):
            return self.xen.call("xc_domain_" + word, domid)
        if word == "destroy":
            ended = subprocess.run(["xl", "destroy", args[0]], capture_output=True)
            return "failed" if ended.returncode else "ok"
        if word == "settled":
            return self.settled(domid)
        if word == "control":
            return self.control(domid)
        return "what?"

    def control(self, domid):
        got = subprocess.run(["xenstore-read", f"/local/domain/{domid}/control/shutdown"], capture_output=True,
                             text=True)
        return got.stdout.strip() or "empty"


def high(fd):
    """Away from 3 and 4, which are the program's."""
    new = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(fd)
    return new


def play(command, domains, log):
    """Runs one case; returns its trace, with how it ended."""
    ask_r, ask_w, answer_r, answer_w = [high(fd) for pair in (os.pipe(), os.pipe()) for fd in pair]
    out_r, out_w = [high(fd) for fd in os.pipe()]

    def child():
        os.dup2(ask_w, 3)
        os.dup2(answer_r, 4)

    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out_w, stderr=log, pass_fds=(3, 4),
                               preexec_fn=child, start_new_session=True)
    for fd in (ask_w, answer_r, out_w):
        os.close(fd)
    until = time.monotonic() + CASE_SECONDS
    output, question, ended = b"", b"", None
    while True:
        done = process.poll()                   # before looking: nothing is written after the end
        ready, _, _ = select.select([fd for fd in (ask_r, out_r) if fd >= 0], [], [], 0.02)
        if out_r in ready:
            got = os.read(out_r, 65536)
            if not got:
                os.close(out_r)
                out_r = -1
            output += got
        if ask_r in ready:
            got = os.read(ask_r, 4096)
            if not got:
                os.close(ask_r)
                ask_r = -1
            question += got
            while b"\n" in question:
                line, question = question.split(b"\n", 1)
                try:
                    said = domains.answer(line.decode())
                except (RuntimeError, ValueError, OSError, subprocess.SubprocessError) as e:
                    said = f"failed: {e}"
                try:
                    os.write(answer_w, said.replace("\n", " ").encode() + b"\n")
                except BrokenPipeError:
                    pass
        if done is not None and out_r not in ready:
            ended = done
            break
        if time.monotonic() > until:
            ended = "too late"
            break
    try:
        os.killpg(process.pid, signal.SIGKILL)     # whatever it has forked
    except ProcessLookupError:
        pass
    process.wait()
    for fd in (ask_r, answer_w, out_r):
        if fd >= 0:
            os.close(fd)
    trace = output.decode(errors="replace").splitlines()
    if ended == "too late":
        trace.append("ended: not at all")
    elif ended < 0:
        trace.append(f"ended: {signal.Signals(-ended).name}")
    elif ended:
        trace.append(f"ended: exit {ended}")
    return trace


def read_differences(path, doc):
    """For each case what may differ: a sorted list of '-...' and '+...'."""
    documented = set(re.findall(r"^\| (D\d+)\b", open(doc).read(), flags=re.M))
    allowed, case = {}, None
    for line in open(path):
        line = line.rstrip("\n")
        if m := re.match(r"(D\d+) (\S+)$", line):
            if m[1] not in documented:
                raise SystemExit(f"{path}: {m[1]} is not in doc/libxl.md")
            case = m[2]
            allowed.setdefault(case, [])
        elif line[:2] in ("- ", "+ ") and case:
            allowed[case].append(line[0] + line[2:])
        elif line and line[0] != "#":
            raise SystemExit(f"{path}: what is this: {line}")
    return {name: sorted(lines) for name, lines in allowed.items()}


def read_slow(path):
    return {line.strip() for line in open(path) if line.strip() and line[0] != "#"}


def difference(a, b):
    return [line for line in difflib.unified_diff(a, b, lineterm="", n=0)
            if line[:1] in "-+" and not line.startswith(("---", "+++"))]


def main():
    folder, user, *sides = sys.argv[1:]
    sides = sides or ["libxl", "moat"]
    domains = Domains(Hypervisor())
    allowed = read_differences(f"{folder}/differences.txt", f"{folder}/libxl.md")
    only = os.environ.get("CONF_ONLY")
    slow = set() if only or os.environ.get("CONF_ALL") else read_slow(f"{folder}/slow.txt")
    cases = []
    for program in PROGRAMS:
        names = subprocess.check_output([f"{folder}/{sides[0]}/{program}", "--list"], text=True).split()
        cases += [(program, name) for name in names if name not in slow and (not only or re.match(only, name))]
    traces = {side: {} for side in sides}
    for side in sides:
        began = time.monotonic()
        with open(f"{side}.log", "w") as log, open(f"{side}.trace", "w") as out, open(f"{side}.times", "w") as times:
            for program, name in cases:
                log.write(f"==== {name}\n")
                log.flush()
                started = time.monotonic()
                command = [f"{folder}/{side}/{program}", name]
                if side == "moat":
                    command = ["/box/bin/as", user, *command]
                traces[side][name] = play(command, domains, log)
                domains.put_right(any(line.startswith("ended:") for line in traces[side][name]))
                out.write("".join(f"{name}: {line}\n" for line in traces[side][name]))
                out.flush()
                times.write(f"{time.monotonic() - started:6.2f} {name}\n")
        print(f"{side}: {len(cases)} cases in {time.monotonic() - began:.0f} s", file=sys.stderr)
    passed = failed = 0
    for _, name in cases:
        got = [traces[side][name] for side in sides]
        why = [f"{side}: {line}" for side, trace in zip(sides, got) for line in trace if line.startswith("broken:")]
        why += [f"{side}: no trace" for side, trace in zip(sides, got) if not trace]
        if len(sides) == 2:
            differs = difference(*got)
            if sorted(differs) != allowed.get(name, []):
                why += differs + [f"allowed: {line}" for line in allowed.get(name, [])]
        if why:
            failed += 1
            print("fail", name)
            print("".join(f"  {line}\n" for line in why), end="")
        else:
            passed += 1
            print("pass", name)
    for name in allowed:
        if not only and name not in slow and name not in traces[sides[0]]:
            failed += 1
            print("fail", name)
            print("  is in differences.txt, but there is no such case")
    if passed + failed < LEAST and not only:
        failed += 1
        print(f"fail at-least-{LEAST}-cases")
    print(f"{passed} passed, {failed} failed")
    return failed != 0


sys.exit(main())
