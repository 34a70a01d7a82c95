"""`labwire run` between senders and a HIS that are not of our making.

`mllp_send` of the `hl7` package sends orders and results; the client of `astm-2025` is an
analyzer; the server of the `hl7` package is the HIS.
"""

import contextlib
import json
import subprocess
import sys
import threading

from peer import BIN, HERE, Log, child, finished, peer_command, peer_environment, until

LAB = """
[lab]
timezone = "Asia/Ho_Chi_Minh"

[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:0"
results = "mllp://127.0.0.1:{results}"
retry_first_s = 1

[[instrument]]
id = "bio-1"
profile = "generic/hl7"
port = "mllp-listen://127.0.0.1:0"
tests = {{ "GLU" = "GLU", "CREA" = "CREA", "HBSAG" = "HBSAG" }}

[[instrument]]
id = "bio-2"
profile = "generic/astm"
port = "tcp-listen://127.0.0.1:0"
tests = {{ "GLU" = "GLU", "CREA" = "CREA" }}
"""


class His:
    """The receiver's process, and what it took."""

    def __init__(self, process):
        self.port = json.loads(process.stdout.readline())["port"]
        self.taken = []
        self.reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self.reader.start()

    def _read(self, stream):
        for line in stream:
            self.taken.append(json.loads(line))

    def observations(self):
        """Patient, tube and OBX fields of every result taken. An order's SPM stands after its OBX."""
        found = []
        for message in list(self.taken):
            patient, of_order = "", []
            for segment in bytes.fromhex(message["raw"]).decode("utf-8").split("\r"):
                fields = segment.split("|")
                if fields[0] == "PID":
                    patient = fields[3].split("^")[0]
                elif fields[0] == "ORC":
                    of_order = []
                elif fields[0] == "OBX":
                    of_order.append([patient, "", fields])
                    found.append(of_order[-1])
                elif fields[0] == "SPM":
                    for each in of_order:
                        each[1] = fields[2].split("^")[0].split("&")[0]
        return found


def mllp_send(port, path, *options):
    """What `mllp_send` printed: the acknowledgements, each message's segments in a list."""
    arguments = ["--file", str(path), "--port", str(port), *options, "127.0.0.1"]
    done = finished(peer_command("mllp_send", *arguments), env=peer_environment())
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode("utf-8", "replace"))
    blocks = done.stdout.split(b"\x1c\r")
    texts = [block.split(b"\x0b", 1)[1].decode("utf-8") for block in blocks if b"\x0b" in block]
    return [[segment.split("|") for segment in text.split("\r") if segment] for text in texts]


def fields_of(answer, name):
    return [segment for segment in answer if segment[0] == name]


def run(checks, folder):
    log = (folder / "receiver.log").open("w")
    receiver = [sys.executable, str(HERE / "receiver.py")]
    pipes = {"stdout": subprocess.PIPE, "stderr": log}
    with child(receiver, env=peer_environment(), text=True, **pipes) as process:
        his = His(process)
        lab = folder / "lab.toml"
        lab.write_text(LAB.format(results=his.port), encoding="utf-8")
        with labwire(lab) as (bridge, lines):
            orders(checks, lines.port("host:his"))
            results(checks, lines.port("bio-1"), folder, his)
            astm(checks, lines.port("bio-2"), his, lab)
        stopped(checks, bridge, his, lab)
    log.close()


@contextlib.contextmanager
def labwire(lab):
    command = [str(BIN / "labwire"), "run", "-c", str(lab), "--log-format", "json"]
    with child(command, stderr=subprocess.PIPE, text=True) as bridge:
        yield bridge, Log(bridge.stderr)


def orders(checks, port):
    who = "mllp_send -> labwire, OML^O21"
    answers = mllp_send(port, HERE / "order.hl7", "--loose")
    checks.equal(f"{who}: every order is answered", len(answers), 3)
    for answer, control in zip(answers, ["PEER-O1", "PEER-O2", "PEER-O3"]):
        kind = fields_of(answer, "MSH")[0][8]
        said = fields_of(answer, "MSA")[0][1:3]
        found = [kind, *said]
        checks.equal(f"{who}: {control} is answered", found, ["ORL^O22^ORL_O22", "AA", control])
    codes = [[each[1:3] for each in fields_of(answer, "ORC")] for answer in answers]
    taken = [[["OK", f"P{n}^HIS"] for n in numbers] for numbers in ([1, 2, 3], [4, 5])]
    checks.equal(f"{who}: the orders on a tube are taken", codes[:2], taken)
    checks.equal(f"{who}: the order that names no tube is not", codes[2], [["UA", "P6^HIS"]])


def results(checks, port, folder, his):
    who = "mllp_send -> labwire -> hl7 server"
    text = (HERE / "result.hl7").read_text(encoding="utf-8")
    framed = folder / "result.mllp"
    message = text.replace("\n", "\r").encode("utf-8")
    framed.write_bytes(b"\x0b" + message + b"\x1c\r")
    answers = mllp_send(port, framed)
    said = [fields_of(answer, "MSA")[0][1:3] for answer in answers]
    checks.equal(f"{who}: the result is acknowledged", said, [["AA", "PEER-R1"]])
    sent = {}
    for line in text.splitlines():
        fields = line.split("|")
        if fields[0] == "OBX":
            code = fields[3].split("^")[0]
            sent[code] = ("PN0001", "26031000001", fields[2], fields[5], fields[6], fields[11])
    until("three results at the HIS", lambda: len(his.observations()) >= 3)
    checks.equal(f"{who}: type, value, unit and status arrive as sent", posted(his, "26031000001"), sent)
    again = mllp_send(port, framed)
    said = [fields_of(answer, "MSA")[0][1:3] for answer in again]
    checks.equal(f"{who}: the same message again is acknowledged", said, [["AA", "PEER-R1"]])


def posted(his, wanted):
    """Patient, tube, type, value, unit and status of a tube's results, by test."""
    found = {}
    for patient, tube, obx in his.observations():
        if tube == wanted:
            code = obx[3].split("^")[0]
            unit = obx[6].split("^")[0]
            found[code] = (patient, tube, obx[2], obx[5], unit, obx[11])
    return found


def astm(checks, port, his, lab):
    who = "astm-2025 -> labwire"
    sender = [sys.executable, str(HERE / "astm_sender.py"), str(port)]
    done = finished(sender, env=peer_environment())
    said = done.stdout.decode().strip() or done.stderr.decode()
    checks.equal(f"{who}: every record is acknowledged", said, "6 of 6")
    until("five results at the HIS", lambda: len(his.observations()) >= 5)
    expected = {
        "GLU": ("PN0002", "26031000002", "NM", "6.10", "mmol/L", "F"),
        "CREA": ("PN0002", "26031000002", "SN", "<^15.0", "umol/L", "F"),
    }
    checks.equal(f"{who} -> hl7 server: the values arrive as sent", posted(his, "26031000002"), expected)
    traced = finished([str(BIN / "labwire"), "trace", "26031000002", "-c", str(lab)])
    shown = traced.stdout.decode("utf-8")
    checks.that(
        f"{who}: labwire trace shows the record as it was on the wire",
        "R|2|^^^CREA|<15.0|umol/L|62 to 106|L||F" in shown,
        shown or traced.stderr.decode(),
    )


def stopped(checks, bridge, his, lab):
    who = "labwire -> hl7 server"
    checks.equal("labwire: stops in order", bridge.returncode, 0)
    errors = [message["error"] for message in his.taken if "error" in message]
    checks.equal(f"{who}: the hl7 package reads every message", errors, [])
    read = [value for message in his.taken for value in message.get("values", [])]
    sent = [obx[5] for _, _, obx in his.observations()]
    checks.equal(f"{who}: the hl7 package finds every value in its place", read, sent)
    checks.equal(f"{who}: every result arrives once", len(sent), 5)
    ledger = finished([str(BIN / "labwire"), "ledger", "-c", str(lab)])
    checks.that(
        "labwire ledger: every message is accounted for",
        ledger.returncode == 0,
        (ledger.stdout + ledger.stderr).decode("utf-8"),
    )
