#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_migration_info
short_description: Read the migrations that a cluster knows of
version_added: 0.2.0
description:
  - Returns the journal of every migration that left, reached or is on its way to this cluster.
requirements:
  - kubernetes (Python) on the host where it runs
extends_documentation_fragment:
  - virt8ra.federation.attributes.read
options:
  kubeconfig:
    description: Kubeconfig file of the cluster. E(VIRT8RA_KUBECONFIG) is taken when it is not set.
    type: path
    required: true
  context:
    description: Context in O(kubeconfig); its current one by default. E(VIRT8RA_CONTEXT) is taken when it is not set.
    type: str
  name:
    description: Only the migration of this name; nothing is returned when there is none.
    type: str
  patience:
    description: Seconds for which an API server that does not answer is tried again.
    type: int
    default: 20
seealso:
  - module: virt8ra.federation.cluster_migration
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: Read all migrations of a cluster
  virt8ra.federation.cluster_migration_info:
    kubeconfig: es.yaml
  register: here

- name: Read one
  virt8ra.federation.cluster_migration_info:
    kubeconfig: es.yaml
    name: shop
"""

RETURN = r"""
migrations:
  description: The journals here, sorted by the migration's name and beginning.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the migration.
      type: str
      returned: always
    phase:
      description: V(copying), V(synced), V(switching), V(completed), V(released) or V(aborted).
      type: str
      returned: always
    at_work:
      description: Whether a run holds the lock of the migration, as far as this cluster knows; the lock is at the source.
      type: bool
      returned: always
    journal:
      description: The whole journal, with C(source), C(target), C(namespaces), C(volumes), C(events) and C(figures).
      type: dict
      returned: always
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.backends.cluster import ClusterAccess
from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes.connection import open_cluster
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.listing import migrations_at
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_options import cluster_migration_info_spec
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module


def work(module: FederationModule) -> dict[str, Any]:
    params = module.params
    api = open_cluster(ClusterAccess(params["kubeconfig"], params["context"] or "", params["patience"]))
    try:
        return {"migrations": migrations_at(api, params["name"])}
    finally:
        api.close()


def main() -> None:
    run_module(cluster_migration_info_spec(), work)


if __name__ == "__main__":
    main()
