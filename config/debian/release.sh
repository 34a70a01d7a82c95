#!/usr/bin/env bash
# The release build, the same bytes wherever it is made: no path of the machine, no time, nothing drawn at
# random, and the number of compilers at work decides nothing (codegen-units is fixed). What has to be equal is
# the toolchain (`rustc --version`), the C compiler and Cargo.lock. reproducible.sh builds twice and compares.
#
#     bash config/debian/release.sh [other arguments of cargo build]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

here="$(pwd -P)"
target="$(realpath -m "${CARGO_TARGET_DIR:-target}")"
cargo_home="$(realpath -m "${CARGO_HOME:-$HOME/.cargo}")"
sysroot="$(rustc --print sysroot)"
# The last that fits wins, so the longest comes last.
map=(
    "--remap-path-prefix=$cargo_home=/cargo"
    "--remap-path-prefix=$sysroot=/rust"
    "--remap-path-prefix=$here=/labwire"
    "--remap-path-prefix=$target=/target"
)
# Arguments are told apart by the byte 1F: a path may hold a blank.
CARGO_ENCODED_RUSTFLAGS="$(IFS=$'\x1f'; printf '%s' "${map[*]}")"
export CARGO_ENCODED_RUSTFLAGS
# SQLite, ring and mimalloc are C: __FILE__ and the like.
export CFLAGS="${CFLAGS:-} -ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$target=/target -ffile-prefix-map=$here=/labwire"
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
export SOURCE_DATE_EPOCH
export CARGO_INCREMENTAL=0
# Cargo itself, which speaks TLS to the registry, and build scripts draw as ever: only compilers are told the same.
tools="$target/release-tools"
mkdir -p "$tools"
"${CC:-cc}" -shared -fPIC -O2 -o "$tools/fixed_random.so" config/debian/fixed_random.c
cat >"$tools/rustc" <<'WRAPPER'
#!/bin/sh
LD_PRELOAD="$(dirname "$0")/fixed_random.so" exec "$@"
WRAPPER
chmod +x "$tools/rustc"
export RUSTC_WRAPPER="$tools/rustc"
cargo build --release --locked --bin labwire "$@"
