#!/usr/bin/env bash
# coverage.sh CORPORA [TARGET…]: how many lines of what it aims at each target has run.
#
#     bash tests/fuzz/coverage.sh target/fuzz/corpus
#
# CORPORA has a folder of inputs for each target, as run.sh leaves them. A second build beside that of
# the fuzzer counts lines (LLVM's own coverage); `rustup component add llvm-tools` brings what reads it.
# Lines of tests are not compiled in and do not count. Prints rows of the table in RELIABILITY.md.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
corpora="$(cd "$1" && pwd)"
shift
folder="${LABWIRE_FUZZ_FOLDER:-$root/target/fuzz}"
mkdir -p "$folder"
tools="$(echo "$(rustc --print sysroot)"/lib/rustlib/*/bin)"
[[ -x "$tools/llvm-cov" ]] || rustup component add llvm-tools >/dev/null

# Targets of the protocols alone are built without all the rest.
features=()
if [[ -n "${LABWIRE_FUZZ_WIRES:-}" ]]; then
    features=(--no-default-features)
fi
build="$folder/coverage"
LABWIRE_FUZZ_LINES=1 RUSTC_WRAPPER="$here/rustc.sh" CARGO_TARGET_DIR="$build" LLVM_PROFILE_FILE=/dev/null \
    cargo build --quiet --manifest-path "$here/Cargo.toml" --locked "${features[@]}"
program="$build/debug/labwire-fuzz"

# What a target is about: files and folders, below the root.
aims() {
    case "$1" in
        astm_link) echo protocols/src/astm/{link,link.rs} ;;
        astm_deframe) echo protocols/src/astm/link/{deframe,frame,assembler,receiver}.rs ;;
        astm_records) echo protocols/src/astm/record ;;
        mllp_endpoint) echo protocols/src/mllp protocols/src/mllp.rs ;;
        hl7_message) echo protocols/src/hl7/{ack,adt,batch,build,charset,escape,header,message,observation,order_reply,path,segment,separators,time,types,views}.rs ;;
        law_tree) echo protocols/src/hl7/law ;;
        automation_message) echo protocols/src/automation/{event,message,reply,segments}.rs ;;
        beckman_link) echo protocols/src/beckman_au/{link,link.rs,dialect.rs} ;;
        beckman_text) echo protocols/src/beckman_au/{code,columns,layout,text,writer}.rs ;;
        dimension_link) echo protocols/src/dimension/{link,link.rs,dialect.rs} ;;
        dimension_message) echo protocols/src/dimension/{field,message,writer}.rs ;;
        poct1a_link) echo protocols/src/poct1a/{link,link.rs,dialect.rs} ;;
        poct1a_xml) echo protocols/src/poct1a/{message,observation,take,writer,xml}.rs ;;
        bci_link) echo protocols/src/bci/{link,link.rs,dialect.rs} ;;
        bci_message) echo protocols/src/bci/{field,message,writer}.rs ;;
        sysmex_link) echo protocols/src/sysmex_legacy/{link,link.rs,dialect.rs} ;;
        sysmex_text) echo protocols/src/sysmex_legacy/{layout,text,writer}.rs ;;
        charset) echo protocols/src/charset ;;
        profile_decode) echo src/profile/{decode,rows,rows.rs,value.rs,fields.rs,condition.rs} ;;
        profile_file) echo src/profile/{load,definition,schema,sections,example,template,line}.rs src/profile/sections ;;
        lab_file) echo src/config/{lab,instrument,host,track,alerts,guard,keeping,read,choice,cross,endpoint}.rs ;;
        catalogue_file) echo src/config/catalogue ;;
        ucum) echo src/config/ucum ;;
        learn) echo src/learn ;;
        host_inbound | host_orders) echo src/host/{inbound,orders,reply,pull}.rs src/book ;;
        host_answer) echo src/host/verdict.rs ;;
        queue) echo src/queue ;;
        *) echo "nobody said what $1 is about" >&2 && return 1 ;;
    esac
}

targets=("$@")
((${#targets[@]})) || mapfile -t targets < <(ls "$corpora")
printf '| target | inputs kept | lines run | of | share |\n|---|---|---|---|---|\n'
for target in "${targets[@]}"; do
    raw="$folder/$target.profraw"
    LLVM_PROFILE_FILE="$raw" LABWIRE_FUZZ="$target" \
        "$program" -runs=0 -timeout=300 -max_len=4096 "$corpora/$target" >"$folder/$target.log" 2>&1 ||
        { cat "$folder/$target.log" >&2; exit 1; }
    "$tools/llvm-profdata" merge -sparse "$raw" -o "$folder/$target.profdata"
    sources=()
    for aim in $(aims "$target"); do sources+=("$root/$aim"); done
    "$tools/llvm-cov" export -summary-only -instr-profile "$folder/$target.profdata" "$program" \
        --sources "${sources[@]}" |
        python3 -c '
import json, sys
lines = json.load(sys.stdin)["data"][0]["totals"]["lines"]
name, inputs = sys.argv[1:]
print("| `%s` | %s | %d | %d | %d %% |" % (name, inputs, lines["covered"], lines["count"], round(lines["percent"])))
' "$target" "$(find "$corpora/$target" -type f | wc -l)"
    rm -f "$raw" "$folder/$target.profdata"
done
