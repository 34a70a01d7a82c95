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
    "host_inbound": ("law",),
    "host_answer": ("hl7",),
    "learn": ("astm", "hl7", "capture"),
}
# Targets whose first byte chooses something.
CHOOSING = {"beckman_text": b"\0", "sysmex_text": b"\0"}
# Inputs of our own, for targets that no example of a profile leads to.
WRITTEN = {
    "ucum": [b"10*9/L", b"mmol/L\nmmol/L", b"g/L\nmg/dL", b"m[IU]/L\nu[IU]/mL", b"ug/mL{FEU}", b"%\n1", b"(kg.m/s2)/m2\nPa"],
    "host_inbound": [
        b"aPID|1||M1^^^BV01^MR||TRAN^BINH||19800312|M\rORC|NW|P9\rOBR|1|P9||CBC\rSPM|1|T9||BLD\r",
        b"cPID|1||M1\rORC|CA|P1\rOBR|1|P1||CBC\r",
        b"dPID|1||MRN1^^^BV01^MR||TRAN^BINH\r",
        b"ePID|1||MRN1^^^BV01^MR\rMRG|MRN2^^^BV01^MR\r",
        b"BHS|^~\\&\rMSH|^~\\&|HIS||||1||OML^O21|1|P|2.5.1\rPID|1\rORC|NW|P8\rOBR|1|P8||WBC\rBTS|1\r",
    ],
    "host_orders": [
        b'a"id":1,"action":"new","placer":"P9","barcode":"T9","tests":["CBC"],"patient":{"ids":[{"id":"M1"}]}',
        b'{"cursor":"1","orders":[]}',
        b'a"id":2,"action":"cancel","placer":"P1"',
        b'a"id":3,"action":"merge","patient":{"ids":[{"id":"MRN1"}]},"merged":[{"id":"MRN2"}]',
    ],
    "host_answer": [b"aAA|7\r", b"aAR|7\rERR||MSH^1|207|E\r", b"aAE|7|no\rERR||PID^1^3|204&x|E\r", b"aCR|7\r"],
    "queue": [
        bytes([0, 0, 0, 1, 0, 3, 0, 0, 3, 1, 7, 6, 0, 0, 0]),
        bytes([2, 0, 1, 0, 3, 1, 2, 3, 1, 7, 6, 1, 2, 1, 9, 0, 0, 10, 200, 3, 0, 2, 3, 1, 7]),
        bytes([0, 1, 1, 1, 2, 2, 2, 0, 3, 0, 0, 3, 1, 1, 9, 0, 0, 3, 1, 0, 3, 1, 7, 11, 0, 8, 0, 0]),
    ],
}
FRAMES = re.compile(rb"[\x02\x0b]|\r?\x03|\x17|\x1c\r|\x04|\x05")


def seeds(target):
    yield from WRITTEN.get(target, [])
    if target in ("profile_file", "lab_file", "catalogue_file"):
        below = {"profile_file": "profiles", "lab_file": "example", "catalogue_file": "."}[target]
        for file in sorted((ROOT / "config" / below).rglob("*.toml")):
            yield file.read_bytes()[:4 * LONGEST]
    if target == "profile_decode":
        names = re.findall(r'^ +"([a-z0-9_-]+/[a-z0-9_-]+)",$', (ROOT / "src/profile/library.rs").read_text(), re.M)
        for name in names:
            profile = tomllib.loads((ROOT / f"config/profiles/{name}.toml").read_text())
            for example in profile.get("example", []):
                text = FRAMES.sub(b"", of_wire(example["wire"]))
                yield bytes([names.index(name), 3]) + re.sub(rb"(^|\r)\d(?=[A-Z]\|)", rb"\1", text)
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
