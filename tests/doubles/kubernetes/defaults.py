# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the API fills in where an object says nothing."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def _set(where: Object, **values: Any) -> None:
    for key, value in values.items():
        if where.get(key) is None:
            where[key] = value


def _probe(probe: Object) -> None:
    _set(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    if "httpGet" in probe:
        _set(probe["httpGet"], path="/", scheme="HTTP")


def _container(container: Object) -> None:
    image = container.get("image", "")
    latest = "@" not in image and (":" not in image.rsplit("/", 1)[-1] or image.endswith(":latest"))
    _set(
        container,
        imagePullPolicy="Always" if latest else "IfNotPresent",
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    for port in container.get("ports") or []:
        _set(port, protocol="TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name):
            _probe(container[name])
    for env in container.get("env") or []:
        reference = (env.get("valueFrom") or {}).get("fieldRef")
        if reference:
            _set(reference, apiVersion="v1")
    limits = container["resources"].get("limits")
    if limits:
        container["resources"]["requests"] = {**limits, **(container["resources"].get("requests") or {})}


def _pod_spec(spec: Object) -> None:
    _set(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        if isinstance(container, dict):
            _container(container)
    for volume in spec.get("volumes") or []:
        for name in ("configMap", "secret", "projected"):
            if volume.get(name):
                _set(volume[name], defaultMode=420)
        if "hostPath" in volume:
            _set(volume["hostPath"], type="")
        if set(volume) == {"name"}:
            volume["emptyDir"] = {}


def _template(spec: Object) -> None:
    template = spec.get("template")
    if isinstance(template, dict):
        template.setdefault("metadata", {})
        _pod_spec(template.setdefault("spec", {}))


def _rolling(strategy: Object, surge: bool, unavailable: Any = "25%") -> None:
    _set(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        _set(rolling, maxUnavailable=unavailable)
        _set(rolling, maxSurge="25%" if surge else 0)


def _deployment(spec: Object) -> None:
    _set(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    _rolling(spec.setdefault("strategy", {}), surge=True)
    _template(spec)


def _replica_set(spec: Object) -> None:
    _set(spec, replicas=1)
    _template(spec)


def _stateful_set(spec: Object) -> None:
    _set(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady")
    _set(spec, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"})
    strategy = spec.setdefault("updateStrategy", {})
    _set(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _set(strategy.setdefault("rollingUpdate", {}), partition=0)
    for claim in spec.get("volumeClaimTemplates") or []:
        _set(claim, apiVersion="v1", kind="PersistentVolumeClaim", status={"phase": "Pending"})
        _claim(claim.setdefault("spec", {}))
    _template(spec)


def _daemon_set(spec: Object) -> None:
    _set(spec, revisionHistoryLimit=10)
    _rolling(spec.setdefault("updateStrategy", {}), surge=False, unavailable=1)
    _template(spec)


def _job(spec: Object) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        _set(spec, completions=1, parallelism=1)
    _set(
        spec, parallelism=1, backoffLimit=6, completionMode="NonIndexed", suspend=False, podReplacementPolicy="TerminatingOrFailed"
    )
    _set(spec, manualSelector=False)
    if not spec["manualSelector"]:
        del spec["manualSelector"]
    _template(spec)


def _cron_job(spec: Object) -> None:
    _set(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    _template(template.setdefault("spec", {}))


def _service(spec: Object) -> None:
    _set(spec, type="ClusterIP", sessionAffinity="None")
    if spec["type"] != "ExternalName":
        _set(spec, internalTrafficPolicy="Cluster")
    if spec["sessionAffinity"] == "ClientIP":
        _set(spec, sessionAffinityConfig={"clientIP": {"timeoutSeconds": 10800}})
    for port in spec.get("ports") or []:
        if isinstance(port, dict):
            _set(port, protocol="TCP")
            _set(port, targetPort=port.get("port"))
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _set(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        _set(spec, allocateLoadBalancerNodePorts=True)


def _claim(spec: Object) -> None:
    _set(spec, volumeMode="Filesystem")


def _volume(spec: Object) -> None:
    _set(spec, volumeMode="Filesystem", persistentVolumeReclaimPolicy="Retain")


def _ingress(spec: Object) -> None:
    for rule in spec.get("rules") or []:
        for path in (rule.get("http") or {}).get("paths") or []:
            _set(path, pathType="ImplementationSpecific")


def _policy(spec: Object) -> None:
    _set(spec, policyTypes=["Ingress", *(["Egress"] if spec.get("egress") else [])])
    for rule in [*(spec.get("ingress") or []), *(spec.get("egress") or [])]:
        for port in rule.get("ports") or []:
            _set(port, protocol="TCP")


def _autoscaler(spec: Object) -> None:
    _set(spec, minReplicas=1)
    target = {"type": "Utilization", "averageUtilization": 80}
    _set(spec, metrics=[{"type": "Resource", "resource": {"name": "cpu", "target": target}}])


_SPECS = {
    "Pod": _pod_spec,
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "Job": _job,
    "CronJob": _cron_job,
    "Service": _service,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _volume,
    "Ingress": _ingress,
    "NetworkPolicy": _policy,
    "HorizontalPodAutoscaler": _autoscaler,
}


def _webhooks(obj: Object) -> None:
    for hook in obj.get("webhooks") or []:
        _set(hook, failurePolicy="Fail", matchPolicy="Equivalent", namespaceSelector={}, objectSelector={}, timeoutSeconds=10)
        if obj["kind"] == "MutatingWebhookConfiguration":
            _set(hook, reinvocationPolicy="Never")
        for rule in hook.get("rules") or []:
            _set(rule, scope="*")
        service = (hook.get("clientConfig") or {}).get("service")
        if service:
            _set(service, port=443)


def _subjects(obj: Object) -> None:
    for subject in obj.get("subjects") or []:
        if subject.get("kind") in ("User", "Group"):
            _set(subject, apiGroup="rbac.authorization.k8s.io")
    _set(obj.get("roleRef") or {}, apiGroup="rbac.authorization.k8s.io")


def fill(kind: str, obj: Object) -> None:
    """In place; what is wrong is left for the validation to say."""
    spec = obj.get("spec")
    if kind in _SPECS:
        if spec is None:
            spec = obj["spec"] = {}
        if isinstance(spec, dict):
            _SPECS[kind](spec)
    elif kind == "Secret":
        _set(obj, type="Opaque")
    elif kind == "StorageClass":
        _set(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")
    elif kind.endswith("WebhookConfiguration"):
        _webhooks(obj)
    elif kind.endswith("RoleBinding"):
        _subjects(obj)
    elif kind == "PriorityClass":
        _set(obj, preemptionPolicy="PreemptLowerPriority")
