# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The pages say what the code does: names, links, keys, groups, variables, examples and error messages."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.virt8ra.federation.plugins.doc_fragments import federation as federation_fragment
from ansible_collections.virt8ra.federation.plugins.inventory import sites as plugin
from ansible_collections.virt8ra.federation.plugins.module_utils import fields, inventory
from ansible_collections.virt8ra.federation.plugins.module_utils.errors import InputError
from ansible_collections.virt8ra.federation.plugins.module_utils.federation import Federation, plain
from ansible_collections.virt8ra.federation.plugins.module_utils.migration import outcome
from ansible_collections.virt8ra.federation.plugins.module_utils.selection import Selection

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "federation-file.md").read_text(encoding="utf-8")
PAGES = [
    page
    for page in sorted(ROOT.rglob("*.md"))
    if not any(part in ("build", "node_modules") or part.startswith(".") for part in page.relative_to(ROOT).parts)
]
MODULE_UTILS = ROOT / "plugins" / "module_utils"

IMAGE = {"name": "debian", "version": "12.8", "sha256": "0" * 64, "source": {"file": "debian.qcow2"}}
SITE = {"name": "rioja", "provider": "Arsys", "country": "ES"}
FEDERATION = {"plugin": "virt8ra.federation.sites", "federation": "example"}
VM = dict.fromkeys(inventory.VM_KEYS)
EVERYTHING = {
    **FEDERATION,
    "images": [IMAGE],
    "waivers": [{"control": "LOC-01", "scope": {"site": "rioja"}, "reason": "moves soon", "owner": "us", "expires": "2026-12-31"}],
    "sites": [
        {
            **SITE,
            "hypervisors": [{"name": "kvm1"}],
            "clusters": [{"name": "edge", "nodes": [{"name": "edge-1"}]}],
        }
    ],
}


def tables(page):
    """The rows of all tables of a page, as lists of cells, without heads and rules."""
    rows = [line.strip().strip("|").split(" | ") for line in page.splitlines() if re.match(r"^\|(?!-)", line)]
    return [[cell.strip() for cell in row] for row in rows]


def section(page, heading):
    """The text below a heading of the second level, up to the next one."""
    match = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert match, f"no heading {heading!r}"
    return match.group(1)


def first_cells(page, heading):
    """What stands in backquotes in the first column."""
    rows = tables(section(page, heading))
    return [row[0].strip("`") for row in rows if row[0].startswith("`")]


def fenced(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def stems(pattern):
    return sorted(path.stem for path in ROOT.glob(pattern) if path.stem != "__init__")


# Names


@pytest.mark.parametrize(
    "name",
    [
        f"virt8ra.federation.{name}"
        for name in (
            *stems("plugins/modules/*.py"),
            *stems("plugins/inventory/*.py"),
            *stems("plugins/action/*.py"),
            *stems("playbooks/*.yml"),
            *sorted(path.parent.parent.name for path in ROOT.glob("roles/*/tasks/main.yml")),
        )
    ],
)
def test_readme_lists(name):
    assert name in first_cells(README, "What is in it") + [row[1].strip("`") for row in tables(section(README, "What is in it"))]


def test_readme_lists_nothing_else():
    for row in tables(section(README, "What is in it"))[1:]:
        kind, name = row[0], row[1].strip("`").rsplit(".", 1)[-1]
        place = {
            "inventory plugin": f"plugins/inventory/{name}.py",
            "module": f"plugins/modules/{name}.py",
            "role": f"roles/{name}/tasks/main.yml",
            "playbook": f"playbooks/{name}.yml",
        }[kind]
        assert (ROOT / place).exists(), place


def test_design_shows_every_room():
    rooms = section(DESIGN, "Rooms")
    files = [path for path in (ROOT / "plugins").rglob("*.py") if path.name != "__init__.py" and "__pycache__" not in path.parts]
    missing = sorted(str(path.relative_to(ROOT)) for path in files if not re.search(rf"(?<![\w]){path.name}\b", rooms))
    assert not missing
    shown = set(re.findall(r"\b\w+\.py\b", rooms))
    assert shown == {path.name for path in files}, "a file is shown that is not there"
    for folder in ("roles", "playbooks", "inventories"):
        for path in (ROOT / folder).iterdir():
            if path.name != "templates":
                assert path.name in rooms, f"{folder}/{path.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`make ([a-z0-9-]+)(?=[\s`])", text)) | set(re.findall(r"^make ([a-z0-9-]+)", text, re.MULTILINE))
    assert named <= targets


def whole_playbook(name):
    """With what it imports and includes beside it."""
    text = (ROOT / "playbooks" / name).read_text(encoding="utf-8")
    more = re.findall(r"(?:import_playbook: |include_tasks: |^ +- (?=vars/))(\S+\.yml)", text, re.MULTILINE)
    return "\n".join([text, *(whole_playbook(Path(name).parent / other) for other in more)])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_playbooks_know_the_variables_that_commands_give(page):
    commands = re.findall(r"ansible-playbook .*?(?:virt8ra\.federation\.|playbooks/)(\w+)(.*)", page.read_text(encoding="utf-8"))
    roles = {
        name
        for specs in ROOT.glob("roles/*/meta/argument_specs.yml")
        for entry in yaml.safe_load(specs.read_text(encoding="utf-8"))["argument_specs"].values()
        for name in entry.get("options", {})
    }
    for playbook, rest in commands:
        text = whole_playbook(f"{playbook}.yml")
        for name in set(re.findall(r"-e (\w+)=", rest)) - roles:
            assert re.search(rf"\b{name}\b", re.sub(r"#.*", "", text)), f"{playbook} has no variable {name}"


# Links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _hash, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, target


# Keys


@pytest.fixture
def keys(monkeypatch):
    """Asked keys by place, with the numbers of lists left out, of everything that is read meanwhile."""
    asked = {}
    finish = fields.Fields.finish

    def remember(self):
        asked.setdefault(re.sub(r"\[\d+\]", "", self._where), set()).update(self._known)
        finish(self)

    monkeypatch.setattr(fields.Fields, "finish", remember)
    return asked


def test_every_key_of_the_file_is_described(keys):
    Federation.from_dict(EVERYTHING)
    described = {
        "": set(first_cells(REFERENCE, "Keys of the file")) - {"filters"},
        "images": set(first_cells(REFERENCE, "Keys of an image")),
        "images.source": set(first_cells(REFERENCE, "Keys of a source")),
        "waivers": set(first_cells(REFERENCE, "Keys of a waiver")),
        "waivers.scope": {"site", "type", "name"},
        "sites": set(first_cells(REFERENCE, "Keys of a site")),
        "sites.hypervisors": set(first_cells(REFERENCE, "Keys of a hypervisor")),
        "sites.clusters": set(first_cells(REFERENCE, "Keys of a cluster")),
        "sites.clusters.nodes": set(first_cells(REFERENCE, "Keys of a node")),
    }
    assert described == keys


def test_every_key_of_filters_is_described(keys):
    Selection.from_dict({"include": [{"kind": "vm"}]})
    assert keys["filters"] == {"include", "exclude"}
    assert set(first_cells(REFERENCE, "Filters")) == keys["filters.include"]


def test_the_plugins_documentation_has_the_same_keys():
    options = {
        **yaml.safe_load(plugin.DOCUMENTATION)["options"],
        **yaml.safe_load(federation_fragment.ModuleDocFragment.DOCUMENTATION)["options"],
    }
    assert set(options) == set(first_cells(REFERENCE, "Keys of the file"))
    assert set(options["images"]["suboptions"]) == set(first_cells(REFERENCE, "Keys of an image"))
    assert set(options["waivers"]["suboptions"]) == set(first_cells(REFERENCE, "Keys of a waiver"))
    site = options["sites"]["suboptions"]
    assert set(site) == set(first_cells(REFERENCE, "Keys of a site"))
    assert set(site["hypervisors"]["suboptions"]) | {"site"} == set(first_cells(REFERENCE, "Keys of a hypervisor"))
    assert set(site["clusters"]["suboptions"]) == set(first_cells(REFERENCE, "Keys of a cluster"))


def test_ansibles_own_options_are_described():
    own = set()
    for name in yaml.safe_load(plugin.DOCUMENTATION)["extends_documentation_fragment"]:
        if not name.startswith("ansible.builtin."):
            continue
        fragment = importlib.import_module(f"ansible.plugins.doc_fragments.{name.rsplit('.', 1)[-1]}")
        own |= set(yaml.safe_load(fragment.ModuleDocFragment.DOCUMENTATION)["options"])
    assert set(first_cells(REFERENCE, "Cache and constructed groups")) == own


# Groups and variables


def contents():
    federation = Federation.from_dict(EVERYTHING)
    reports = {"kvm1": {"vms": [{**VM, "name": "web-1", "state": "running", "addresses": ["192.0.2.100"]}]}}
    return inventory.arrange(federation, reports, Selection())


def test_every_variable_is_described_with_its_hosts():
    variables = {}
    for host in contents().hosts.values():
        kind = {"vm": "VM"}.get(host.variables["federation_kind"], host.variables["federation_kind"])
        for name in host.variables:
            variables.setdefault(name, set()).add(kind)
    assert variables.pop("ansible_host") == {"hypervisor", "node", "VM"}
    told = {row[0].strip("`"): row[1] for row in tables(section(REFERENCE, "Variables of hosts"))[1:]}
    every = {"hypervisor", "node", "VM"}
    assert {name: every if kinds == "all" else set(kinds.split(", ")) for name, kinds in told.items()} == variables


def test_every_group_is_described():
    made = set(contents().children) | {child for children in contents().children.values() for child in children}
    made = made - {""} | set(inventory.FIXED_GROUPS)
    told = first_cells(REFERENCE, "Groups")
    patterns = [re.sub("NAME|CODE", r"\\w+", name) for name in told]
    for group in made:
        assert any(re.fullmatch(pattern, group) for pattern in patterns), group
    for pattern in patterns:
        assert any(re.fullmatch(pattern, group) for group in made), pattern


# Examples


def federation_examples():
    for page in PAGES:
        for number, block in enumerate(fenced(page.read_text(encoding="utf-8"), "yaml")):
            if "virt8ra.federation.sites" in block:
                yield pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    yield pytest.param(plugin.EXAMPLES, id="EXAMPLES")
    for path in sorted(ROOT.glob("inventories/*/*.sites.yml")):
        yield pytest.param(path.read_text(encoding="utf-8"), id=str(path.relative_to(ROOT)))


def read(document):
    """As the plugin does it."""
    document = plain(document)
    Selection.from_dict(document.pop("filters", None))
    own = set(first_cells(REFERENCE, "Cache and constructed groups"))
    return Federation.from_dict({key: value for key, value in document.items() if key not in own})


@pytest.mark.parametrize("block", list(federation_examples()))
def test_examples_of_federation_files_are_valid(block):
    for document in yaml.safe_load_all(block):
        assert read(document).sites


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_other_examples_are_yaml(page):
    for block in fenced(page.read_text(encoding="utf-8"), "yaml"):
        assert list(yaml.safe_load_all(block))


@pytest.mark.parametrize("row", tables(section(REFERENCE, "When the file is wrong"))[1:], ids=lambda row: row[0])
def test_errors_are_told_as_written(row):
    written, told = yaml.safe_load(row[0].strip("`")), row[1]
    document = {**FEDERATION, "sites": [SITE]}
    if told.startswith("sites"):
        document["sites"] = [{**SITE, **written}]
    else:
        document.update(written)
    with pytest.raises(InputError) as error:
        read(document)
    assert str(error.value) == told


# The design


def test_the_decision_table_is_the_codes():
    rows = {tuple(row) for row in tables(outcome.__doc__)}
    assert rows <= {tuple(row) for row in tables(section(DESIGN, "Migration"))}


LAYERS = {
    "errors": 0,
    "sizes": 1,
    "countries": 1,
    "crew": 1,
    "portable": 1,
    "plain_yaml": 1,
    "site_reports": 1,
    "extents": 1,
    "fields": 2,
    "files": 2,
    "k3s": 2,
    "lock": 2,
    "shown": 2,
    "qcow2": 2,
    "attestations": 2.5,
    "clusters": 2.5,
    "rules": 2.5,
    "waivers": 2.5,
    "progress": 3,
    "page": 4,
    "model": 3,
    "images": 4,
    "selection": 4,
    "cloud_init": 4,
    "desired_vm": 4,
    "host_cpu": 4,
    "latency": 4,
    "image_records": 5,
    "federation": 5,
    "handshakes": 5,
    "placement": 5,
    "inventory": 6,
    "backends": 7,
    "library": 8,
    "migration": 8,
    "bundle": 8.5,
    "compliance": 8.6,
    "cluster_migration": 8.5,
    "options": 9,
    "module": 9,
    "cluster_options": 9.5,
}


def imports(path):
    """``(absolute, own)``: names of imported packages, and rooms of module_utils that are imported."""
    absolute, own = set(), set()
    depth = len(path.relative_to(MODULE_UTILS).parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            absolute |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            absolute.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.level == depth:
            own |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
    return absolute, own


@pytest.mark.parametrize("path", sorted(MODULE_UTILS.rglob("*.py")), ids=lambda path: str(path.relative_to(MODULE_UTILS)))
def test_no_layer_imports_an_upper_one(path):
    room = path.relative_to(MODULE_UTILS).parts[0].removesuffix(".py")
    absolute, own = imports(path)
    for other in own - {room}:
        assert LAYERS[other] < LAYERS[room] or (LAYERS[other], LAYERS[room]) == (1, 1), f"{room} imports {other}"
    if room != "backends":
        assert not absolute & {"libvirt", "libvirt_qemu", "nbd", "pycdlib", "kubernetes", "urllib3", "websocket"}, (
            "only back ends import an SDK"
        )
    if "ansible" in absolute:
        assert room in ("options", "cluster_options", "module")
    if "AnsibleModule" in path.read_text(encoding="utf-8") and room != "module":
        assert "import AnsibleModule" not in path.read_text(encoding="utf-8")
