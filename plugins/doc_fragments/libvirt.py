# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that reach libvirtd; they match ``module_utils/options.py``."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  uri:
    description:
      - The libvirt connection.
      - If not set, the environment variable E(VIRT8RA_URI) is used.
    type: str
    default: qemu:///system
  pki_path:
    description:
      - Folder on the host where the module runs with C(cacert.pem), C(clientcert.pem) and C(clientkey.pem), for a C(qemu+tls) connection.
      - If not set, the environment variable E(VIRT8RA_PKI_PATH) is used, then the system's folders.
    type: path
  connect_timeout:
    description:
      - Seconds until a host that does not answer counts as unreachable.
      - If not set, the environment variable E(VIRT8RA_CONNECT_TIMEOUT) is used.
    type: int
    default: 15
requirements:
  - libvirt 9.0 or later
  - The libvirt bindings for Python (python3-libvirt) on the host where the module runs
"""

    # The same two options for plugins, which read the environment themselves.
    PLUGIN = r"""
options:
  pki_path:
    description:
      - Folder with C(cacert.pem), C(clientcert.pem) and C(clientkey.pem), for C(qemu+tls) connections.
      - If not set, the system's folders are used.
    type: path
    env:
      - name: VIRT8RA_PKI_PATH
  connect_timeout:
    description: Seconds until a host that does not answer counts as unreachable.
    type: int
    default: 15
    env:
      - name: VIRT8RA_CONNECT_TIMEOUT
requirements:
  - libvirt 9.0 or later
  - The libvirt bindings for Python (libvirt-python) on the controller
"""
