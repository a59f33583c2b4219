#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-only
"""vmlinux.py BZIMAGE OUT: write the ELF kernel inside a bzImage, unpacked.

Xen and libxenguest accept both forms, but unpacking xz under emulation takes seconds at each boot. Offsets
are those of the x86 boot protocol's set-up header (2.08 and later: payload_offset, payload_length).
"""
import bz2
import lzma
import struct
import sys
import zlib


def payload(image):
    if image[0x202:0x206] != b"HdrS":
        raise ValueError("no set-up header: not a bzImage")
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    return image[start:start + length]


def unpack(data):
    if data[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(data)
    if data[:2] == b"\x1f\x8b":
        return zlib.decompressobj(31).decompress(data)
    if data[:3] == b"BZh":
        return bz2.BZ2Decompressor().decompress(data)
    raise ValueError("payload starts with %s: not xz, gzip or bzip2" % data[:6].hex())


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: vmlinux.py BZIMAGE OUT")
    with open(sys.argv[1], "rb") as f:
        image = f.read()
    try:
        kernel = unpack(payload(image))
        if kernel[:4] != b"\x7fELF":
            raise ValueError("the payload is no ELF file")
    except (ValueError, lzma.LZMAError, zlib.error) as e:
        sys.exit("vmlinux.py: %s: %s" % (sys.argv[1], e))
    with open(sys.argv[2], "wb") as f:
        f.write(kernel)


main()
