# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the inventory plugin needs to be let in, from the environment: as AWX gives it, in files of names that it makes up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible_collections.virt8ra.federation.plugins.inventory import sites
from ansible_collections.virt8ra.federation.plugins.module_utils.clusters import Cluster, located
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.plugin_utils.pki_files import FILES, pki_folder

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def named(tmp_path: Path) -> dict[str, str]:
    """The three files, with names that libvirt would not look for."""
    for variable in FILES:
        (tmp_path / f"tmp{variable}").write_text(variable, encoding="utf-8")
    return {variable: str(tmp_path / f"tmp{variable}") for variable in FILES}


def test_the_files_become_the_folder_that_libvirt_wants(named: dict[str, str]) -> None:
    with pki_folder(named) as folder:
        assert folder is not None
        read = {path.name: path.read_text(encoding="utf-8") for path in Path(folder).iterdir()}
        assert Path(folder).stat().st_mode & 0o077 == 0
        assert all(path.is_symlink() for path in Path(folder).iterdir()), "a copy of a key would outlive a crash"
    assert read == {name: variable for variable, name in FILES.items()}
    assert not Path(folder).exists()


def test_without_them_there_is_no_folder() -> None:
    with pki_folder({"VIRT8RA_PKI_KEY_FILE": ""}) as folder:
        assert folder is None


def test_some_of_them_are_refused(named: dict[str, str]) -> None:
    del named["VIRT8RA_PKI_KEY_FILE"]
    with pytest.raises(InputError, match="VIRT8RA_PKI_KEY_FILE='': is no file"), pki_folder(named):
        pass


def test_every_option_that_lets_somebody_in_can_come_from_the_environment() -> None:
    options = yaml.safe_load(sites.DOCUMENTATION)["options"]
    assert [name for name in options if name.endswith(("_path", "_file", "_key", "token", "password"))] == [
        "pki_path",
        "kubeconfig_path",
    ]
    assert options["pki_path"]["env"] == [{"name": "VIRT8RA_PKI_PATH"}]
    assert options["kubeconfig_path"]["env"] == [{"name": "VIRT8RA_KUBECONFIG_PATH"}]


def told(tmp_path: Path, **environment: str) -> str:
    """What the plugin says of a hypervisor that it cannot reach under TLS."""
    hypervisor = {"name": "kvm1", "uri": "qemu+tls://127.0.0.1:9/system"}
    document = {"plugin": "virt8ra.federation.sites", "federation": "t"}
    document["sites"] = [{"name": "s", "provider": "P", "country": "ES", "hypervisors": [hypervisor]}]
    path = tmp_path / "t.sites.yml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    given = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0", "COLUMNS": "10000", **environment}
    argv = [str(Path(sys.executable).parent / "ansible-inventory"), "-i", str(path), "--list"]
    ran = subprocess.run(argv, env={**os.environ, **given}, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return ran.stderr


def test_the_plugin_looks_where_the_environment_says(tmp_path: Path, named: dict[str, str]) -> None:
    assert f"{tmp_path}/pki/cacert.pem" in told(tmp_path, VIRT8RA_PKI_PATH=str(tmp_path / "pki"))
    # These are found, and are no certificates.
    assert "virt8ra-pki-" in told(tmp_path, **named)
    assert "VIRT8RA_PKI_CA_FILE='/nowhere': is no file" in told(tmp_path, **{**named, "VIRT8RA_PKI_CA_FILE": "/nowhere"})


@pytest.mark.parametrize(("text", "context", "found"), [("k", "", ("all", "edge")), ("k", "c", ("all", "c")), ("", "", ("", ""))])
def test_one_kubeconfig_can_reach_all_clusters(tmp_path: Path, text: str, context: str, found: tuple[str, str]) -> None:
    (tmp_path / "all").write_text(text, encoding="utf-8")
    cluster = located(Cluster("edge", "", "", context), tmp_path, "all")
    assert (Path(cluster.kubeconfig).name, cluster.context) == found
