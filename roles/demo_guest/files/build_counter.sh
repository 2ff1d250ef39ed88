#!/bin/sh
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes the disk image of the demo guest from Debian packages: a FAT file system that SYSLINUX boots.
# usage: build_counter.sh IMAGE SIZE_MIB [KERNEL_PARAMETER...]
# Needs neither root nor a loop device. IMAGE appears only when it is whole.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
image=$1 size_mib=$2
shift 2

work=$(mktemp -d "$image.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

# On a machine where apt has never looked, it knows no package.
apt-cache show linux-image-cloud-amd64 > /dev/null 2>&1 || apt-get update --quiet
# The meta package names the current kernel.
kernel=$(apt-cache depends --important linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
[ -n "$kernel" ] || { echo "apt knows no linux-image-cloud-amd64: run 'apt-get update' first" >&2; exit 1; }
# apt would download as a user who may not write here, and warn.
apt-get -o "APT::Sandbox::User=$(id -un)" download --quiet "$kernel" busybox-static
for package in ./*.deb; do
    dpkg-deb -x "$package" unpacked
done

mkdir -p root/bin root/modules
cp "$here/init.sh" root/init
cp "$here/udhcpc.sh" root/udhcpc.sh
cp unpacked/bin/busybox root/bin/busybox
# The kernel starts init by its first line.
ln -s busybox root/bin/sh
chmod 755 root/init root/udhcpc.sh root/bin/busybox
# In the order they need each other; some kernels have some of them built in.
number=10
for module in virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk \
    button evdev failover net_failover virtio_net virtio_balloon rng-core virtio-rng virtio_console \
    crc64 crc64-rocksoft crct10dif_common crc-t10dif t10-pi scsi_common scsi_mod sd_mod virtio_scsi; do
    find unpacked -name "$module.ko" -exec cp {} "root/modules/$number-$module.ko" \;
    number=$((number + 1))
done
for module in virtio_ring virtio_pci virtio_blk virtio_net button evdev; do
    [ -e root/modules/??-"$module.ko" ] || { echo "$kernel has no module $module" >&2; exit 1; }
done
(cd root && find . | cpio --quiet -o -H newc -R 0:0) | gzip -9 >initrd.gz

cat >syslinux.cfg <<END
DEFAULT guest
LABEL guest
  KERNEL vmlinuz
  INITRD initrd.gz
  APPEND console=tty0 console=ttyS0 quiet loglevel=3 panic=1 $*
END
cp unpacked/boot/vmlinuz-* vmlinuz
truncate -s "${size_mib}M" disk
mformat -i disk -v FEDERATION -T "$((size_mib * 2048))" -h 64 -s 32 -H 0 ::
mcopy -i disk vmlinuz initrd.gz syslinux.cfg ::
syslinux --install disk
mv disk "$image"
