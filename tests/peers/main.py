"""All checks against peers; one line each, then the count. See run.sh."""

import signal
import sys
import traceback
from pathlib import Path

import astm_host
import bridge
from peer import Checks


def main(folder):
    # Ended from outside, children are ended too: the exception runs every `finally`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    checks = Checks()
    with (folder / "astm-host.log").open("w") as host_log:
        parts = {
            "mllp_send and astm-2025 as senders": lambda: bridge.run(checks, folder),
            "labmcp-astm-lis as host": lambda: astm_host.run(checks, host_log),
        }
        for name, part in parts.items():
            try:
                part()
            except Exception as error:  # a part that breaks is a failure; the others still run
                traceback.print_exc()
                checks.that(f"{name}: runs to its end", False, f"{type(error).__name__}: {error}")
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
