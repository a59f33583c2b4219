#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-only
"""native.py [ROUNDS]: inside tests/sim/simrun.sh (see native.sh), measures moat over the simulated host:
fork to HELLO, and `moat save -c` against the same libxenguest calls in one process, in turn, of the same
domain into the same file system: build/bench, then a tmpfs, which takes more than a gigabyte per second
and so shows what a disk's time hides; and the turn of a poll loop with libmoat (an operator's) against the
same program with libxenlight (root's), as far as its public interface lets one measure it without Xen.
Prints a table of medians and one line of JSON for each row.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import time

HOME = "/home/admind"
PLACES = (("disk", HOME + "/disk"), ("tmpfs", HOME))
GUESTS = (("web", "1", "PVH"), ("db1", "2", "PV"))


def timed(command):
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    took = time.perf_counter() - start
    if done.returncode:
        sys.exit("%s: exit status %d\n%s" % (" ".join(command), done.returncode, done.stdout))
    return took


def prepare():
    """build/bench under the operator's home: the way to the checkout may be closed to operators."""
    folder = os.path.join(os.environ["BUILD"], "bench")
    os.makedirs(folder, exist_ok=True)
    os.makedirs(PLACES[0][1])
    subprocess.run(["mount", "--bind", folder, PLACES[0][1]], check=True)
    home = os.stat(HOME)
    os.chown(PLACES[0][1], home.st_uid, home.st_gid)


def calls_of(domid, folder):
    """Hypercalls of one save: what a worker asks the warden for, one round trip each."""
    def count():
        return int(subprocess.run(["simctl", "counts"], stdout=subprocess.PIPE, check=True).stdout)
    before = count()
    timed(["as", "admind", "bench_inproc", "--resume", domid, folder + "/bench.img"])
    os.unlink(folder + "/bench.img")
    return count() - before


def pair(folder, name, domid, live, rounds):
    """Both ways in turn, so that what else the machine does falls on both."""
    image = folder + "/bench.img"
    flags = ["--live"] if live else []
    moat, inproc, size = [], [], 0
    for _ in range(rounds + 1):
        for command, times in (
                (["as", "admind", os.environ["MOAT"], "save", "-c", *flags, name, image], moat),
                (["as", "admind", "bench_inproc", "--resume", *flags, domid, image], inproc)):
            times.append(timed(command))
            size = os.path.getsize(image)
            os.unlink(image)
    # The first round fills caches and takes the memory of holes.
    return moat[1:], inproc[1:], size


def osevent(library, *user):
    """One round of bench_osevent: {(what, how many enabled): ns}."""
    done = subprocess.run([*user, "bench_osevent_" + library, "1"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit("bench_osevent_%s: exit status %d\n%s" % (library, done.returncode, done.stderr))
    return {(what, int(count)): float(ns)
            for what, count, ns in map(str.split, done.stdout.splitlines())}


def osevents(rounds):
    moat, libxl = [], []
    for _ in range(rounds):
        moat.append(osevent("moat", "as", "admind"))
        libxl.append(osevent("libxl"))
    print("%-34s %10s %10s %7s" % ("medians of %d" % rounds, "libxl", "libmoat", "ratio"))
    for what, count in moat[0]:
        ours = statistics.median(r[what, count] for r in moat)
        theirs = statistics.median(r[what, count] for r in libxl)
        words = ("beforepoll, poll, afterpoll; %d deaths" if what == "turn"
                 else "evenable + evdisable domain_death") % ((count,) if what == "turn" else ())
        print("%-39s %5.0f ns %7.0f ns %7.3f" % (words, theirs, ours, ours / theirs))
        yield {"bench": "osevent", "what": what, "deaths": count, "rounds": rounds,
               "moat_ns": round(ours), "libxl_ns": round(theirs), "ratio": round(ours / theirs, 3)}


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    rows = []
    prepare()
    hello = json.loads(subprocess.run(["bench_hello"], stdout=subprocess.PIPE, check=True).stdout)
    rows.append(hello)
    print("%-34s %8.2f ms (p90 %.2f ms), goal <= 3" %
          ("fork to HELLO, %d rounds" % hello["rounds"], hello["median_ms"], hello["p90_ms"]))
    print("%-34s %10s %10s %7s %10s %9s %7s" % ("save, medians of %d" % rounds, "one proc.", "moat",
                                                "ratio", "best/best", "moat MiB/s", "calls"))
    for place, folder in PLACES:
        for (name, domid, kind), live in itertools.product(GUESTS, (False, True)):
            moat, inproc, size = pair(folder, name, domid, live, rounds)
            calls = calls_of(domid, folder)
            with_moat, alone = statistics.median(moat), statistics.median(inproc)
            rows.append({"bench": "save_native", "guest": kind, "live": live, "to": place,
                         "rounds": rounds, "bytes": size, "moat_s": round(with_moat, 4),
                         "inproc_s": round(alone, 4), "ratio": round(with_moat / alone, 3),
                         "calls": calls, "best_ratio": round(min(moat) / min(inproc), 3)})
            print("%-34s %8.3f s %8.3f s %7.3f %10.3f %9.0f %7d" %
                  ("%s%s to %s" % (kind, ", live" if live else "", place), alone, with_moat,
                   with_moat / alone, min(moat) / min(inproc), size / with_moat / 2**20, calls))
    rows.extend(osevents(max(rounds, 5)))
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    main()
