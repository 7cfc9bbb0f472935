#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes image layouts for image.test: image_layouts.py DIR makes DIR/NAME for each case below.

Layers are lists of entries, made by hand where Python's tarfile would be too kind. Also a module for hostile_layers.py.
"""
import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile

OCI = "application/vnd.oci.image."
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def member(name, data=b"", **fields):
    """A tarfile entry: type is a file's unless it is given; `pax` is a dict of headers."""
    info = tarfile.TarInfo(name)
    info.mtime = 1_000_000_000
    info.mode = 0o755 if fields.get("type") == tarfile.DIRTYPE else 0o644
    for key, value in fields.items():
        setattr(info, "pax_headers" if key == "pax" else key, value)
    if info.isreg() and "size" not in fields:
        info.size = len(data)
    return info, data


def directory(name, mode=0o755, **fields):
    return member(name, type=tarfile.DIRTYPE, mode=mode, **fields)


def link(name, target):
    return member(name, type=tarfile.SYMTYPE, linkname=target)


def hard(name, target):
    return member(name, type=tarfile.LNKTYPE, linkname=target)


def device(name, major, minor, kind=tarfile.CHRTYPE):
    return member(name, type=kind, devmajor=major, devminor=minor)


def tar(*entries, form=tarfile.PAX_FORMAT):
    """The bytes of a tar. An entry may be bytes, which are put in as they are."""
    out = io.BytesIO()
    for entry in entries:
        if isinstance(entry, bytes):
            out.write(entry)
            continue
        info, data = entry
        out.write(info.tobuf(form, "utf-8", "surrogateescape"))
        out.write(data + b"\0" * (-len(data) % 512))
    return out.getvalue() + b"\0" * 1024


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


PACK = {"": lambda d: d, "gzip": lambda d: gzip.compress(d, 6, mtime=0), "zstd": zstd}


class Layout:
    def __init__(self, path):
        self.path = path
        self.index = []
        os.makedirs(path + "/blobs/sha256")
        with open(path + "/oci-layout", "w") as f:
            f.write('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, data, kind, **more):
        digest = hashlib.sha256(data).hexdigest()
        with open(f"{self.path}/blobs/sha256/{digest}", "wb") as f:
            f.write(data)
        return {"mediaType": kind, "digest": "sha256:" + digest, "size": len(data), **more}

    def document(self, value, kind, **more):
        return self.blob(json.dumps(value).encode(), kind, **more)

    def layer(self, data, pack="gzip"):
        return self.blob(PACK[pack](data), OCI + "layer.v1.tar" + ("+" + pack if pack else ""))

    def manifest(self, layers, config=None, arch=ARCH, docker=False, **more):
        """layers: (tar bytes, its packing) or (tar bytes or DiffID, descriptor)."""
        made = [self.layer(data, how) if isinstance(how, str) else how for data, how in layers]
        diff_ids = [data if isinstance(data, str) else "sha256:" + hashlib.sha256(data).hexdigest() for data, _ in layers]
        content = {"architecture": arch, "os": "linux", "config": config or {"Cmd": ["sh"]},
                   "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        kinds = (OCI + "config.v1+json", OCI + "manifest.v1+json")
        if docker:
            kinds = ("application/vnd.docker.container.image.v1+json",
                     "application/vnd.docker.distribution.manifest.v2+json")
            for d in made:
                d["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        document = {"schemaVersion": 2, "mediaType": kinds[1], "config": self.document(content, kinds[0]), "layers": made}
        return self.document(document, kinds[1], **more)

    def add(self, descriptor, tag=None):
        descriptor = dict(descriptor)
        if tag:
            descriptor["annotations"] = {"org.opencontainers.image.ref.name": tag}
        self.index.append(descriptor)
        return descriptor

    def write(self):
        with open(self.path + "/index.json", "w") as f:
            json.dump({"schemaVersion": 2, "manifests": self.index}, f)
        return self


def change(path, change_bytes):
    with open(path, "rb") as f:
        data = f.read()
    with open(path, "wb") as f:
        f.write(change_bytes(data))


def blob_of(layout, descriptor):
    return f"{layout.path}/blobs/sha256/{descriptor['digest'][7:]}"


def simple(path, *layers, tag=None, **more):
    layout = Layout(path)
    layout.add(layout.manifest(list(layers), **more), tag)
    return layout.write()


BASE = tar(directory("./"), directory("etc"), member("etc/name", b"base\n"), member("etc/gone", b"base\n"),
           directory("dir"), member("dir/old", b"old\n"), directory("both"), member("both/old", b"old\n"),
           directory("hidden"), member("hidden/old", b"old\n"), directory("late"), member("late/old", b"old\n"))
# Markers before and behind what they are about. `hidden` goes and comes again; `both` is merged.
TOP = tar(directory("./"), directory("etc"), member("etc/.wh.gone"), member("etc/name", b"top\n"),
          member("dir/new", b"new\n"), member("dir/.wh..wh..opq"), directory("both"), member("both/new", b"new\n"),
          member(".wh.hidden"), directory("hidden"), member("hidden/new", b"new\n"),
          directory("late"), member("late/new", b"new\n"), member(".wh.late"),
          member("etc/.wh.same"), member("etc/same", b"same\n"), member("etc/same2", b"same\n"), member("etc/.wh.same2"),
          directory("both/.wh..wh.plnk"), member("both/.wh..wh.plnk/12.34", b"aufs"))

RICH = tar(
    directory("./", 0o751), directory("bin", mtime=123456789), member("bin/suid", b"#!", mode=0o4755, uid=12, gid=34),
    member("bin/cap", b"cap", pax={"SCHILY.xattr.security.capability":
                                   b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0".decode("latin-1"),
                                   "SCHILY.xattr.user.mine": "yes", "SCHILY.xattr.trusted.overlay.opaque": "y",
                                   "SCHILY.xattr.user.overlay.opaque": "y", "SCHILY.xattr.security.selinux": "x"}),
    hard("bin/again", "/bin/cap"), link("sbin", "bin"), member("sbin/through", b"link"), link("abs", "/usr/abs"),
    member("abs/x", b"made"), member("e\u0301", b"nfd"), member("\xe9", b"nfc"), member("l\udce9", b"latin"),
    member("fifo", type=tarfile.FIFOTYPE), device("null", 1, 3), device("disk", 7, 300, tarfile.BLKTYPE),
    member("twice", b"first"), hard("kept", "twice"), member("twice", b"second"),
    directory("kind"), member("kind/x", b"x"), member("kind", b"file"), directory("n" * 150 + "/" + "m" * 90),
    member("zeros", b"a" * 4096 + b"\0" * 1048576 + b"b"), directory("closed", 0o500, mtime=5), member("closed/in", b"1"))


def cases(top):
    base, over = (BASE, "gzip"), (TOP, "zstd")
    simple(top + "/plain", (BASE, ""), config={"Env": ["A=\u00fc\n"], "Labels": {"n": 1.5, "x": None}}, tag="latest")
    simple(top + "/two", base, over)
    simple(top + "/docker", base, docker=True)
    simple(top + "/rich", (RICH, "gzip"))
    simple(top + "/same", base, over, base)
    simple(top + "/rootopaque", base, (tar(member("only", b"1"), member(".wh..wh..opq")), ""))
    simple(top + "/empty", (b"\0" * 1024, "gzip"))
    simple(top + "/ids", (tar(member("far", b"1", uid=70000)), "gzip"))
    simple(top + "/nodes", (tar(device("null", 1, 3), member("file", b"1")), "gzip"))

    tags = Layout(top + "/tags")
    one = tags.manifest([base])
    two = tags.manifest([base, over])
    tags.add(one, "v1")
    tags.add(two, "docker.io/library/x:2")
    tags.write()
    latest = Layout(top + "/latest")
    latest.add(latest.manifest([base]), "old")
    latest.add(latest.manifest([over]), "latest")
    latest.write()

    nested = Layout(top + "/nested")
    parts = [nested.manifest([(tar(member(a, b"1")), "gzip")], arch=a, platform={"os": "linux", "architecture": a})
             for a in ("s390x", "mips", ARCH)]
    inner = nested.document({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": parts},
                            OCI + "index.v1+json")
    nested.add(nested.document({"schemaVersion": 2, "manifests": [inner]}, OCI + "index.v1+json"), "multi")
    nested.add(nested.document({"schemaVersion": 2, "manifests": parts[:2]}, OCI + "index.v1+json"), "foreign")
    # Only the configurations say for what machine the images are.
    silent = [nested.manifest([(tar(member(a, b"1")), "gzip")], arch=a) for a in ("s390x", "mips", ARCH)]
    nested.add(nested.document({"schemaVersion": 2, "manifests": silent}, OCI + "index.v1+json"), "silent")
    nested.add(nested.document({"schemaVersion": 2, "manifests": silent[:2]}, OCI + "index.v1+json"), "silent-foreign")
    nested.add(silent[0], "s390x")
    nested.write()

    # What is wrong with the content.
    wrong = simple(top + "/bad-layer", base)
    layer = wrong.layer(BASE)
    change(blob_of(wrong, layer), lambda d: d[:-9] + bytes([d[-9] ^ 1]) + d[-8:])
    wrong = simple(top + "/short-layer", base)
    change(blob_of(wrong, wrong.layer(BASE)), lambda d: d[:-1])
    wrong = simple(top + "/long-layer", base)
    change(blob_of(wrong, wrong.layer(BASE)), lambda d: d + b"\0")
    wrong = simple(top + "/bad-manifest", base)
    change(blob_of(wrong, wrong.index[0]), lambda d: d.replace(b'"schemaVersion": 2', b'"schemaVersion":  2')[:len(d)])
    wrong = simple(top + "/missing-layer", base)
    os.unlink(blob_of(wrong, wrong.layer(BASE)))
    for name, make in {
        "truncated-gzip": lambda l: l.blob(PACK["gzip"](BASE)[:-20], OCI + "layer.v1.tar+gzip"),
        "truncated-zstd": lambda l: l.blob(zstd(BASE)[:-20], OCI + "layer.v1.tar+zstd"),
        "other-tar": lambda l: l.layer(TOP),
        "twice-packed": lambda l: l.blob(PACK["gzip"](PACK["gzip"](BASE)), OCI + "layer.v1.tar+gzip"),
        "xz": lambda l: l.blob(b"\xfd7zXZ\0" + BASE, OCI + "layer.v1.tar+gzip"),
        "not-tar": lambda l: l.blob(b"#!/bin/sh\n" * 200, OCI + "layer.v1.tar"),
    }.items():
        layout = Layout(top + "/" + name)
        layout.add(layout.manifest([(BASE, make(layout))]))
        layout.write()
    # Of several members, with a frame to be skipped, and something behind the end: all of it is hashed.
    half = len(BASE) // 1024 * 512
    layout = Layout(top + "/members")
    behind = BASE + b"trailing"
    layout.add(layout.manifest([
        (BASE, layout.blob(gzip.compress(BASE[:half]) + gzip.compress(BASE[half:]), OCI + "layer.v1.tar+gzip")),
        (TOP, layout.blob(b"\x50\x2a\x4d\x18\x04\0\0\0cgx!" + zstd(TOP), OCI + "layer.v1.tar+zstd")),
        (behind, layout.blob(gzip.compress(behind), OCI + "layer.v1.tar+gzip"))]))
    layout.write()

    # What is wrong with the documents: index.json as text.
    good = simple(top + "/good", base)
    manifest = json.load(open(blob_of(good, good.index[0])))
    for name, value in {
        "doc-both": {**manifest, "manifests": []},
        "doc-type": {**manifest, "mediaType": OCI + "index.v1+json"},
        "doc-config": {**manifest, "config": {**manifest["config"], "mediaType": "application/vnd.example+json"}},
        "doc-layer": {**manifest, "layers": [{**manifest["layers"][0], "mediaType": "application/x-rpm"}]},
        "doc-digest": {**manifest, "layers": [{**manifest["layers"][0], "digest": "sha256:../../../../etc/passwd"}]},
        "doc-size": {**manifest, "layers": [{**manifest["layers"][0], "size": -1}]},
        "doc-layers": {**manifest, "layers": manifest["layers"] * 2},
        "doc-schema": {**manifest, "schemaVersion": 1},
    }.items():
        layout = simple(top + "/" + name, base)
        layout.index = [layout.document(value, OCI + "manifest.v1+json")]
        layout.write()


def big(path, files, size):
    """One layer of `files` files with `size` bytes that do not pack too well."""
    entries = [directory("d%d" % (i // 100)) for i in range(0, files, 100)]
    seed = hashlib.shake_256(b"cgx").digest(size // 2 + files)
    for i in range(files):
        data = seed[i:i + size // 2] + b"x" * (size - size // 2)
        entries.append(member("d%d/f%d" % (i // 100, i), data))
    layer = tar(*entries)
    simple(path, (layer, "gzip"), (TOP, "gzip"))


if __name__ == "__main__":
    if sys.argv[1] == "big":
        big(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        cases(sys.argv[1])
