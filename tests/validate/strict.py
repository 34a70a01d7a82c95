#!/usr/bin/env python3
"""Validates HL7 messages strictly, by a library that knows nothing of Labwire.

    pip install hl7apy==1.3.5
    LABWIRE_DUMP=/tmp/dump cargo test -p labwire --lib every_kind_of_message
    python3 tests/validate/strict.py /tmp/dump

Prints a line a message; exits 1 if one is refused, 2 if there is nothing to validate.

Two things that hl7apy gets wrong are put right here, and nothing else:

- A choice of segments (ORR^O02 of 2.3.1 and 2.4: OBR or RQD or RQ1 ...) is read as if every one of
  them were required. Here exactly one is.
- OBX-5 is read as ST whatever OBX-2 says, so that before 2.6 nothing there may be longer than 199
  characters. TX and ED may be up to 65536; a component of theirs is cut to 199 for hl7apy alone,
  and the line says so.
"""

import importlib
import sys
from pathlib import Path

from hl7apy import SUPPORTED_LIBRARIES
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

ST_MAX = 199
LONG_TYPES = ("TX", "FT", "ED")
CHOICES = {}


def repair_choices():
    """Makes the segments of every choice optional, and remembers which they were."""
    for library in SUPPORTED_LIBRARIES.values():
        groups = importlib.import_module(library + ".groups").GROUPS
        for name, reference in groups.items():
            if reference[0] == "choice":
                CHOICES[name] = [child[0] for child in reference[1]]
                for child in reference[1]:
                    child[2] = (0, child[2][1])


def check_choices(element):
    """Exactly one segment of every choice must be there."""
    for child in getattr(element, "children", []):
        if child.name in CHOICES and len(child.children) != 1:
            raise ValueError(f"{child.name} has {len(child.children)} segments, not one")
        if child.classname == "Group":
            check_choices(child)


def shortened(text):
    """The message with OBX-5 of the long types cut, and whether anything was cut."""
    segments = text.split("\r")
    for index, segment in enumerate(segments):
        fields = segment.split("|")
        if fields[0] == "OBX" and len(fields) > 5 and fields[2] in LONG_TYPES:
            fields[5] = "^".join(part[:ST_MAX] for part in fields[5].split("^"))
            segments[index] = "|".join(fields)
    short = "\r".join(segments)
    return short, short != text


def verdict(path):
    """Whether the message in `path` is valid, and in words."""
    text, was_cut = shortened(path.read_bytes().decode("utf-8"))
    try:
        message = parse_message(text, validation_level=VALIDATION_LEVEL.STRICT)
        message.validate()
        check_choices(message)
    except Exception as error:  # hl7apy raises many kinds; every one is a refusal
        return False, f"{type(error).__name__}: {error}"
    # What was read is what was sent: nothing was skipped to make it valid.
    sent = [line.split("|")[0] for line in text.split("\r") if line]
    read = [line.split("|")[0] for line in message.to_er7().split("\r") if line]
    if sent != read:
        return False, f"segments sent {' '.join(sent)}, read {' '.join(read)}"
    return True, "valid, OBX-5 cut for hl7apy" if was_cut else "valid"


def main(folders):
    files = [path for folder in folders for path in sorted(Path(folder).glob("*.hl7"))]
    if not files:
        print("no .hl7 files to validate", file=sys.stderr)
        return 2
    repair_choices()
    refused = 0
    for path in files:
        is_valid, words = verdict(path)
        refused += not is_valid
        print(f"{path.stem}: {words}")
    print(f"{len(files) - refused} of {len(files)} valid")
    return 1 if refused else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: strict.py FOLDER...")
    sys.exit(main(sys.argv[1:]))
