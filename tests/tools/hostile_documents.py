#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Manifests, indexes and configurations that mean harm: hostile_documents.py DIR makes DIR/NAME, an image layout, for each.

Prints a line a case: NAME, and a regular expression of the error that it is refused with, or `taken`.
"""
import hashlib
import json
import sys

from image_layouts import Layout, OCI, member, simple, tar

LAYER = tar(member("x", b"1"))
MANIFEST = OCI + "manifest.v1+json"
INDEX = OCI + "index.v1+json"


def cases(top):
    good = simple(top + "/good", (LAYER, "gzip"))
    with open(f"{good.path}/blobs/sha256/{good.index[0]['digest'][7:]}", encoding="utf-8") as file:
        manifest = json.load(file)
    layer = manifest["layers"][0]
    config = manifest["config"]

    def with_text(name, text, kind=MANIFEST):
        layout = simple(f"{top}/{name}", (LAYER, "gzip"))
        layout.index = [layout.blob(text if isinstance(text, bytes) else json.dumps(text).encode(), kind)]
        layout.write()
        return name

    def with_config(name, content):
        layout = simple(f"{top}/{name}", (LAYER, "gzip"))
        made = layout.document(content, config["mediaType"])
        layout.index = [layout.document({**manifest, "config": made}, MANIFEST)]
        layout.write()
        return name

    # ---- manifests
    for name, size in (("size-2-64", 2**64), ("size-2-63", 2**63), ("size-fraction", 1.5), ("size-text", "512"), ("size-exponent", 1e300)):
        yield with_text(name, {**manifest, "layers": [{**layer, "size": size}]}), "size"
    yield with_text("size-huge", {**manifest, "layers": [{**layer, "size": 2**62}]}), "has [0-9]+ bytes, not|longer|size"
    yield with_text("schema-huge", json.dumps(manifest).replace('"schemaVersion": 2', '"schemaVersion": 2' + "0" * 400).encode()), "line 1, column"
    yield with_text("layers-10000", {**manifest, "layers": [layer] * 10000}), "layers"
    yield with_text("layers-object", {**manifest, "layers": {"0": layer}}), "layers"
    yield with_text("layers-null", {**manifest, "layers": [None]}), "layers"
    yield with_text("deep", b"[" * 100000), "nest|deep|JSON|object"
    yield with_text("deep-inside", (json.dumps(manifest)[:-1] + ', "x": ' + "[" * 60000 + "]" * 60000 + "}").encode()), "nest|deep"
    yield with_text("not-json", b"\0\xff{}"), "JSON|UTF-8|object|character"
    yield with_text("empty", b""), "JSON|empty|object|end"
    yield with_text("twice-layers", (json.dumps(manifest)[:-1] + ', "layers": []}').encode()), "twice|layers"
    yield with_text("digest-sha512", {**manifest, "layers": [{**layer, "digest": "sha512:" + "a" * 128}]}), "No such file|digest"
    yield with_text("digest-upper", {**manifest, "layers": [{**layer, "digest": layer["digest"].upper()}]}), "is no digest"
    yield with_text("digest-nul", {**manifest, "layers": [{**layer, "digest": layer["digest"] + "\0"}]}), "must not contain"
    yield with_text("big", (json.dumps(manifest)[:-1] + ', "x": "' + "y" * (20 << 20) + '"}').encode()), "longer|large|bytes"
    # ---- indexes
    layout = Layout(top + "/index-deep")
    inner = layout.manifest([(LAYER, "gzip")])
    for _ in range(50):
        inner = layout.document({"schemaVersion": 2, "manifests": [inner]}, INDEX)
    layout.add(inner)
    layout.write()
    yield "index-deep", "in more than 8 others"
    # Documents that name each other would need digests of what has their own in it: the file's name lies.
    layout = Layout(top + "/index-loop")
    name = hashlib.sha256(b"loop").hexdigest()
    own = {"mediaType": INDEX, "digest": "sha256:" + name}
    text = json.dumps({"schemaVersion": 2, "manifests": [{**own, "size": 300}]}).ljust(300).encode()
    with open(f"{layout.path}/blobs/sha256/{name}", "wb") as file:
        file.write(text)
    layout.add({**own, "size": 300})
    layout.write()
    yield "index-loop", "has the digest"
    layout = simple(top + "/index-many", (LAYER, "gzip"))
    leaf = layout.index[0]
    for _ in range(6):  # a million ways to the same manifest
        leaf = layout.document({"schemaVersion": 2, "manifests": [leaf] * 10}, INDEX)
    layout.index = [leaf]
    layout.write()
    yield "index-many", "taken"
    # ---- configurations
    with open(f"{good.path}/blobs/sha256/{config['digest'][7:]}", encoding="utf-8") as file:
        whole = json.load(file)
    yield with_config("config-rootfs", {**whole, "rootfs": {"type": "tar", "diff_ids": whole["rootfs"]["diff_ids"]}}), "rootfs"
    yield with_config("config-ids", {**whole, "rootfs": {**whole["rootfs"], "diff_ids": "sha256:x"}}), "diff_ids"
    yield with_config("config-id-path", {**whole, "rootfs": {**whole["rootfs"], "diff_ids": ["sha256:../../../x"]}}), "is no digest"
    yield with_config("config-id-wrong", {**whole, "rootfs": {**whole["rootfs"], "diff_ids": ["sha256:" + "0" * 64]}}), "its DiffID is"
    yield with_config("config-ids-10000", {**whole, "rootfs": {**whole["rootfs"], "diff_ids": ["sha256:" + "0" * 64] * 10000}}), "diff_ids"
    yield with_config("config-array", []), "configuration|object|rootfs"
    yield with_config("config-numbers", {**whole, "config": {"User": 5, "Env": {"A": 1}, "Cmd": [1e300]}}), "taken"  # cgx run looks at it
    yield with_config("config-os", {**whole, "os": "linux/../../x"}), "os|platform|linux"


if __name__ == "__main__":
    for case_name, outcome in cases(sys.argv[1]):
        print(case_name, outcome, sep="\t")
