# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How lists and maps of each kind merge: by key, as sets, or as a whole. Built-in types by table, custom ones by their schema."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


@dataclass
class Shape:
    """Of a value: ``relation`` is granular or atomic for a map, map, set or atomic for a list.

    ``free``: keys of the map are data, not fields. ``merge_key``: the key of strategic merge, where it is another than ``keys``.
    """

    relation: str = "granular"
    keys: tuple[str, ...] = ()
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)
    items: Any = None
    free: bool = False
    defaults: dict[str, Any] = dataclasses.field(default_factory=dict)

    def field(self, name: str) -> Shape | None:
        found = self.fields.get(name)
        if isinstance(found, str):
            found = self.fields[name] = named(found)
        if found is None and self.free:
            return self.items
        return found

    @property
    def merges(self) -> bool:
        return self.relation in ("map", "set")

    @property
    def merge_key(self) -> str:
        return self.keys[0] if self.keys else ""


# Type: field=what …  where what is TYPE | atomic | set | free (a map of data) | [keys] | [keys]TYPE. Anything else of a kind is a
# granular map, a scalar, or a list that is replaced as a whole.
_TYPES = """
ObjectMeta: labels=free annotations=free finalizers=set ownerReferences=[uid]Atomic managedFields=atomic
Atomic: *=atomic
LabelSelector: *=atomic
PodTemplateSpec: metadata=ObjectMeta spec=PodSpec
PodSpec: volumes=[name]Volume containers=[name]Container initContainers=[name]Container ephemeralContainers=[name]Container
  nodeSelector=atomic imagePullSecrets=[name] hostAliases=[ip]
  topologySpreadConstraints=[topologyKey,whenUnsatisfiable]Spread schedulingGates=[name] resourceClaims=[name] overhead=free affinity=Affinity
Spread: labelSelector=atomic
Affinity: nodeAffinity=NodeAffinity
NodeAffinity: requiredDuringSchedulingIgnoredDuringExecution=atomic
Volume: emptyDir=Plain
Plain:
Container: ports=[containerPort,protocol]Port env=[name]Env volumeMounts=[mountPath] volumeDevices=[devicePath] resources=Resources
Port: protocol:=TCP
Env: valueFrom=EnvSource
EnvSource: configMapKeyRef=atomic secretKeyRef=atomic fieldRef=atomic resourceFieldRef=atomic
Resources: limits=free requests=free claims=[name]
Pod: metadata=ObjectMeta spec=PodSpec status=PodStatus
PodStatus: conditions=[type] podIPs=[ip] hostIPs=atomic containerStatuses=atomic
WorkloadStatus: conditions=[type]
Deployment: metadata=ObjectMeta spec=WorkloadSpec status=WorkloadStatus
ReplicaSet: metadata=ObjectMeta spec=WorkloadSpec status=WorkloadStatus
ReplicationController: metadata=ObjectMeta spec=ControllerSpec status=WorkloadStatus
StatefulSet: metadata=ObjectMeta spec=WorkloadSpec status=WorkloadStatus
DaemonSet: metadata=ObjectMeta spec=WorkloadSpec status=WorkloadStatus
WorkloadSpec: selector=atomic template=PodTemplateSpec
ControllerSpec: selector=atomic template=PodTemplateSpec
Job: metadata=ObjectMeta spec=WorkloadSpec status=JobStatus
JobStatus: conditions=[type]
CronJob: metadata=ObjectMeta spec=CronJobSpec
CronJobSpec: jobTemplate=JobTemplate
JobTemplate: metadata=ObjectMeta spec=WorkloadSpec
Service: metadata=ObjectMeta spec=ServiceSpec status=ServiceStatus
ServiceSpec: selector=atomic ports=[port,protocol]Port
ServiceStatus: conditions=[type]
ConfigMap: metadata=ObjectMeta data=free binaryData=free
Secret: metadata=ObjectMeta data=free stringData=free
ServiceAccount: metadata=ObjectMeta secrets=[name]Atomic
Namespace: metadata=ObjectMeta status=NamespaceStatus
NamespaceStatus: conditions=[type]
Node: metadata=ObjectMeta spec=NodeSpec status=NodeStatus
NodeSpec: podCIDRs=set
NodeStatus: conditions=[type] addresses=[type] capacity=free allocatable=free
PersistentVolumeClaim: metadata=ObjectMeta spec=ClaimSpec status=ClaimStatus
ClaimSpec: selector=atomic dataSource=atomic resources=Resources
ClaimStatus: conditions=[type] capacity=free
PersistentVolume: metadata=ObjectMeta spec=VolumeSpec
VolumeSpec: capacity=free nodeAffinity=VolumeAffinity
VolumeAffinity: required=atomic
ResourceQuota: metadata=ObjectMeta spec=QuotaSpec status=QuotaStatus
QuotaSpec: hard=free scopeSelector=atomic
QuotaStatus: hard=free used=free
Ingress: metadata=ObjectMeta spec=IngressSpec
IngressSpec: defaultBackend=Backend
Backend: resource=atomic
NetworkPolicy: metadata=ObjectMeta spec=PolicySpec
PolicySpec: podSelector=atomic
RoleBinding: metadata=ObjectMeta roleRef=atomic
ClusterRoleBinding: metadata=ObjectMeta roleRef=atomic
HorizontalPodAutoscaler: metadata=ObjectMeta status=WorkloadStatus
PodDisruptionBudget: metadata=ObjectMeta spec=BudgetSpec status=BudgetStatus
BudgetSpec: selector=atomic
BudgetStatus: conditions=[type] disruptedPods=free
StorageClass: metadata=ObjectMeta parameters=free
MutatingWebhookConfiguration: metadata=ObjectMeta webhooks=[name]Webhook
ValidatingWebhookConfiguration: metadata=ObjectMeta webhooks=[name]Webhook
Webhook: namespaceSelector=atomic objectSelector=atomic matchConditions=[name]
CustomResourceDefinition: metadata=ObjectMeta status=WorkloadStatus
EndpointSlice: metadata=ObjectMeta
Other: metadata=ObjectMeta
"""


def _table() -> dict[str, dict[str, str]]:
    made: dict[str, dict[str, str]] = {}
    for line in _TYPES.strip().replace("\n  ", " ").splitlines():
        name, _colon, rest = line.partition(":")
        made[name] = dict(item.split("=", 1) for item in rest.split())
    return made


_TABLE = _table()


@functools.cache
def named(what: str) -> Shape:
    if what in ("atomic", "Atomic", "LabelSelector"):
        return Shape("atomic")
    if what == "set":
        return Shape("set")
    if what == "free":
        return Shape(free=True)
    if what.startswith("["):
        keys, _bracket, inner = what[1:].partition("]")
        return Shape("map", keys=tuple(keys.split(",")), items=named(inner) if inner else Shape())
    fields = {name: rule for name, rule in _TABLE[what].items() if not name.endswith(":")}
    defaults = {name[:-1]: rule for name, rule in _TABLE[what].items() if name.endswith(":")}
    return Shape(fields=dict(fields), defaults=defaults)


def built_in(kind: str) -> Shape:
    return named(kind if kind in _TABLE else "Other")


def of_schema(schema: Object | None) -> Shape:
    """Of an OpenAPI schema of a custom resource."""
    schema = schema or {}
    if schema.get("type") == "array":
        relation = schema.get("x-kubernetes-list-type", "atomic")
        items = schema.get("items") or {}
        properties = items.get("properties") or {}
        keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        made = of_schema(items)
        made.defaults = {key: properties[key]["default"] for key in keys if "default" in properties.get(key, {})}
        return Shape(relation, keys=keys, items=made)
    if schema.get("x-kubernetes-map-type") == "atomic":
        return Shape("atomic")
    fields = {name: of_schema(inner) for name, inner in (schema.get("properties") or {}).items()}
    additional = schema.get("additionalProperties")
    free = bool(additional) or bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    return Shape(fields=fields, free=free, items=of_schema(additional) if isinstance(additional, dict) else None)


def of_custom(schema: Object | None) -> Shape:
    shape = of_schema(schema)
    shape.fields["metadata"] = named("ObjectMeta")
    return shape
