"""tests/README.md: each promise has its tests, where the table says that they run."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROWS = {
    name: (in_ci, at_night)
    for name, in_ci, at_night in re.findall(
        r"^\| (I\d+) [^|]*\|([^|]*)\|([^|]*)\|$", (ROOT / "tests/README.md").read_text(), re.MULTILINE
    )
}


def named(cell: str) -> list[str]:
    return re.findall(r"`([\w/]+\.py::\w+)`", cell)


def runs(test: str) -> tuple[bool, bool]:
    """Whether a test runs in CI, and whether it runs at night."""
    path, _colons, name = test.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    (function,) = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name]
    whole_file = any(ast.unparse(node) == "pytestmark = pytest.mark.nightly" for node in tree.body)
    marks = [ast.unparse(mark) for mark in function.decorator_list]
    # The mark of a parameter leaves the other parameters to CI.
    at_night = whole_file or any("pytest.mark.nightly" in mark for mark in marks)
    return not (whole_file or "pytest.mark.nightly" in marks), at_night


def test_every_promise_has_a_row():
    assert list(ROWS) == [f"I{n}" for n in range(1, 11)]


@pytest.mark.parametrize("promise", ROWS)
def test_the_tests_of_a_promise_run_where_the_table_says(promise):
    in_ci, at_night = ROWS[promise]
    assert named(in_ci)
    assert [test for test in named(in_ci) if not runs(test)[0]] == []
    assert [test for test in named(at_night) if not runs(test)[1]] == []
    assert named(at_night) or at_night.strip().startswith("none: ")


def test_the_mark_of_a_test_is_seen():
    """Otherwise the checks above hold whatever the marks say."""
    homelab = "molecule/homelab/tests/test_3_lost.py::"
    assert runs(homelab + "test_a_host_that_is_down_at_the_start") == (True, False)
    assert runs(homelab + "test_a_host_that_reboots_while_its_guard_is_armed_goes_back") == (False, True)
    assert runs("molecule/gapless/tests/test_2_streams.py::test_a_stream_that_ends_by_itself_ends_whole") == (False, True)
    assert runs("molecule/gapless/tests/test_3_interrupted.py::test_killed_when") == (True, True)
