#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""report_data.py PAGE EXPRESSION - the value of a Python expression about the data in a page of tarn report.

It may use d, the head; s, the sections by name; and sites(), a dictionary from a call site's function to
[allocations, bytes, leaked bytes, temporary, bytes at the peak].
"""

import array
import base64
import json
import re
import struct
import sys
import zlib

CODES = {"u8": "B", "u16": "H", "u32": "I", "f64": "d"}


def read(path):
    with open(path, encoding="utf-8") as page:
        found = re.findall(r'<script type="text/plain" id="tarn-data">([A-Za-z0-9+/=]*)</script>', page.read())
    assert len(found) == 1, "the page has no one place for data"
    raw = zlib.decompress(base64.b64decode(found[0]))
    size = struct.unpack("<I", raw[:4])[0]
    assert (4 + size) % 8 == 0, "the head does not end at a multiple of 8"
    head = json.loads(raw[4 : 4 + size])
    sections = {}
    for name, about in head["sections"].items():
        numbers = array.array(CODES[about["type"]])
        begin = 4 + size + about["offset"]
        assert about["offset"] % 8 == 0, name
        numbers.frombytes(raw[begin : begin + numbers.itemsize * about["count"]])
        assert len(numbers) == about["count"], name
        if sys.byteorder == "big":
            numbers.byteswap()
        sections[name] = numbers
    return head, sections


d, s = read(sys.argv[1])


def text(number):
    begin = s["text.ends"][number - 1] if number > 0 else 0
    return bytes(s["text.bytes"][begin : s["text.ends"][number]]).decode()


def function(node):
    return text(s["frame.function"][s["node.frame"][node]])


def path(node):
    names = []
    while node != 0:
        names.append(function(node))
        node = s["node.parent"][node]
    return list(reversed(names))


def sites():
    result = {}
    for at, node in enumerate(s["cell.node"]):
        site = result.setdefault(function(node), [0, 0, 0, 0, 0])
        site[0] += s["cell.allocs"][at]
        site[1] += int(s["cell.bytes"][at])
        site[2] += int(s["cell.bytes"][at] - s["cell.freed"][at])
        site[3] += s["cell.temporary"][at]
    for node, peak in enumerate(s["node.peak_bytes"]):
        if function(node) in result:
            result[function(node)][4] += int(peak)
    return result


def paths():
    return [path(node) for node in set(s["cell.node"])]


print(eval(sys.argv[2]))
