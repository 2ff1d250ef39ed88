#!/usr/bin/env bash
# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# two_clusters.sh K3S FOLDER: two clusters of that binary, es and de, each in a container; FOLDER/NAME/kubeconfig has a context NAME.
set -euo pipefail

k3s=$(realpath "$1")
mkdir -p "$2"
folder=$(realpath "$2")
port=16443
for name in es de; do
    mkdir -p "$folder/$name"
    # A volume each for what k3s keeps: containerd cannot lay an overlay over the container's own overlay.
    docker run --detach --name "k3s-$name" --hostname "$name" --privileged --cgroupns=private \
        --tmpfs /run --tmpfs /var/run --volume "k3s-$name:/var/lib/rancher" --volume "k3s-$name-kubelet:/var/lib/kubelet" \
        --volume "$k3s:/usr/local/bin/k3s:ro" --volume /lib/modules:/lib/modules:ro --publish "127.0.0.1:$port:6443" \
        --entrypoint /bin/sh debian:12 -c '
            set -e
            apt-get -qq update
            apt-get -qq install --yes --no-install-recommends ca-certificates iptables mount > /dev/null
            # With cgroups of the second version nobody may be in the root group whose controllers are handed down.
            mkdir -p /sys/fs/cgroup/init
            xargs -rn1 < /sys/fs/cgroup/cgroup.procs > /sys/fs/cgroup/init/cgroup.procs 2> /dev/null || true
            sed -e "s/ / +/g" -e "s/^/+/" < /sys/fs/cgroup/cgroup.controllers > /sys/fs/cgroup/cgroup.subtree_control
            exec /usr/local/bin/k3s server --tls-san 127.0.0.1 --write-kubeconfig-mode 0600'
    for _ in $(seq 120); do
        if docker exec "k3s-$name" k3s kubectl get --raw /readyz > /dev/null 2>&1 &&
            docker exec "k3s-$name" k3s kubectl wait --for=condition=Ready --all node --timeout=5s > /dev/null 2>&1 &&
            docker exec "k3s-$name" k3s kubectl -n kube-system get deployment local-path-provisioner > /dev/null 2>&1; then
            break
        fi
        sleep 2
    done
    docker exec "k3s-$name" cat /etc/rancher/k3s/k3s.yaml |
        sed -e "s/:6443/:$port/" -e "s/: default\$/: $name/" > "$folder/$name/kubeconfig"
    chmod 0600 "$folder/$name/kubeconfig"
    kubectl --kubeconfig "$folder/$name/kubeconfig" --context "$name" -n kube-system rollout status \
        deployment/local-path-provisioner --timeout=180s
    port=$((port + 1000))
done
