#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only
"""parent.t [NAME...]: moatd whose parent turns hostile at one moment of a save (tests/hostile/parent.c),
on the simulated host.  It can spoil the running job; nothing privileged happens for it."""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hostile as h     # noqa: E402

WEB = "name=web,domid=1,type=pvh,mem=4,sum=1,ack-ms=20"
h.enter([WEB, "name=db1,domid=2,type=pv,mem=4,sum=1", "name=web2,domid=3,type=pvh,mem=4,sum=1"])

DOMCTL = 36
GETDOMAININFO, DESTROY = 5, 2
OTHERS = (2, 3)
tap = h.Tap()
audit = h.Audit()
PROGRAM = os.environ["BUILD"] + "/hostile/moatd"
# What a hostile parent must not have changed: nodes of others, and those of the job's domain.
NODES = ["/local/domain/%d/%s" % (d, n) for d in (1, 2, 3)
         for n in ("name", "memory/target", "control/shutdown", "domid")]


def lies():
    out = subprocess.check_output([PROGRAM], env=dict(os.environ, MOAT_ATTACKS="1"), text=True)
    wanted = sys.argv[1:]
    rows = [line.split("\t") for line in out.splitlines()]
    return [r for r in rows if not wanted or any(r[0].startswith(w) for w in wanted)]


def nodes():
    return {n: h.simctl("read", n) for n in NODES}


def noted(lines):
    """How many refusals of the gate the log tells."""
    return sum(e.get("refused", {}).get("xenstore path", 0) for e in lines)


def check_audit(lines, words):
    begins = {e["job"] for e in lines if e["what"] == "begin"}
    end = h.ends(lines)
    acts = [e["act"] for e in lines if e["what"] == "act"]
    if len(begins) != 1 or [e["job"] for e in end] != list(begins):
        yield "audit: begin of %s, end of %s" % (begins, [(e["job"], e["cause"]) for e in end])
        return
    if words[0] not in ("*", end[0]["cause"]):
        yield "audit: wanted %s, got %s %s" % (words[0], end[0]["cause"], end[0])
    if "job-state" in words and not end[0]["refused"].get("job state"):
        yield "audit: no refusal of the parent's message is counted: %s" % end[0]
    if "xenstore" in words and not noted(lines):
        yield "audit: no refusal of the gate is counted"
    if ("destroy" in acts) != ("gone" in words) or ("leave suspended" in acts) != ("left" in words):
        yield "audit: acts %s" % acts


def check_calls(calls, gone):
    for op, cmd, domid in set(calls):
        if op == DOMCTL and domid != 1 and cmd != GETDOMAININFO:
            yield "domctl %d of domain %d was executed" % (cmd, domid)
        if op == DOMCTL and cmd == DESTROY and not gone:
            yield "the domain was destroyed"


def settled(shutdown="-"):
    """Its domain is as before, or suspended: undone, and nothing held."""
    s = h.state(1)
    return s and (s["shutdown"], s["logdirty"], s["pauses"], s["pins"]) == (shutdown, "0", "0", "0")


def wanted(words):
    return "2" if "left" in words else "-"


def check(before, out, log, lines, calls, words):
    gone = "gone" in words
    if "BREACH" in log:
        yield "\n".join(line for line in log.splitlines() if "hostile:" in line)
    yield from check_audit(lines, words)
    yield from check_calls(calls, gone)
    for domid in OTHERS:
        if h.still(domid) != before[domid]:
            yield "domain %d: %s, was %s" % (domid, h.still(domid), before[domid])
    if gone:
        if h.state(1) is not None:
            yield "the domain is still there"
    elif not settled(wanted(words)):
        yield "its own domain: %s" % h.state(1)
    now = nodes()
    for n in NODES:
        if now[n] != before["nodes"][n] and not (gone and n.startswith("/local/domain/1/")):
            yield "xenstore: %s is %r, was %r" % (n, now[n], before["nodes"][n])
    if h.leftovers():
        yield "left: %s" % h.leftovers()


def recreate():
    if h.state(1):
        h.simctl("destroy", 1)
        h.wait_until(5, lambda: h.state(1) is None)
    tap.ok(h.simctl("create", WEB) is not None, "the domid is free again") \
        if h.state(1) is None else None


def suspend():
    """An operator that wants the domain to stay suspended: what the command has no option for."""
    return subprocess.Popen(["python3", h.TOP + "/tests/sim/asks.py", "--suspended", "save", "web",
                             "/home/admind/web.img"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, user=h.USERS["admind"], group=h.USERS["admind"],
                            extra_groups=[], cwd="/")


def run(options):
    args = [o for o in options.split() if o.startswith("-")]
    if "destroy" not in options and "-p" not in args:
        args.append("-c")
    process = suspend() if "suspended" in options else \
        h.command("admind", "save", *args, "web", "/home/admind/web.img")
    if "killed" in options:
        worker = h.wait_until(5, lambda: h.state(1)["pins"] != "0" and h.residents().get("worker"))
        if worker:
            os.kill(worker, signal.SIGKILL)
    return h.finish(process, 60)


def ended():
    """Every begin in the log has its end."""
    global seen
    seen += audit.new()
    return len(h.ends(seen)) >= len([e for e in seen if e["what"] == "begin"])


def matching(expect):
    """The words of the alternative whose cause is the job's."""
    alternatives = [e.split() for e in expect.split("|")]
    causes = [e["cause"] for e in h.ends(seen)]
    return next((w for w in alternatives if w[0] in causes), alternatives[0])


def perform(name, expect, options, promise):
    """expect: alternatives, each a cause ("*" = any) and words: gone, left (suspended), job-state,
    xenstore."""
    global seen
    moatd = h.start_moatd(PROGRAM, MOAT_ATTACK=name)
    audit.new()
    seen = []
    size = len(h.moatd_log())
    before = {d: h.still(d) for d in OTHERS}
    before["nodes"] = nodes()
    count = int(h.simctl("counts"))
    status, out = run(options)
    problems = [] if h.wait_until(40, ended) else ["audit: a job has no end"]
    words = matching(expect)
    gone = "gone" in words
    h.wait_until(5, lambda: h.state(1) is None if gone else settled(wanted(words)))
    if not h.wait_until(20, lambda: h.serves(2) is not None):
        problems.append("moat list does not answer")
    h.wait_until(3, lambda: not h.leftovers())
    problems += check(before, out, h.moatd_log()[size:], seen, h.trace_from(count), words)
    if "left" in words and h.moat("admind", "resume", "web")[0]:
        problems.append("it cannot be resumed")
    problems += h.stop_moatd(moatd)
    tap.ok(not problems, "%s: %s" % (name, promise), *problems, "moat: %s %s" % (status, out[-400:]),
           h.moatd_log()[size:][-800:])
    for path in h.files("admind"):
        os.unlink("/home/admind/" + path)
    if gone or not settled():
        recreate()


seen = []
rows = lies()
if not rows:
    sys.exit("no such attack")
for row in rows:
    perform(*row)
moatd = h.start_moatd()
status, out = h.moat("admind", "save", "-c", "web", "/home/admind/after.img")
tap.ok(status == 0, "after all that an honest moatd saves", out)
good, out = h.audit_verifies()
tap.ok(good, "the audit log verifies", out)
h.stop_moatd(moatd)
tap.note("%d attacks" % len(rows))
tap.finish()
