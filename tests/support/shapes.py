#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks JSON against the shapes of man/json.shapes, whose grammar cgx-json(7) explains.

usage: shapes.py FILE NAME <JSON    one JSON text, or several on a line each; prints what is wrong, status 1
       shapes.py FILE --names       the names that are defined
"""

import json
import re
import sys

TOKEN = re.compile(r'\s*(?:"([^"]*)"|([A-Za-z]+)|([\[\]{}:,?|*]))')
TYPES = {
    "string": lambda v: isinstance(v, str),
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
}


class Shape:
    """One parsed definition: nested tuples (kind, ...)."""

    def __init__(self, text):
        self.tokens, at = [], 0
        text = text.rstrip()
        while at < len(text):
            match = TOKEN.match(text, at)
            if not match:
                raise ValueError(f"cannot read the shape at {text[at:at + 20]!r}")
            quoted, word, sign = match.groups()
            self.tokens.append(("quoted", quoted) if quoted is not None else ("word", word) if word else ("sign", sign))
            at = match.end()
        self.tree = self.alternatives()
        if self.tokens:
            raise ValueError(f"too much: {self.tokens[0][1]!r}")

    def sign(self, sign):
        if self.tokens and self.tokens[0] == ("sign", sign):
            self.tokens.pop(0)
            return True
        return False

    def need(self, sign):
        if not self.sign(sign):
            raise ValueError(f"{sign!r} is missing before {self.tokens[:1]}")

    def alternatives(self):
        choices = [self.one()]
        while self.sign("|"):
            choices.append(self.one())
        return choices[0] if len(choices) == 1 else ("any", choices)

    def one(self):
        if self.sign("["):
            inner = self.alternatives()
            self.need("]")
            return ("array", inner)
        if self.sign("{"):
            members, others = {}, None
            while not self.sign("}"):
                if self.sign("*"):
                    self.need(":")
                    others = self.alternatives()
                else:
                    kind, key = self.tokens.pop(0)
                    if kind != "quoted":
                        raise ValueError(f"{key!r} is not a key in quotes")
                    optional = self.sign("?")
                    self.need(":")
                    members[key] = (optional, self.alternatives())
                if not self.sign(","):
                    self.need("}")
                    break
            return ("object", members, others)
        if not self.tokens:
            raise ValueError("ends too early")
        kind, text = self.tokens.pop(0)
        if kind == "sign":
            raise ValueError(f"{text!r} is no shape")
        return ("literal", text) if kind == "quoted" else ("type", text)


def read_shapes(path):
    with open(path, encoding="utf-8") as file:
        text = "".join(line for line in file if not line.startswith("#"))
    shapes = {}
    for name, body in re.findall(r"^([A-Za-z]+(?: [a-z]+)?) = (.*?)(?=^[A-Za-z]+(?: [a-z]+)? = |\Z)", text, re.S | re.M):
        shapes[name] = Shape(body).tree
    return shapes


def wrong(shapes, shape, value, where="$"):
    """What does not fit, as a text; None where all does."""
    kind = shape[0]
    if kind == "any":
        found = [wrong(shapes, choice, value, where) for choice in shape[1]]
        return None if None in found else found[-1]
    if kind == "literal":
        return None if value == shape[1] else f'{where} is {value!r}, not "{shape[1]}"'
    if kind == "type":
        if shape[1] in TYPES:
            return None if TYPES[shape[1]](value) else f"{where} is {value!r}, not {shape[1]}"
        if shape[1] not in shapes:
            raise ValueError(f"{shape[1]} is not defined")
        return wrong(shapes, shapes[shape[1]], value, where)
    if kind == "array":
        if not isinstance(value, list):
            return f"{where} is {value!r}, not an array"
        return next((e for i, v in enumerate(value) if (e := wrong(shapes, shape[1], v, f"{where}[{i}]"))), None)
    if not isinstance(value, dict):
        return f"{where} is {value!r}, not an object"
    for key, (optional, _) in shape[1].items():
        if key not in value and not optional:
            return f"{where} has no {key!r}"
    for key, inner in value.items():
        expected = shape[1][key][1] if key in shape[1] else shape[2]
        if expected is None:
            return f"{where} has a {key!r} that is not in the shape"
        if error := wrong(shapes, expected, inner, f"{where}.{key}"):
            return error
    return None


def main():
    shapes = read_shapes(sys.argv[1])
    name = sys.argv[2]
    if name == "--names":
        print("\n".join(shapes))
        return 0
    if name not in shapes:
        print(f"no shape of that name: {name}")
        return 1
    text = sys.stdin.read()
    try:
        values = [json.loads(text)]
    except json.JSONDecodeError:
        try:
            values = [json.loads(line) for line in text.splitlines()]
        except json.JSONDecodeError as error:
            print(f"not JSON: {error}")
            return 1
        if not values:
            print("no JSON at all")
            return 1
    for value in values:
        if error := wrong(shapes, shapes[name], value):
            print(error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
