# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who is asked: the site and the hypervisor; they match ``module_utils/options.py``."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  site:
    description:
      - The site's entry in the federation file, which maps logical names of storage and networks to the site's own.
      - The inventory plugin P(virt8ra.federation.sites#inventory) gives it to every hypervisor as C(federation_site).
    type: dict
    required: true
"""

    HYPERVISOR = r"""
options:
  hypervisor:
    description:
      - The name of this hypervisor in the federation, normally C(inventory_hostname).
      - It becomes the owner of the VMs that are made here; a VM that belongs to another one is not touched.
      - If not set, the environment variable E(VIRT8RA_HYPERVISOR) is used.
    type: str
    required: true
"""
