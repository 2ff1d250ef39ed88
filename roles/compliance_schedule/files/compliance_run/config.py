# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program's configuration, which the role writes as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """One sentence: the option, what is wrong with it, what to do."""


@dataclass(frozen=True)
class Config:
    """Paths are of this host. ``timeout`` is in seconds, ``keep_days`` in days; 0 means no limit for both."""

    playbook: str
    inventory: list[str]
    extra_vars: dict[str, Any]
    report_dir: str
    state_dir: str
    keep_runs: int
    keep_days: int
    timeout: int
    metrics_file: str
    webhook_url: str
    webhook_timeout: int
    webhook_token_file: str
    webhook_secret_file: str

    @property
    def report(self) -> Path:
        return Path(self.report_dir) / "findings.json"

    @property
    def artifacts(self) -> Path:
        return Path(self.state_dir) / "artifacts"

    @property
    def lock(self) -> Path:
        return Path(self.state_dir) / "lock"

    @property
    def memory(self) -> Path:
        return Path(self.state_dir) / "told.json"


def read(path: str) -> Config:
    """ConfigError where the file is not what the role writes."""
    try:
        given = json.loads(Path(path).read_text(encoding="utf-8"))
        return Config(**given)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error}); run the role compliance_schedule again") from error
    except (TypeError, ValueError) as error:
        wanted = ", ".join(field.name for field in fields(Config))
        raise ConfigError(f"{path}: is not what the role compliance_schedule writes ({error}); it has {wanted}") from error


def secret(option: str, path: str) -> str | None:
    """What is in the file, without the end of its line; None without a file. ConfigError where others may read it."""
    if not path:
        return None
    try:
        mode = Path(path).stat().st_mode & 0o077
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{option}: {path} cannot be read ({error}); write the secret into it") from error
    if mode:
        raise ConfigError(f"{option}: {path} can be read by others; chmod 0600 it")
    if not text or not text.isprintable():
        raise ConfigError(f"{option}: {path} is empty or has more than one line; write the secret into it")
    return text
