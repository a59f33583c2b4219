#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only
"""watch.t: operators who watch domains, over the whole of moat: what they are told, how soon, and until when."""

import collections
import os
import select
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../hostile"))
import hostile as h     # noqa: E402

h.enter(["name=web,domid=1,type=pvh,mem=4", "name=db1,domid=2,type=pv,mem=4", "name=web3,domid=3,type=pvh,mem=4",
         "name=secret,domid=4,type=pvh,mem=4"])
INTENT, DENIED, DONE, STATE, WATCH = 0x101, 0x102, 0x10a, 0x10b, 6
RUNNING, SUSPENDED, SHUTDOWN, GONE = 1, 2, 3, 4
SOON = 1.0      # s, from the event to its word
BACKUP = 34     # the group of rule backup: web*, db1
tap = h.Tap()
audit = h.Audit()
State = collections.namedtuple("State", "domid state reason handle")


class Watch:
    def __init__(self, domain, uid=h.USERS["admind"], groups=(), ask=True):
        os.setgroups(groups)
        os.setegid(uid)
        os.seteuid(uid)
        try:
            self.s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.s.connect("/run/moat/moat.sock")
        finally:
            os.seteuid(0)
            os.setegid(0)
        payload = struct.pack("<IIIII64s", 1, WATCH, 0, 0, 0, domain.encode())
        self.frame = struct.pack("<IHHI", len(payload), INTENT, 0, 0) + payload
        if ask:
            self.s.send(self.frame)

    def next(self, seconds=5.0):
        """A State, ("denied", code, text), ("done", code), "eof", or None in that time."""
        if not select.select([self.s], [], [], max(seconds, 0))[0]:
            return None
        try:
            frame = self.s.recv(65536)
        except ConnectionResetError:
            return "eof"
        if not frame:
            return "eof"
        kind, payload = struct.unpack_from("<H", frame, 4)[0], frame[12:]
        if kind == STATE:
            return State(*struct.unpack("<III16s", payload))
        if kind == DENIED:
            return "denied", struct.unpack_from("<I", payload)[0], payload[8:].rstrip(b"\0").decode()
        return ("done", struct.unpack_from("<I", payload)[0]) if kind == DONE else kind

    def close(self):
        self.s.close()


def armed(domain, **kw):
    w = Watch(domain, **kw)
    got = w.next()
    if not isinstance(got, State) or got.state != RUNNING:
        tap.ok(False, "watch of %s is armed" % domain, got)
    return w, got


def told(watch, wanted, what, *words):
    """Does that at the host; the watcher is told soon."""
    began = time.monotonic()
    done = h.simctl(*words) if words else ""
    got = watch.next()
    took = time.monotonic() - began
    good = isinstance(got, State) and (got.state, got.reason) == wanted and took < SOON and done is not None
    tap.ok(good, "%s is told within %.0f s" % (what, SOON), got, "%.3f s" % took, done)
    if good:
        tap.note("%s: told after %.1f ms" % (what, 1000 * took))
    return got


def test_events():
    w, first = armed("web")
    uuid = h.state(1)["uuid"].replace("-", "")
    tap.ok(first.domid == 1 and first.handle.hex() == uuid, "the watch says which domain it is", first, uuid)
    tap.ok(w.next(0.3) is None, "and then nothing")
    other, _ = armed("2")
    told(w, (SHUTDOWN, 0), "a poweroff", "shutdown", 1, 0)
    late = Watch("1")
    told(late, (SHUTDOWN, 0), "that it is shut down already")
    late.close()
    told(w, (GONE, 0), "its destruction", "destroy", 1)
    tap.ok(w.next() == ("done", 0) and w.next() == "eof", "after that comes DONE, and the connection is closed")
    told(other, (SHUTDOWN, 3), "a crash of another one", "shutdown", 2, 3)
    told(other, (GONE, 0), "a domid that changes hands", "reuse", 2)
    tap.ok(other.next() == ("done", 0) and other.next() == "eof", "which is the end as well")
    h.simctl("create", "name=web,domid=1,type=pvh,mem=4")
    lines = [e for e in audit.new() if e.get("intent", {}).get("kind") == "watch"]
    tap.ok([(e["what"], e["uid"], e["domid"], e["intent"]["asked"]) for e in lines] ==
           [("note", 20002, 1, "web"), ("note", 20002, 2, "2"), ("note", 20002, 1, "1")],
           "the audit log has each watch with user and domain", *lines)


def test_save():
    """What moat itself does to a watched domain."""
    w, _ = armed("web")
    status, out = h.moat("admind", "save", "-c", "web", "/home/admind/w.img")
    tap.ok(status == 0, "a watched domain is saved", out)
    seen = []
    while not seen or seen[-1].state != RUNNING:
        seen.append(w.next())
        if not isinstance(seen[-1], State):
            break
    tap.ok([s.state for s in seen if isinstance(s, State)][-2:] in ([SUSPENDED, RUNNING], [RUNNING], []) and
           isinstance(seen[-1], State), "its suspend and resume are told, and it runs", *seen)
    status, out = h.moat("admind", "save", "web", "/home/admind/w2.img")
    tap.ok(status == 0, "a watched domain is saved and destroyed", out)
    last, got = None, w.next()
    while isinstance(got, State):
        last, got = got, w.next()
    tap.ok(last and last.state == GONE and got == ("done", 0), "which is told", last, got)
    h.simctl("create", "name=web,domid=1,type=pvh,mem=4")


def test_refusals():
    w = Watch("99")
    tap.ok(w.next() == State(99, GONE, 0, bytes(16)), "a domid that does not exist is gone")
    tap.ok(w.next() == ("done", 0) and w.next() == "eof", "at once")
    audit.new()
    cases = [("nosuch", h.USERS["admind"], (), 1, "no domain 'nosuch'"),
             ("secret", h.USERS["backupd"], (BACKUP,), 3, "no rule lets you list 'secret'"),
             ("4", h.USERS["backupd"], (BACKUP,), 3, "no rule lets you list '4'"),
             ("web", h.USERS["mallory"], (), 3, "no rule lets you list 'web'"),
             ("99", h.USERS["mallory"], (), 3, "no rule lets you list '99'")]
    for domain, uid, groups, code, words in cases:
        got = Watch(domain, uid=uid, groups=groups).next()
        tap.ok(isinstance(got, tuple) and got[:2] == ("denied", code) and words in got[2],
               "uid %d: watch of %s is refused" % (uid, domain), got)
    lines = [(e["what"], e["uid"], e["intent"]["asked"]) for e in audit.new() if "intent" in e]
    tap.ok(lines == [("denied", uid, domain) for domain, uid, _, _, _ in cases], "and each refusal recorded", *lines)


def test_many():
    """200 at once: all ask before anyone is answered."""
    began = time.monotonic()
    crowd = [Watch("web3", uid=30000 + i // 50, groups=(BACKUP,)) for i in range(200)]
    first = [w.next() for w in crowd]
    tap.ok(all(isinstance(f, State) and f.state == RUNNING for f in first), "200 watches at once are armed",
           *[f for f in first if not isinstance(f, State)][:3])
    tap.note("200 watches: armed after %.0f ms" % (1000 * (time.monotonic() - began)))
    took = h.serves(5)
    tap.ok(took is not None and took < 2, "others are served beside them", took)
    for wanted, words in (((SHUTDOWN, 1), ("shutdown", 3, 1)), ((GONE, 0), ("destroy", 3))):
        began = time.monotonic()
        h.simctl(*words)
        got = [w.next() for w in crowd]
        took = time.monotonic() - began
        tap.ok(all(isinstance(g, State) and (g.state, g.reason) == wanted for g in got) and took < SOON,
               "%s is told to all 200 within %.0f s" % (words[0], SOON), "%.3f s" % took,
               *[g for g in got if not isinstance(g, State)][:3])
        tap.note("%s: the last of 200 has it after %.1f ms" % (words[0], 1000 * took))
    tap.ok(all(w.next() == ("done", 0) and w.next() == "eof" for w in crowd), "and all are closed")
    # One user's bound leaves room for others.
    full = [Watch("web", uid=30000, groups=(BACKUP,)) for _ in range(64)]
    good = all(isinstance(w.next(), State) for w in full)
    more = Watch("web", uid=30000, groups=(BACKUP,)).next()
    tap.ok(good and more[:2] == ("denied", 1), "the 65th of one user is refused", more)
    w, _ = armed("web")
    w.close()
    for w in full:
        w.close()
    w, _ = armed("web", uid=30000, groups=(BACKUP,))
    w.close()


def test_restart():
    w, _ = armed("web")
    before = h.residents()
    os.kill(before["warden"], 9)
    tap.ok(w.next(20) == "eof", "the end of the warden closes the connection")
    h.wait_until(20, lambda: h.serves(5) is not None)
    w, _ = armed("web")
    os.kill(h.residents()["gate"], 9)
    tap.ok(w.next(20) == "eof", "and so does the end of the gate")
    h.wait_until(30, lambda: h.serves(5) is not None)
    w, _ = armed("web")
    told(w, (SHUTDOWN, 0), "after a restart a shutdown", "shutdown", 1, 0)
    w.close()


moatd = h.start_moatd()
test_events()
test_save()
test_refusals()
test_many()
test_restart()
good, out = h.audit_verifies()
tap.ok(good, "the audit log verifies", out)
for problem in h.stop_moatd(moatd):
    tap.ok(False, problem)
tap.finish()
