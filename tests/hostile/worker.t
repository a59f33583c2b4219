#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only
"""worker.t [NAME...]: the save worker replaced by hostile code (tests/hostile/worker.c), on the
simulated host.  Each attack may make its own job fail, and nothing else: see check()."""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hostile as h     # noqa: E402

WEB = "name=web,domid=1,type=pvh,mem=4,sum=1"
# db1 has a domid beside web's, so that "one more" and "one less" are domains of somebody.
h.enter([WEB, "name=db1,domid=2,type=pv,mem=4,sum=1", "name=web2,domid=3,type=pvh,mem=4,sum=1"])

DOMCTL, SYSCTL = 36, 35
OTHERS = (2, 3)
tap = h.Tap()
audit = h.Audit()


def attacks():
    out = subprocess.check_output([h.LIBEXEC + "/save", "list"], text=True)
    wanted = sys.argv[1:]
    rows = [line.split("\t") for line in out.splitlines()]
    return [r for r in rows if not wanted or any(r[0].startswith(w) for w in wanted)]


def start():
    h.install("hostile/save", "save")
    return h.start_moatd()


def baseline():
    """(op, sub-op) that a hostile save may have executed at most: a worker's rows, and what moat
    itself does for honest saves and for lists."""
    count = int(h.simctl("counts"))
    for options in ([], ["--live"]):
        status, out = h.moat("admind", "save", "-c", "--force", *options, "web", "/home/admind/honest")
        if not tap.ok(status == 0, "an honest save %s succeeds" % " ".join(options), out):
            tap.finish()
    h.serves()
    os.unlink("/home/admind/honest")
    rows = subprocess.check_output([h.LIBEXEC + "/save", "rows"], text=True).splitlines()
    return {c[:2] for c in h.trace_from(count)} | {tuple(map(int, r.split())) for r in rows}


def expected(end, expect):
    """Whether the audit log's end is one that the table names."""
    for one in expect.split("|"):
        cause, _, refusal = one.partition("/")
        if one == "*":
            return end["cause"] != "done"
        if cause.startswith("signal "):
            if end["cause"] == "worker-died" and end["worker"] == {"signal": int(cause[7:])}:
                return True
        elif end["cause"] == cause and (not refusal or end["refused"].get(refusal, 0) > 0):
            return True
    return False


def check_end(lines, expect):
    begins = [e for e in lines if e["what"] == "begin"]
    end = h.ends(lines)
    if len(begins) != 1 or len(end) != 1:
        yield "audit: %d begin, %d end" % (len(begins), len(end))
    elif end[0]["job"] != begins[0]["job"]:
        yield "audit: end of another job"
    elif not expected(end[0], expect):
        yield "audit: wanted %s, got %s worker %s refused %s %s" % (
            expect, end[0]["cause"], end[0]["worker"], end[0]["refused"], end[0].get("message", ""))


def check_calls(calls, allowed):
    for op, cmd, domid in set(calls):
        if (op, cmd) not in allowed:
            yield "hypercall %d/%d was executed" % (op, cmd)
        # getdomaininfo of the list and of the version check name others.
        if op == DOMCTL and domid != 1 and cmd != 5:
            yield "domctl %d of domain %d was executed" % (cmd, domid)


def check(before, out, status, lines, calls, allowed, expect, gone):
    if expect != "done" and status == 0:
        yield "the save succeeded"
    if "BREACH" in out:
        yield "the worker says:"
    if "\033" in out or "\x07" in out or "\r" in out:
        yield "control characters reached the operator"
    yield from check_end(lines, expect)
    yield from check_calls(calls, allowed)
    for domid in OTHERS:
        if h.still(domid) != before[domid]:
            yield "domain %d: %s, was %s" % (domid, h.still(domid), before[domid])
    if not gone:
        if h.still(1) != before[1]:
            yield "its own domain: %s, was %s" % (h.still(1), before[1])
        if h.simctl("read", "/local/domain/1/control/shutdown") == "suspend":
            yield "control/shutdown is still suspend"
    if expect != "done" and h.files("admind"):
        yield "files: %s" % h.files("admind")
    left = h.wait_until(3, lambda: not h.leftovers())
    if not left:
        yield "left: %s" % h.leftovers()
    now = {k: v for k, v in h.residents().items()}
    if now != before["residents"]:
        yield "resident processes: %s, were %s" % (now, before["residents"])
    took = h.serves()
    if took is None:
        yield "moat list does not answer"


def domain_dies():
    """The job's domain is destroyed, as by another toolstack; its domid stays pinned meanwhile."""
    h.wait_until(5, lambda: "jobs" and h.state(1) and h.state(1)["pins"] != "0")
    time.sleep(0.2)
    h.simctl("destroy", 1)
    if h.simctl("create", WEB) is not None:
        return ["the domid could be used again while the worker had its mapping"]
    return []


def perform(name, mode, expect, options, promise, allowed):
    gone = "destroyed" in options
    args = [o for o in options.split() if o not in ("destroy", "destroyed")]
    if "destroy" not in options.split():
        args.insert(0, "-c")
    h.set_attack(1, attack=name, mode=mode)
    audit.new()
    before = {d: h.still(d) for d in (1,) + OTHERS}
    before["residents"] = h.residents()
    count = int(h.simctl("counts"))
    process = h.command("admind", *(["-v"] if "-v" in args else []), "save",
                        *[a for a in args if a != "-v"], "web", "/home/admind/web.img")
    problems = domain_dies() if gone else []
    if "--deadline" in args:
        time.sleep(0.5)
        took = h.serves(5)
        if took is None or took > 2:
            problems.append("meanwhile moat list took %s s" % took)
    status, out = h.finish(process, 40)
    h.wait_until(2, lambda: not h.leftovers())
    calls = h.trace_from(count)
    problems += check(before, out, status, audit.new(), calls, allowed, expect, gone)
    tap.ok(not problems, "%s (%s): %s" % (name, mode, promise), *problems,
           "moat: %s %s" % (status, out[-600:]))
    if "web.img" in h.files("admind"):
        os.unlink("/home/admind/web.img")
    if gone:
        h.wait_until(5, lambda: h.state(1) is None)
        tap.ok(h.simctl("create", WEB) is not None, "%s: the domid is free after the job" % name)
        for path in os.listdir("/run/sim"):
            if "userdata-d.1." in path:
                os.unlink("/run/sim/" + path)
    if h.residents() != before["residents"]:
        h.wait_until(20, lambda: h.serves(3) is not None)


def honest_again():
    with open(h.userdata(1)) as f:
        text = f.read()
    h.set_attack(1)
    status, out = h.moat("admind", "save", "-c", "web", "/home/admind/after.img")
    tap.ok(status == 0, "after all that an honest save succeeds", out, text[:80])
    if status == 0:
        total = subprocess.run([h.TOP + "/tests/sim/imagesum.py", "/home/admind/after.img"],
                               capture_output=True, text=True).stdout.strip()
        tap.ok(total == h.simctl("sum", 1), "and its image is the guest's memory")
    good, out = h.audit_verifies()
    tap.ok(good, "the audit log verifies", out)


moatd = start()
allowed_calls = baseline()
rows = attacks()
if not rows:
    sys.exit("no such attack")
for row in rows:
    perform(*row, allowed_calls)
honest_again()
tap.note("%d attacks, %d runs" % (len({r[0] for r in rows}), len(rows)))
h.stop_moatd(moatd)
tap.finish()
