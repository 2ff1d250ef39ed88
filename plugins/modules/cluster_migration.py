#!/usr/bin/python
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_migration
short_description: Migrate the workloads of a cluster to another one
version_added: 0.2.0
description:
  - Takes the applications of the chosen namespaces, with all that they need outside of them and with the data of their claims, from one
    Kubernetes cluster to another, of any distribution and at any site.
  - Objects and data are brought in step while the application runs. Then it is put to rest at the source, what changed last is copied and
    compared, and it is started at the target. A failure before the target is ready puts the source back as it was.
  - At no time do two copies run. The source is at rest and fenced by a quota of no pods before anything starts at the target.
  - A journal, in a ConfigMap at both ends, holds how far it came. Every state can be asked for again after anything died, from any controller;
    a Lease at the source keeps two runs apart.
  - The source is kept until O(state=released).
  - It runs wherever both API servers can be reached; the data goes through there, too.
requirements:
  - kubernetes (Python) on the host where it runs
options:
  name:
    description: Name of the migration, by which its journal is found again. The default is made of both contexts, as in C(es-to-de).
    type: str
  state:
    description:
      - V(planned) tells what would be done and what stands in the way, and changes nothing.
      - V(synced) brings objects, at rest, and data in step at the target; the application runs on at the source.
      - V(completed) has the application at the target, with as much of it ready as was at the source.
      - V(aborted) takes an unfinished migration back; the source is just as it was, and what was made at the target is gone.
      - V(released) deletes at the source what has moved, after a completed migration, and leaves a receipt of that.
    type: str
    choices: [planned, synced, completed, aborted, released]
    default: completed
  method:
    description:
      - V(workloads) moves the objects and the data of claims, from any Kubernetes to any other.
      - V(nodes) moves a whole cluster whose nodes are VMs; the playbook C(migrate_cluster_nodes) does that, and this module refuses it by naming it.
      - V(auto) takes V(workloads) and says why.
    type: str
    choices: [auto, workloads, nodes]
    default: auto
  source_kubeconfig:
    description: Kubeconfig file of the source. E(VIRT8RA_SOURCE_KUBECONFIG) is taken when it is not set.
    type: path
    required: true
  source_context:
    description: Context in O(source_kubeconfig); its current one by default. E(VIRT8RA_SOURCE_CONTEXT) is taken when it is not set.
    type: str
  target_kubeconfig:
    description: Kubeconfig file of the target. E(VIRT8RA_TARGET_KUBECONFIG) is taken when it is not set.
    type: path
    required: true
  target_context:
    description: Context in O(target_kubeconfig); its current one by default. E(VIRT8RA_TARGET_CONTEXT) is taken when it is not set.
    type: str
  namespaces:
    description: The namespaces that move; all of the user's by default, which are all but the cluster's own.
    type: list
    elements: str
    default: []
  exclude_namespaces:
    description: Namespaces that stay.
    type: list
    elements: str
    default: []
  exclude_kinds:
    description: Kinds that stay, as V(Ingress) or V(ingresses.networking.k8s.io).
    type: list
    elements: str
    default: []
  storage_classes:
    description: Storage classes at the target, as V(old) to V(new). Names that are not here stay.
    type: dict
    default: {}
  ingress_classes:
    description: Ingress classes at the target, as V(old) to V(new). Names that are not here stay.
    type: dict
    default: {}
  priority_classes:
    description: Priority classes at the target, as V(old) to V(new). Names that are not here stay.
    type: dict
    default: {}
  node_ports:
    description: V(keep) the node ports of services, which must be free at the target, or let it choose V(new) ones.
    type: str
    choices: [keep, new]
    default: keep
  load_balancer_ips:
    description: V(keep) the addresses that services ask of a load balancer, or let the target choose V(new) ones.
    type: str
    choices: [keep, new]
    default: new
  images:
    description: Other beginnings of images' names at the target, as V(registry.es.example.org/) to V(registry.de.example.org/).
    type: dict
    default: {}
  missing_images:
    description: What it means that an image is on none of the target's nodes, where they tell it. They may be able to pull it.
    type: str
    choices: [ignore, warn, block]
    default: warn
  conflicts:
    description:
      - V(refuse) when the target has an object of the same name that is somebody else's and is not the same.
      - With V(force) it is overwritten, and an abort does not bring back what it was.
    type: str
    choices: [refuse, force]
    default: refuse
  jobs:
    description:
      - V(wait) at the cutover until the jobs that run are finished, or V(suspend) them, so that they begin anew at the target.
      - Finished jobs go along suspended, and never run again.
    type: str
    choices: [wait, suspend]
    default: wait
  mover_image:
    description: Image with a busybox, for the pods that read and write the data of claims.
    type: str
    default: busybox:1.37
  mover_bandwidth:
    description: Bytes per second that the copying of the claims' data may take, all claims together; V(0) for as fast as it goes.
    type: int
    default: 0
  connections:
    description: Requests to each API server at the same time.
    type: int
    default: 16
  quiesce_timeout:
    description: Seconds that the application has to come to rest at the source.
    type: int
    default: 300
  ready_timeout:
    description: Seconds that the application has to get ready at the target.
    type: int
    default: 600
  verify_digests:
    description: Before the start compare the digests of all files of all claims at both ends.
    type: bool
    default: true
  life_probes:
    description: Signs of life that must be seen from where the module runs before the migration counts as completed.
    type: list
    elements: dict
    default: []
    suboptions:
      url:
        description: Address that must answer with O(life_probes[].status); redirections are not followed.
        type: str
      status:
        description: Status of the answer.
        type: int
        default: 200
      validate_certs:
        description: Whether the certificate must be valid.
        type: bool
        default: true
      host:
        description: Host on which O(life_probes[].port) must take a connection, in place of O(life_probes[].url).
        type: str
      port:
        description: TCP port.
        type: int
      timeout:
        description: Seconds to try.
        type: int
        default: 60
  hooks:
    description:
      - Commands that are run where the module runs. One that fails before the migration is completed takes the cutover back.
      - They find the migration in E(VIRT8RA_MIGRATION), E(VIRT8RA_SOURCE), E(VIRT8RA_TARGET), E(VIRT8RA_NAMESPACES) and E(VIRT8RA_WHEN).
      - After a run that died they may be run once more.
    type: list
    elements: dict
    default: []
    suboptions:
      when:
        description: The moment. V(after_start) is when all is ready at the target, and the place to switch DNS or a load balancer.
        type: str
        required: true
        choices:
          - before_sync
          - after_sync
          - before_cutover
          - after_quiesce
          - after_delta
          - before_start
          - after_start
          - after_cutover
          - before_abort
          - after_abort
          - before_release
          - after_release
      command:
        description: The program and its arguments; no shell is between.
        type: list
        elements: str
        required: true
      timeout:
        description: Seconds that it has.
        type: int
        default: 300
  patience:
    description: Seconds for which an API server that does not answer is tried again.
    type: int
    default: 120
  progress_path:
    description:
      - File in which the module keeps its progress, as one line of JSON.
      - The action plugin of the same name sets it and shows what is written there.
    type: path
  report_dir:
    description:
      - Folder on the controller in which the action plugin of the same name writes a report of the migration, as JSON and as a page to look at.
      - Without it, and in check mode, nothing is written.
    type: str
extends_documentation_fragment:
  - virt8ra.federation.attributes
seealso:
  - module: virt8ra.federation.cluster_migration_info
  - module: virt8ra.federation.vm_migration
author:
  - The virt8ra.federation authors (@virt8ra)
"""

EXAMPLES = r"""
- name: See what stands in the way
  virt8ra.federation.cluster_migration:
    state: planned
    source_kubeconfig: es.yaml
    target_kubeconfig: de.yaml

- name: Move two namespaces, with their data on another class of storage
  virt8ra.federation.cluster_migration:
    name: shop
    state: completed
    source_kubeconfig: es.yaml
    target_kubeconfig: de.yaml
    namespaces: [shop, shop-data]
    storage_classes:
      local-path: longhorn
    hooks:
      - when: after_start
        command: [/usr/local/bin/point-dns-to, de]
    life_probes:
      - url: https://shop.example.org/healthz

- name: Take it back while it is not completed
  virt8ra.federation.cluster_migration:
    name: shop
    state: aborted
    source_kubeconfig: es.yaml
    target_kubeconfig: de.yaml

- name: Delete what stayed behind
  virt8ra.federation.cluster_migration:
    name: shop
    state: released
    source_kubeconfig: es.yaml
    target_kubeconfig: de.yaml
"""

RETURN = r"""
plan:
  description: What was to be done; not returned where nothing was left to plan.
  returned: when the application had not come over yet
  type: dict
  contains:
    blockers:
      description: What stands in the way, each with C(check) and C(message). Not empty only with O(state=planned).
      type: list
      elements: dict
    warnings:
      description: What a person should know before.
      type: list
      elements: str
    steps:
      description: The steps, in order.
      type: list
      elements: str
    objects:
      description: Numbers of objects that go along, by kind.
      type: dict
    cleaned:
      description: What is taken off the objects because it belongs to the old cluster, with how often.
      type: dict
    mapped:
      description: What has another name at the target, as C(storage class old → new), with how often.
      type: dict
    left:
      description: What stays at the source, by kind and reason, with how often.
      type: dict
    volumes:
      description:
        - The claims that go along, each with C(namespace), C(claim), C(bytes) of its capacity, C(storage_class), C(target_class),
          C(access_modes), C(volume_mode), and whether it is C(bound), which means that it has data.
      type: list
      elements: dict
    estimate:
      description:
        - C(objects), C(bytes) that the claims can hold, C(delta_bytes), C(objects_seconds) for the objects alone, and C(seconds) and
          C(downtime_seconds) of all. Times are null where what they depend on was not measured.
      type: dict
    source:
      description: Context of the source.
      type: str
    target:
      description: Context of the target.
      type: str
    namespaces:
      description: The namespaces that move.
      type: list
      elements: str
    method:
      description: The method.
      type: str
    reason:
      description: Why it is this method.
      type: str
    text:
      description: All of the plan as the lines of a table.
      type: list
      elements: str
migration:
  description: The journal and the figures of the migration.
  returned: when there is or was a migration of this name
  type: dict
  contains:
    id:
      description: Identifier of this one migration.
      type: str
    name:
      description: Name of the migration.
      type: str
    method:
      description: Method of the migration.
      type: str
    source:
      description: Context of the cluster it came from.
      type: str
    target:
      description: Context of the cluster it went to.
      type: str
    phase:
      description: V(copying), V(synced), V(switching), V(completed), V(released) or V(aborted).
      type: str
    step:
      description: Step of the cutover while the phase is V(switching), as V(stopping), V(stopped), V(starting), V(taking back) or V(restoring).
      type: str
    started:
      description: When it began (ISO 8601, UTC).
      type: str
    namespaces:
      description: The namespaces, with their UIDs at the source.
      type: dict
    at_rest:
      description: What was put to rest at the source, and what it was before.
      type: dict
    objects:
      description: Numbers of objects that went along, by kind.
      type: dict
    volumes:
      description: The claims, as C(namespace/claim), and how far their data is.
      type: dict
    runs:
      description: How many runs worked on it.
      type: int
    total_ms:
      description: Milliseconds from its beginning to the end of its last step.
      type: int
    downtime_ms:
      description: Milliseconds from the request to rest at the source to the application being ready at the target.
      type: int
    bytes:
      description: Bytes of data that were copied before the cutover.
      type: int
    verified:
      description: At the end the source was read to be at rest and the target to be ready.
      type: bool
    sign_of_life:
      description: By what the application was seen to live at the target.
      type: str
    receipt:
      description:
        - After the release what was deleted at the source, with C(cluster), C(objects), C(namespaces), C(finalizers), C(erased), and what was
          C(left) and why.
      type: dict
report:
  description: The migration as data for a report, with its C(events), C(objects), C(volumes), C(figures), C(warnings) and C(takeovers).
  returned: when there is or was a migration of this name
  type: dict
report_files:
  description: Paths of the report on the controller, as C(json) and C(html).
  returned: when O(report_dir) is given, and there is or was a migration
  type: dict
rejected:
  description: Objects that the target rejected, each with its reason.
  returned: when it failed because of them
  type: dict
"""

from typing import Any

from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_migration.preparation import engine_of
from ansible_collections.virt8ra.federation.plugins.module_utils.cluster_options import cluster_migration_spec
from ansible_collections.virt8ra.federation.plugins.module_utils.module import FederationModule, run_module
from ansible_collections.virt8ra.federation.plugins.module_utils.progress import ProgressFile


def work(module: FederationModule) -> dict[str, Any]:
    progress = ProgressFile(module.params["progress_path"])
    progress.report("starting", {})
    with engine_of(module.params, progress.report) as engine:
        result = engine.reach(module.params["state"], check=module.check_mode)
    for text in result.get("migration", {}).get("warnings", []):
        module.warn(text)
    return result


def main() -> None:
    run_module(cluster_migration_spec(), work)


if __name__ == "__main__":
    main()
