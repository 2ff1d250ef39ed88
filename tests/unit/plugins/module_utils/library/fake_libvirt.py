# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""As much of libvirt as an image library asks of it, over folders of the test."""

from __future__ import annotations

import libvirt


class Volume:
    def __init__(self, path, backing=""):
        self._path, self._backing = path, backing

    def name(self):
        return self._path.name

    def path(self):
        return str(self._path)

    def XMLDesc(self, _flags=0):
        below = f"<backingStore><path>{self._backing}</path></backingStore>" if self._backing else ""
        return f"<volume><name>{self._path.name}</name>{below}</volume>"

    def infoFlags(self, _flags):
        return [0, 0, self._path.stat().st_size]

    def download(self, stream, offset, length, flags):
        assert (offset, length) == (0, 0)
        assert flags == libvirt.VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM
        stream.open(self._path.read_bytes())


class Stream:
    """Gives the bytes in pieces, and whole blocks of zeros as holes; may break off."""

    block = 4096

    def __init__(self, conn):
        self._conn = conn

    def open(self, data):
        self._data = data
        self._at = 0

    def recvFlags(self, length, flags):
        assert flags == libvirt.VIR_STREAM_RECV_STOP_AT_HOLE
        if self._conn.breaks_at is not None and self._at >= self._conn.breaks_at:
            raise libvirt.libvirtError("the connection broke")
        piece = self._data[self._at : self._at + min(length, self.block)]
        if len(piece) == self.block and not any(piece):
            return -3
        self._at += len(piece)
        self._conn.sent += len(piece)
        return piece

    def recvHole(self, _flags=0):
        self._at += self.block
        self._conn.holes += 1
        return self.block

    def finish(self):
        self._conn.ended.append("finished")

    def abort(self):
        self._conn.ended.append("aborted")


class Pool:
    def __init__(self, name, folder, kind="dir", active=True):
        self._name, self._folder, self._kind, self._active = name, folder, kind, active
        self.backing = {}
        self.free = 2**40

    def name(self):
        return self._name

    def isActive(self):
        return self._active

    def refresh(self, _flags):
        pass

    def info(self):
        return [0, 2**41, 0, self.free]

    def XMLDesc(self, _flags=0):
        return f"<pool type='{self._kind}'><name>{self._name}</name><target><path>{self._folder}</path></target></pool>"

    def listAllVolumes(self):
        files = sorted(path for path in self._folder.iterdir() if path.is_file())
        return [Volume(path, self.backing.get(path.name, "")) for path in files]

    def storageVolLookupByName(self, name):
        for volume in self.listAllVolumes():
            if volume.name() == name:
                return volume
        raise libvirt.libvirtError("no storage vol with matching name")


class Domain:
    def __init__(self, name, disks, running=(), active=False):
        self._name, self._disks, self._running, self._active = name, disks, running, active

    def name(self):
        return self._name

    def isActive(self):
        return self._active

    def isPersistent(self):
        return True

    def XMLDesc(self, flags=0):
        disks = self._disks if flags & libvirt.VIR_DOMAIN_XML_INACTIVE or not self._active else self._running
        return f"<domain><name>{self._name}</name><devices>{''.join(disks)}</devices></domain>"


class Connection:
    def __init__(self, *pools, uri="qemu:///system"):
        self.pools = {pool.name(): pool for pool in pools}
        self.domains = []
        self.uri = uri
        self.breaks_at = None
        self.sent = self.holes = 0
        self.ended = []
        self.closed = False

    def getURI(self):
        return self.uri

    def storagePoolLookupByName(self, name):
        if name not in self.pools:
            raise libvirt.libvirtError("no storage pool with matching name")
        return self.pools[name]

    def listAllStoragePools(self, _flags=0):
        return list(self.pools.values())

    def listAllDomains(self, _flags=0):
        return self.domains

    def newStream(self, _flags=0):
        return Stream(self)

    def close(self):
        self.closed = True


def disk(path):
    return f"<disk type='file' device='disk'><driver type='qcow2'/><source file='{path}'/><target dev='vda'/></disk>"
