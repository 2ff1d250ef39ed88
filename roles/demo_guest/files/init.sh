#!/bin/sh
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The whole user space of the demo guest, as process 1 of an initramfs: it writes numbered records to its own
# disk for as long as it runs, and says on its serial console which of them the disk has acknowledged.
#
#   record n (from 1)   one sector of 512 bytes, "write %012d\n" and zeroes, at federation.offset + (n - 1) * 512
#   "ack n"             a line on ttyS0, printed only after fsync of record n has returned
#
# Kernel parameters: federation.offset=BYTES federation.interval_ms=N federation.churn_mb=N
/bin/busybox mkdir -p /bin /dev /proc /sys /churn
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys

SECTOR=512

say() { # progress, for people: on the serial console and on the screen
    for tty in /dev/ttyS0 /dev/tty0; do
        echo "guest: $*" >$tty
    done 2>/dev/null
}

param() { # name, default
    for word in $(cat /proc/cmdline); do
        case $word in federation.$1=*) echo "${word#*=}" && return ;; esac
    done
    echo "$2"
}

load_modules() {
    # Named in the order they need each other. What could not load yet is tried again all the same.
    for _ in 1 2 3 4 5; do
        for module in /modules/*.ko; do
            [ -e "$module" ] || return
            insmod "$module" 2>/dev/null && rm "$module"
        done
    done
}

find_disk() {
    for _ in $(seq 100); do
        for name in vda sda; do
            # Appears in /dev at once, but is of use only when it has a size.
            [ "$(cat /sys/block/$name/size 2>/dev/null || echo 0)" -gt 0 ] && echo "$name" && return
        done
        usleep 50000
    done
    return 1
}

watch_power_button() {
    # Any event from a power button is a press. A read of one event blocks until there is one.
    for event in /sys/class/input/event*; do
        [ "$(cat "$event/device/name" 2>/dev/null)" = "Power Button" ] || continue
        (
            dd if="/dev/input/${event##*/}" bs=24 count=1 >/dev/null 2>&1
            say "power button pressed, powering off"
            sync
            poweroff -f
        ) &
    done
}

start_network() {
    ip link set lo up
    [ -e /sys/class/net/eth0 ] || { say "no network interface"; return; }
    ip link set eth0 up
    # In the background and without an end: the guest counts with or without a network.
    udhcpc -i eth0 -s /udhcpc.sh -t 3 -A 10 -f >/dev/null 2>&1 &
}

churn() { # MiB of memory that change all the time
    mount -t tmpfs -o "size=$(($1 + 2))m" none /churn
    dd if=/dev/urandom of=/churn/seed bs=1M count=1 2>/dev/null
    while :; do
        block=0
        while [ $block -lt "$1" ]; do
            dd if=/churn/seed of=/churn/data bs=1M seek=$block conv=notrunc 2>/dev/null
            block=$((block + 1))
        done
    done
}

is_written() { # record
    [ "$(dd if="$disk" bs=$SECTOR count=1 skip=$((first + $1 - 1)) 2>/dev/null | head -c 18)" = "$(printf 'write %012d' "$1")" ]
}

last_record() { # records fill the area from its start, so a binary search finds the last
    low=0 high=$1
    while [ "$low" -lt "$high" ]; do
        middle=$(((low + high + 1) / 2))
        if is_written "$middle"; then low=$middle; else high=$((middle - 1)); fi
    done
    echo "$low"
}

count() { # from record, to record
    number=$1
    while [ "$number" -le "$2" ]; do
        if printf 'write %012d\n' "$number" |
            dd of="$disk" bs=$SECTOR seek=$((first + number - 1)) conv=sync,notrunc,fsync 2>/dev/null; then
            echo "ack $number" >/dev/ttyS0
            [ $((number % 50)) -ne 0 ] || echo "guest: $number writes" >/dev/tty0
            number=$((number + 1))
        else
            say "write $number failed, trying again"
            sleep 1
        fi
        usleep "$pause"
    done
}

say "starting, Linux $(uname -r)"
load_modules
watch_power_button
start_network
pause=$(($(param interval_ms 50) * 1000))
first=$(($(param offset 33554432) / SECTOR))
[ "$(param churn_mb 0)" -eq 0 ] || churn "$(param churn_mb 0)" &
if name=$(find_disk); then
    disk=/dev/$name
    room=$(($(cat "/sys/block/$name/size") - first))
    if [ $room -gt 0 ]; then
        last=$(last_record $room)
        say "disk $disk, room for $room records, the last one is $last"
        count $((last + 1)) $room 2>/dev/null
        say "the disk is full"
    else
        say "disk $disk ends before federation.offset: nothing to write to"
    fi
else
    say "no disk"
fi
while :; do sleep 3600; done
