#!/usr/bin/env bash
# Builds the release in two folders of different names and compares the bytes. Takes two builds from
# nothing:
#
#     bash config/debian/reproducible.sh [other arguments of cargo build]
#
# `--config profile.release.lto=false` is quicker and shows the same but for the linker's part.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

own="$(mktemp -d)"
trap 'rm -rf "$own"' EXIT
# One commit and its time for both, whatever is committed meanwhile.
commit="$(git rev-parse HEAD)"
SOURCE_DATE_EPOCH="$(git log -1 --format=%ct "$commit")"
export SOURCE_DATE_EPOCH
build() {
    local folder="$own/$1"
    shift
    mkdir -p "$folder"
    # What is committed, and nothing of this folder.
    git archive "$commit" | tar -x -C "$folder"
    CARGO_TARGET_DIR="$folder/built" \
        bash "$folder/config/debian/release.sh" --quiet "$@"
    if grep -aFq "$own" "$folder/built/release/labwire"; then
        echo "a path of this machine is in the program:" >&2
        grep -aFo "$own[^[:cntrl:]]\{0,80\}" "$folder/built/release/labwire" | head >&2
        exit 1
    fi
    sha256sum <"$folder/built/release/labwire" >"$own/sum.$(basename "$folder")"
}
build one "$@"
mv "$own/one/built/release/labwire" "$own/labwire.one"
rm -rf "$own/one"
build another-of-another-length "$@"
cat "$own"/sum.*
if ! cmp "$own/labwire.one" "$own/another-of-another-length/built/release/labwire"; then
    echo "the two builds differ" >&2
    exit 1
fi
echo "the same bytes twice, of $commit by $(rustc --version)"
