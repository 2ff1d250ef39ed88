# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a kubeconfig to a cluster's API server that answered."""

from __future__ import annotations

from ..cluster import ClusterAccess, ClusterApi
from .api import KubernetesApi
from .kubeconfig import read_login


def open_cluster(access: ClusterAccess) -> ClusterApi:
    """A cluster whose server answered, and knows who asks.

    :raises InputError: the kubeconfig or its context cannot be used, or its client certificate has expired
    :raises UnreachableError: no answer within ``access.patience`` seconds, a certificate of another authority, or
        credentials that the server does not accept; the library for Python is missing
    """
    api = KubernetesApi(read_login(access))
    try:
        api.version()
    except BaseException:
        api.close()
        raise
    return api
