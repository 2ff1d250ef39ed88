# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of ``k3s server`` and ``k3s agent`` as k3s documents them: those acted on here, and those only accepted."""

from __future__ import annotations

AGENT_VALUES = """
    token token-file server data-dir node-name image-credential-provider-bin-dir image-credential-provider-config lb-server-port
    container-runtime-endpoint default-runtime image-service-endpoint pause-image snapshotter private-registry resolv-conf
    flannel-iface flannel-conf flannel-cni-conf vpn-auth vpn-auth-file bind-address config v vmodule log
"""
AGENT_LISTS = """
    node-label node-taint node-ip node-external-ip node-internal-dns node-external-dns kubelet-arg kube-proxy-arg
"""
AGENT_SWITCHES = """
    with-node-id selinux protect-kernel-defaults disable-default-registry-endpoint nonroot-devices enable-pprof rootless
    prefer-bundled-bin docker disable-apiserver-lb debug alsologtostderr
"""
SERVER_VALUES = """
    https-listen-port advertise-address advertise-port service-node-port-range cluster-domain flannel-backend
    egress-selector-mode servicelb-namespace write-kubeconfig write-kubeconfig-mode write-kubeconfig-group helm-job-image
    agent-token agent-token-file cluster-reset-restore-path datastore-endpoint datastore-cafile datastore-certfile
    datastore-keyfile etcd-snapshot-name etcd-snapshot-schedule-cron etcd-snapshot-retention etcd-snapshot-dir etcd-s3-endpoint
    etcd-s3-endpoint-ca etcd-s3-access-key etcd-s3-secret-key etcd-s3-session-token etcd-s3-bucket etcd-s3-bucket-lookup-type
    etcd-s3-region etcd-s3-folder etcd-s3-proxy etcd-s3-config-secret etcd-s3-timeout etcd-s3-retention etcd-snapshot-reconcile-interval
    default-local-storage-path system-default-registry secrets-encryption-provider
"""
SERVER_LISTS = """
    tls-san cluster-cidr service-cidr cluster-dns kube-apiserver-arg etcd-arg kube-controller-manager-arg kube-scheduler-arg
    kube-cloud-controller-manager-arg disable
"""
SERVER_SWITCHES = """
    tls-san-security flannel-ipv6-masq flannel-external-ip cluster-init cluster-reset etcd-expose-metrics etcd-disable-snapshots
    etcd-snapshot-compress etcd-s3 etcd-s3-skip-ssl-verify etcd-s3-insecure disable-scheduler disable-cloud-controller
    disable-kube-proxy disable-network-policy disable-helm-controller disable-apiserver disable-controller-manager disable-etcd
    embedded-registry supervisor-metrics secrets-encryption disable-agent
"""
SHORT = {"t": "token", "s": "server", "d": "data-dir", "i": "node-ip", "o": "write-kubeconfig", "c": "config", "l": "log"}
ENVIRONMENT = {
    "K3S_TOKEN": "token",
    "K3S_TOKEN_FILE": "token-file",
    "K3S_URL": "server",
    "K3S_DATA_DIR": "data-dir",
    "K3S_NODE_NAME": "node-name",
    "K3S_SELINUX": "selinux",
    "K3S_LB_SERVER_PORT": "lb-server-port",
    "K3S_RESOLV_CONF": "resolv-conf",
    "K3S_DEBUG": "debug",
    "K3S_AGENT_TOKEN": "agent-token",
    "K3S_AGENT_TOKEN_FILE": "agent-token-file",
    "K3S_CLUSTER_INIT": "cluster-init",
    "K3S_CLUSTER_RESET": "cluster-reset",
    "K3S_KUBECONFIG_OUTPUT": "write-kubeconfig",
    "K3S_KUBECONFIG_MODE": "write-kubeconfig-mode",
    "K3S_KUBECONFIG_GROUP": "write-kubeconfig-group",
    "K3S_DATASTORE_ENDPOINT": "datastore-endpoint",
    "K3S_SYSTEM_DEFAULT_REGISTRY": "system-default-registry",
    "AWS_ACCESS_KEY_ID": "etcd-s3-access-key",
    "AWS_SECRET_ACCESS_KEY": "etcd-s3-secret-key",
}
# etcd-snapshot knows these of the server's, also by the short names s3-…, and its own.
SNAPSHOT_VALUES = "name snapshot-retention output config log data-dir node-name token server etcd-token etcd-server"


def _kinds(values: str, lists: str, switches: str) -> dict[str, str]:
    kinds = dict.fromkeys(values.split(), "value")
    kinds.update(dict.fromkeys(lists.split(), "list"))
    kinds.update(dict.fromkeys(switches.split(), "switch"))
    return kinds


AGENT = _kinds(AGENT_VALUES, AGENT_LISTS, AGENT_SWITCHES)
SERVER = {**AGENT, **_kinds(SERVER_VALUES, SERVER_LISTS, SERVER_SWITCHES)}
SNAPSHOT = {
    **{name: kind for name, kind in SERVER.items() if name.startswith(("etcd-snapshot", "etcd-s3"))},
    **{name[5:]: kind for name, kind in SERVER.items() if name.startswith(("etcd-s3", "etcd-snapshot-"))},
    **_kinds(SNAPSHOT_VALUES, "", "debug alsologtostderr"),
}
