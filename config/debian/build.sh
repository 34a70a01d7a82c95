#!/usr/bin/env bash
# Makes the Debian package, with cargo-deb (`cargo install cargo-deb --locked`):
#
#     bash config/debian/build.sh [--dev | --built] [--version 0.1.0-1]
#
# --dev packages an ordinary build, which is made in a fraction of the time, --built the one that is there;
# a release is made by config/debian/release.sh, the same bytes wherever it is made. Prints the path of
# the package.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

profile=release
how=--release
more=()
while (($# > 0)); do
    case "$1" in
        --dev | --built)
            profile=dev
            how=$1
            ;;
        --version)
            more+=(--deb-version "$2")
            shift
            ;;
        *)
            sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
            exit 2
            ;;
    esac
    shift
done

target="${CARGO_TARGET_DIR:-target}"
folder=release
if [[ $profile == dev ]]; then
    folder=debug
    # As the tests build it, so that nothing is built twice.
    [[ $how == --built ]] || cargo build --locked --workspace >&2
else
    bash config/debian/release.sh >&2
fi

# What a package holds is as old as what it was made from. Not before the build: build scripts of C
# sources begin anew when it changes.
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
export SOURCE_DATE_EPOCH
made="$target/$folder/package"
rm -rf "$made"
mkdir -p "$made"
labwire="$target/$folder/labwire"
"$labwire" man "$made/man"
gzip -n9 "$made"/man/*.1
"$labwire" completions bash >"$made/labwire.bash"
"$labwire" completions zsh >"$made/_labwire"
"$labwire" completions fish >"$made/labwire.fish"
python3 config/debian/sbom.py >"$made/sbom.cdx.json"

fast=()
if [[ $profile == dev ]]; then
    fast=(--fast --strip)
fi
cargo deb --quiet --no-build --no-dbgsym --profile "$profile" --package labwire "${fast[@]}" "${more[@]}"
