# SPDX-License-Identifier: LGPL-2.1-only
"""What the hostile tests have in common: the simulated host, moat on it, its audit log, and the
verdict that everything but the job is as it was.  Runs inside tests/sim/simrun.sh, as root."""

import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
USERS = {"backupd": 20000, "mallory": 20001, "admind": 20002}
WORKER_UID = 994
LOG = "/var/log/moat/audit.jsonl"
LIBEXEC = "/usr/libexec/moat"
RESIDENTS = {"recorder": "moat-audit", "gate": "moat-gate", "parent": "moatd-parent",
             "warden": "moat-warden", "forker": "moatd-forker"}


def enter(domains, conf=None):
    """Starts this script again inside simrun.sh, once."""
    if "SIM" in os.environ:
        return
    args = [TOP + "/tests/sim/simrun.sh", "--no-moatd", "--build",
            os.environ.get("SIM_BUILD", "build")]
    for spec in domains:
        args += ["--domain", spec]
    if conf:
        args += ["--conf", conf]
    os.chdir(TOP)
    os.execv(args[0], args + ["--", "python3", os.path.abspath(sys.argv[0])] + sys.argv[1:])


def wait_until(seconds, what):
    end = time.monotonic() + seconds
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            return None
        time.sleep(0.01)


# ---- TAP

class Tap:
    def __init__(self):
        self.number = self.failed = 0
        self.began = time.monotonic()

    def ok(self, good, name, *details):
        self.number += 1
        print("%sok %d - %s" % ("" if good else "not ", self.number, name), flush=True)
        if not good:
            self.failed += 1
            for detail in details:
                for line in str(detail).splitlines():
                    print("#   " + line)
        return good

    def note(self, text):
        for line in str(text).splitlines():
            print("# " + line, flush=True)

    def finish(self):
        print("1..%d" % self.number)
        self.note("%d failed, %.0f s" % (self.failed, time.monotonic() - self.began))
        sys.exit(1 if self.failed else 0)


# ---- the simulated host

def simctl(*words):
    """One request to simhost; its answer, or None when it says no."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.connect("\0moat-sim")
        s.send(" ".join(str(w) for w in words).encode())
        answer = s.recv(65536).decode(errors="replace")
    word, _, rest = answer.partition(" ")
    return rest.strip() if word == "ok" else None


def state(domid):
    text = simctl("state", domid)
    return dict(w.split("=", 1) for w in text.split()) if text else None


# What the guest itself, or time, changes.
LIVELY = ("writes", "resumes", "suspends", "eax", "dirty")


def still(domid):
    """The part of a domain's state that nobody but a toolstack changes."""
    s = state(domid)
    return s and {k: v for k, v in s.items() if k not in LIVELY}


def userdata(domid):
    found = glob.glob("/var/lib/xen/userdata-d.%d.*.libxl-json" % domid)
    return found[0] if found else None


def set_attack(domid, **words):
    """Writes the words into the domain's configuration, in front of what is there."""
    path = userdata(domid)
    keep = path + ".orig"
    with open(path) as f:
        text = f.read()
    try:
        with open("/run/sim/" + os.path.basename(keep)) as f:
            text = f.read()
    except FileNotFoundError:
        with open("/run/sim/" + os.path.basename(keep), "w") as f:
            f.write(text)
    head = "".join('"%s": "%s", ' % kv for kv in words.items())
    with open(path, "w") as f:
        f.write(text.replace("{", "{ " + head, 1))


def trace_from(count):
    """(op, sub-op, domid) of every hypercall since the counter stood there."""
    calls = []
    while True:
        total = int(simctl("counts"))
        left = min(total - count - len(calls), 8000)
        if left <= 0:
            return calls
        lines = (simctl("trace", left) or "").splitlines()
        if not lines:
            return calls
        calls += [tuple(int(w) for w in line.split()[:3]) for line in lines]


# ---- processes

def cmdline(pid):
    try:
        with open("/proc/%s/cmdline" % pid, "rb") as f:
            return f.read().split(b"\0")[0].decode(errors="replace")
    except OSError:
        return ""


def stat(pid):
    """(comm, state, ppid) or None."""
    try:
        with open("/proc/%s/stat" % pid) as f:
            text = f.read()
    except OSError:
        return None
    comm = text[text.index("(") + 1:text.rindex(")")]
    rest = text[text.rindex(")") + 2:].split()
    return comm, rest[0], int(rest[1])


def pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


def residents():
    """Name -> pid of moat's processes that are there now; workers under "worker"."""
    found = {}
    for pid in pids():
        s = stat(pid)
        if not s or s[1] == "Z":
            continue
        first = cmdline(pid)
        for name, comm in RESIDENTS.items():
            if s[0] == comm or first == comm:
                found[name] = pid
        if first == "moat-save":
            found["worker"] = pid
    for pid in pids():
        s = stat(pid)
        if s and s[0] == "moatd" and s[1] != "Z":
            found["supervisor"] = pid
    return found


def leftovers():
    """Workers and zombies; words for each."""
    found = []
    for pid in pids():
        s = stat(pid)
        if s and s[1] == "Z" and s[2] != os.getpid():
            found.append("zombie %d (%s) of %d" % (pid, s[0], s[2]))
        elif s and cmdline(pid) == "moat-save":
            found.append("worker %d" % pid)
    return found


# ---- moat

def command(user, *args, **kw):
    return subprocess.Popen(["moat"] + list(args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, user=USERS[user], group=USERS[user],
                            extra_groups=[], cwd="/", **kw)


def finish(process, seconds):
    """(exit status, output); status None: it did not end in time and was killed."""
    try:
        out, _ = process.communicate(timeout=seconds)
        return process.returncode, out.decode(errors="replace")
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        return None, out.decode(errors="replace")


def moat(user, *args, seconds=30):
    return finish(command(user, *args), seconds)


def serves(seconds=2):
    """How long `moat list` took, or None when it did not answer in time."""
    began = time.monotonic()
    status, _ = moat("admind", "list", seconds=seconds)
    return time.monotonic() - began if status == 0 else None


MOATD_LOG = "/run/sim/moatd.log"


def moatd_log():
    with open(MOATD_LOG, errors="replace") as f:
        return f.read()


def start_moatd(program="moatd", **env):
    with open(MOATD_LOG, "ab") as log:
        process = subprocess.Popen([program], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env=dict(os.environ, **env))
    # The warden serves when it is ready, whether or not parent and forker have had the processor yet.
    if not wait_until(20, lambda: serves(5) is not None and set(RESIDENTS) <= set(residents())):
        sys.exit("moatd does not serve:\n" + moatd_log())
    return process


def stop_moatd(process):
    """Words if it did not end in order."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        return ["moatd does not end: %s" % residents()]
    return [] if process.returncode == 0 else ["moatd ended with %s" % process.returncode]


def install(source, name):
    """Puts a program in the place of one of libexec's."""
    shutil.copy(os.path.join(os.environ["BUILD"], source), LIBEXEC + "/" + name + ".new")
    os.chmod(LIBEXEC + "/" + name + ".new", 0o755)
    os.rename(LIBEXEC + "/" + name + ".new", LIBEXEC + "/" + name)


class Audit:
    """The lines since the last look."""
    def __init__(self):
        self.at = 0

    def new(self):
        try:
            with open(LOG) as f:
                f.seek(self.at)
                text = f.read()
        except FileNotFoundError:
            return []
        whole = text[:text.rfind("\n") + 1]
        self.at += len(whole.encode())
        return [json.loads(line) for line in whole.splitlines()]


def audit_verifies():
    r = subprocess.run(["moat", "audit", "verify"], capture_output=True, text=True)
    return r.returncode == 0, r.stdout + r.stderr


def files(user):
    return sorted(os.listdir("/home/" + user))


def ends(lines, job=None):
    return [e for e in lines if e["what"] == "end" and job in (None, e["job"])]
