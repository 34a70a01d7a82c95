#!/usr/bin/env bash
# Stands before rustc (RUSTC_WRAPPER): our own crates are compiled so that libFuzzer sees which
# branches an input takes and what it was compared with; the crates of others are compiled plainly. With
# LABWIRE_FUZZ_LINES (coverage.sh) lines are counted instead.
set -euo pipefail
ours='^(labwire|labwire_protocols|labwire_drivers|labwire_sims|hl7_parser)$'
crate=
previous=
for argument in "$@"; do
    if [[ "$previous" == --crate-name ]]; then crate="$argument"; fi
    previous="$argument"
done
if [[ "$crate" =~ ^(labwire|labwire_protocols|labwire_fuzz)$ && -n "${LABWIRE_FUZZ_LINES:-}" ]]; then
    exec "$@" -Cinstrument-coverage
fi
if [[ "$crate" =~ $ours && -z "${LABWIRE_FUZZ_LINES:-}" ]]; then
    exec "$@" -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
fi
exec "$@"
