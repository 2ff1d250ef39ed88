# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A disc for cloud-init's data source NoCloud; the only file that imports pycdlib."""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Iterator, Mapping
from time import gmtime, strftime

from ..errors import BackendError

try:
    import pycdlib
except ImportError:
    pycdlib = None

LABEL = "cidata"
# The first instant that every date of an ISO 9660 file system can hold with certainty.
_INSTANT = 946684800.0


class _StoppedClock:
    """The module time, at one instant and in UTC."""

    gmtime = localtime = staticmethod(gmtime)
    strftime = staticmethod(strftime)

    @staticmethod
    def time() -> float:
        return _INSTANT


@contextlib.contextmanager
def _clock_stopped() -> Iterator[None]:
    """pycdlib dates what it makes by the time of day, which it looks up at many places and takes from nobody."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "pycdlib"]
    holders = [vars(module) for module in modules if vars(module).get("time") is time]
    try:
        for names in holders:
            names["time"] = _StoppedClock
        yield
    finally:
        for names in holders:
            names["time"] = time


def check_library() -> None:
    """BackendError where no disc can be made."""
    if pycdlib is None:
        remedy = "install python3-pycdlib on this hypervisor, as the role kvm_host does"
        raise BackendError("needs pycdlib to make the disc, which is not installed here", option="cloud_init", remedy=remedy)


def disc(files: Mapping[str, bytes]) -> bytes:
    """An ISO 9660 image, with Rock Ridge and Joliet, of these files in its root; the same files give the same bytes."""
    check_library()
    image = io.BytesIO()
    with _clock_stopped():
        iso = pycdlib.PyCdlib()
        iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
        for name, content in sorted(files.items()):
            short = name.upper().replace("-", "")
            iso.add_fp(io.BytesIO(content), len(content), f"/{short}.;1", rr_name=name, joliet_path=f"/{name}")
        iso.write_fp(image)
        iso.close()
    return image.getvalue()
