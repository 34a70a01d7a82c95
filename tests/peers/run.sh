#!/usr/bin/env bash
# Labwire and its simulators against peers not of our making, over loopback:
#
#   mllp_send (PyPI hl7)        orders and results into `labwire run`
#   hl7.mllp server (PyPI hl7)  the HIS that takes the results
#   astm-2025 (PyPI)            an analyzer into `labwire run`
#   labmcp-astm-lis (PyPI)      the host of `labwire-sim`'s analyzers
#
#     cargo build --workspace && tests/peers/run.sh
#
# CARGO_TARGET_DIR is honoured. PEERS_SITE names a folder where the peers are already installed
# (`pip install --target FOLDER -r tests/peers/requirements.txt`); without it they are installed
# into a folder that is removed at the end. One line a check, then the count; exit 1 on a failure.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# As cargo does it for whoever stands in the root: a relative folder is relative to that.
cd "$root"
export PEERS_BIN="${CARGO_TARGET_DIR:-$root/target}/debug"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED  $1"
    echo "0 passed, 1 failed"
    exit 1
}

python=$(command -v python3) || fail "python3 is there"
for program in labwire labwire-sim; do
    [[ -x "$PEERS_BIN/$program" ]] || fail "$program is built (cargo build --workspace)"
done

# A pip: that of this Python, or that of a venv, whichever the machine has.
pip() {
    if "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m pip "$@"
    elif "$python" -m venv "$work/venv" >/dev/null 2>&1; then
        "$work/venv/bin/python" -m pip "$@"
    else
        echo "neither pip nor venv: install python3-pip or python3-venv" >&2
        return 1
    fi
}

# --target needs no venv to run from, and is no change to an externally managed Python.
if [[ -z "${PEERS_SITE:-}" ]]; then
    PEERS_SITE="$work/site"
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
    export -f pip
    export python work
    timeout 480 bash -c 'pip install --quiet --target "$0" -r "$1"' \
        "$PEERS_SITE" "$here/requirements.txt" >"$work/pip.log" 2>&1 ||
        { cat "$work/pip.log" >&2; fail "the peers are installed from PyPI"; }
fi
export PEERS_SITE

# main.py ends its children when it is ended, by the bound or because this script is.
PYTHONDONTWRITEBYTECODE=1 PYTHONUTF8=1 \
    timeout --kill-after=30 300 "$python" "$here/main.py" "$work" &
running=$!
trap 'kill "$running" 2>/dev/null || true' INT TERM
status=0
wait "$running" || status=$?
# A trapped signal ends the first wait; the children are still stopping.
wait "$running" 2>/dev/null || true
if ((status != 0)); then
    for log in "$work"/*.log; do
        [[ -s "$log" ]] && { echo "--- ${log##*/}"; tail -n 40 "$log"; } >&2
    done
    exit 1
fi
