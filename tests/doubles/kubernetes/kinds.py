# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds that an API server has of itself, each with its names, subresources and the version it is stored in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

# group/version plural Kind scope(N or C) short-names categories subresources; "-": none
_BUILT_IN = """
v1 bindings Binding N - - - create
v1 componentstatuses ComponentStatus C cs - - get,list
v1 configmaps ConfigMap N cm - -
v1 endpoints Endpoints N ep - -
v1 events Event N ev - -
v1 limitranges LimitRange N limits - -
v1 namespaces Namespace C ns - status,finalize create,delete,get,list,patch,update,watch
v1 nodes Node C no - status,proxy
v1 persistentvolumeclaims PersistentVolumeClaim N pvc - status
v1 persistentvolumes PersistentVolume C pv - status
v1 pods Pod N po all status,exec,log,eviction,binding,attach,portforward,ephemeralcontainers,proxy
v1 podtemplates PodTemplate N - - -
v1 replicationcontrollers ReplicationController N rc all status,scale
v1 resourcequotas ResourceQuota N quota - status
v1 secrets Secret N - - -
v1 serviceaccounts ServiceAccount N sa - token
v1 services Service N svc all status,proxy
apps/v1 controllerrevisions ControllerRevision N - - -
apps/v1 daemonsets DaemonSet N ds all status
apps/v1 deployments Deployment N deploy all status,scale
apps/v1 replicasets ReplicaSet N rs all status,scale
apps/v1 statefulsets StatefulSet N sts all status,scale
batch/v1 cronjobs CronJob N cj all status
batch/v1 jobs Job N - all status
autoscaling/v2 horizontalpodautoscalers HorizontalPodAutoscaler N hpa all status
policy/v1 poddisruptionbudgets PodDisruptionBudget N pdb - status
networking.k8s.io/v1 ingresses Ingress N ing - status
networking.k8s.io/v1 ingressclasses IngressClass C - - -
networking.k8s.io/v1 networkpolicies NetworkPolicy N netpol - -
rbac.authorization.k8s.io/v1 clusterrolebindings ClusterRoleBinding C - - -
rbac.authorization.k8s.io/v1 clusterroles ClusterRole C - - -
rbac.authorization.k8s.io/v1 rolebindings RoleBinding N - - -
rbac.authorization.k8s.io/v1 roles Role N - - -
storage.k8s.io/v1 csidrivers CSIDriver C - - -
storage.k8s.io/v1 csinodes CSINode C - - -
storage.k8s.io/v1 csistoragecapacities CSIStorageCapacity N - - -
storage.k8s.io/v1 storageclasses StorageClass C sc - -
storage.k8s.io/v1 volumeattachments VolumeAttachment C - - status
scheduling.k8s.io/v1 priorityclasses PriorityClass C pc - -
coordination.k8s.io/v1 leases Lease N - - -
discovery.k8s.io/v1 endpointslices EndpointSlice N - - -
apiextensions.k8s.io/v1 customresourcedefinitions CustomResourceDefinition C crd,crds api-extensions status
apiregistration.k8s.io/v1 apiservices APIService C - api-extensions status
admissionregistration.k8s.io/v1 mutatingwebhookconfigurations MutatingWebhookConfiguration C - api-extensions -
admissionregistration.k8s.io/v1 validatingwebhookconfigurations ValidatingWebhookConfiguration C - api-extensions -
admissionregistration.k8s.io/v1 validatingadmissionpolicies ValidatingAdmissionPolicy C - api-extensions status
admissionregistration.k8s.io/v1 validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding C - api-extensions -
events.k8s.io/v1 events Event N ev - -
authentication.k8s.io/v1 tokenreviews TokenReview C - - - create
authentication.k8s.io/v1 selfsubjectreviews SelfSubjectReview C - - - create
authorization.k8s.io/v1 selfsubjectaccessreviews SelfSubjectAccessReview C - - - create
authorization.k8s.io/v1 selfsubjectrulesreviews SelfSubjectRulesReview C - - - create
authorization.k8s.io/v1 subjectaccessreviews SubjectAccessReview C - - - create
node.k8s.io/v1 runtimeclasses RuntimeClass C - - -
"""

# Kinds whose metadata.generation counts changes of the spec. Those of custom resources all do.
GENERATIONS = frozenset(
    "Deployment ReplicaSet StatefulSet DaemonSet Job CronJob Ingress NetworkPolicy PodDisruptionBudget "
    "CustomResourceDefinition ReplicationController ValidatingWebhookConfiguration MutatingWebhookConfiguration "
    "EndpointSlice ValidatingAdmissionPolicy Pod".split()
)


@dataclass(frozen=True)
class Kind:
    """One kind in one served version; ``stored`` is the version that the store keeps it in."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    list_kind: str = ""
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    stored: str = ""
    schema: Any = None
    scale: Any = None
    custom: bool = False

    def __hash__(self) -> int:
        return hash((self.group, self.version, self.plural))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kind) and (self.group, self.version, self.plural) == (other.group, other.version, other.plural)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def storage(self) -> tuple[str, str]:
        """What its objects are kept under: all versions of a kind share them."""
        return (self.group, self.plural)

    @property
    def counts(self) -> bool:
        return self.custom or self.kind in GENERATIONS

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources


def built_in() -> list[Kind]:
    kinds = []
    for line in _BUILT_IN.strip().splitlines():
        api_version, plural, kind, scope, short, categories, subresources, *verbs = line.split()
        group, _slash, version = api_version.rpartition("/")

        def listed(text: str) -> tuple[str, ...]:
            return () if text == "-" else tuple(text.split(","))

        kinds.append(
            Kind(
                group,
                version,
                plural,
                kind,
                scope == "N",
                singular=kind.lower(),
                list_kind=f"{kind}List",
                short=listed(short),
                categories=listed(categories),
                subresources=listed(subresources),
                verbs=tuple(verbs[0].split(",")) if verbs else VERBS,
                stored=version,
            )
        )
    return kinds
