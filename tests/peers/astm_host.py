"""`labmcp-astm-lis` as the host of our simulated analyzers.

It is run as it was installed, by its own command: it listens for the analyzer, and what it
received and how the link went is asked of it over its own protocol (JSON-RPC, a line each).
"""

import contextlib
import json
import subprocess

from peer import child, peer_command, peer_environment, simulate, until

CLEAN = {
    "frames_rejected": 0,
    "checksum_errors": 0,
    "frame_number_errors": 0,
    "duplicate_frames": 0,
    "sessions_aborted": 0,
    "bytes_ignored": 0,
    "last_rejection": None,
}


class Host:
    """A running `labmcp-astm-lis`."""

    def __init__(self, process):
        self.process = process
        self.asked = 0
        self._ask(
            "initialize",
            {
                "protocolVersion": "2025-03-26",
                "capabilities": {},
                "clientInfo": {"name": "labwire-peers", "version": "1"},
            },
        )
        self._say({"method": "notifications/initialized"})
        self.port = int(self.status()["address"].rsplit(":", 1)[1])

    def _say(self, what):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **what}) + "\n")
        self.process.stdin.flush()

    def _ask(self, method, parameters):
        self.asked += 1
        self._say({"id": self.asked, "method": method, "params": parameters})
        for line in self.process.stdout:
            answer = json.loads(line)
            if answer.get("id") == self.asked:
                return answer["result"]
        raise EOFError("labmcp-astm-lis ended")

    def _tool(self, name, **arguments):
        answer = self._ask("tools/call", {"name": name, "arguments": arguments})
        return answer["structuredContent"]

    def status(self):
        return self._tool("get_connection_status")

    def settled(self, messages):
        """The status once so many messages are in and the session has ended."""

        def look():
            status = self.status()
            is_done = status["messages"] >= messages and status["session_state"] == "idle"
            return status if is_done else None

        return until(f"{messages} messages at labmcp-astm-lis", look)

    def results(self):
        """Specimen, code, value and unit of every result, in the order they came."""
        found = self._tool("get_results", limit=2000)["results"]
        return [
            (each["sample_id"], each["test_code"], each["value"], each["units"])
            for each in found
        ]

    def details(self):
        """Every field of every result."""
        found = self._tool("get_results", limit=2000)["results"]
        ids = [each["result_id"] for each in found]
        return [self._tool("get_result_detail", result_id=each)["result"] for each in ids]

    def messages(self):
        return self._tool("list_received_messages", limit=500)["messages"]


@contextlib.contextmanager
def host(log):
    options = ["--option", "listen_host=127.0.0.1", "--option", "listen_port=0"]
    command = peer_command("labmcp-astm-lis", "--read-only", *options)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
    with child(command, env=peer_environment(), text=True, **pipes) as process:
        yield Host(process)


def run(checks, log):
    every_record_arrives(checks, log)
    a_bad_line_changes_nothing(checks, log)
    an_unanswered_query_loses_nothing(checks, log)


def every_record_arrives(checks, log):
    who = "labmcp-astm-lis <- generic-astm"
    with host(log) as peer:
        code, sent, last = simulate(
            "generic-astm",
            *("--connect", f"127.0.0.1:{peer.port}", "--specimens", "5", "--usual"),
            *("--tests", "GLU,UREA,CREA,AST,ALT,NA,K,CL,CA,CHOL", "--seed", "3"),
        )
        messages = int(last.split("messages ")[1].split(" ")[0]) if "messages " in last else 5
        status = peer.settled(messages)
        checks.equal(f"{who}: everything is acknowledged", code, 0)
        checks.that(f"{who}: fifty results or more are sent", len(sent) >= 50, last)
        checks.equal(f"{who}: every value and unit arrives as sent", peer.results(), sent)
        # H, P, O and L of each message, and a frame for each R.
        frames = status["link"]["frames_accepted"]
        checks.equal(f"{who}: every frame is taken once", frames, 4 * messages + len(sent))
        found = {name: status["link"][name] for name in CLEAN}
        checks.equal(f"{who}: no checksum, number or byte is refused", found, CLEAN)
        kinds = {(each["complete"], tuple(each["warnings"])) for each in peer.messages()}
        checks.equal(f"{who}: every message is whole and read without a warning", kinds, {(True, ())})


def a_bad_line_changes_nothing(checks, log):
    who = "labmcp-astm-lis <- generic-astm over a bad line"
    with host(log) as peer:
        code, sent, last = simulate(
            "generic-astm",
            *("--connect", f"127.0.0.1:{peer.port}", "--specimens", "3"),
            *("--tests", "GLU,UREA,CREA,AST,ALT,NA", "--seed", "3"),
            *("--faults", "flip=80,split=300"),
        )
        status = peer.settled(3)
        refused = status["link"]["frames_rejected"]
        checks.that(f"{who}: frames are refused and sent again", refused > 0, str(status["link"]))
        checks.equal(f"{who}: everything is acknowledged in the end ({last})", code, 0)
        checks.equal(f"{who}: every value arrives as sent, once", peer.results(), sent)


def an_unanswered_query_loses_nothing(checks, log):
    # It answers no query; the analyzer waits its ten seconds and measures its default panel.
    who = "labmcp-astm-lis <- sysmex-xn"
    with host(log) as peer:
        code, sent, last = simulate(
            "sysmex-xn", "--connect", f"127.0.0.1:{peer.port}", "--specimen", "25011500017"
        )
        status = peer.settled(2)
        kinds = [each["kind"] for each in peer.messages()]
        checks.equal(f"{who}: the query and then the results are read", kinds, ["query", "results"])
        checks.equal(f"{who}: everything is acknowledged ({last})", code, 0)
        # The XN names the tube in the third component of O.4; the host keeps that field whole.
        codes = {each[1] for each in sent}
        details = [each for each in peer.details() if each["test_code"] in codes]
        found = [
            (
                each["instrument_specimen_id"].split("^")[2].strip(),
                *(each[name] for name in ("test_code", "value", "units")),
            )
            for each in details
        ]
        checks.equal(f"{who}: all 21 values arrive as sent", (len(found), found), (21, sent))
        found = {name: status["link"][name] for name in CLEAN}
        checks.equal(f"{who}: no checksum, number or byte is refused", found, CLEAN)
