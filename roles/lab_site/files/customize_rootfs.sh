#!/bin/sh
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes a plain Debian root file system into that of a lab host.
# usage: customize_rootfs.sh ROOT [PACKAGE...]
# Runs as a hook of mmdebstrap. The packages are downloaded into the apt cache, not installed: the role
# kvm_host installs them for real, in every lab host, without a second download.
set -eu
root=$1
shift

mask() {
    for unit in "$@"; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
}

put() { # path, content on stdin
    mkdir -p "$(dirname "$root$1")"
    cat >"$root$1"
    chmod 644 "$root$1"
}

# A container has no hardware of its own. udev would rename network interfaces and fill the log.
mask systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
    systemd-udev-trigger.service systemd-udev-settle.service systemd-modules-load.service \
    systemd-networkd-wait-online.service systemd-timesyncd.service systemd-logind.service \
    console-getty.service getty.target container-getty@.service systemd-remount-fs.service \
    dev-hugepages.mount dev-mqueue.mount sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-fs-fuse-connections.mount apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer
mkdir -p "$root/etc/udev/rules.d" "$root/etc/systemd/network"
ln -sf /dev/null "$root/etc/udev/rules.d/80-net-setup-link.rules"
ln -sf /dev/null "$root/etc/systemd/network/99-default.link"
ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"

# Every host has its own identity: machine-id and SSH host keys come to be at its first start.
: >"$root/etc/machine-id"
rm -f "$root"/var/lib/dbus/machine-id "$root"/etc/ssh/ssh_host_*
ln -s /etc/machine-id "$root/var/lib/dbus/machine-id"
put /etc/systemd/system/ssh.service.d/host-keys.conf <<'END'
[Service]
ExecStartPre=
ExecStartPre=/usr/bin/ssh-keygen -A
ExecStartPre=/usr/sbin/sshd -t
END
put /etc/ssh/sshd_config.d/lab.conf <<'END'
PasswordAuthentication no
PermitRootLogin prohibit-password
UseDNS no
END

# What a container gets read-only is its own here: its network's part of sysfs, where libvirt sets up bridges,
# and its part of each control group hierarchy, where systemd and libvirt make groups for what they run.
put /usr/local/sbin/lab-init <<'END'
#!/bin/sh
mount -o remount,rw /sys
for directory in /sys/fs/cgroup /sys/fs/cgroup/*; do
    # This mount alone: the file system is that of the whole machine.
    ! mountpoint -q "$directory" || mount -o remount,bind,rw "$directory"
done
exec /sbin/init
END
chmod 755 "$root/usr/local/sbin/lab-init"

# The disk is a cache that can be made again: no fsync after each unpacked file.
put /etc/dpkg/dpkg.cfg.d/lab <<'END'
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
END
put /etc/systemd/journald.conf.d/lab.conf <<'END'
[Journal]
Storage=volatile
RuntimeMaxUse=32M
END

chroot "$root" apt-get clean
if [ $# -gt 0 ]; then
    chroot "$root" apt-get install --yes --no-install-recommends --download-only "$@"
fi
rm -f "$root"/var/cache/apt/*pkgcache.bin # apt makes them again
# The apt module reads the age of the package lists from here, and need not update.
mkdir -p "$root/var/lib/apt/periodic"
touch "$root/var/lib/apt/periodic/update-success-stamp"
rm -f "$root/etc/hostname" "$root/etc/resolv.conf" # the container engine writes both
