# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A disk written as a compressed qcow2 image by qemu-img, which is the only writer of that form."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Callable

from ..errors import BackendError

_LOOK = 0.25


def convert_compressed(uri: str, target: str, report: Callable[[int], None]) -> None:
    """Read the disk at an NBD URI and make the file ``target``, whose clusters are packed with zstd.

    :param report: called now and then with the bytes of the file so far
    """
    argv = ["setpriv", "--pdeathsig", "KILL", "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-m", "8", "-W"]
    argv += ["-o", "compression_type=zstd", uri, target]
    try:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, umask=0o077)
    except OSError as error:
        raise BackendError(f"qemu-img cannot be started ({error})", remedy="run the kvm_host role here") from error
    made = Path(target)
    with process:
        try:
            while True:
                try:
                    said = process.communicate(timeout=_LOOK)[1]
                    break
                except subprocess.TimeoutExpired:
                    report(made.stat().st_size if made.exists() else 0)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise BackendError(
            f"packing the disk failed: {' '.join(said.decode(errors='replace').split())}", remedy="look after the disk"
        )
