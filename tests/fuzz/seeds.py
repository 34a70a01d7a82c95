#!/usr/bin/env python3
"""seeds.py FOLDER TARGET[,TARGET…]: what a run begins with, as files in FOLDER.

From the worked examples of config/profiles, from the corpus, and from captures where they stand beside
the project (../shared/captures) unless LABWIRE_FUZZ_OWN is set: those are read in place, shortened,
and never leave FOLDER, which is no part of the repository.
"""

import hashlib
import os
import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
MARKS = {
    "NUL": 0, "SOH": 1, "STX": 2, "ETX": 3, "EOT": 4, "ENQ": 5, "ACK": 6, "LF": 10, "VT": 11, "CR": 13,
    "NAK": 21, "ETB": 23, "FS": 28, "GS": 29, "RS": 30,
}
LONGEST = 2_000


def of_wire(text):
    """The bytes of an example: lines joined, marks replaced, checksums of ASTM counted."""
    out = bytearray()
    begun = 0
    for part in re.split(r"<([A-Z]{2,3}|[0-9A-F]{2})>|\n", text):
        if part is None:
            continue
        if part in MARKS:
            out.append(MARKS[part])
            if part == "STX":
                begun = len(out)
        elif part == "CS":
            out += b"%02X" % (sum(out[begun:]) % 256)
        elif re.fullmatch(r"[0-9A-F]{2}", part):
            out.append(int(part, 16))
        else:
            out += part.encode()
    return bytes(out)


def inputs():
    """Protocol and bytes of everything there is."""
    for file in sorted((ROOT / "config/profiles").rglob("*.toml")):
        profile = tomllib.loads(file.read_text())
        protocol = profile.get("device", {}).get("protocol", "astm")
        for example in profile.get("example", []):
            yield protocol, of_wire(example["wire"])
    captures = ROOT / "../shared/captures"
    for file in sorted(captures.rglob("*")) if captures.is_dir() and not os.environ.get("LABWIRE_FUZZ_OWN") else []:
        if file.is_file() and file.stat().st_size < 200_000:
            yield "capture", file.read_bytes()[:LONGEST]


def operations(configuration, stream):
    """The stream as what machines are driven by: pieces, and a store that answers now and then."""
    out = bytearray(configuration)
    for at in range(0, min(len(stream), LONGEST), 120):
        piece = stream[at:at + 120]
        out += bytes([0, len(piece)]) + piece + bytes([9, 0])
    return bytes(out)


LINKS = {
    "astm_link": (("astm", "capture"), bytes(3)),
    "mllp_endpoint": (("hl7", "law", "capture"), bytes(4)),
    "beckman_link": (("beckman-au",), b"\x01\x02"),
    "dimension_link": (("dimension",), b"\x01\x02"),
    "poct1a_link": (("poct1a",), b"\x01\x00"),
    "bci_link": (("bci",), b"\x01\x02"),
    "sysmex_link": (("sysmex-legacy",), b"\x01"),
}
TEXTS = {
    "astm_records": ("astm",),
    "astm_deframe": ("astm", "capture"),
    "hl7_message": ("hl7", "law"),
    "law_tree": ("law",),
    "automation_message": ("hl7",),
    "beckman_text": ("beckman-au",),
    "dimension_message": ("dimension",),
    "poct1a_xml": ("poct1a",),
    "bci_message": ("bci",),
    "sysmex_text": ("sysmex-legacy",),
    "host_inbound": ("hl7", "law"),
    "host_answer": ("hl7",),
    "learn": ("astm", "hl7", "capture"),
}
# Targets whose first byte chooses something.
CHOOSING = {"beckman_text": b"\0", "sysmex_text": b"\0"}
FRAMES = re.compile(rb"[\x02\x0b]|\r?\x03|\x17|\x1c\r|\x04|\x05")


def seeds(target):
    if target in ("profile_file", "lab_file", "catalogue_file"):
        below = {"profile_file": "profiles", "lab_file": "example", "catalogue_file": ""}[target]
        for file in sorted((ROOT / "config" / below).rglob("*.toml")):
            yield file.read_bytes()[:4 * LONGEST]
    if target == "profile_decode":
        for protocol, data in inputs():
            for choice in range(8):
                yield bytes([choice * 9]) + FRAMES.sub(b"", data)
    for protocol, data in inputs():
        if target in LINKS and protocol in LINKS[target][0]:
            yield operations(LINKS[target][1], data)
        if target in TEXTS and protocol in TEXTS[target]:
            is_framed = target in ("astm_deframe", "learn")
            yield CHOOSING.get(target, b"") + (data if is_framed else FRAMES.sub(b"", data))


def committed(target):
    """The corpus of the repository: a line of hexadecimal digits for each input."""
    file = ROOT / "tests/fuzz/corpus" / f"{target}.hex"
    lines = file.read_text().splitlines() if file.exists() else []
    return [bytes.fromhex(line) for line in lines if line and not line.startswith("#")]


def main():
    folder, targets = pathlib.Path(sys.argv[1]), sys.argv[2].split(",")
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for at, target in enumerate(targets):
        for data in [*seeds(target), *committed(target)]:
            data = data if len(targets) == 1 else bytes([at]) + data
            (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
            count += 1
    print(f"{count} seeds")


main()
