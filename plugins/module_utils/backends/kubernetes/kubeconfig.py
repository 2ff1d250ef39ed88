# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A kubeconfig file, read through the SDK: whom to ask, as whom, and whom to trust.

What the file holds is a secret but for names and addresses: no message shows its text.
"""

from __future__ import annotations

import base64
import re
import ssl
import tempfile
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..certificates import not_after
from ..cluster import ClusterAccess
from .sdk import kubeconfigs, need_library, sdk

# What of a cluster and of a user may stand in a file of its own.
_FILES = {"cluster": ("certificate-authority",), "user": ("client-certificate", "client-key", "tokenFile")}
_COMPLAINTS = (
    (re.compile(r"Expected key ([\w.-]+) in "), "lacks the key {0}"),
    (
        re.compile(r"Expected object with name ([\w.@:-]+) in .*/(clusters|users|contexts) list\Z", re.DOTALL),
        "has no {0} in its {1}",
    ),
    (re.compile(r"\AFile does not exist: (.*)\Z"), "names the file {0}, which does not exist"),
)


@dataclass(frozen=True)
class Login:
    """One context of a kubeconfig. ``tls`` is None for a server without TLS; ``server_name`` is what its certificate is for."""

    access: ClusterAccess
    context: str
    server: str
    tls: ssl.SSLContext | None
    server_name: str
    proxy: str
    without_proxy: str
    _configuration: Any = field(repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def headers(self) -> dict[str, str]:
        """Those that say who asks; a token that is about to expire is renewed, where the kubeconfig says how."""
        with self._lock:
            settings = self._configuration.auth_settings()
        return {each["key"]: each["value"] for each in settings.values() if each["in"] == "header" and each["value"]}


def read_login(access: ClusterAccess) -> Login:
    """InputError for a file that cannot be read, a context that is not in it, and a client certificate that has expired."""
    need_library(access.option, access.kubeconfig)
    path = Path(access.kubeconfig).expanduser()
    document = _document(access, path)
    context = _context(access, path, document)
    # Lest it takes a server here for that of a kubeconfig that names none.
    configuration = sdk.Configuration(host="")
    # Python's TLS takes certificates and keys from files only; these go as soon as they are read.
    with tempfile.TemporaryDirectory(prefix="virt8ra-") as folder:
        try:
            plugin = _prepare(document, context, path.absolute().parent, Path(folder))
            kubeconfigs.load_kube_config_from_dict(document, context, configuration, persist_config=False)
        except Exception as error:
            raise _unusable(access, error) from None
        if plugin and not (configuration.api_key or configuration.cert_file):
            raise _refused(access, "its credential plugin gave no credentials", "run it by hand, or use another kubeconfig")
        server = str(configuration.host or "").rstrip("/")
        if not server.startswith(("https://", "http://")):
            raise _refused(access, f"has no address of a server in its context {context}", "write its server as https://…")
        _check_expiry(access, configuration.cert_file)
        tls = _tls(access, configuration) if server.startswith("https://") else None
    return Login(
        access,
        context,
        server,
        tls,
        str(getattr(configuration, "tls_server_name", None) or ""),
        str(configuration.proxy or ""),
        str(configuration.no_proxy or ""),
        configuration,
    )


def _context(access: ClusterAccess, path: Path, document: dict[str, Any]) -> str:
    """The context that is asked for, else the file's current one."""
    names = [str(each["name"]) for each in document.get("contexts") or () if isinstance(each, dict) and "name" in each]
    known = ", ".join(names) or "none"
    if access.context and access.context not in names:
        option = f"{access.option[: -len('kubeconfig')]}context" if access.option.endswith("kubeconfig") else "context"
        raise InputError(f"is not a context of {path}", option=option, value=access.context, remedy=f"use one of: {known}")
    context = access.context or document.get("current-context")
    if context not in names:
        raise _refused(access, "has no current context", f"name a context, one of: {known}")
    return str(context)


def _document(access: ClusterAccess, path: Path) -> dict[str, Any]:
    if not access.kubeconfig or not path.is_file():
        raise _refused(access, "is not a file", "name a kubeconfig file")
    # It comes with the library.
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _refused(access, f"cannot be read ({error.strerror})", "let this user read it") from None
    except (yaml.YAMLError, ValueError) as error:
        # The parser's own words would show a piece of the file.
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f", see its line {mark.line + 1}"
        raise _refused(access, f"is not YAML{where}", "name a file that kubectl can use") from None
    if not isinstance(document, dict) or not isinstance(document.get("contexts") or [], list):
        raise _refused(access, "is not a kubeconfig", "name a file that kubectl can use")
    return document


def _prepare(document: dict[str, Any], context: str, base: Path, folder: Path) -> bool:
    """What the context needs as files becomes files in ``folder``, and relative paths begin at ``base``.

    The SDK would do the same, but remembers its files, and takes one that another thread has just done with.

    :returns: whether the context's user asks a credential plugin, whose failures the SDK only logs
    """
    chosen = next(each["context"] for each in document["contexts"] if each["name"] == context)
    plugin = False
    for kind, keys in _FILES.items():
        for entry in document.get(f"{kind}s") or ():
            if entry["name"] != chosen.get(kind) or not entry.get(kind):
                continue
            for key in keys:
                _put(entry[kind], key, base, folder)
            command = (entry[kind].get("exec") or {}).get("command", "")
            plugin = plugin or bool(command)
            if "/" in command:
                entry[kind]["exec"]["command"] = str(base / command)
    return plugin


def _put(entry: dict[str, Any], key: str, base: Path, folder: Path) -> None:
    """``<key>-data`` counts more than ``<key>``."""
    if f"{key}-data" in entry:
        data = entry.pop(f"{key}-data")
        entry.pop(key, None)
        if data:
            entry[key] = str(folder / key)
            (folder / key).write_bytes(base64.b64decode(data, validate=True))
    elif entry.get(key):
        entry[key] = str(base / Path(entry[key]).expanduser())


def _check_expiry(access: ClusterAccess, certificate: str | None) -> None:
    if not certificate:
        return
    end = not_after(Path(certificate).read_text(errors="replace"))
    if end is not None and end < datetime.now(timezone.utc):
        remedy = "fetch a new kubeconfig; k3s renews its administrator's, /etc/rancher/k3s/k3s.yaml, when it is restarted"
        raise _refused(access, f"its client certificate expired on {end:%Y-%m-%d at %H:%M:%S} UTC", remedy)


def _tls(access: ClusterAccess, configuration: Any) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
    except (OSError, ValueError):
        raise _refused(access, "its certificate-authority holds no certificate", "fetch the kubeconfig anew") from None
    # As strict as kubectl: authorities of clusters may lack what only Python's strict mode asks for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        try:
            # An empty passphrase, lest OpenSSL asks for one where nobody sits.
            context.load_cert_chain(configuration.cert_file, configuration.key_file, password="")
        except (OSError, ValueError):
            what = "its client certificate and key do not belong together, or are none"
            raise _refused(access, what, "fetch the kubeconfig anew") from None
    return context


def _unusable(access: ClusterAccess, error: Exception) -> InputError:
    """The SDK's own words show whole entries of the file, keys and all: only what is known to be harmless is taken from them."""
    said = str(error)
    for pattern, what in _COMPLAINTS:
        found = pattern.search(said)
        if found is not None:
            return _refused(access, what.format(*found.groups()), "correct it, or fetch it anew")
    return _refused(access, "cannot be used as a kubeconfig", "name a file that kubectl can use")


def _refused(access: ClusterAccess, what: str, remedy: str) -> InputError:
    return InputError(what, option=access.option, value=access.kubeconfig, remedy=remedy)
