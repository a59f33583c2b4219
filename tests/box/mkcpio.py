#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only
"""mkcpio.py DIR OUT [SPEC]: pack DIR as an initramfs (cpio "newc", not compressed) at OUT.

Everything belongs to root whoever runs this, and times are zero, so that the same tree gives the same
archive. Lines of SPEC change that:
    node PATH c|b MAJOR MINOR MODE      a device node
    own PATH UID GID MODE               owner and mode of a file or folder of DIR
"""
import os
import stat
import sys


class Archive:
    def __init__(self, out):
        self.out = out
        self.inode = 0

    def add(self, name, mode, data=b"", uid=0, gid=0, rdev=(0, 0)):
        self.inode += 1
        raw = name.encode() + b"\0"
        fields = (self.inode, mode, uid, gid, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(raw), 0)
        head = b"070701" + b"".join(b"%08X" % f for f in fields) + raw
        self.out.write(head + b"\0" * (-len(head) % 4))
        self.out.write(data)
        self.out.write(b"\0" * (-len(data) % 4))

    def end(self):
        self.add("TRAILER!!!", 0)
        # The kernel wants the next archive of an initrd at a multiple of four; 512 is cpio's habit.
        self.out.write(b"\0" * (-self.out.tell() % 512))


def read_spec(path):
    nodes, owners = [], {}
    with open(path) as f:
        for line in f:
            word = line.split()
            if not word or word[0].startswith("#"):
                continue
            if word[0] == "node" and len(word) == 6:
                kind = stat.S_IFCHR if word[2] == "c" else stat.S_IFBLK
                nodes.append((word[1], kind | int(word[5], 8), (int(word[3]), int(word[4]))))
            elif word[0] == "own" and len(word) == 5:
                owners[word[1]] = (int(word[2]), int(word[3]), int(word[4], 8))
            else:
                sys.exit("mkcpio.py: %s: unknown line: %s" % (path, line.strip()))
    return nodes, owners


def entries(top):
    for folder, dirs, files in os.walk(top):
        dirs.sort()
        for name in sorted(dirs + files):
            path = os.path.join(folder, name)
            yield os.path.relpath(path, top), path


def pack(top, out, nodes, owners):
    archive = Archive(out)
    for name, path in entries(top):
        st = os.lstat(path)
        uid, gid, mode = owners.pop(name, (0, 0, stat.S_IMODE(st.st_mode)))
        mode |= stat.S_IFMT(st.st_mode)
        if stat.S_ISLNK(st.st_mode):
            data = os.readlink(path).encode()
        elif stat.S_ISREG(st.st_mode):
            with open(path, "rb") as f:
                data = f.read()
        elif stat.S_ISDIR(st.st_mode):
            data = b""
        else:
            sys.exit("mkcpio.py: %s: neither file, folder nor link" % path)
        archive.add(name, mode, data, uid, gid)
    for name, mode, rdev in nodes:
        archive.add(name, mode, rdev=rdev)
    archive.end()
    if owners:
        sys.exit("mkcpio.py: not in %s: %s" % (top, " ".join(owners)))


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: mkcpio.py DIR OUT [SPEC]")
    nodes, owners = read_spec(sys.argv[3]) if len(sys.argv) == 4 else ([], {})
    part = sys.argv[2] + ".part"
    with open(part, "wb") as out:
        pack(sys.argv[1], out, nodes, owners)
    os.rename(part, sys.argv[2])


main()
