"""An analyzer by the client of the `astm-2025` package: `astm_sender.py PORT`.

Sends one tube's results, a record a frame, and says how many records were acknowledged.

The package is a port from Python 2 that was left half-way in two places, put right here and
nowhere else: it sends through `buffer`, which is gone, and it takes text for a list of components.
Frames, checksums and the conversation are its own.
"""

import sys

from astm import asynclib, codec
from astm.client import Client

asynclib.buffer = lambda data, start, size: data[start : start + size]
codec.Iterable = (list, tuple)

DELIMITERS = [[None], [None, "&"]]
RESULTS = (
    ("GLU", "6.10", "mmol/L", "3.9 to 6.1", "N"),
    ("CREA", "<15.0", "umol/L", "62 to 106", "L"),
)
acknowledged = []


def test(code):
    return [None, None, None, code]


def records():
    yield ["H", DELIMITERS, None, None, ["PEER", "1.0"], *[None] * 6, "P", "LIS2-A2"]
    yield ["P", "1"]
    yield ["O", "1", "26031000002", None, test("GLU"), "R"]
    for number, (code, value, unit, normal, flag) in enumerate(RESULTS, 1):
        place = str(number)
        yield ["R", place, test(code), value, unit, normal, flag, None, "F"]
    yield ["L", "1", "N"]


class Analyzer(Client):
    """Says why it fails: the package closes the line without a word."""

    def handle_error(self):
        raise


def emitter():
    for record in records():
        acknowledged.append((yield record))


if __name__ == "__main__":
    Analyzer(emitter, host="127.0.0.1", port=int(sys.argv[1]), encoding="latin-1").run()
    print(sum(is_taken is True for is_taken in acknowledged), "of", len(list(records())))
