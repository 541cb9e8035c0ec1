"""The package as one file: what it holds is imported by a Python of its own."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile

import pytest
from ansible.module_utils.rollout.io import package
from interpreter import bare_python

ROLLOUT = "ansible/module_utils/rollout/"
# Packs once more what it was packed from itself, whatever else it has loaded.
AGAIN = f"""
import sys
sys.path.insert(0, sys.argv[1])
import decimal, ansible.module_utils.rollout.domain.ledger
from ansible.module_utils.rollout.io import package
assert package.__file__.startswith(sys.argv[1])
sys.stdout.buffer.write(package.pack({package.AGENT!r}))
"""


def names(data):
    return zipfile.ZipFile(io.BytesIO(data)).namelist()


@pytest.fixture
def run(tmp_path):
    """Run Python with nothing but the standard library; ``{}`` is the zip file."""

    def call(data, *arguments):
        file = tmp_path / "package"
        file.write_bytes(data)
        command = [bare_python(), "-IS", *[argument.replace("{}", str(file)) for argument in arguments]]
        return subprocess.run(command, capture_output=True, timeout=60)

    return call


@pytest.mark.parametrize("rooms", [package.HOST, package.AGENT])
def test_it_holds_its_rooms_whole_and_no_other(root, rooms):
    source = root / "module_utils/rollout"
    files = [source / "__init__.py", source / "errors.py", *(file for room in rooms for file in (source / room).rglob("*.py"))]
    expected = {f"{ROLLOUT}{file.relative_to(source)}": file.read_bytes() for file in files}
    data = package.pack(rooms)
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        assert {name: packed.read(name) for name in packed.namelist() if name.startswith(ROLLOUT)} == expected
    assert set(names(data)) - set(expected) == {"ansible/__init__.py", "ansible/module_utils/__init__.py"}


def test_whoever_packs_makes_the_same_file(run):
    data = package.pack(package.AGENT)
    done = run(data, "-c", AGAIN, "{}")
    assert (done.stdout == data, done.stderr) == (True, b"")


def test_the_start_is_what_python_runs(run):
    start = "import sys\nfrom ansible.module_utils.rollout.domain import ledger\nprint(ledger.__name__, sys.argv[1:])\n"
    done = run(package.pack(package.HOST, start), "{}", "x")
    assert (done.stdout, done.stderr) == (b"ansible.module_utils.rollout.domain.ledger ['x']\n", b"")


def test_without_a_start_there_is_nothing_to_run(run):
    assert b"can't find '__main__' module in" in run(package.pack(package.HOST), "{}").stderr


def test_compiled_code_comes_before_its_source(tmp_path):
    file = tmp_path / "package"
    with zipfile.ZipFile(io.BytesIO(package.pack(package.AGENT, compiled=True))) as packed, zipfile.ZipFile(file, "w") as spoilt:
        for name in packed.namelist():
            spoilt.writestr(name, "raise SystemExit('the source')" if name.endswith("/errors.py") else packed.read(name))
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from ansible.module_utils.rollout import errors; print(errors.__name__)"
    )
    done = subprocess.run([sys.executable, "-IS", "-c", program, str(file)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("ansible.module_utils.rollout.errors\n", "")
