"""docs/trust.md: every sentence of what others can do at worst names a test that exists and runs in CI."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/trust.md").read_text()
ROWS = dict(re.findall(r"^\| (?!-|it )([^|]+) \| (.*) \|$", PAGE.partition("## At worst")[2], re.MULTILINE))


def functions(path: str) -> dict[str, ast.FunctionDef]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_page_speaks_of_every_party():
    headings = re.findall(r"^### (.+)$", PAGE, re.MULTILINE)
    assert headings == ["A host", "A registry", "A service or an image", "Another user", "What comes with the tool"]
    assert len(ROWS) >= 5 * len(headings)


@pytest.mark.parametrize("sentence", ROWS)
def test_a_sentence_names_its_tests(sentence):
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", ROWS[sentence])
    assert named, "a sentence that nothing proves"
    for path, name in named:
        assert name in functions(path), f"{path} has no {name}"
        marks = [ast.unparse(mark) for mark in functions(path)[name].decorator_list]
        assert "pytest.mark.nightly" not in marks, f"{path}::{name} does not run in CI"
