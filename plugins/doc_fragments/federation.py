# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lists of the federation file: its filters, its sites and its images; ``module_utils/federation.py`` reads them."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  filters:
    description:
      - Which hosts are wanted. Sites and hypervisors of which nothing can be wanted are not asked.
      - The keys of a rule must all match; a key matches when one of its values does; values are shell patterns such as V(web-*).
      - The keys are C(site), C(provider), C(country), C(label) (a mapping, of the site's labels), C(kind) (V(hypervisor),
        V(node), V(vm)), C(hypervisor), and of VMs C(name), C(state) and C(managed) (true or false).
      - Rules leave declared hosts alone where C(name), C(state) or C(managed) would speak of VMs; use C(kind) to leave hosts out.
    type: dict
    default: {}
    suboptions:
      include:
        description: Rules of which at least one must match; without any, everything is wanted.
        type: list
        elements: dict
        default: []
      exclude:
        description: Rules of which none may match.
        type: list
        elements: dict
        default: []
  sites:
    description: The sites of the federation.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the site, its own in the federation.
        type: str
        required: true
      provider:
        description: The organisation that runs the site.
        type: str
        required: true
      country:
        description: Where the site is, as an ISO 3166-1 alpha-2 code in capitals. Put V("NO") in quotes, or YAML reads it as false.
        type: str
        required: true
      city:
        description: The city.
        type: str
      latitude:
        description: Degrees north.
        type: float
      longitude:
        description: Degrees east.
        type: float
      labels:
        description: Free labels, strings to strings, for filters and placement.
        type: dict
        default: {}
      storage:
        description: Logical storage names to the site's own libvirt pools.
        type: dict
        default: {}
      networks:
        description: Logical network names to the site's own libvirt networks.
        type: dict
        default: {}
      attestations:
        description:
          - Statements about the site that compliance reports cite. Placement takes the C(claim) of each as a certification, unless its
            C(value) is false, or C(issued) and C(expires) say that it does not hold today.
          - The keys that mean something are C(claim), C(value), C(evidence) (the URL of the document), C(sha256) (its digest),
            C(issuer), C(issued) and C(expires). An attestation that a control uses needs C(expires).
        type: list
        elements: dict
        default: []
      cpu_overcommit:
        description: How many vCPUs may be promised for each CPU of a hypervisor.
        type: float
        default: 4.0
      memory_overcommit:
        description: How much memory may be promised, as a multiple of what a hypervisor has.
        type: float
        default: 1.0
      cpu_price:
        description: The price of a vCPU for an hour, in the federation's currency.
        type: float
      memory_price:
        description: The price of a GiB of memory for an hour, in the federation's currency.
        type: float
      energy:
        description: The watts that a vCPU in use draws.
        type: float
      backend:
        description: What the site speaks. A site that speaks V(libvirt) may have clusters as well; one that speaks V(kubernetes) has nothing else.
        type: str
        choices: [libvirt, kubernetes]
        default: libvirt
      hypervisors:
        description: The KVM hosts of the site.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Name of the hypervisor, its own in the federation, and the one in its certificate.
            type: str
            required: true
          address:
            description: Host name or IP address by which the others reach it; the name where not given.
            type: str
          uri:
            description: The libvirt URI; C(qemu+tls://ADDRESS/system) where not given.
            type: str
      clusters:
        description: The k3s or Kubernetes clusters of the site.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: Name of the cluster, its own in the federation.
            type: str
            required: true
          endpoint:
            description: URL of the API server.
            type: str
          kubeconfig:
            description:
              - The kubeconfig with which the cluster's nodes are read. A relative path is taken from the folder of the federation file.
              - Without it, C(NAME.kubeconfig) in O(kubeconfig_path) is used where there is one; else the cluster is only declared.
            type: path
          context:
            description: The context in the kubeconfig; its current one where not given.
            type: str
          nodes:
            description: The declared members; each has a name, an address and a role (V(server) or V(agent)). Others that the API shows are added.
            type: list
            elements: dict
            default: []
  images:
    description: The image library of the federation. An image of one name and version never changes.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the image, without its version.
        type: str
        required: true
      version:
        description: The version, in quotes where YAML would read a number. Versions compare number by number.
        type: str
        required: true
      sha256:
        description: The SHA-256 digest of the file, as C(sha256sum) tells it.
        type: str
        required: true
      source:
        description:
          - Where it comes from when no site has it, with one of the keys C(url) (V(https), V(http), or V(file) on the hypervisor),
            C(file) (on the controller; a relative path is taken from the folder of the federation file) and C(site) (whose library has it).
        type: dict
        required: true
      format:
        description: Format of the file.
        type: str
        choices: [qcow2, raw]
        default: qcow2
      size:
        description: Size of the file, in bytes or with a binary unit. A download that is longer is refused.
        type: str
      os_variant:
        description: What is in it, as libosinfo names it.
        type: str
      architecture:
        description: The processor architecture that it is for.
        type: str
        default: x86_64
      firmware:
        description: The firmware that it boots with.
        type: str
        choices: [any, bios, uefi]
        default: any
  waivers:
    description: Findings that somebody bears for a while. A waiver turns no finding into a pass; a waived fail only does not fail the run.
    type: list
    elements: dict
    default: []
    suboptions:
      control:
        description: The id of the control.
        type: str
        required: true
      scope:
        description:
          - Of whom it is waived, as shell patterns under the keys C(site), C(type) (V(site), V(hypervisor), V(vm), V(cluster)) and
            C(name). All of the keys that are given must match. Without it, of all.
        type: dict
        default: {}
      reason:
        description: Why it is borne.
        type: str
        required: true
      owner:
        description: Who bears it.
        type: str
        required: true
      expires:
        description: The last day on which it holds, ISO 8601.
        type: str
        required: true
"""
