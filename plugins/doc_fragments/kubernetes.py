# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that reach a cluster's API server; they match ``module_utils/options.py``."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - The kubeconfig file that reaches the cluster, on the host where the module runs.
      - If not set, the environment variable E(VIRT8RA_KUBECONFIG) is used.
    type: path
    required: true
  context:
    description:
      - The context in the kubeconfig, its current one if not given.
      - If not set, the environment variable E(VIRT8RA_CONTEXT) is used.
    type: str
  patience:
    description:
      - Seconds for which an API server that does not answer is asked again, as far as asking twice does no harm.
      - A kubeconfig that cannot be used and a certificate of another authority are told at once.
    type: int
    default: 30
requirements:
  - The Kubernetes library for Python (python3-kubernetes, or kubernetes from PyPI), version 31 or later, on the host where the module runs
"""
