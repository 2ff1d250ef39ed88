# SPDX-FileCopyrightText: The virt8ra.federation authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The federation in AWX as data: what the modules take, playbooks that are there, surveys whose variables somebody reads."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = ROOT / "playbooks"
# It comes with the package ansible, which an ansible-core by itself does not bring.
AWX = Path(next(iter(pytest.importorskip("ansible_collections.awx.awx").__path__)))
MODULES = {
    "organizations": "organization",
    "credential_types": "credential_type",
    "execution_environments": "execution_environment",
    "credentials": "credential",
    "notifications": "notification_template",
    "projects": "project",
    "inventories": "inventory",
    "inventory_sources": "inventory_source",
    "templates": "job_template",
    "workflows": "workflow_job_template",
    "schedules": "schedule",
}
# Known to every module, or to the role alone.
OWN = {"workflow_job_template": {"simplified_workflow_nodes"}}


class Loader(yaml.SafeLoader):
    """Reads ``!unsafe`` as the text that it is."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def read():
    data = {}
    for name in ("awx.yml", "awx_jobs.yml"):
        data.update(yaml.load((PLAYBOOKS / "vars" / name).read_text(encoding="utf-8"), Loader=Loader))
    data["controller_notifications"] = data["awx_notifications"]
    return data


DATA = read()
OBJECTS = [(kind, one) for kind in MODULES for one in DATA[f"controller_{kind}"]]
NODES = [(workflow, node) for workflow in DATA["controller_workflows"] for node in workflow["simplified_workflow_nodes"]]
STARTED = DATA["controller_templates"] + DATA["controller_workflows"]


def called(value):
    return value["name"] if isinstance(value, dict) else value


def options(module):
    """``{name: option}`` as the module documents them, with aliases."""
    tree = ast.parse((AWX / "plugins" / "modules" / f"{module}.py").read_text(encoding="utf-8"))
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    documented = next(node.value.value for node in assigned if node.targets[0].id == "DOCUMENTATION")
    found = {}
    for name, option in yaml.safe_load(documented)["options"].items():
        found[name] = option
        found.update(dict.fromkeys(option.get("aliases", []), option))
    return found


def suits(option, value):
    types = {"dict": dict, "list": list, "bool": bool, "int": int, "float": (int, float), "str": str, None: str}
    # A template is what it will be then.
    if isinstance(value, str) and "{{" in value:
        return True
    if "choices" in option and value not in option["choices"]:
        return False
    return isinstance(value, types[option.get("type")])


@pytest.mark.parametrize(("kind", "one"), OBJECTS, ids=[f"{kind}-{called(one)}" for kind, one in OBJECTS])
def test_the_module_takes_it(kind, one):
    known = options(MODULES[kind])
    for name, value in one.items():
        if name not in OWN.get(MODULES[kind], ()):
            assert name in known, f"{MODULES[kind]} has no option {name}"
            assert suits(known[name], value), f"{name}: {value}"
    assert all(name in one for name, option in known.items() if option.get("required"))


@pytest.mark.parametrize(("workflow", "node"), NODES, ids=[f"{called(workflow)}-{node['identifier']}" for workflow, node in NODES])
def test_a_node_is_what_the_module_takes_and_leads_to_others_that_are_there(workflow, node):
    known = options("workflow_job_template_node")
    assert all(name in known and suits(known[name], value) for name, value in node.items())
    there = {one["identifier"] for one in workflow["simplified_workflow_nodes"]}
    for link in ("success_nodes", "failure_nodes", "always_nodes"):
        assert set(node.get(link, [])) <= there
    named = {
        called(one) for kind in ("templates", "workflows", "projects", "inventory_sources") for one in DATA[f"controller_{kind}"]
    }
    assert ("approval_node" in node) != (node.get("unified_job_template") in named)


def test_a_cluster_moves_only_after_a_person_said_so():
    workflow = next(one for one in DATA["controller_workflows"] if one["name"] == "virt8ra migrate cluster with approval")
    nodes = {one["identifier"]: one for one in workflow["simplified_workflow_nodes"]}
    templates = {one["name"]: one for one in DATA["controller_templates"]}
    assert templates[nodes["plan"]["unified_job_template"]]["job_type"] == "check"
    assert nodes["plan"]["success_nodes"] == ["approve"]
    assert "approval_node" in nodes["approve"]
    assert nodes["approve"]["success_nodes"] == ["migrate"]
    links = ("success_nodes", "failure_nodes", "always_nodes")
    leading = [name for name, node in nodes.items() if any("migrate" in node.get(link, []) for link in links)]
    assert leading == ["approve"]


def whole(playbook):
    """With what it imports and includes."""
    text = playbook.read_text(encoding="utf-8")
    more = re.findall(r"(?:import_playbook|include_tasks): (\S+\.yml)", text)
    return "\n".join([text, *(whole(playbook.parent / other) for other in more)])


def role_options():
    for specs in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(specs.read_text(encoding="utf-8"))["argument_specs"].values():
            yield from entry.get("options", {})


@pytest.mark.parametrize("template", DATA["controller_templates"], ids=called)
def test_the_playbook_is_there(template):
    assert (ROOT / template["playbook"]).is_file()


@pytest.mark.parametrize(
    "template", [one for one in DATA["controller_templates"] if (ROOT / one["playbook"]).is_file()], ids=called
)
def test_somebody_reads_each_variable_of_the_survey(template):
    text = re.sub(r"#.*", "", whole(ROOT / template["playbook"]))
    roles = set(role_options())
    for name, value in template.get("extra_vars", {}).items():
        assert re.search(rf"\b{name}\b", text) or name in roles, f"{template['playbook']} has no variable {name}"
        text += str(value)
    for question in template["survey_spec"]["spec"]:
        variable = question["variable"]
        assert re.search(rf"\b{variable}\b", text) or variable in roles, f"{template['playbook']} has no variable {variable}"


@pytest.mark.parametrize("one", DATA["controller_workflows"], ids=called)
def test_a_workflow_asks_only_what_its_templates_ask(one):
    templates = {each["name"]: each for each in DATA["controller_templates"]}
    used = [
        templates[node["unified_job_template"]]
        for node in one["simplified_workflow_nodes"]
        if node.get("unified_job_template") in templates
    ]
    for question in one.get("survey_spec", {}).get("spec", []):
        for template in used:
            assert question["variable"] in [each["variable"] for each in template["survey_spec"]["spec"]]


def test_what_is_named_is_there():
    there = {kind: {called(one) for one in DATA[f"controller_{kind}"]} for kind in MODULES}
    for _kind, one in OBJECTS:
        assert one.get("project", "virt8ra playbooks") in there["projects"]
        assert one.get("source_project", "virt8ra federation") in there["projects"]
        assert one.get("inventory", "virt8ra") in there["inventories"]
        assert one.get("execution_environment", "virt8ra") in there["execution_environments"]
        credentials = one.get("credentials", [])
        named = re.findall("'(virt8ra [a-z ]+)'", credentials) if isinstance(credentials, str) else credentials
        assert set(named) <= there["credentials"]
        assert one.get("credential_type", "Machine") in there["credential_types"] | {"Machine", "Source Control"}
        assert one.get("unified_job_template", "virt8ra discover") in there["templates"] | there["workflows"]


def test_no_secret_is_written_down():
    secret = {
        field["id"] for one in DATA["controller_credential_types"] for field in one["inputs"]["fields"] if field.get("secret")
    }
    assert secret == {"key", "kubeconfig", "kubeconfigs"}
    for one in DATA["controller_credentials"]:
        assert all(re.fullmatch(r"{{ awx_secrets\.AWX_[A-Z_]+ }}", value) for value in one["inputs"].values())
        assert {value[15:-3] for value in one["inputs"].values()} <= set(DATA["awx_secret_names"])


def test_the_role_takes_what_the_playbook_gives():
    play = yaml.safe_load((PLAYBOOKS / "awx_setup.yml").read_text(encoding="utf-8"))[0]
    given = play["tasks"][-1]["vars"]
    assert given == {f"awx_setup_{kind}": f"{{{{ controller_{kind} }}}}" for kind in MODULES}
    assert set(given) <= set(role_options())
