#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only
"""collect.py OUT SECONDS BOOT_SECONDS COMMAND...: run a box and turn what it reports into TAP.

COMMAND is QEMU, whose second serial port writes OUT/out. A line there that holds "@@box" is the runner's (up,
begin CASE, data CASE NAME BASE64, end CASE STATUS, done); all else is what a case printed. Files that cases
hand out land in OUT/CASE/NAME. The exit status is 0 when every planned case passed and "done" was seen.
"""
import base64
import binascii
import os
import re
import signal
import subprocess
import sys
import time

TAP = re.compile(r"(not )?ok\b *\d* *-? *(.*)")
PLAN = re.compile(r"1\.\.\d+$")
SAFE = re.compile(r"[A-Za-z0-9_.+-]+$")
MAX_LINE = 65536
POLL = 0.05
POWEROFF_SECONDS = 10
PLAIN = os.environ.get("BOX_PLAIN") == "1"


def say(line):
    print(line, flush=True)


class Report:
    """What the runner has said so far."""

    def __init__(self, out, planned):
        self.out = out
        self.planned = planned
        self.ended = []
        self.case = None
        self.case_asserted = self.case_failed = 0
        self.number = self.failed = self.skipped = 0
        self.up = self.done = False
        self.start = self.case_start = time.monotonic()

    def result(self, good, what):
        self.number += 1
        self.case_asserted += 1
        if not good:
            self.failed += 1
            self.case_failed += 1
        if "# SKIP" in what:
            self.skipped += 1
        say("%s %d - %s" % ("ok" if good else "not ok", self.number, what))

    def line(self, text):
        text = text.rstrip("\r")
        at = text.find("@@box ")
        if at < 0:
            self.case_line(text)
            return
        if at:
            self.case_line(text[:at])
        word = text[at:].split(" ")
        handler = getattr(self, "on_" + word[1], None)
        if handler is None:
            say("# box: unknown report: %s" % text[at:])
        else:
            handler(word[2:])

    def case_line(self, text):
        match = TAP.match(text)
        if match:
            self.result(not match.group(1), "%s: %s" % (title(self.case), match.group(2)))
        elif PLAIN and self.case:
            if not PLAN.match(text):
                say(text)
        elif text and not PLAN.match(text):
            say(text if text.startswith("#") else "# " + text)

    def on_up(self, word):
        self.up = True
        say("# dom0 up after %.1f s (its own clock: %s s)" % (time.monotonic() - self.start, word[0]))

    def on_begin(self, word):
        self.case = word[0]
        self.case_asserted = self.case_failed = 0
        self.case_start = time.monotonic()

    def on_data(self, word):
        case, name = word[0], word[1]
        if not SAFE.match(case) or not SAFE.match(name) or name in (".", ".."):
            say("# box: a file with an unusable name was dropped: %s" % name)
            return
        folder = os.path.join(self.out, case)
        os.makedirs(folder, exist_ok=True)
        try:
            data = base64.b64decode(word[2], validate=True)
        except binascii.Error:
            self.result(False, "%s: file %s arrives whole" % (title(case), name))
            return
        # The first line of a file carries nothing and starts it anew.
        with open(os.path.join(folder, name), "ab" if word[2] else "wb") as f:
            f.write(data)

    def on_end(self, word):
        name, status = word[0], int(word[1])
        if status == 124:
            self.result(False, "%s: ended in time (it took longer than its bound)" % title(name))
        elif status and not self.case_failed:
            self.result(False, "%s: exit status %d" % (title(name), status))
        elif not self.case_asserted:
            self.result(False, "%s: asserted nothing" % title(name))
        say("# %s: %.1f s" % (title(name), time.monotonic() - self.case_start))
        self.ended.append(name)
        self.case = None

    def on_done(self, _):
        self.done = True

    def finish(self):
        for name in self.planned:
            if name not in self.ended:
                self.result(False, "%s: %s" % (title(name), "did not end" if name == self.case else "did not run"))
        say("1..%d" % self.number)
        say("# %d passed, %d failed, %d skipped; %.1f s" %
            (self.number - self.failed, self.failed, self.skipped, time.monotonic() - self.start))
        return self.failed == 0 and self.done and self.number > 0


def title(case):
    """'10-save' is 'save' in reports."""
    return re.sub(r"^\d+-", "", case) if case else "box"


def follow(stream, report, buffered):
    """Hands new whole lines of the file to the report; returns what follows the last one."""
    buffered += stream.read()
    *lines, rest = buffered.split(b"\n")
    for line in lines:
        report.line(line[:MAX_LINE].decode("utf-8", "replace"))
    return rest


def why_stop(report, qemu, start, seconds, boot_seconds):
    """None while the box may go on, else why not ('' when it is just done)."""
    elapsed = time.monotonic() - start
    if qemu.poll() is not None:
        return "" if report.done else "QEMU ended early, status %d" % qemu.returncode
    if report.done:
        return ""
    if not report.up and elapsed > boot_seconds:
        return "dom0 did not come up within %d s" % boot_seconds
    if elapsed > seconds:
        return "the whole run took longer than %d s" % seconds
    return None


def end_qemu(qemu, patience):
    """Lets QEMU power off by itself for so long, then kills it."""
    try:
        qemu.wait(patience)
    except subprocess.TimeoutExpired:
        os.killpg(qemu.pid, signal.SIGKILL)
        qemu.wait()


def print_tail(path, lines):
    try:
        with open(path, "rb") as f:
            text = f.read().decode("utf-8", "replace").replace("\r", "")
    except OSError as e:
        say("# %s" % e)
        return
    say("# the last lines of %s:" % os.path.relpath(path))
    for line in text.splitlines()[-lines:]:
        say("#   " + line)


def run(out, seconds, boot_seconds, command):
    with open(os.path.join(out, "plan")) as f:
        report = Report(out, [line.split()[0] for line in f])
    # QEMU truncates and then writes the same file.
    serial = open(os.path.join(out, "out"), "w+b", buffering=0)
    qemu_log = open(os.path.join(out, "qemu.log"), "wb")
    # QEMU ends by itself should this process be killed where it cannot see to it.
    qemu = subprocess.Popen(["timeout", "-s", "KILL", str(seconds + 60)] + command,
                            stdin=subprocess.DEVNULL, stdout=qemu_log, stderr=qemu_log, start_new_session=True)
    qemu_log.close()
    start = time.monotonic()
    rest, reason = b"", None
    try:
        while reason is None:
            time.sleep(POLL)
            reason = why_stop(report, qemu, start, seconds, boot_seconds)
            rest = follow(serial, report, rest)
        end_qemu(qemu, POWEROFF_SECONDS if report.done else 0)
    finally:
        serial.close()
        if qemu.poll() is None:
            os.killpg(qemu.pid, signal.SIGKILL)
            qemu.wait()
    if rest:
        report.line(rest.decode("utf-8", "replace"))
    if reason:
        say("# box: %s" % reason)
    good = report.finish()
    if not good:
        if not report.up:
            print_tail(os.path.join(out, "qemu.log"), 5)
        print_tail(os.path.join(out, "console.log"), 40)
    return 0 if good else 1


def main():
    if len(sys.argv) < 5:
        sys.exit("usage: collect.py OUT SECONDS BOOT_SECONDS COMMAND...")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))


main()
