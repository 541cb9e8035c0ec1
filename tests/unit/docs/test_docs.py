"""The documentation names what there is, and nothing that is not there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import jinja2
import pytest
import yaml
from ansible.module_utils.rollout.controller import inventory, stacks
from ansible.module_utils.rollout.domain import compose, gate
from ansible.module_utils.rollout.domain.torch import reasons

from ktrdr.cli.kinfra import slots

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
INVENTORY = (ROOT / "docs/inventory.md").read_text()
GPU = (ROOT / "docs/gpu.md").read_text()
KTRDR = yaml.safe_load((ROOT / "inventory/ktrdr.yml").read_text())
# What our own playbooks give to roles.
OURS = ("plan_action", "status_view", "lock_action", "switch_wave", "revert_wave")
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def row(name: str, section: str) -> list[str]:
    """The cells after the name in the table row for `name`, in a section of docs/inventory.md."""
    part = re.search(rf"^## {re.escape(section)}$(.*?)(?=^## |\Z)", INVENTORY, re.M | re.S)
    assert part, section
    found = re.search(rf"^\| `{re.escape(name)}` \|(.*)\|$", part[1], re.M)
    assert found, f"docs/inventory.md, section {section}, has no row for {name}"
    return [cell.strip() for cell in found[1].split("|")]


def options(role: str) -> dict[str, dict[str, object]]:
    spec = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text())
    return dict(spec["argument_specs"]["main"].get("options") or {})


def shown(value: object) -> str:
    """A default as the tables write it."""
    if value is None:
        return ""
    if value == "":
        return "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_the_variables_are_those_of_the_argument_specs(load):
    tables = load("scripts/inventory_docs.py")
    assert tables.written(INVENTORY) == INVENTORY, "run make docs"
    for role in sorted(path.name for path in (ROOT / "roles").iterdir()):
        for name in options(role):
            assert f"| `{name}` |" in INVENTORY or name in OURS, f"{role}: {name}"


@pytest.mark.parametrize("name", stacks.keys(inventory.WAVES))
def test_keys_of_rollout_stacks(name):
    row(name, "Keys of rollout_stacks")


# Keys that are no attribute of a service, and their defaults.
ELSEWHERE = {"keep": "by its image", "anonymous": "`keep`"}


@pytest.mark.parametrize("name", gate.GATE)
def test_keys_of_x_rollout(name):
    cell = row(name, "x-rollout")[1]
    if name in ELSEWHERE:
        assert cell == ELSEWHERE[name]
        return
    default = next(f.default for f in fields(compose.Service) if f.name == name)
    if isinstance(default, (bool, int, float)):
        assert cell == shown(default if isinstance(default, bool) else f"{default:g}")


@pytest.mark.parametrize("name", [*gate.DRAIN, *gate.MODES])
def test_keys_and_modes_of_drain(name):
    row(name, "x-rollout")


@pytest.mark.parametrize("name", [n for n in KTRDR if n.startswith("ktrdr_")])
def test_variables_of_ktrdr(name):
    cell = row(name, "Variables of ktrdr")[0]
    if "{{" not in str(KTRDR[name]):
        assert cell.startswith(shown(KTRDR[name]))


def test_reasons_have_one_section_each_in_their_order():
    # A heading of one lower-case word is a code; the others are sentences.
    assert re.findall(r"^## ([a-z_\d]+)$", GPU, re.M) == list(reasons.REASONS)


@pytest.mark.parametrize("reason", reasons.REASONS)
def test_sections_of_reasons_say_what_to_do(reason):
    part = re.search(rf"^## {reason}$(.*?)(?=^## |\Z)", GPU, re.M | re.S)
    assert part, f"docs/gpu.md has no section {reason}"
    if reason == "ok":
        assert "Nothing to do." in part[1]
        return
    meaning = part[1].strip().partition("\n")[0]
    assert meaning[:1].isalpha() or meaning[:1] == "`", f"section {reason} does not begin with what it means"
    for item in ("Confirm", "Fix"):
        said = re.findall(rf"^- \*\*{item}\*\*(.*?)(?=^- \*\*|\Z)", part[1], re.M | re.S)
        assert re.search(r"\w", "".join(said)), f"section {reason} has no item {item}"


def test_the_table_of_reasons_agrees_with_them():
    rows = re.findall(r"^\| \[(\w+)\]\(#(\w+)\) \|([^|]*)\|([^|]*)\|([^|]*)\|$", GPU, re.M)
    assert all(name == anchor and line.strip() for name, anchor, _verdict, _fault, line in rows)
    found = [(name, verdict.strip(), fault.strip() or None) for name, _anchor, verdict, fault, _line in rows]
    assert found == [(name, verdict, fault) for name, (verdict, fault, _remedy) in reasons.REASONS.items()]


@pytest.mark.parametrize("name", gate.TORCH)
def test_keys_of_torch_are_in_the_example(name):
    asked = re.search(r"^## What can be asked$.*?```yaml\n(.*?)```", GPU, re.M | re.S)
    assert asked
    (asks,) = yaml.safe_load(asked[1])["x-rollout"].values()
    assert name in asks["torch"]
    gate.expectation(asks["torch"], "docs/gpu.md")


def test_ports_of_sandboxes():
    facts = re.search(r"^\| N \|(.*)\|$", (ROOT / "docs/environments.md").read_text(), re.M)
    assert facts
    assert [cell.strip() for cell in facts[1].split("|")] == [f"{base} + N" for base in slots.BASES.values()]


def anchors(file: Path) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.+)$", file.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@every_page
def test_relative_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _hash, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@every_page
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:[`(]|^ {4,})make ([a-z-]+)", page.read_text(), re.M))
    assert named <= targets


@every_page
def test_playbooks_exist(page):
    for name in re.findall(r"ansible-playbook (?:-i \S+ )?((?:\w+/)*\w+\.yml)", page.read_text()):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("path", sorted((ROOT / "docs/decisions").glob("0*.md")), ids=lambda p: p.stem)
def test_decisions_are_listed(path):
    assert f"]({path.name})" in (ROOT / "docs/decisions/README.md").read_text()


PLACES = [
    *(
        f"`{room.parent.relative_to(ROOT / 'module_utils/rollout')}/`"
        for room in sorted(ROOT.glob("module_utils/rollout/*/**/__init__.py"))
    ),
    *(f"`{file.stem}`" for file in sorted((ROOT / "library").glob("*.py"))),
    *(f"`{role.name}`" for role in sorted((ROOT / "roles").iterdir())),
    *(f"playbooks/callback_plugins/{file.name}" for file in sorted((ROOT / "playbooks/callback_plugins").glob("*.py"))),
]


@pytest.mark.parametrize("place", PLACES)
def test_the_architecture_names_every_room(place):
    assert place in (ROOT / "docs/architecture.md").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda p: p.name)
def test_the_architecture_names_every_playbook(path):
    imported = [p.name for p in (ROOT / "playbooks").glob("*.yml") if f"import_playbook: {path.name}" in p.read_text()]
    assert imported or path.name in (ROOT / "docs/architecture.md").read_text()


EXAMPLES = sorted(path.parent for path in (ROOT / "docs/examples").glob("*/hosts.yml"))
each_example = pytest.mark.parametrize("folder", EXAMPLES, ids=lambda folder: folder.name)


def test_the_page_shows_the_files_of_the_example():
    hosts, variables = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/your-own-stack.md").read_text(), re.S)[:2]
    assert (ROOT / "docs/examples/photos/hosts.yml").read_text() == f"---\n{hosts}"
    assert (ROOT / "docs/examples/photos/group_vars/all.yml").read_text() == f"---\n{variables}"


def test_there_are_examples():
    assert len(EXAMPLES) > 8


@each_example
def test_examples_are_accepted_and_listed(folder):
    groups = yaml.safe_load((folder / "hosts.yml").read_text())["all"]["children"]
    facts = yaml.safe_load((folder / "group_vars/all.yml").read_text())
    hosts = {name: group["hosts"] for name, group in groups.items()}
    assert inventory.problems(facts["rollout_stacks"], hosts, facts.get("rollout_waves", inventory.WAVES)) == []
    assert facts["rollout_application"] == folder.name
    assert f"| [{folder.name}]({folder.name}) |" in (ROOT / "docs/examples/README.md").read_text()
    assert (folder / "README.md").read_text().startswith("# ")


@each_example
def test_compose_files_of_examples_say_nothing_of_this_tool(folder):
    for stack in yaml.safe_load((folder / "group_vars/all.yml").read_text())["rollout_stacks"].values():
        names = [stack["compose"]] if isinstance(stack["compose"], str) else stack["compose"]
        for name in names:
            text = (folder / name).read_text()
            assert [word for word in ("{{", "{%", "x-rollout", "rollout_") if word in text] == []


KOKORO = ROOT / "docs/examples/kokoro"


def test_the_public_example_is_accepted():
    hosts = yaml.safe_load((KOKORO / "inventory/hosts.yml").read_text())["all"]["children"]
    facts = yaml.safe_load((KOKORO / "inventory/group_vars/all/kokoro.yml").read_text())
    assert inventory.problems(facts["rollout_stacks"], {name: group["hosts"] for name, group in hosts.items()}) == []
    flavours = {}
    for stack, spec in facts["rollout_stacks"].items():
        file = KOKORO / "compose" / spec["template"].rpartition("/")[2]
        text = jinja2.Template(file.read_text(), undefined=jinja2.StrictUndefined).render(**facts)
        config = yaml.safe_load(text)
        # Compose writes ports out in full before the rollout reads them.
        del config["services"]["tts"]["ports"]
        (service,) = compose.services(config, file.name)
        assert compose.repository(service.image) == f"{facts['rollout_registry']}/{spec['images'][0]}"
        assert service.torch
        flavours[stack] = service.torch.flavour
        if shutil.which("docker"):
            done = subprocess.run(
                ["docker", "compose", "--project-name", "check", "--file", "-", "config", "--quiet"],
                input=text,
                env={**os.environ, "IMAGE_TAG": "v0.6.0"},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr
    assert flavours == {"cpu": "cpu", "gpu": "cuda"}
