#!/usr/bin/env bash
# The Debian package as an administrator meets it: built, installed, run, upgraded while it runs, rolled
# back, restored, removed and purged. For root, on a machine where nothing of Labwire is installed.
#
#     bash tests/package/run.sh FOLDER
#
# FOLDER takes what it installs and makes. The program is an ordinary build: a release has the same files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
own="$(mkdir -p "$1" && cd "$1" && pwd)"

say() { printf -- '--- %s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

if dpkg-query -W labwire >/dev/null 2>&1 || [[ -e /etc/labwire || -e /var/lib/labwire ]]; then
    fail "Labwire is installed on this machine: nothing was touched"
fi
apt_has() { dpkg-query -W -f '${Status}\n' "$1" 2>/dev/null | grep -q 'ok installed'; }
needed=()
for package in adduser curl dpkg-dev init-system-helpers systemd; do
    apt_has "$package" || needed+=("$package")
done
if ((${#needed[@]} > 0)); then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${needed[@]}"
fi
if ! command -v cargo-deb >/dev/null; then
    # It packs little here: what is quickly built will do.
    CARGO_TARGET_DIR="$own/tools" CARGO_PROFILE_DEV_DEBUG=false CARGO_PROFILE_DEV_OPT_LEVEL=1 \
        cargo install --debug --quiet --locked --version 3.8.0 --root "$own/cargo-deb" cargo-deb
    PATH="$own/cargo-deb/bin:$PATH"
fi

say "two versions are built"
older="$(bash config/debian/build.sh --dev --version 0.0.9-1 | tail -1)"
cp "$older" "$own/older.deb"
newer="$(bash config/debian/build.sh --dev | tail -1)"
cp "$newer" "$own/newer.deb"

bash tests/package/unit.sh "$own/unit" "$own/older.deb" "$own/newer.deb" \
    "${CARGO_TARGET_DIR:-target}/debug/labwire-sim"

# Whatever happens, nothing of it stays.
running=
cleanup() {
    [[ -z $running ]] || kill -KILL "$running" 2>/dev/null || true
    dpkg --purge labwire >/dev/null 2>&1 || true
    rm -rf /var/lib/labwire /etc/labwire /etc/default/labwire
    deluser --quiet --system labwire >/dev/null 2>&1 || true
}
trap cleanup EXIT

# Images of containers leave documents out.
install_deb() {
    dpkg --path-include='/usr/share/doc/labwire/*' --path-include='/usr/share/man/man1/labwire*' \
        --force-confdef --force-confold -i "$1" </dev/null
}

say "the older one is installed"
install_deb "$own/older.deb"
[[ "$(stat -c '%U %a' /var/lib/labwire)" == "labwire 700" ]] || fail "the store's folder is open to others"
[[ "$(stat -c '%U %G %a' /etc/labwire)" == "root labwire 750" ]] || fail "the site's folder is writable or open"
labwire --version
labwire check -c /usr/share/doc/labwire/examples/site/lab.toml
for file in man/man1/labwire.1.gz man/man1/labwire-run.1.gz bash-completion/completions/labwire \
    doc/labwire/sbom.cdx.json doc/labwire/copyright labwire/profiles/sysmex/xn.toml; do
    [[ -s /usr/share/$file ]] || fail "/usr/share/$file is not there"
done
systemd-analyze verify /lib/systemd/system/labwire.service
systemd-analyze security --offline=yes --threshold=25 --no-pager /lib/systemd/system/labwire.service | tail -1

# As the unit does it, where no systemd runs; the log goes to $own/log.
as_labwire() { setpriv --reuid=labwire --regid=labwire --init-groups "$@"; }
start() {
    : >"$own/log"
    setpriv --reuid=labwire --regid=labwire --init-groups \
        /usr/bin/labwire run -c /etc/labwire/lab.toml 2>>"$own/log" &
    running=$!
    for _ in $(seq 600); do
        if curl -sf "http://127.0.0.1:$port/health/ready" >/dev/null; then
            return
        fi
        kill -0 "$running" 2>/dev/null || break
        sleep 0.1
    done
    cat "$own/log" >&2
    fail "it does not become ready"
}
stop() {
    local status=0
    kill -TERM "$running"
    wait "$running" || status=$?
    running=
    ((status == 0)) || fail "it ended with $status: $(tail -5 "$own/log")"
}

say "a site is written, checked and run"
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
port="$(free_port)"
line="$(free_port)"
sed "s/127.0.0.1:8080/127.0.0.1:$port/" /etc/labwire/lab.toml.example >/etc/labwire/lab.toml
cat >>/etc/labwire/lab.toml <<SITE

[[instrument]]
id = "xn-1"
profile = "generic/hl7"
port = "mllp-listen://127.0.0.1:$line"
section = "haematology"
tests = { "GLU" = "GLU" }
SITE
as_labwire labwire check -c /etc/labwire/lab.toml
start
curl -sf "http://127.0.0.1:$port/health/live"
echo
# One result, acknowledged.
tell() { python3 tests/package/tell.py "$line" "T$1"; }
messages() { as_labwire labwire ledger -c /etc/labwire/lab.toml | tee -a "$own/ledger"; }
tell 1

say "it is upgraded while it runs, and started again"
echo '# mine' >>/etc/labwire/catalogue.toml
as_labwire labwire backup /var/lib/labwire/before.db -c /etc/labwire/lab.toml
install_deb "$own/newer.deb"
dpkg-query -W labwire | grep -q "0.1.0-1" || fail "the newer one is not installed"
tail -1 /etc/labwire/catalogue.toml | grep -q '^# mine$' || fail "a file of the site was overwritten"
stop
start
tell 2
stop
messages
trace() { as_labwire labwire trace "$1" -c /etc/labwire/lab.toml >/dev/null; }
trace T1 || fail "the first result is gone"
trace T2 || fail "the second result is gone"

say "it is rolled back, and the backup is restored"
install_deb "$own/older.deb"
start
stop
as_labwire labwire restore /var/lib/labwire/before.db --replace --as lan -c /etc/labwire/lab.toml
start
stop
messages
trace T1 || fail "what was backed up is not there"
if trace T2; then fail "what came after the backup is there"; fi

say "it is removed and purged, and the results stay"
install_deb "$own/newer.deb"
dpkg -r labwire
[[ -e /etc/labwire/lab.toml && -e /etc/labwire/catalogue.toml ]] || fail "a removal takes the site with it"
dpkg -P labwire
[[ -s /var/lib/labwire/labwire.db ]] || fail "a purge deletes results"
getent passwd labwire >/dev/null || fail "nobody owns the results"
[[ ! -e /usr/bin/labwire && ! -e /lib/systemd/system/labwire.service ]] || fail "something stays"
say "all of it as an administrator expects"
