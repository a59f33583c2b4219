#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-only
"""imagesum.py IMAGE: the crc32 of the plain memory in an xl image or a libxl stream, as `simctl sum DOMID` gives it for
the simulated domain: number and content of each page that is no page table, in order of pfn, the last
copy in the stream counting.  Equal sums: the image is the guest's memory of the moment of its suspend.
"""

import mmap
import struct
import sys
import zlib

PAGE = 4096
XL_MAGIC = b"Xen saved domain, xl format\n \0 \r"
PAGE_DATA = 1
END = 0
# Types of a pfn that has no data in the stream: broken, allocated only, absent.
NO_DATA = (0xd, 0xe, 0xf)


def skip_to_libxc(image):
    at = 48 + struct.unpack_from("<I", image, 44)[0] if image[:32] == XL_MAGIC else 0
    if image[at:at + 8] != b"LibxlFmt":
        raise ValueError("no libxl stream")
    at += 16
    if struct.unpack_from("<II", image, at) != (1, 0):
        raise ValueError("the libxl stream does not begin with libxc's")
    return at + 8 + 24 + 16     # record, libxc's two headers


def pages(image, at):
    """Yields pfn, type, offset of the page's content."""
    while True:
        rtype, length = struct.unpack_from("<II", image, at)
        at += 8
        if rtype == END:
            return
        if rtype == PAGE_DATA:
            count = struct.unpack_from("<I", image, at)[0]
            data = at + 8 + 8 * count
            for entry in struct.unpack_from("<%dQ" % count, image, at + 8):
                kind = entry >> 60
                if kind in NO_DATA:
                    continue
                yield entry & ((1 << 52) - 1), kind, data
                data += PAGE
            if data != at + length:
                raise ValueError("PAGE_DATA record of a wrong length")
        at += (length + 7) & ~7


def main():
    with open(sys.argv[1], "rb") as f, \
            mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as image:
        last = {}
        for pfn, kind, data in pages(image, skip_to_libxc(image)):
            if kind & 7:
                last.pop(pfn, None)
            else:
                last[pfn] = data
        total = 0
        for pfn in sorted(last):
            total = zlib.crc32(struct.pack("<Q", pfn), total)
            total = zlib.crc32(image[last[pfn]:last[pfn] + PAGE], total)
        print("%08x" % total)


if __name__ == "__main__":
    main()
