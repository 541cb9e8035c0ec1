"""Dependencies are pinned, and something keeps them fresh (docs/dependencies.md)."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.y*ml"))
RENOVATE = json.loads((ROOT / "renovate.json").read_text())
# A requirement and what belongs to it, lines joined.
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)(.*)$")


def tracked(*patterns):
    """The files of the repository with these names, as git knows them."""
    found = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in found.splitlines()]


PROGRAMS = [
    *tracked(
        "*.sh", "*Dockerfile*", "Makefile", ".ci/run", ".github", "requirements", "scripts", "*.toml", "*.cfg", "*docker-compose*"
    ),
    *WORKFLOWS,
]


def requirements(file):
    text = re.sub(r"\\\n\s*", " ", file.read_text())
    return [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]


def installs(file):
    """The calls of pip that install or download, continued lines joined; a variable with arguments is put in its place."""
    text = re.sub(r"\\\n\s*", " ", file.read_text())
    for name, value in re.findall(r"^(\w+)=\((.*)\)$", text, re.M):
        text = text.replace(f'"${{{name}[@]}}"', value)
    return re.findall(r"\bpip\b[^\n;&|]* (?:install|download) [^\n;&|]*", text, re.I)


def test_no_package_is_looked_for_in_two_indexes():
    for file in PROGRAMS:
        assert "extra-index" not in file.read_text().lower(), file


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_has_a_version_and_a_hash_of_everything(lock):
    lines = requirements(lock)
    assert lines
    for line in lines:
        match = PIN.match(line)
        assert match, line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", match[3]), line


def test_pip_installs_by_hash_alone():
    calls = [(file, call) for file in PROGRAMS for call in installs(file)]
    assert {file.name for file, _ in calls} >= {"Makefile", "Dockerfile.worker-gpu", "torch.sh", "collections.sh", "mutation.sh"}
    for file, call in calls:
        assert "--require-hashes" in call, (file, call)


@pytest.mark.parametrize("file", sorted((ROOT / "requirements").glob("*.in")), ids=lambda file: file.name)
def test_a_lock_is_of_its_in_file(file):
    """A change that Renovate makes in an .in file alone is noticed here."""
    pinned = dict(match.groups()[:2] for match in map(PIN.match, requirements(file.with_suffix(".txt"))) if match)
    asked = [re.match(r"([a-z0-9._-]+)", line)[1] for line in requirements(file) if not line.startswith("-r")]
    exact = {match[1]: match[2] for match in map(PIN.match, requirements(file)) if match}
    assert exact.items() <= pinned.items(), "run make requirements"
    assert set(asked) <= set(pinned), "run make requirements"


def test_every_flavour_has_the_same_torch():
    versions = {requirements(lock)[0].split()[0].partition("+")[0] for lock in ROOT.glob("requirements/torch-*[!s].txt")}
    assert len(versions) == 1, versions


def test_what_torch_needs_agrees_with_what_is_installed_beside_it():
    for needs in ROOT.glob("requirements/torch-*-needs.txt"):
        for line in requirements(needs):
            name = PIN.match(line)[1]
            for other in ("app", "dev"):
                beside = [each for each in requirements(ROOT / f"requirements/{other}.txt") if each.startswith(f"{name}==")]
                assert not beside or line in beside or len(beside) > 1, (needs.name, name, other)


def test_a_flavour_of_a_dockerfile_has_its_locks():
    for file in ROOT.glob("deploy/docker/Dockerfile.*"):
        for flavour in re.findall(r"^ARG TORCH=(.*)$", file.read_text(), re.M):
            for lock in (f"torch-{flavour}.txt", f"torch-{flavour}-needs.txt"):
                assert (ROOT / "requirements" / lock).is_file(), (file, lock)


def test_requirements_yml_names_the_collections_that_are_unpacked():
    for entry in yaml.safe_load((ROOT / "requirements.yml").read_text())["collections"]:
        manifest = json.loads(
            (ROOT / "collections/ansible_collections" / entry["name"].replace(".", "/") / "MANIFEST.json").read_text()
        )
        assert manifest["collection_info"]["version"] == entry["version"], entry["name"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_may_do_little(file):
    text = file.read_text()
    flow = yaml.safe_load(text)
    # YAML 1.1 reads `on` as a truth value.
    assert "pull_request_target" not in flow[True]
    assert flow["permissions"] == {}
    assert flow["concurrency"]["group"]
    for name, job in flow["jobs"].items():
        assert job["timeout-minutes"], name
        assert set(job["permissions"]) == {"contents"}, name
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
                assert re.search(re.escape(step["uses"]) + r"  # v\d+\.\d+\.\d+$", text, re.M), step["uses"]
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name
            assert "${{" not in step.get("run", ""), step["run"]


def test_the_workflows_write_in_one_job_which_runs_nothing_that_was_installed():
    writing = {
        (file.name, name): job
        for file in WORKFLOWS
        for name, job in yaml.safe_load(file.read_text())["jobs"].items()
        if "write" in job["permissions"].values()
    }
    assert list(writing) == [("nightly.yml", "page")]
    commands = " ".join(step.get("run", "") for step in writing["nightly.yml", "page"]["steps"])
    assert not re.search(r"\bpip\b|\bmake\b|\.ci/run", commands)


def base_images():
    """Images of another registry that a Dockerfile begins with, or that are run beside ours: file -> image."""
    for file in tracked("*Dockerfile.*"):
        text = file.read_text()
        arguments = dict(re.findall(r"^ARG (\w+)=(.*)$", text, re.M))
        stages = {"scratch", *re.findall(r"^FROM \S+ AS (\S+)$", text, re.M)}
        for image in re.findall(r"^FROM (\S+)", text, re.M):
            while match := re.search(r"\$\{(\w+)\}", image):
                image = image.replace(match[0], arguments[match[1]])
            if image not in stages and not re.match(r"ktrdr-|localhost:5000/", image):
                yield file, image
    script = ROOT / "scripts/base-images.sh"
    for image in re.findall(r"^(?:db|proxy|registry)=(.*)$", script.read_text(), re.M):
        yield script, image


def test_base_images_are_pinned_or_will_be():
    found = list(base_images())
    assert {image.partition(":")[0] for _, image in found} == {"python", "postgres", "haproxy", "registry"}
    assert "docker:pinDigests" in RENOVATE["extends"]
    for file, image in found:
        if "@sha256:" in image:
            continue
        # The manager for Dockerfiles is on unless it is switched off.
        assert RENOVATE.get("dockerfile", {}).get("enabled", True)
        if "Dockerfile" not in file.name:
            path = str(file.relative_to(ROOT))
            managers = [
                m for m in RENOVATE["customManagers"] if any(re.search(p.strip("/"), path) for p in m["managerFilePatterns"])
            ]
            patterns = [re.sub(r"\(\?<", "(?P<", p) for m in managers for p in m["matchStrings"]]
            assert any(
                f"{m['depName']}:{m['currentValue']}" == image for p in patterns for m in re.finditer(p, file.read_text())
            ), image


def test_one_python_image_is_named():
    assert len({image for file, image in base_images() if image.startswith("python:")}) == 1


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_renovate_renews_each_lock(lock):
    """Itself, by the command that uv wrote at its top; or through the .in file."""
    path = f"requirements/{lock.name}"
    if any(re.search(p.strip("/"), path) for p in RENOVATE["pip-compile"]["managerFilePatterns"]):
        command = lock.read_text().splitlines()[1]
        assert re.fullmatch(
            r"#    uv pip compile --universal --generate-hashes --python-version=3\.11 [a-z]+\.in --output-file="
            + re.escape(lock.name),
            command,
        ), command
        return
    source = path.replace("-needs", "").replace(".txt", ".in")
    managers = [m for m in RENOVATE["customManagers"] if any(re.search(p.strip("/"), source) for p in m["managerFilePatterns"])]
    pattern = re.sub(r"\(\?<", "(?P<", managers[0]["matchStrings"][0])
    assert re.search(pattern, (ROOT / source).read_text())
