#!/usr/bin/env bash
# coverage.sh FOLDER: which lines the corpora below FOLDER (as run.sh grows them, a folder for each
# run) reach, by module. Needs llvm-profdata and llvm-cov of the compiler's LLVM (the component
# llvm-tools of rustup), on PATH or in the folder that LABWIRE_LLVM names.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
folder="$(cd "$1" && pwd)"
tools="${LABWIRE_LLVM:+$LABWIRE_LLVM/}"
features=()
if [[ -n "${LABWIRE_FUZZ_WIRES:-}" ]]; then
    features=(--no-default-features)
fi
build="$folder/coverage"
LABWIRE_FUZZ_COVERAGE=1 RUSTC_WRAPPER="$here/rustc.sh" CARGO_TARGET_DIR="$build" \
    RUSTFLAGS="-Clink-arg=-Wl,--undefined=__llvm_profile_runtime" \
    cargo build --manifest-path "$here/Cargo.toml" --locked "${features[@]}"
fuzzer="$build/debug/labwire-fuzz"
mkdir -p "$build/raw"
for corpus in "$folder"/corpus/*; do
    name="$(basename "$corpus")"
    find "$corpus" -type f -print0 |
        LABWIRE_FUZZ="${name//+/,}" LLVM_PROFILE_FILE="$build/raw/%m_%p.profraw" \
            xargs -0 -n 400 "$fuzzer" >/dev/null 2>&1 || true
done
"${tools}llvm-profdata" merge -sparse "$build"/raw/*.profraw -o "$build/all.profdata"
"${tools}llvm-cov" report "$fuzzer" -instr-profile="$build/all.profdata" \
    --ignore-filename-regex='registry|rustc/|tests/fuzz' --show-region-summary=true >"$build/report"
python3 - "$build/report" <<'P'
import collections, re, sys
rows = collections.defaultdict(lambda: [0, 0, 0, 0])
for line in open(sys.argv[1]):
    cells = line.split()
    if len(cells) < 10 or not cells[0].endswith(".rs"):
        continue
    numbers = [int(cell) for cell in cells[1:] if cell.isdigit()]
    parts = re.sub(r"(^|.*/)src/", "", cells[0]).removesuffix(".rs").split("/")
    depth = 2 if parts[0] in ("hl7", "astm") and len(parts) > 2 else 1
    row = rows["/".join(parts[:depth])]
    row[0] += numbers[0]; row[1] += numbers[1]; row[2] += numbers[4]; row[3] += numbers[5]
print("module lines reached% regions reached%")
for name, (regions, missed, lines, unreached) in sorted(rows.items()):
    if lines:
        print(name, lines, round(100 * (lines - unreached) / lines), regions, round(100 * (regions - missed) / max(regions, 1)))
P
