#!/bin/sh
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes the disk image of a full Debian guest from Debian packages: cloud-init, SSH, the QEMU guest agent; BIOS and UEFI.
# usage: build_debian.sh IMAGE SIZE_MIB SUITE MIRROR [PACKAGE...]
# An empty MIRROR takes this machine's own package sources. Needs root, but no loop device. IMAGE appears only when it is whole.
set -eu
image=$1 size_mib=$2 suite=$3 mirror=$4
shift 4
boot_mib=128 label=federation-root

work=$(mktemp -d "$image.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

packages=systemd-sysv,udev,dbus,linux-image-cloud-amd64,initramfs-tools,cloud-init,cloud-guest-utils,fdisk
packages=$packages,e2fsprogs,openssh-server,python3,qemu-guest-agent,iproute2,systemd-resolved,netbase,procps,sudo,ca-certificates
for package in "$@"; do packages=$packages,$package; done

cat >customize.sh <<'END'
set -eu
cd "$1"
# Signed, for UEFI with Secure Boot; only these files of them are needed, so they are not installed.
efi=${0%/*}/efi
mkdir "$efi"
(cd "$efi" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq download shim-signed grub-efi-amd64-signed &&
    for package in *.deb; do dpkg-deb --extract "$package" .; done)
echo "LABEL=federation-root / ext4 errors=remount-ro 0 1" >etc/fstab
printf '[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n' >etc/systemd/network/80-dhcp.network
# One key, for without KVM each takes seconds to be made.
printf '%s\n' 'datasource_list: [NoCloud, None]' 'locale: C.UTF-8' 'ssh_genkeytypes: [ed25519]' 'no_ssh_fingerprints: true' \
    >etc/cloud/cloud.cfg.d/90-federation.cfg
# The buses that a VM of the federation has its disks on, and no others.
printf 'MODULES=list\n' >etc/initramfs-tools/conf.d/federation
printf '%s\n' virtio_pci virtio_blk virtio_scsi sd_mod ext4 crc32c_generic >>etc/initramfs-tools/modules
chroot . update-initramfs -u
# Every guest makes its own.
rm -f etc/ssh/ssh_host_*
ln -sf ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf
chroot . systemctl --quiet enable systemd-networkd systemd-resolved serial-getty@ttyS0
chroot . systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
    systemd-networkd-wait-online.service getty@tty1.service
END
# No fsync and no documentation: it is a small image for tests.
mmdebstrap --quiet --mode=root --variant=minbase --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include="$packages" --customize-hook="sh $work/customize.sh \"\$1\"" \
    "$suite" "$work/root" ${mirror:+"$mirror"}

parameters="root=LABEL=$label ro console=tty0 console=ttyS0 quiet"
printf 'DEFAULT guest\nLABEL guest\n  KERNEL vmlinuz\n  INITRD initrd.img\n  APPEND %s\n' "$parameters" >syslinux.cfg
printf 'linux /vmlinuz %s\ninitrd /initrd.img\nboot\n' "$parameters" >grub.cfg
cp root/boot/vmlinuz-* vmlinuz
cp root/boot/initrd.img-* initrd.img
truncate -s "${boot_mib}M" boot
# The hidden sectors are those before the partition: the BIOS counts from the disk's beginning.
mkfs.vfat -n BOOT -h 2048 boot >/dev/null
mmd -i boot ::EFI ::EFI/BOOT ::EFI/debian
mcopy -i boot vmlinuz initrd.img syslinux.cfg ::
mcopy -i boot efi/usr/lib/shim/shimx64.efi.signed ::EFI/BOOT/BOOTX64.EFI
mcopy -i boot efi/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed ::EFI/BOOT/grubx64.efi
mcopy -i boot grub.cfg ::EFI/debian/
syslinux --install boot

root_mib=$((size_mib - boot_mib - 2))
mke2fs -q -t ext4 -L "$label" -d root -E root_owner=0:0 root.img "${root_mib}M"
truncate -s "${size_mib}M" disk
sfdisk --quiet disk <<END
label: dos
start=2048, size=$((boot_mib * 2048)), type=ef, bootable
start=$(((boot_mib + 1) * 2048)), size=$((root_mib * 2048)), type=83
END
dd status=none conv=notrunc if=/usr/lib/syslinux/mbr/mbr.bin of=disk bs=440 count=1
dd status=none conv=notrunc,sparse if=boot of=disk bs=1M seek=1
dd status=none conv=notrunc,sparse if=root.img of=disk bs=1M seek=$((boot_mib + 1))
qemu-img convert -c -O qcow2 -o compat=1.1 disk whole.qcow2
mv whole.qcow2 "$image"
