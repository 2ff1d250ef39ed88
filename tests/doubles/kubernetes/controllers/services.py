# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where services lead: Endpoints and EndpointSlices; addresses of load balancers and ingresses, as k3s gives them."""

from __future__ import annotations

from ..selectors import chosen
from ..store import Event
from .hub import NODES, PODS, SERVICES, Controller, Object, Storage, is_active, is_ready, owner_of

ENDPOINTS, SLICES, INGRESSES = ("", "endpoints"), ("discovery.k8s.io", "endpointslices"), ("networking.k8s.io", "ingresses")


def _port(port: Object, pod: Object) -> int:
    wanted = port.get("targetPort", port["port"])
    if isinstance(wanted, int):
        return wanted
    for container in pod["spec"]["containers"]:
        for each in container.get("ports") or []:
            if each.get("name") == wanted:
                return int(each["containerPort"])
    return int(port["port"])


class Services(Controller):
    storages = (SERVICES, PODS)

    def keys(self, storage: Storage, event: Event) -> list[tuple[str, str]]:
        metadata = event.new.obj["metadata"]
        if storage == SERVICES:
            return [(metadata["namespace"], metadata["name"])]
        labels = metadata.get("labels")
        return [
            (metadata["namespace"], each["metadata"]["name"])
            for each in self.hub.store.objects(SERVICES, metadata["namespace"])
            if each["spec"].get("selector") and chosen({"matchLabels": each["spec"]["selector"]}, labels)
        ]

    def sync(self, namespace: str, name: str) -> float | None:
        hub = self.hub
        service = hub.get(SERVICES, namespace, name)
        if service is None:
            # Endpoints are the service's by name; slices go with their owner.
            hub.delete(ENDPOINTS, namespace, name)
            return None
        spec = service["spec"]
        if spec["type"] == "LoadBalancer":
            asked = spec.get("loadBalancerIP")
            addresses = [asked] if asked else _addresses(self)
            hub.status(SERVICES, service, loadBalancer={"ingress": [{"ip": each, "ipMode": "VIP"} for each in addresses]})
        elif (service.get("status") or {}).get("loadBalancer"):
            hub.status(SERVICES, service, loadBalancer={})
        if spec.get("selector") and spec["type"] != "ExternalName":
            self._lead(namespace, name, service)
        return None

    def _lead(self, namespace: str, name: str, service: Object) -> None:
        spec = service["spec"]
        pods = [
            pod
            for pod in self.hub.store.objects(PODS, namespace)
            if is_active(pod)
            and pod["status"].get("podIP")
            and chosen({"matchLabels": spec["selector"]}, pod["metadata"].get("labels"))
        ]
        ready = [pod for pod in pods if is_ready(pod) or spec.get("publishNotReadyAddresses")]
        waiting = [pod for pod in pods if pod not in ready]
        ports = [{"name": port.get("name", ""), "port": _port(port, pods[0] if pods else {"spec": {"containers": []}}),
                  "protocol": port["protocol"]} for port in spec.get("ports") or []]  # fmt: skip
        subset: Object = {"ports": [{key: value for key, value in port.items() if value} for port in ports]}
        subset.update({"addresses": [_address(pod) for pod in ready]} if ready else {})
        subset.update({"notReadyAddresses": [_address(pod) for pod in waiting]} if waiting else {})
        endpoints = {
            "metadata": {"name": name, "labels": dict(service["metadata"].get("labels") or {})},
            "subsets": [subset] if pods else [],
        }
        self._keep(ENDPOINTS, namespace, name, endpoints)
        found = self.hub.children(SLICES, service)
        metadata = {
            "labels": {**(service["metadata"].get("labels") or {}), "kubernetes.io/service-name": name,
                       "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
            "ownerReferences": [owner_of(self.hub.kind(SERVICES), service)],
        }  # fmt: skip
        targets = [
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {"ready": pod in ready, "serving": pod in ready, "terminating": False},
                "nodeName": pod["spec"]["nodeName"],
                "targetRef": _target(pod),
            }
            for pod in pods
        ]
        metadata.update({"name": found[0]["metadata"]["name"]} if found else {"generateName": f"{name}-"})
        made = {"metadata": metadata, "addressType": "IPv4", "endpoints": targets, "ports": ports}
        self._keep(SLICES, namespace, metadata.get("name", ""), made)

    def _keep(self, storage: Storage, namespace: str, name: str, wanted: Object) -> None:
        old = self.hub.get(storage, namespace, name) if name else None
        if old is None:
            self.hub.create(storage, wanted, namespace)
            return
        fields = {key: value for key, value in wanted.items() if key != "metadata"}
        labels = wanted["metadata"].get("labels") or {}
        if any(old.get(key) != value for key, value in fields.items()) or (old["metadata"].get("labels") or {}) != labels:
            self.hub.replace(storage, {**old, **fields, "metadata": {**old["metadata"], "labels": labels}})


def _target(pod: Object) -> Object:
    metadata = pod["metadata"]
    return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}


def _address(pod: Object) -> Object:
    return {"ip": pod["status"]["podIP"], "nodeName": pod["spec"]["nodeName"], "targetRef": _target(pod)}


def _addresses(controller: Controller) -> list[str]:
    return [
        each["address"]
        for node in controller.hub.store.objects(NODES)
        for each in (node.get("status") or {}).get("addresses") or []
        if each["type"] == "InternalIP"
    ]


class Ingresses(Controller):
    storages = (INGRESSES,)

    def sync(self, namespace: str, name: str) -> float | None:
        ingress = self.hub.get(INGRESSES, namespace, name)
        if ingress and ingress["spec"].get("ingressClassName") == "traefik":
            self.hub.status(INGRESSES, ingress, loadBalancer={"ingress": [{"ip": each} for each in _addresses(self)]})
        return None
