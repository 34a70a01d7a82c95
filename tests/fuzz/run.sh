#!/usr/bin/env bash
# run.sh TARGET[,TARGET…] SECONDS [FOLDER]: one run of the fuzzer, from a bare machine with Rust.
#
#     bash tests/fuzz/run.sh astm_link 900
#     bash tests/fuzz/run.sh bci_message,sysmex_text 60 /tmp/fuzz
#
# Without arguments it tells the targets. What is built, the corpus that grows and inputs that broke
# something are below FOLDER (target/fuzz where none is given), never in the repository. Several
# targets share a run: the first byte of an input chooses. No nightly compiler: the coverage of
# libFuzzer is a pass of LLVM, which rustc.sh asks for.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
targets="${1:-}"
seconds="${2:-60}"
folder="${3:-$here/../../target/fuzz}"
mkdir -p "$folder"
folder="$(cd "$folder" && pwd)"

if ! command -v c++ >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++
fi

# Targets of the protocols alone are built without all the rest.
features=()
if [[ -n "${LABWIRE_FUZZ_WIRES:-}" ]]; then
    features=(--no-default-features)
fi
build="${LABWIRE_FUZZ_BUILD:-$folder/build}"
RUSTC_WRAPPER="$here/rustc.sh" CARGO_TARGET_DIR="$build" \
    cargo build --manifest-path "$here/Cargo.toml" --locked "${features[@]}"
fuzzer="$build/debug/labwire-fuzz"
if [[ -z "$targets" ]]; then
    "$fuzzer" || true
    exit 0
fi

corpus="$folder/corpus/${targets//,/+}"
broken="$folder/broken/${targets//,/+}"
mkdir -p "$corpus" "$broken"
python3 "$here/seeds.py" "$corpus" "$targets"
LABWIRE_FUZZ="$targets" exec "$fuzzer" -max_total_time="$seconds" -max_len="${LABWIRE_FUZZ_LEN:-2048}" \
    -timeout=120 -rss_limit_mb=2048 -artifact_prefix="$broken/" -print_final_stats=1 "$corpus"
