# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import migration_facts


@pytest.mark.parametrize(
    ("os", "path"),
    [
        ("<os firmware='efi'><type>hvm</type></os>", "/var/lib/libvirt/qemu/nvram/web_VARS.fd"),
        ("<os><loader type='pflash'>/code.fd</loader><nvram>/elsewhere/vars.fd</nvram></os>", "/elsewhere/vars.fd"),
        ("<os firmware='efi'><loader stateless='yes'/></os>", ""),
        ("<os><type>hvm</type></os>", ""),
    ],
)
def test_the_firmwares_variables_are_found_where_the_definition_does_not_name_them(os: str, path: str) -> None:
    assert migration_facts._variables(ET.fromstring(f"<domain><name>web</name>{os}</domain>")) == path
