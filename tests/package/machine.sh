# A machine of its own, for tests of the unit: systemd as the first process of its own namespaces, over a
# copy of this system that is thrown away. It has its own loopback, so ports are free, and is told nothing
# of the network. For root, where namespaces and mounts are allowed. To be sourced.
#
#     machine_make FOLDER      the copy, below an empty folder; its files are in $machine/root
#     machine_boot UNIT        until UNIT is there
#     on_machine COMMAND...    what the command gives; its output goes to this one's
#     machine_off              `systemctl poweroff`, until nothing runs
#     machine_remove           whatever state it is in
#
# shellcheck shell=bash

machine=
machine_init=

# Whether the system lets us, tried with the same namespaces and mounts, of which nothing stays.
machine_is_possible() {
    [[ -x /usr/lib/systemd/systemd ]] || return 1
    unshare --fork --pid --mount --uts --ipc --net --cgroup bash 2>/dev/null <<'TRIED'
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/{upper,work,root,cgroup}
mount -t overlay overlay /mnt/root -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work
mount -t cgroup2 cgroup2 /mnt/cgroup
mkdir /mnt/cgroup/labwire-tried
rmdir /mnt/cgroup/labwire-tried
TRIED
}

machine_make() {
    machine="$1"
    mkdir -p "$machine"
    # What it writes is in memory: an overlay does not lie upon an overlay.
    mount -t tmpfs tmpfs "$machine"
    mkdir "$machine"/{upper,work,root,cgroup}
    mount -t overlay overlay "$machine/root" \
        -o "lowerdir=/,upperdir=$machine/upper,workdir=$machine/work"
    # Its groups of processes, apart from those of this system.
    mount -t cgroup2 cgroup2 "$machine/cgroup"
    mkdir "$machine/cgroup/labwire-test-$$"
    # Images of containers start no services.
    rm -f "$machine/root/usr/sbin/policy-rc.d"
    cat >"$machine/first" <<'FIRST'
set -e
root="$1/root"
mount --make-rprivate /
mount -t proc proc "$root/proc"
# What the kernel has for all machines is not this one's to change.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
cd "$root"
pivot_root . mnt
umount -l /mnt
# As a system begins: what systemd mounts for a service in a view of its own, others see too.
mount --make-rshared /
exec env -i container=labwire PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /usr/lib/systemd/systemd --system --unit="$2"
FIRST
}

machine_boot() {
    (
        echo "$BASHPID" >"$machine/cgroup/labwire-test-$$/cgroup.procs"
        exec setsid unshare --fork --pid --mount --uts --ipc --net --cgroup \
            bash "$machine/first" "$machine" "$1" </dev/null >"$machine/console" 2>&1
    ) &
    local outer=$!
    for _ in $(seq 1800); do
        machine_init="$(pgrep -P "$outer" | head -1 || true)"
        if [[ -n $machine_init ]] && on_machine systemctl --quiet is-active "$1" 2>/dev/null; then
            return
        fi
        kill -0 "$outer" 2>/dev/null || break
        sleep 0.1
    done
    cat "$machine/console" >&2
    [[ -z $machine_init ]] || on_machine journalctl --no-pager --boot --lines=50 >&2 || true
    return 1
}

on_machine() {
    nsenter --target "$machine_init" --all env -i HOME=/root LANG=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

machine_off() {
    # Its answer may find nobody to bring it any more.
    on_machine systemctl poweroff 2>/dev/null || true
    for _ in $(seq 900); do
        if ! kill -0 "$machine_init" 2>/dev/null; then
            machine_init=
            return
        fi
        sleep 0.1
    done
    return 1
}

machine_remove() {
    [[ -n $machine ]] || return 0
    if [[ -n $machine_init ]]; then
        kill -KILL "$machine_init" 2>/dev/null || true
    fi
    local group="$machine/cgroup/labwire-test-$$"
    for _ in $(seq 100); do
        grep -q 'populated 0' "$group/cgroup.events" 2>/dev/null && break
        sleep 0.1
    done
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    umount -l "$machine/root" "$machine/cgroup" "$machine" 2>/dev/null || true
    machine=
}
