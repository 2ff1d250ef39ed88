# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections to libvirtd: opened within a time, kept alive, and with libvirt's faults told in our words."""

from __future__ import annotations

import contextlib
import os
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any, Callable, TypeVar

from ...errors import BackendError, NotFoundError, UnreachableError

try:
    import libvirt
except ImportError:
    libvirt = None

T = TypeVar("T")
KEEPALIVE_INTERVAL = 3
KEEPALIVE_COUNT = 4
_event_loop_lock = threading.Lock()
_event_loop_running = False


def open_connection(uri: str, *, timeout: float = 15.0, pki_path: str | None = None, read_only: bool = False) -> Any:
    """A libvirt.virConnect that answered within ``timeout`` seconds, with keepalive on.

    :param pki_path: folder with cacert.pem, clientcert.pem and clientkey.pem, for a qemu+tls URI
    :raises UnreachableError: nothing listens, the certificate is refused, or no answer came in time
    """
    if libvirt is None:
        raise UnreachableError(
            "needs the libvirt bindings for Python, which are not installed here",
            option="uri",
            value=uri,
            remedy="install python3-libvirt (hypervisors) or libvirt-python (controllers)",
        )
    start_event_loop()
    opener = libvirt.openReadOnly if read_only else libvirt.open
    connection = within(timeout, lambda: _open(opener, _with_pki(uri, pki_path)), f"connecting to {uri}")
    with contextlib.suppress(libvirt.libvirtError):
        connection.setKeepAlive(KEEPALIVE_INTERVAL, KEEPALIVE_COUNT)
    return connection


def _open(opener: Callable[[str], Any], uri: str) -> Any:
    try:
        return opener(uri)
    except libvirt.libvirtError as error:
        shown = uri.split("?")[0]
        remedy = "check that libvirtd runs there, that its address is right and that the certificates are readable and in date"
        raise UnreachableError(f"cannot be reached ({one_line(error)})", option="uri", value=shown, remedy=remedy) from error


def _with_pki(uri: str, pki_path: str | None) -> str:
    """no_tty keeps libvirt from asking a password where nobody sits."""
    if "://" not in uri or uri.split("://", 1)[1].startswith("/"):
        return uri
    parameters = {"no_tty": "1"}
    if pki_path:
        parameters["pkipath"] = pki_path
    joint = "&" if "?" in uri else "?"
    return uri + joint + urllib.parse.urlencode(parameters)


def within(timeout: float, call: Callable[[], T], what: str) -> T:
    """The result of ``call``, or UnreachableError after ``timeout`` seconds.

    A call into libvirt cannot be interrupted, so it is left to a daemon thread, which ends with the process.
    """
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["value"] = call()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True, name=what)
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        raise UnreachableError(f"{what} brought no answer within {timeout:g} s", remedy="check the host, or allow it more time")
    if "error" in outcome:
        raise outcome["error"]
    value: T = outcome["value"]
    return value


def start_event_loop() -> None:
    """One loop a process: keepalive and domain events need it."""
    global _event_loop_running
    with _event_loop_lock:
        if _event_loop_running:
            return
        libvirt.virEventRegisterDefaultImpl()
        # Without this the bindings print every error to stderr as well as raising it.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        threading.Thread(target=_run_event_loop, daemon=True, name="libvirt events").start()
        os.register_at_fork(after_in_child=_forget_event_loop)
        _event_loop_running = True


def _forget_event_loop() -> None:
    """Threads do not follow a fork, so the child has to start a loop of its own."""
    global _event_loop_running
    _event_loop_running = False


def _run_event_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


@contextlib.contextmanager
def told(what: str, remedy: str | None = None) -> Iterator[None]:
    """Turn libvirt's exception into ours: ``with told("creating volume x"): …``."""
    try:
        yield
    except libvirt.libvirtError as error:
        kind = NotFoundError if error.get_error_code() in _missing_codes() else BackendError
        raise kind(f"{what} failed: {one_line(error)}", remedy=remedy) from error


def _missing_codes() -> tuple[int, ...]:
    return (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_STORAGE_POOL, libvirt.VIR_ERR_NO_STORAGE_VOL, libvirt.VIR_ERR_NO_NETWORK)


def is_there_already(error: Any) -> bool:
    """Whether libvirt refused to make a volume because there is one of that name."""
    return error.get_error_code() == libvirt.VIR_ERR_STORAGE_VOL_EXIST or "exists" in one_line(error)


def libvirt_fault() -> type[Exception]:
    """libvirt's own exception, for those who clean up after any fault."""
    fault: type[Exception] = libvirt.libvirtError if libvirt is not None else OSError
    return fault


def one_line(error: Any) -> str:
    """libvirt's message without its line breaks."""
    return " ".join(str(error.get_error_message() or error).split())
