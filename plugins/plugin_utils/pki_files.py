# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A client certificate whose three files the environment names, as the folder that libvirt wants."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError

# AWX gives each file of a credential a name of its own making.
FILES = {
    "VIRT8RA_PKI_CA_FILE": "cacert.pem",
    "VIRT8RA_PKI_CERTIFICATE_FILE": "clientcert.pem",
    "VIRT8RA_PKI_KEY_FILE": "clientkey.pem",
}


@contextlib.contextmanager
def pki_folder(environment: Mapping[str, str]) -> Iterator[str | None]:
    """A folder for the time of the block, which leads to the files and copies none; None where the environment names none.

    InputError where some of them are missing.
    """
    named = {name: environment.get(variable, "") for variable, name in FILES.items()}
    if not any(named.values()):
        yield None
        return
    for variable, name in FILES.items():
        if not Path(named[name] or "/nowhere").is_file():
            raise InputError("is no file", option=variable, value=named[name], remedy=f"give all of {', '.join(FILES)}, or none")
    with tempfile.TemporaryDirectory(prefix="virt8ra-pki-") as folder:
        for name, path in named.items():
            (Path(folder) / name).symlink_to(Path(path).absolute())
        yield folder
