"""What every check shares: counting, and child processes that never outlive it."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

# A bound for what is broken, not a wait: nothing here takes this long.
PATIENCE_S = 45

HERE = Path(__file__).resolve().parent
BIN = Path(os.environ["PEERS_BIN"])  # labwire and labwire-sim
SITE = Path(os.environ["PEERS_SITE"])  # where pip put the peers


class Checks:
    """One line a check."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def equal(self, what, found, expected):
        self.that(what, found == expected, f"found {found!r}, expected {expected!r}")

    def that(self, what, is_so, otherwise=""):
        if is_so:
            self.passed += 1
            print(f"ok      {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAILED  {what}: {otherwise}", flush=True)


def until(what, look):
    """What `look` gives as soon as it gives anything."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise TimeoutError(f"{what}: not within {PATIENCE_S} s")


def peer_environment():
    """Where the installed peers are found; they look for no updates and draw no banner."""
    return dict(
        os.environ,
        PYTHONPATH=str(SITE),
        PYTHONDONTWRITEBYTECODE="1",
        FASTMCP_CHECK_FOR_UPDATES="off",
        FASTMCP_SHOW_SERVER_BANNER="false",
        FASTMCP_LOG_LEVEL="WARNING",
    )


def peer_command(name, *arguments):
    """An installed command, by the interpreter that runs this: a script's first line may lie."""
    return [sys.executable, str(SITE / "bin" / name), *arguments]


@contextlib.contextmanager
def child(command, **how):
    """A process that is stopped in order at the end, and killed if it will not."""
    process = subprocess.Popen(command, **how)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def finished(command, **how):
    """A command that ends by itself; its outcome."""
    return subprocess.run(
        command, capture_output=True, timeout=PATIENCE_S * 2, check=False, **how
    )


def simulate(persona, *arguments):
    """Runs a simulated analyzer to its end; the results it sent, and its last line."""
    done = finished([str(BIN / "labwire-sim"), persona, *arguments])
    lines = done.stdout.decode("utf-8").splitlines()
    sent = [tuple(line.split(" ")) for line in lines if line.count(" ") == 3]
    return done.returncode, sent, lines[-1] if lines else done.stderr.decode()


class Log:
    """The JSON log of `labwire run`, read as it is written."""

    def __init__(self, stream):
        self.events = []
        self.reader = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.reader.start()

    def _read(self, stream):
        for line in stream:
            with contextlib.suppress(ValueError):
                self.events.append(json.loads(line))

    def port(self, line):
        """Where a line listens; the system chose the port."""

        def look():
            for event in list(self.events):
                fields = event.get("fields", {})
                is_it = event.get("span", {}).get("line") == line
                if is_it and fields.get("message") == "listening" and "at" in fields:
                    return int(fields["at"].rsplit(":", 1)[1])
            return None

        return until(f"{line} listens", look)
