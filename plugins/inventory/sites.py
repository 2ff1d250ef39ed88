# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The federation file as an Ansible inventory: reads it, asks the sites (or the cache), and fills in hosts and groups."""

from __future__ import annotations

DOCUMENTATION = r"""
name: sites
author:
  - The virt8ra.federation authors (!UNKNOWN)
short_description: Every site, hypervisor, VM and cluster of a federation
version_added: 0.1.0
description:
  - Reads a federation file, whose name ends in C(.sites.yml) or C(.sites.yaml), and asks all hypervisors that it names for
    their VMs, and the API servers of all clusters of which it has a kubeconfig for their nodes, all at the same time.
  - Hypervisors and cluster nodes that the file declares are hosts even before they exist or answer, so one file serves to
    provision a site and later to discover what runs there.
  - A site that fails or is late is a warning; its declared hosts stay, in the group C(unreachable_sites).
    Set O(strict_sites=true) to make that fatal.
  - "Groups: C(site_NAME), which is a child of C(provider_NAME) and of C(country_CODE); C(hypervisors), C(vms), C(nodes);
    C(clusters) with a child C(cluster_NAME) for each cluster; C(unreachable_sites), with the sites of which nothing
    answered as children, and with single hypervisors, and the declared nodes of single clusters, that did not answer. Names are made safe as Ansible does it,
    C(site_lab_es) for the site V(lab-es), and otherwise kept as written."
  - "Variables of every host: C(federation_kind) (V(hypervisor), V(node) or V(vm)), C(federation_name),
    C(federation_site_name), C(federation_provider), C(federation_country); C(ansible_host) where it is known."
  - "Variables of a hypervisor: C(federation_site) (the whole site, as the modules' option O(ignore:site) takes it),
    C(federation_hypervisor), C(federation_hypervisor_name), C(federation_reachable), C(federation_images) (the image library,
    the newest version of each name first)."
  - "Variables of a node: C(federation_site), C(federation_cluster), C(federation_reachable) (false when its cluster's API was asked and
    could not be read), C(federation_node). The latter has C(name), C(address) and C(role), and of a cluster that answered also
    C(ready), C(schedulable), C(version), C(roles), C(capacity) and C(allocatable) (C(cpus), C(memory) and C(storage) in bytes,
    C(pods)), C(addresses), C(os_image), C(architecture), C(uid)."
  - Nodes that a cluster's API shows and the file does not declare are hosts too; their C(ansible_host) is their InternalIP.
  - "Variables of a VM: C(federation_uuid), C(federation_state) (V(running), V(paused), V(stopped) or V(crashed)),
    C(federation_hypervisor_name), C(federation_cpus), C(federation_memory) and sizes in C(federation_disks) in bytes,
    C(federation_nics), C(federation_description), C(federation_allowed_countries), C(federation_placement), C(federation_owner) (the hypervisor that
    may run it, and the epoch), C(federation_migration) (its last migration: source, target, mode and phase),
    C(federation_managed) (whether the federation made it), C(federation_addresses), best first."
  - The C(ansible_host) of a running VM is the address that its DHCP lease, else its guest agent, else the hypervisor's ARP
    table gives; a VM without a known address has none.
  - What a site returns is data. It is never templated, whatever it looks like.
notes:
  - "A VM that a migration left at two hypervisors is one host: the copy whose owner is the hypervisor it is at, with the
    highest epoch, else the one that runs."
  - "Different VMs with one name are all named C(NAME.SITE), with a warning, and so is a VM with the name of a declared host,
    of a group or of the controller (V(localhost)). A name means one machine; use O(vm_name=name_at_site) for names that do
    not depend on which sites answer."
  - "A node that was found and that has the name and an address of a VM of its site is the same host. One whose name is taken otherwise is
    named C(NAME.CLUSTER), with a warning."
  - "Slashes, backslashes and control characters in the name of a VM or of a node that was found become underscores in the name of its host;
    C(federation_name) keeps the name."
  - A hypervisor or a cluster that was read is cached; one that failed is tried again the next time. A change of a site in the file makes
    what is cached of it void.
requirements:
  - libvirt-python (on the controller), for sites with hypervisors
  - kubernetes 31 or later (on the controller), for clusters with a kubeconfig
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
  - virt8ra.federation.federation
options:
  plugin:
    description: Marks the file as a federation file.
    type: str
    required: true
    choices: [virt8ra.federation.sites]
  federation:
    description: The name of the federation.
    type: str
    required: true
  pki_path:
    description:
      - Folder with C(cacert.pem), C(clientcert.pem) and C(clientkey.pem), the client certificate for C(qemu+tls) connections.
      - A relative path is taken from the folder of the federation file.
      - The environment variables E(VIRT8RA_PKI_CA_FILE), E(VIRT8RA_PKI_CERTIFICATE_FILE) and E(VIRT8RA_PKI_KEY_FILE), which name the three files
        wherever they are, come before it.
      - Without it libvirt looks at its own places.
    type: str
    env:
      - name: VIRT8RA_PKI_PATH
  kubeconfig_path:
    description:
      - Folder in which C(NAME.kubeconfig) of a cluster is looked for when the cluster's entry names no kubeconfig.
      - A file is the kubeconfig of all those clusters; each is reached by its context, or by the context with its name. An empty file is none.
      - A relative path is taken from the folder of the federation file.
    type: str
    env:
      - name: VIRT8RA_KUBECONFIG_PATH
  site_timeout:
    description:
      - Seconds that a site has to answer.
      - As all are asked at the same time, this is also the time that all of them have together.
    type: float
    default: 15
  strict_sites:
    description: Fail when a hypervisor or a cluster cannot be read, instead of going on with a warning.
    type: bool
    default: false
  discover:
    description:
      - Ask the sites what runs there. Without it the inventory holds what the file declares, and no site is contacted.
      - Of use before the sites exist, as when a lab is made.
    type: bool
    default: true
    env:
      - name: VIRT8RA_DISCOVER
  vm_name:
    description:
      - How VMs are named in the inventory.
      - V(name) is the VM's own name, where it is the only one.
      - V(name_at_site) is always C(NAME.SITE).
    type: str
    choices: [name, name_at_site]
    default: name
"""

EXAMPLES = r"""
# federation.sites.yml: the smallest that works
plugin: virt8ra.federation.sites
federation: example
sites:
  - name: rioja
    provider: Arsys
    country: ES
    hypervisors:
      - {name: kvm1.rioja.example}

---
# Two sites, a client certificate, and what the sites call their storage and networks
plugin: virt8ra.federation.sites
federation: example
pki_path: .pki/controller
site_timeout: 10
sites:
  - name: rioja
    provider: Arsys
    country: ES
    city: Logroño
    latitude: 42.4627
    longitude: -2.4450
    labels: {tier: core}
    storage: {ssd: vms, images: images}
    networks: {public: public}
    hypervisors:
      - {name: kvm1, address: 192.0.2.11}
      - {name: kvm2, address: 192.0.2.12}
  - name: baden
    provider: IONOS
    country: DE
    storage: {ssd: nvme}
    networks: {public: br-public}
    hypervisors:
      - {name: kvm3, address: 198.51.100.11, uri: "qemu+tls://kvm3.baden.example/system"}
    clusters:
      - name: edge
        endpoint: https://198.51.100.20:6443
        kubeconfig: .kube/edge.kubeconfig
        nodes:
          - {name: edge-1, address: 198.51.100.21, role: server}
          - {name: edge-2, address: 198.51.100.22}

---
# Only what runs in Spain or Germany, without scratch VMs; cached for ten minutes; groups by state and by label
plugin: virt8ra.federation.sites
federation: example
filters:
  include:
    - {country: [ES, DE], state: running}
  exclude:
    - {name: "scratch-*"}
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: /var/cache/ansible/federation
cache_timeout: 600
keyed_groups:
  - {key: federation_state, prefix: state}
groups:
  large: federation_memory | default(0) >= 8589934592
compose:
  ansible_user: "'debian' if federation_kind == 'vm' else 'root'"
sites:
  - name: rioja
    provider: Arsys
    country: ES
    hypervisors:
      - {name: kvm1, address: 192.0.2.11}
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Union

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.virt8ra.federation.plugins.module_utils.clusters import Cluster, located
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import FederationError
from ansible_collections.virt8ra.federation.plugins.module_utils.federation import Federation, plain
from ansible_collections.virt8ra.federation.plugins.module_utils.images import with_folder
from ansible_collections.virt8ra.federation.plugins.module_utils.inventory import (
    NODE_KEYS,
    VM_KEYS,
    Contents,
    arrange,
    cluster_key,
    fault_lines,
)
from ansible_collections.virt8ra.federation.plugins.module_utils.model import Hypervisor, Site
from ansible_collections.virt8ra.federation.plugins.module_utils.selection import Selection
from ansible_collections.virt8ra.federation.plugins.module_utils.site_reports import gather
from ansible_collections.virt8ra.federation.plugins.plugin_utils.pki_files import pki_folder

# What is cached is void once the collection records VMs or nodes differently.
_CACHE_FORMAT = [2, *VM_KEYS, *NODE_KEYS]
_FEDERATION_KEYS = (
    "plugin",
    "federation",
    "pki_path",
    "kubeconfig_path",
    "site_timeout",
    "strict_sites",
    "discover",
    "vm_name",
    "sites",
    "images",
)

Reports = dict[str, dict[str, Any]]
# What of a site is asked, by the key of its report.
Wanted = dict[str, tuple[Site, Union[Hypervisor, Cluster]]]


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Fetch (``backends``) and populate (``module_utils.inventory``) live apart; this joins them with Ansible."""

    NAME = "virt8ra.federation.sites"

    def verify_file(self, path: str) -> bool:
        return bool(super().verify_file(path)) and path.endswith((".sites.yml", ".sites.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        config = self._read_config_data(path)
        try:
            federation, selection = self._read_federation(config)
        except FederationError as error:
            raise AnsibleParserError(f"{path}: {error}") from error
        federation = self._with_paths(federation, Path(path).absolute().parent)
        reports = self._reports(federation, selection, path, cache)
        faults = fault_lines(federation, reports)
        if faults and federation.strict_sites:
            raise AnsibleParserError("; ".join(faults))
        contents = arrange(federation, reports, selection, reserved=tuple(inventory.groups))
        for line in faults + contents.warnings:
            self.display.warning(line)
        self._populate(contents)
        self._construct(contents)

    def _read_federation(self, config: dict[str, Any]) -> tuple[Federation, Selection]:
        """What Ansible itself reads (cache, constructed) is not the federation's; any other key is refused there."""
        document = plain(config)
        selection = Selection.from_dict(document.pop("filters", None))
        ansible_options = set(self._options).difference(_FEDERATION_KEYS)
        return Federation.from_dict({key: value for key, value in document.items() if key not in ansible_options}), selection

    def _with_paths(self, federation: Federation, folder: Path) -> Federation:
        """What the file names by relative paths, found from its own folder; kubeconfigs also where they are looked for."""
        kubeconfigs = self.get_option("kubeconfig_path") or ""
        sites = tuple(
            dataclasses.replace(site, clusters=tuple(located(cluster, folder, kubeconfigs) for cluster in site.clusters))
            for site in federation.sites
        )
        return dataclasses.replace(federation, images=with_folder(federation.images, str(folder)), sites=sites)

    def _wanted(self, federation: Federation, selection: Selection) -> Wanted:
        wanted: Wanted = {}
        for site in federation.sites if self.get_option("discover") else ():
            if not selection.wants_site(site):
                continue
            for hypervisor in site.hypervisors if site.backend == "libvirt" else ():
                if selection.wants_vms(site, hypervisor.name):
                    wanted[hypervisor.name] = (site, hypervisor)
            for cluster in site.clusters:
                if cluster.kubeconfig and selection.wants_declared(site, "node"):
                    wanted[cluster_key(cluster.name)] = (site, cluster)
        return wanted

    def _reports(self, federation: Federation, selection: Selection, path: str, cache: bool) -> Reports:
        """From the cache what is there, from the network the rest; what was read goes into the cache."""
        wanted = self._wanted(federation, selection)
        caching = bool(self.get_option("cache"))
        key = self.get_cache_key(path)
        cached = self._cached(key, wanted) if caching and cache else {}
        missing = {name: pair for name, pair in wanted.items() if name not in cached}
        fetched = self._fetched(federation, missing, path) if missing else {}
        reports = {**cached, **fetched}
        if caching and any("fault" not in report for report in fetched.values()):
            self._remember(key, wanted, reports)
        return reports

    def _fetched(self, federation: Federation, wanted: Wanted, path: str) -> Reports:
        """With the client certificate that the environment names, or that the file does."""
        written = self.get_option("pki_path") or ""
        try:
            with pki_folder(os.environ) as folder:
                return _fetch(
                    federation, wanted, folder or (str(Path(path).parent / Path(written).expanduser()) if written else None)
                )
        except FederationError as error:
            raise AnsibleParserError(str(error)) from error

    def _cached(self, key: str, wanted: Wanted) -> Reports:
        """Reports of what is at a site that is still described as it was when they were read."""
        stored = self._cache.get(key) or {}
        if stored.get("format") != _CACHE_FORMAT:
            return {}
        marks = stored["marks"]
        fresh = [name for name, (site, _what) in wanted.items() if marks.get(name) == _mark(site)]
        reports = json.loads(stored["reports"]) if fresh else {}
        return {name: reports[name] for name in fresh}

    def _remember(self, key: str, wanted: Wanted, reports: Reports) -> None:
        """The reports go in as one string: Ansible copies deeply what is put into its cache, which is slow for many VMs."""
        read = {name: report for name, report in reports.items() if "fault" not in report}
        marks = {name: _mark(site) for name, (site, _what) in wanted.items() if name in read}
        self._cache[key] = {"format": _CACHE_FORMAT, "marks": marks, "reports": json.dumps(read)}

    def _populate(self, contents: Contents) -> None:
        safe: dict[str, str] = {}
        for parent, children in contents.children.items():
            for child in children:
                safe[child] = self.inventory.add_group(self._sanitize_group_name(child))
                if parent:
                    self.inventory.add_child(safe[parent], safe[child])
        for host in contents.hosts.values():
            for group in host.groups:
                self.inventory.add_host(host.name, safe[group])
            # Not by set_variable: it walks every value to tag it, for thousands of VMs most of the time. Untagged strings
            # are untrusted, which is what data from a back end must be.
            self.inventory.hosts[host.name].vars.update(host.variables)

    def _construct(self, contents: Contents) -> None:
        """Ansible's compose, groups and keyed_groups; nothing is templated when none is given."""
        compose, groups, keyed = (self.get_option(name) for name in ("compose", "groups", "keyed_groups"))
        if not (compose or groups or keyed):
            return
        strict = self.get_option("strict")
        for name in contents.hosts:
            variables = self.inventory.hosts[name].vars
            self._set_composite_vars(compose, variables, name, strict=strict)
            self._add_host_to_composed_groups(groups, variables, name, strict=strict, fetch_hostvars=False)
            self._add_host_to_keyed_groups(keyed, variables, name, strict=strict, fetch_hostvars=False)


def _fetch(federation: Federation, wanted: Wanted, pki_path: str | None) -> Reports:
    """All at once. What a back end needs is imported only for it: from the cache, neither is needed nor worth its time."""
    hypervisors = [(site, what) for site, what in wanted.values() if isinstance(what, Hypervisor)]
    clusters = [(site, what) for site, what in wanted.values() if isinstance(what, Cluster)]
    timeout = federation.site_timeout
    readings: dict[str, Callable[[], dict[str, Any]]] = {}
    if clusters:
        from ansible_collections.virt8ra.federation.plugins.module_utils.backends.kubernetes import cluster_facts

        readings.update(cluster_facts.readings(clusters, timeout=timeout, key=cluster_key))
    if hypervisors:
        from ansible_collections.virt8ra.federation.plugins.module_utils.backends.libvirt import bulk

        readings.update(bulk.readings(hypervisors, timeout=timeout, pki_path=pki_path))
    return gather(readings, timeout)


def _mark(site: Site) -> str:
    """Tells whether a site is still described as it was."""
    return hashlib.sha256(json.dumps(site.to_dict(), sort_keys=True).encode()).hexdigest()[:16]
