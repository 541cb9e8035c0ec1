"""The package as one file: what it holds is imported by a Python of its own."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
import zipfile

import pytest
from ansible.module_utils.rollout import archive
from ansible.module_utils.rollout.archive import PACKAGE, pack
from interpreter import bare_python

SOURCE, CODE = "WHO = 'source'\n", compile("WHO = 'code'\n", "there.py", "exec")
ONE, TWO = f"{PACKAGE}.one", f"{PACKAGE}.two"


@pytest.fixture
def imported(tmp_path):
    """Import a module from a zip file, with nothing but the standard library: what it says of itself, and where it is from."""

    def look(data, name=ONE, *options):
        file = tmp_path / "package"
        file.write_bytes(data)
        text = (
            "import importlib, json, sys; sys.path.insert(0, sys.argv[1])\n"
            "found = importlib.import_module(sys.argv[2])\n"
            "print(json.dumps([found.WHO, found.__file__.replace(sys.argv[1], '')]))"
        )
        command = [bare_python(), "-IS", *options, "-c", text, str(file), name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return look


def test_without_code_the_source_is_imported(imported):
    assert imported(pack({ONE: (SOURCE, None)})) == ["source", "/ansible/module_utils/rollout/one.py"]


@pytest.mark.parametrize("options", [[], ["--check-hash-based-pycs", "never"]])
def test_code_is_imported_and_its_source_not_looked_at(imported, options):
    assert imported(pack({ONE: (SOURCE, CODE)}), ONE, *options) == ["code", "/ansible/module_utils/rollout/one.pyc"]


def test_code_says_truly_which_source_it_is_of(imported):
    # Whoever compares sees that the source is the one that was packed, and takes the code.
    data = pack({ONE: (SOURCE, CODE)})
    assert imported(data, ONE, "--check-hash-based-pycs", "always")[0] == "code"
    other = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as whole, zipfile.ZipFile(other, "w") as changed:
        for name in whole.namelist():
            changed.writestr(name, whole.read(name).replace(importlib.util.source_hash(SOURCE.encode()), b"\0" * 8))
    assert imported(other.getvalue(), ONE, "--check-hash-based-pycs", "always")[0] == "source"
    assert imported(other.getvalue())[0] == "code", "who does not compare takes it"


@pytest.mark.parametrize("magic", [b"\x6f\x0d\r\n", b"\xff\xff\r\n", b"\0\0\0\0"])
def test_code_of_another_python_is_passed_over(imported, monkeypatch, magic):
    assert magic != importlib.util.MAGIC_NUMBER
    monkeypatch.setattr(archive.importlib.util, "MAGIC_NUMBER", magic)
    assert imported(pack({ONE: (SOURCE, CODE)}))[0] == "source"


def test_modules_find_one_another(imported):
    importing = f"from {PACKAGE}.one import WHO\n"
    both = {ONE: (SOURCE, None), TWO: (importing, compile(importing, "there.py", "exec"))}
    assert imported(pack(both), TWO) == ["source", "/ansible/module_utils/rollout/two.pyc"]


def test_the_packages_around_them_are_empty():
    with zipfile.ZipFile(io.BytesIO(pack({}))) as file:
        assert {name: file.read(name) for name in file.namelist()} == {
            "ansible/__init__.py": b"",
            "ansible/module_utils/__init__.py": b"",
            "ansible/module_utils/rollout/__init__.py": b"",
        }


def test_source_is_as_it_was():
    text = "# ä\r\nX = 1\n"
    with zipfile.ZipFile(io.BytesIO(pack({ONE: (text, None)}))) as file:
        assert file.read("ansible/module_utils/rollout/one.py") == text.encode()


@pytest.mark.parametrize("start", ["", "print(1)\n"])
def test_the_same_modules_are_the_same_bytes(monkeypatch, start):
    modules = {ONE: (SOURCE, CODE), TWO: (SOURCE, None)}
    first = pack(modules, start)
    # Neither the clock nor the file system has a say.
    monkeypatch.setattr(zipfile.time, "localtime", lambda *_: pytest.fail("the time was asked"))
    assert pack(modules, start) == first
    assert pack({ONE: (SOURCE, None), TWO: (SOURCE, None)}, start) != first


def test_the_start_is_what_python_runs(tmp_path):
    file = tmp_path / "program"
    file.write_bytes(pack({ONE: (SOURCE, CODE)}, f"import sys\nfrom {PACKAGE}.one import WHO\nprint(WHO, sys.argv[1:])\n"))
    done = subprocess.run([bare_python(), "-IS", str(file), "x"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "code ['x']\n", "")


def test_without_a_start_there_is_nothing_to_run(tmp_path):
    file = tmp_path / "program"
    file.write_bytes(pack({ONE: (SOURCE, CODE)}))
    done = subprocess.run([sys.executable, "-IS", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "can't find '__main__' module in" in done.stderr
