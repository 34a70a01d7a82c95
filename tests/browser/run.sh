#!/usr/bin/env bash
# The console in a real browser: plays a morning with `labwire demo` and looks at every screen of its
# console (look.mjs), then decides about held results over a bridge of its own (work.mjs), then starts and
# kills a bridge under an open page (life.mjs). Packages go below the folder named first.
#
#     bash tests/browser/run.sh FOLDER [PICTURES]
#
# Without Chromium or Node it says so and looks at nothing; with CI set it installs them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder="$1"
pictures="${2:-${LABWIRE_SHOTS:-}}"

wanted=()
command -v chromium >/dev/null || wanted+=(chromium fonts-noto-core)
command -v npm >/dev/null || wanted+=(nodejs npm)
if ((${#wanted[@]} > 0)); then
    if [[ -z "${CI:-}" ]]; then
        printf 'left out: the console was not looked at, for want of %s\n' "${wanted[*]}"
        exit 0
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
fi

mkdir -p "$folder"
echo '{ "private": true }' >"$folder/package.json"
npm install --prefix "$folder" --silent --no-audit --no-fund --ignore-scripts \
    playwright-core@1.65.1 axe-core@4.14.1

labwire="${CARGO_TARGET_DIR:-target}/debug/labwire"
: >"$folder/demo.log"
"$labwire" demo --listen 127.0.0.1:0 --speed 30 --specimens 200 --stay >"$folder/demo.log" 2>&1 &
demo=$!
trap 'kill "$demo" 2>/dev/null || true' EXIT
for _ in $(seq 600); do
    first="$(grep -m 1 '^Console: ' "$folder/demo.log" || true)"
    [[ -z "$first" ]] || break
    kill -0 "$demo" || { cat "$folder/demo.log"; exit 1; }
    sleep 0.1
done
read -r _ address _ _ _ login _ password <<<"$first"

# Some results have to be held, and some devices to have spoken, before there is much to look at.
for _ in $(seq 600); do
    grep -qE 'held [1-9]' "$folder/demo.log" && break
    sleep 0.1
done
LABWIRE_NODE="$folder" LABWIRE_SHOTS="$pictures" CHROMIUM="$(command -v chromium)" \
    node tests/browser/look.mjs "${address%/}" "$login" "$password"
kill "$demo" 2>/dev/null || true
LABWIRE_NODE="$folder" LABWIRE_SHOTS="$pictures" CHROMIUM="$(command -v chromium)" \
    node tests/browser/work.mjs "$folder/site" "$labwire" "$labwire-sim"
LABWIRE_NODE="$folder" LABWIRE_SHOTS="$pictures" CHROMIUM="$(command -v chromium)" \
    node tests/browser/life.mjs "$folder/life" "$(realpath "$labwire")" "$(realpath "$labwire-sim")"
