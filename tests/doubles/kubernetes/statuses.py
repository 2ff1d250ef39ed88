# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors as the API says them: every one is a Status object with a reason that clients decide by."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


class ApiError(Exception):
    """A request that fails; ``status()`` is the body of the answer."""

    def __init__(self, code: int, message: str, reason: str = "", details: Object | None = None, **metadata: Any) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.reason = reason or _REASONS.get(code, "Unknown")
        self.details, self.metadata = details, metadata

    def status(self) -> Object:
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details:
            body["details"] = self.details
        body["code"] = self.code
        return body


def success(name: str = "", group: str = "", plural: str = "", uid: str = "") -> Object:
    """What a deletion answers when nothing is left of the object."""
    details = {key: value for key, value in {"name": name, "group": group, "kind": plural, "uid": uid}.items() if value}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _named(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def _details(name: str, group: str, kind: str, **more: Any) -> Object:
    return {key: value for key, value in {"name": name, "group": group, "kind": kind, **more}.items() if value}


def not_found(name: str, group: str, plural: str) -> ApiError:
    return ApiError(404, f'{_named(plural, group)} "{name}" not found', details=_details(name, group, plural))


def no_resource() -> ApiError:
    """A path that leads nowhere."""
    return ApiError(404, "the server could not find the requested resource", details={})


def exists(name: str, group: str, plural: str) -> ApiError:
    return ApiError(409, f'{_named(plural, group)} "{name}" already exists', "AlreadyExists", _details(name, group, plural))


def conflict(name: str, group: str, plural: str, why: str = "") -> ApiError:
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {_named(plural, group)} "{name}": {why}'
    return ApiError(409, message, details=_details(name, group, plural))


def forbidden(name: str, group: str, plural: str, why: str) -> ApiError:
    quoted = f' "{name}"' if name else ""
    return ApiError(403, f"{_named(plural, group)}{quoted} is forbidden: {why}", details=_details(name, group, plural))


def cause(reason: str, message: str, field: str) -> Object:
    """One field that is wrong: reason is FieldValueInvalid, FieldValueRequired and the like."""
    return {"reason": reason, "message": message, "field": field}


def required(field: str, detail: str = "") -> Object:
    return cause("FieldValueRequired", "Required value" + (f": {detail}" if detail else ""), field)


def wrong(field: str, value: Any, detail: str, reason: str = "FieldValueInvalid") -> Object:
    words = {
        "FieldValueInvalid": "Invalid value",
        "FieldValueForbidden": "Forbidden",
        "FieldValueNotSupported": "Unsupported value",
    }
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    said = f"{words[reason]}: {detail}" if reason == "FieldValueForbidden" else f"{words[reason]}: {shown}: {detail}"
    return cause(reason, said, field)


def invalid(name: str, group: str, kind: str, causes: list[Object]) -> ApiError:
    said = [f"{each['field']}: {each['message']}" for each in causes]
    text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    message = f'{_named(kind, group)} "{name}" is invalid: {text}'
    return ApiError(422, message, details=_details(name, group, kind, causes=causes))
