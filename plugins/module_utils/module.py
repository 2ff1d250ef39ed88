# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The base of every module: options in, one connection, one way out; the only file that imports AnsibleModule."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from .backends.base import Backend
from .backends.cluster import ClusterAccess, ClusterApi
from .backends.libvirt.backend import LibvirtBackend
from .backends.libvirt.connection import open_connection
from .errors import FederationError, InputError
from .model import Site

_CONCEALED = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


class FederationModule:
    """AnsibleModule with the federation's own words: a site, a back end, and errors of one sentence."""

    def __init__(self, argument_spec: dict[str, Any], **limits: Any) -> None:
        limits.setdefault("supports_check_mode", True)
        self._module = AnsibleModule(argument_spec=argument_spec, **limits)
        self.params: dict[str, Any] = self._module.params
        self.check_mode: bool = self._module.check_mode
        self._concealed: set[str] = set()

    @cached_property
    def site(self) -> Site:
        """The site that the option ``site`` describes."""
        return Site.from_dict(self.params["site"], "site")

    def connection(self, uri: str | None = None, *, read_only: bool = False) -> Any:
        """A new virConnect, to the option ``uri`` unless another is named."""
        return open_connection(
            uri or self.params["uri"],
            timeout=self.params["connect_timeout"],
            pki_path=self.params["pki_path"],
            read_only=read_only,
        )

    def backend(self) -> Backend:
        """What the site speaks, connected."""
        if self.site.backend != "libvirt":
            remedy = "use this module on sites whose backend is libvirt"
            raise InputError("has no hypervisors", option="site.backend", value=self.site.backend, remedy=remedy)
        return LibvirtBackend(self.connection(), self.site, self.params["uri"])

    def cluster(self, prefix: str = "") -> ClusterApi:
        """The cluster that the options ``kubeconfig`` and ``context`` name, connected; ``prefix`` is ``source_`` or ``target_``."""
        # Only here: modules of hypervisors have no use for it, and it takes its time.
        from .backends.kubernetes.connection import open_cluster

        kubeconfig, context = (str(self.params[f"{prefix}{key}"] or "") for key in ("kubeconfig", "context"))
        return open_cluster(ClusterAccess(kubeconfig, context, int(self.params["patience"]), f"{prefix}kubeconfig"))

    def conceal(self, option: str, secrets: set[str]) -> None:
        """Return nothing of an option in which secrets stand among plain words.

        Ansible blots out every value of such an option wherever it stands in a result: the VM's own name, its addresses. So
        the option is left out of what is returned, and of its values only ``secrets`` are blotted out.
        """
        self._concealed.add(option)
        self._module.no_log_values.clear()
        self._module.no_log_values.update(secrets)

    def _invocation(self) -> dict[str, Any]:
        shown = {key: _CONCEALED if key in self._concealed and value is not None else value for key, value in self.params.items()}
        return {"module_args": shown}

    def warn(self, text: str) -> None:
        self._module.warn(text)

    def leave(self, result: dict[str, Any]) -> None:
        """End well; ``diff`` (before and after as dictionaries) is shown as sorted JSON, and only in diff mode."""
        result.setdefault("changed", False)
        diff = result.pop("diff", None)
        if diff is not None and self._module._diff:
            result["diff"] = {side: _shown(diff[side]) for side in ("before", "after")}
        self._module.exit_json(**result, invocation=self._invocation())

    def fail(self, error: FederationError) -> None:
        self._module.fail_json(msg=error.sentence(), error=error.to_dict(), invocation=self._invocation(), **error.details)


def run_module(argument_spec: dict[str, Any], work: Callable[[FederationModule], dict[str, Any]], **limits: Any) -> None:
    """The whole life of a module. An exception that is not ours is a defect: it ends the module with its traceback.

    :param work: returns the result: ``changed``, perhaps ``diff`` ({before, after}: normalised dictionaries), and more
    :param limits: as AnsibleModule takes them (``required_if``, ``mutually_exclusive``, …)
    """
    module = FederationModule(argument_spec, **limits)
    try:
        result = work(module)
    except FederationError as error:
        module.fail(error)
    else:
        module.leave(result)


def _shown(side: dict[str, Any]) -> str:
    return json.dumps(side, indent=2, sort_keys=True, ensure_ascii=False) + "\n" if side else ""
