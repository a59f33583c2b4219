#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only
"""asks.py [OPTION]... save|resume DOMAIN [FILE]: an operator that speaks the protocol itself.

  --suspended, --live  flags of the save; a FILE that is a pipe is said to be one
  --offset N           FILE's offset when it is handed over
  --half-close WHEN    shutdown(SHUT_WR) after INTENT, STARTED, the progress CONFIG, MEMORY, STATE or SYNC or,
                       instead of COMMIT, SAVED
  --leave WHEN         exit there instead
  --wait WHEN SECONDS  do nothing for so long there

Prints what comes, one message a line, without progress and notes; exit status: that of DONE or DENIED, 9 for
end of file."""

import os
import socket
import stat
import struct
import sys
import time

NAMES = {0x102: "DENIED", 0x105: "STARTED", 0x106: "PROGRESS", 0x107: "NOTE", 0x108: "SAVED", 0x10a: "DONE"}
INTENT, COMMIT = 0x101, 0x109
SUSPENDED, STREAM, LIVE = 0x40, 0x20, 0x8
STAGES = {1: "CONFIG", 2: "MEMORY", 3: "STATE", 4: "SYNC"}
KINDS = {"save": 2, "resume": 5}


def options(args):
    o = {"flags": 0, "offset": 0, "half-close": None, "leave": None, "wait": None, "seconds": 0.0}
    while args and args[0].startswith("--"):
        word = args.pop(0)[2:]
        if word in ("suspended", "live"):
            o["flags"] |= {"suspended": SUSPENDED, "live": LIVE}[word]
        elif word == "offset":
            o["offset"] = int(args.pop(0))
        else:
            o[word] = args.pop(0)
            if word == "wait":
                o["seconds"] = float(args.pop(0))
    return o


class Operator:
    def __init__(self, o):
        self.o = o
        self.half = False
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.s.connect("/run/moat/moat.sock")

    def send(self, kind, job, payload, fds):
        frame = struct.pack("<IHHI", len(payload), kind, len(fds), job) + payload
        if fds:
            socket.send_fds(self.s, [frame], fds)
        else:
            self.s.send(frame)

    def reached(self, when):
        if when == self.o["wait"]:
            time.sleep(self.o["seconds"])
            self.o["wait"] = None
        if when == self.o["leave"]:
            sys.exit(0)
        if when == self.o["half-close"] and not self.half:
            self.s.shutdown(socket.SHUT_WR)
            self.half = True

    def said(self, name, job, payload):
        if name == "SAVED":
            print("SAVED", struct.unpack("<Q", payload)[0], flush=True)
            self.reached(name)
            if not self.half:
                self.send(COMMIT, job, b"", [])
            return None
        if name in ("DONE", "DENIED"):
            if name == "DONE":
                code, _, rc, _, _, size = struct.unpack_from("<IIiiiH", payload)
                print("DONE", code, rc, payload[22:22 + size].decode(), flush=True)
            else:
                code = struct.unpack_from("<I", payload)[0]
                print("DENIED", code, payload[8:].rstrip(b"\0").decode(), flush=True)
            return code
        if name == "STARTED":
            print("STARTED", job, flush=True)
        self.reached(STAGES[struct.unpack_from("<I", payload)[0]] if name == "PROGRESS" else name)
        return None

    def follow(self):
        while True:
            frame = self.s.recv(65536)
            if not frame:
                print("EOF", flush=True)
                return 9
            _, kind, _, job = struct.unpack_from("<IHHI", frame)
            code = self.said(NAMES[kind], job, frame[12:])
            if code is not None:
                return code


def main():
    args = sys.argv[1:]
    o = options(args)
    kind, domain = args[0], args[1]
    fds = []
    if len(args) > 2:
        fds = [os.open(args[2], os.O_WRONLY | os.O_CREAT, 0o600)]
        if stat.S_ISFIFO(os.fstat(fds[0]).st_mode):
            o["flags"] |= STREAM
        elif o["offset"]:
            os.lseek(fds[0], o["offset"], os.SEEK_SET)
    operator = Operator(o)
    operator.send(INTENT, 0, struct.pack("<IIIII64s", 1, KINDS[kind], o["flags"], 0, 0, domain.encode()), fds)
    operator.reached("INTENT")
    return operator.follow()


sys.exit(main())
