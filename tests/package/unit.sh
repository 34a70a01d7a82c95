#!/usr/bin/env bash
# The unit under a real systemd, with its sandbox around serial ports and a database: it starts, is ready,
# is killed, stands still, is upgraded, loses its database, goes through a reboot and is removed.
#
#     bash tests/package/unit.sh FOLDER OLDER.deb NEWER.deb SIMULATOR
#
# SIMULATOR is a built `labwire-sim`. For root; says what is left out where systemd cannot be started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
own="$(mkdir -p "$1" && cd "$1" && pwd)"
older="$2"
newer="$3"
simulator="$4"
source tests/package/machine.sh

say() { printf -- '--- %s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    on_machine systemctl --no-pager --full status labwire >&2 || true
    on_machine journalctl --no-pager --unit=labwire --lines=40 >&2 || true
    exit 1
}

if ! machine_is_possible; then
    say "left out: the unit under systemd, for this system allows no namespaces"
    exit 0
fi
trap machine_remove EXIT
machine_make "$own/machine"
root="$machine/root"
cp "$older" "$root/root/older.deb"
cp "$newer" "$root/root/newer.deb"
cp tests/package/tell.py "$root/root/tell.py"
cp "$simulator" "$root/usr/local/bin/labwire-sim"
machine_boot basic.target

# Until COMMAND holds; the limit is generous, for machines are shared.
until_true() {
    for _ in $(seq 3000); do
        if "$@"; then
            return
        fi
        sleep 0.1
    done
    fail "it never came true: $*"
}
unit() { on_machine systemctl show labwire --value --property="$1"; }
is_active() { on_machine systemctl --quiet is-active labwire; }
is_not_active() { ! is_active; }
started_again() { [[ "$(unit NRestarts)" -ge "$1" ]] && is_active; }
# Reads all of it: a pipe that is left early is a failure of its own.
log_says() { on_machine journalctl --unit=labwire --output=cat | grep -F "$1" >/dev/null; }
answers() { [[ "$(on_machine curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:8080/health/$1")" == "$2" ]]; }
install_deb() {
    on_machine dpkg --path-include='/usr/share/doc/labwire/*' --force-confdef --force-confold -i "/root/$1.deb"
}
as_labwire() { on_machine setpriv --reuid=labwire --regid=labwire --init-groups "$@"; }
trace() { as_labwire labwire trace "$1" -c /etc/labwire/lab.toml >/dev/null; }
# One result over MLLP, acknowledged.
tell() { on_machine python3 /root/tell.py 5001 "$1" || fail "the result of $1 is not acknowledged"; }
bring() { on_machine systemctl "$1" labwire || fail "systemctl $1 ends with $?"; }
drop_in() {
    on_machine mkdir -p /etc/systemd/system/labwire.service.d
    on_machine tee "/etc/systemd/system/labwire.service.d/$1.conf" >/dev/null
    on_machine systemctl daemon-reload
}

say "installed before its site is written: enabled, and not started"
install_deb older
on_machine systemctl --quiet is-enabled labwire || fail "it would not start with the machine"
bring start
is_not_active || fail "it runs without a site"

say "the site is written: started means ready"
# A device on a serial port, which stays at it through every restart. The node is made as udev makes one.
on_machine systemd-run --quiet --unit=device --property=StandardOutput=file:/run/device \
    labwire-sim generic-astm --pty --stay --specimen SERIAL1 --tests GLU
has_port() { grep -q '^pty ' <(on_machine cat /run/device 2>/dev/null); }
until_true has_port
pty="$(on_machine sed -n 's/^pty //p' /run/device)"
on_machine chown root:dialout "$pty"
on_machine chmod 660 "$pty"
on_machine cp /etc/labwire/lab.toml.example /etc/labwire/lab.toml
on_machine tee -a /etc/labwire/lab.toml >/dev/null <<SITE

[[instrument]]
id = "xn-1"
profile = "generic/hl7"
port = "mllp-listen://127.0.0.1:5001"
section = "haematology"
tests = { "GLU" = "GLU" }

[[instrument]]
id = "serial-1"
profile = "generic/astm"
port = "serial://$pty?baud=9600"
section = "biochemistry"
tests = { "GLU" = "GLU" }
SITE
bring start
is_active || fail "it is not active"
answers ready 200 || fail "systemd was told that it is ready, and it is not"
unit StatusText
[[ "$(unit StatusText)" == "2 lines, "* ]] || fail "it says nothing of itself"

say "a result by TCP and one by the serial port, inside the sandbox"
tell TCP1
until_true trace SERIAL1
trace TCP1 || fail "what was acknowledged is not there"

pid="$(unit MainPID)"
status_of() { on_machine sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status"; }
[[ "$(on_machine stat -c %U "/proc/$pid")" == labwire ]] || fail "it does not run as labwire"
[[ "$(status_of CapEff)$(status_of CapBnd)" =~ ^0+$ ]] || fail "it has capabilities"
[[ "$(status_of NoNewPrivs)$(status_of Seccomp)" == 12 ]] || fail "it is not confined"
# Root in its view of the files can write what it could, and nothing else.
in_its_view() { on_machine nsenter --target "$pid" --mount bash -c "$1" 2>&1; }
in_its_view 'touch /var/lib/labwire/x && rm /var/lib/labwire/x && touch /run/labwire/x' ||
    fail "it may not write its own folders"
for path in /etc/labwire /usr/bin /var/lib /boot /home; do
    if in_its_view "touch $path/x" >/dev/null; then fail "it may write $path"; fi
done
for path in /home /root /tmp; do
    seen="$(in_its_view "ls -A $path 2>/dev/null" || true)"
    [[ -z $seen ]] || fail "it sees $seen in $path"
done
# In its group of processes a serial port may be opened, and neither memory nor disks. A port without
# hardware says so, which is not a refusal.
on_machine mkdir -p /dev/test
for device in "port c 4 64" "mem c 1 1" "kmsg c 1 11" "loop b 7 0"; do
    # shellcheck disable=SC2086
    on_machine mknod /dev/test/$device
done
in_its_group() {
    on_machine bash -c "echo \$\$ >/sys/fs/cgroup/system.slice/labwire.service/cgroup.procs
        : <>/dev/test/$1" 2>&1
}
for device in mem kmsg loop; do
    [[ "$(in_its_group $device)" == *"Operation not permitted"* ]] || fail "it may open $device"
done
[[ "$(in_its_group port)" != *"Operation not permitted"* ]] || fail "serial ports are closed to it"
# What is not known yet when it starts is refused later: drivers of adapters come first.
for module in usbserial cdc_acm; do
    on_machine systemctl list-dependencies --plain labwire | grep -F "modprobe@$module.service" >/dev/null ||
        fail "an adapter of $module that comes later is closed to it"
done

say "a reload reads certificates again and restarts nothing"
bring reload
until_true log_says "SIGHUP: the files of certificates are read again"
[[ "$(unit MainPID)" == "$pid" ]] || fail "a reload started another process"

say "killed, it is started again, and its lines with it"
on_machine systemctl kill --signal=SIGKILL labwire
until_true started_again 1
has_serial() { log_says "peer=$pty" && [[ "$(unit StatusText)" == "2 lines, "* && "$(unit StatusText)" != *serial-1* ]]; }
until_true has_serial
tell TCP2
trace TCP1 || fail "what was acknowledged before is gone"

say "with the watchdog at eight seconds it lives; stood still, it is started again"
drop_in watchdog <<'DROPIN'
[Service]
WatchdogSec=8
TimeoutAbortSec=2
RestartSec=1
DROPIN
bring restart
first="$(unit WatchdogTimestampMonotonic)"
nine_seconds_of_signs() { (($(unit WatchdogTimestampMonotonic) - first > 9000000)); }
until_true nine_seconds_of_signs
[[ "$(unit NRestarts)" == 0 ]] || fail "it was taken for dead while it lived"
on_machine systemctl kill --kill-whom=main --signal=SIGSTOP labwire
until_true started_again 1
log_says 'Watchdog timeout' || fail "it was not the watchdog"
tell TCP3
on_machine rm /etc/systemd/system/labwire.service.d/watchdog.conf
on_machine systemctl daemon-reload
bring restart

say "upgraded while it runs: it stops in order, and the new one goes on"
pid="$(unit MainPID)"
install_deb newer
is_active || fail "an upgrade leaves it stopped"
[[ "$(unit MainPID)" != "$pid" ]] || fail "the old program goes on"
tell TCP4
trace SERIAL1 || fail "results are gone with the upgrade"

say "stopped in order"
bring stop
[[ "$(unit Result) $(unit ExecMainStatus)" == "success 0" ]] || fail "a stop is no success"

cluster="$(on_machine bash -c 'ls /usr/lib/postgresql 2>/dev/null | sort -V | tail -1')"
if [[ -z $cluster ]]; then
    [[ "${LABWIRE_POSTGRES:-}" != required ]] || fail "PostgreSQL is not installed"
    say "left out: the store on PostgreSQL, which is not installed"
else
    say "its store on PostgreSQL, with the password that systemd hands over"
    # What this system has of clusters is nothing of ours.
    on_machine bash -c 'rm -rf /etc/postgresql/*/* /var/lib/postgresql/*/*'
    on_machine pg_createcluster "$cluster" lab --port 5432 >/dev/null
    database="postgresql@$cluster-lab"
    on_machine systemctl start "$database"
    on_machine setpriv --reuid=postgres --regid=postgres --init-groups psql --quiet \
        -c "create role labwire login password 'not of this world'" -c "create database labwire owner labwire"
    on_machine install -m 600 /dev/stdin /etc/labwire/secrets/pgpass \
        <<<'127.0.0.1:5432:labwire:labwire:not of this world'
    drop_in database <<'DROPIN'
[Service]
LoadCredential=pgpass:/etc/labwire/secrets/pgpass
Environment=PGPASSFILE=%d/pgpass
DROPIN
    on_machine sed -i 's#^url = .*#url = "postgres://labwire@127.0.0.1/labwire"#' /etc/labwire/lab.toml
    bring start
    tell PG1
    if log_says "not of this world"; then fail "the password is in the log"; fi

    say "the database goes away and comes back: told, and no reason to start again"
    pid="$(unit MainPID)"
    on_machine systemctl stop "$database"
    until_true answers ready 503
    status_tells() { [[ "$(unit StatusText)" == *STORE-* ]]; }
    until_true status_tells
    unit StatusText
    on_machine systemctl start "$database"
    until_true answers ready 200
    tell PG2
    [[ "$(unit MainPID) $(unit NRestarts)" == "$pid 0" ]] || fail "it was started again"
fi

say "the machine is switched off and on: it stops in order, and starts after the database"
stops() { on_machine journalctl --unit=labwire --output=cat | grep -cFx 'labwire.service: Deactivated successfully.'; }
before="$(stops)"
machine_off || fail "the machine does not go off"
machine_boot multi-user.target || fail "the machine does not come back"
until_true is_active
(($(stops) == before + 1)) || fail "it was not stopped in order"
answers live 200 || fail "it does not live"
tell LAST

say "removed while it runs: stopped, and the results stay"
on_machine dpkg -r labwire
is_not_active || fail "it goes on without its program"
on_machine dpkg -P labwire
on_machine test -s /var/lib/labwire/labwire.db || fail "a purge deletes results"
say "the unit does under systemd what it says"
