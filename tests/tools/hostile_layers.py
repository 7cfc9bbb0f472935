#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Layers that mean harm: hostile_layers.py DIR OUTSIDE makes DIR/NAME, an image layout with one layer, for each case.

OUTSIDE is a directory that must not change. Prints a line a case: NAME, what must come of it (`refused` and a regular
expression of the error, or `taken` and a shell expression that must be true in the layer's directory), separated by tabs.
"""
import hashlib
import os
import subprocess
import sys
import tarfile

from image_layouts import Layout, OCI, device, directory, hard, link, member, simple, tar


def cases(outside):
    up = "../" * 12
    deep = up + outside.lstrip("/")
    # ---- ways out by name
    yield "dotdot", "refused", r'has a part "\.\."', tar(member("../evil", b"x"))
    yield "dotdot-inside", "refused", r'has a part "\.\."', tar(directory("a"), member("a/../../evil", b"x"))
    yield "dotdot-last", "refused", r'has a part "\.\."', tar(directory("a/.."))
    yield "dotdot-outside", "refused", r'has a part "\.\."', tar(member(deep + "/evil", b"x"))
    yield "absolute", "taken", f"test -f .{outside}/evil", tar(member(outside + "/evil", b"x"))
    yield "slashes", "taken", "test -f etc/evil", tar(member("///etc//./evil", b"x"))
    yield "root-file", "refused", "root, which must be a directory|no tar", tar(member("./", b"x", type=tarfile.REGTYPE))
    yield "root-link", "refused", "root, which must be a directory", tar(link(".", outside))
    yield "root-hard", "refused", "root, which must be a directory", tar(member("a"), hard("/", "a"))
    yield "empty-name", "refused", "is empty|no tar", tar(member("x", pax={"path": ""}), member("", b"x"))
    yield "long-name", "refused", "longer than 4096", tar(member("x", b"", pax={"path": "a/" * 2500 + "x"}))
    yield "long-part", "refused", "longer than 255", tar(member("y" * 300, b""))
    yield "nul-name", "taken", "test ! -e evil", tar(member("x", b"x", pax={"path": "ok\0../../evil"}))
    # ---- ways out by links
    yield "link-parent", "taken", f"test -f .{outside}/evil && test -L out", tar(link("out", outside), member("out/evil", b"x"))
    yield "link-up", "taken", "test -f evil || test -f up/evil", tar(link("up", up + "tmp/.."), member("up/evil", b"x"))
    yield "link-deep", "taken", f"test -f .{outside}/evil", tar(link("out", deep), member("out/evil", b"x"))
    yield "link-chain", "taken", f"test -f .{outside}/evil", tar(
        directory("a"), link("a/b", "../c"), link("c", outside), member("a/b/evil", b"x"))
    yield "link-over", "taken", "test -f secret && test ! -L secret", tar(
        link("secret", outside + "/secret"), member("secret", b"overwritten"))
    yield "link-dir-over", "taken", "test -d out && test ! -L out && test -f out/evil", tar(
        link("out", outside), directory("out"), member("out/evil", b"x"))
    yield "link-loop", "refused", "Too many|too many", tar(link("a", "b"), link("b", "a"), member("a/evil", b"x"))
    yield "link-proc", "refused", "cannot|leads|No such|Too many", tar(
        link("p", "/proc/self/root"), directory("proc"), member("proc/self", b""), member("p/evil", b"x"))
    yield "link-mode", "taken", "test -L s", tar(link("s", outside + "/secret"), directory("d"), hard("d/s", "s"))
    yield "link-empty", "refused", "empty, or too long|no tar", tar(link("a", ""))
    yield "link-long", "refused", "empty, or too long|longer", tar(member("a", type=tarfile.SYMTYPE, pax={"linkpath": "x" * 5000}))
    yield "hard-absolute", "refused", "which this layer does not have", tar(hard("evil", outside + "/secret"))
    yield "hard-dotdot", "refused", r'has a part "\.\."', tar(hard("evil", deep + "/secret"))
    yield "hard-by-link", "refused", "which this layer does not have", tar(link("out", outside), hard("evil", "out/secret"))
    yield "hard-write", "taken", "test -f evil -a ! -s evil", tar(
        link("l", outside + "/secret"), hard("evil", "l"), member("evil", b""))
    yield "hard-directory", "refused", "hard link to a directory", tar(directory("d"), hard("e", "d"))
    yield "hard-self", "taken", "grep -q keep a", tar(member("a", b"keep"), hard("a", "a"), hard("a", "./a"))
    yield "hard-whiteout", "refused", "does not have", tar(member(".wh.a"), hard("b", "a"))
    yield "replace-parent", "taken", f"test -L d && test ! -e .{outside}/../x", tar(
        directory("d"), member("d/f", b"1"), link("d", outside), member("d/evil", b"x"))
    # ---- marks of overlayfs
    yield "forged-whiteout", "refused", "device 0:0", tar(device("gone", 0, 0))
    yield "forged-by-size", "refused", "out of range", tar(device("gone", 4096, 0))
    yield "forged-by-minor", "refused", "out of range", tar(device("gone", 0, 0o7777777))
    yield "forged-opaque", "taken", 'test -z "$(xattrs d)"', tar(
        directory("d", pax={"SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.overlay.opaque": "y",
                            "LIBARCHIVE.xattr.trusted.overlay.redirect": "L2V0Yw=="}))
    yield "forged-redirect", "taken", 'test -z "$(xattrs f)"', tar(
        member("f", b"", pax={"SCHILY.xattr.trusted.overlay.redirect": "/etc/shadow",
                              "SCHILY.xattr.trusted.overlay.metacopy": ""}))
    yield "bare-whiteout", "refused", "whiteout of nothing", tar(member(".wh."))
    yield "whiteout-dot", "refused", "whiteout of nothing", tar(directory("d"), member("d/.wh.."))
    yield "whiteout-dotdot", "refused", "whiteout of nothing", tar(directory("d"), member("d/.wh..."))
    yield "whiteout-parent", "refused", "below a name that begins with", tar(member(".wh.d/f", b"x"))
    yield "whiteout-link", "taken", "test -c etc/shadow || test -c .%s/secret" % outside, tar(
        link("out", outside), member("out/.wh.secret"))
    yield "opaque-link", "taken", f"test -d .{outside}", tar(link("out", outside), member("out/.wh..wh..opq"))
    # ---- what costs more than it looks
    yield "sparse-huge", "refused", "cannot be that long|too large|no tar", tar(
        member("x", b"", size=0, pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x",
                                      "GNU.sparse.realsize": str(2**63 - 1)}), member("y", b"1"))
    sparse = b"1\n0\n512\n".ljust(512, b"\0") + b"d" * 512
    yield "sparse-big", "taken", "test $(du -k x | cut -f1) -lt 1000", tar(
        member("x", sparse, pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x",
                                 "GNU.sparse.realsize": str(1 << 40)}))
    yield "size-lie", "refused", "no tar|runcated", tar(member("x", b"short", size=1 << 40))
    yield "size-overflow", "refused", "no tar|negative|runcated", tar(
        member("x", b"short", size=0, pax={"size": str(2**64 + 5)}), member("x2", b"1", pax={"size": str(2**63 - 1)}))
    yield "pax-bomb", "refused", "no tar|too large", tar(member("x", b"", pax={"comment": "z" * (3 << 20)}))
    # The test sets the bound lower than it is.
    yield "entries", "refused", "more than the 5000 entries", [tar(member("f"))[:512]] * 5001
    yield "implicit", "refused", "more than the 5000 entries", [
        tar(member("%x/" % i + "a/" * 600 + "f"))[:-1024] for i in range(10)]
    yield "zeros", "refused", "more than 250 times", [member("z", size=1200 << 20)[0].tobuf()] + [b"\0" * (1 << 20)] * 1200
    # ---- kinds and ids
    yield "negative-uid", "refused", "has the uid|no tar", tar(member("x", b"", pax={"uid": "-1"}))
    yield "huge-uid", "refused", "has the uid|no tar", tar(member("x", b"", pax={"uid": "4294967295"}))
    yield "huge-gid", "refused", "has the gid|no tar", tar(member("x", b"", pax={"gid": "1099511627776"}))
    yield "fifo", "taken", "test -p f", tar(member("f", type=tarfile.FIFOTYPE), member("g", b""))
    yield "fifo-write", "taken", "test -f f", tar(member("f", type=tarfile.FIFOTYPE), member("f", b"x"))
    yield "device-write", "taken", "test -f null", tar(device("null", 1, 3), member("null", b"x"))
    yield "device-below", "refused", "no directory|cannot", tar(device("null", 1, 3), member("null/x", b"x"))
    yield "bad-checksum", "refused", "no tar", tar(member("x", b"")).replace(b"x", b"y", 1)
    yield "garbage", "refused", "no tar", tar(member("x", b""))[:512] + hashlib.shake_256(b"g").digest(8192)
    yield "setuid", "taken", "test -u s", tar(member("s", b"", mode=0o4755))


def main(top, outside):
    for name, outcome, check, layer in cases(outside):
        path = top + "/" + name
        if isinstance(layer, bytes):
            simple(path, (layer, "gzip"))
        else:  # a list of pieces: packed as it is made, by zstd, as gzip takes its time
            layout = Layout(path)
            tar_hash = hashlib.sha256()
            file = f"{path}/blobs/sha256/new"
            with subprocess.Popen(["zstd", "-q", "-1", "-o", file], stdin=subprocess.PIPE) as packer:
                for piece in layer:
                    tar_hash.update(piece)
                    packer.stdin.write(piece)
            with open(file, "rb") as f:
                packed = f.read()
            os.unlink(file)
            made = layout.blob(packed, OCI + "layer.v1.tar+zstd")
            layout.add(layout.manifest([("sha256:" + tar_hash.hexdigest(), made)]))
            layout.write()
        print(name, outcome, check, sep="\t")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
