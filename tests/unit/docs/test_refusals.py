"""Every sentence with which the tool refuses or gives up is declared once, with its remedy, and has a row in the documentation."""

from __future__ import annotations

import ast
import re
from string import Formatter
from typing import Any, Iterator

import pytest
import yaml

SCRIPT = "scripts/refusal_docs.py"


@pytest.fixture(scope="module")
def tables(load) -> Any:
    return load(SCRIPT)


def placeholders(said: Any) -> set[str]:
    return {field for _text, field, _spec, _how in Formatter().parse(said.sentence) if field is not None}


class Value:
    """Takes the place of any value, however it is to be written."""

    def __format__(self, _how: str) -> str:
        return "value"

    def __repr__(self) -> str:
        return "value"


def test_the_pages_are_what_the_code_says(tables):
    for page in tables.PAGES:
        assert tables.written(page.read_text()) == page.read_text(), "run make docs"


def test_a_table_without_a_line_yet_does_not_take_what_stands_behind_it(tables):
    page = "<!-- refusals: Disk -->\n<!-- end -->\n\n## Next\n\n<!-- refusals: Locks -->\n| it |\n<!-- end -->\nLast\n"
    made = tables.written(page)
    assert made == tables.written(made)
    assert "<!-- end -->\n\n## Next\n\n<!-- refusals: Locks -->\n| it says | do |\n" in made
    assert made.endswith("|\n<!-- end -->\nLast\n")


def test_each_sentence_stands_in_one_table(tables):
    sections = [name for page in tables.PAGES for name in re.findall(r"<!-- refusals: (.+?) -->\n", page.read_text())]
    assert sorted(sections) == sorted({said.section for said in tables.declared()})


def test_each_sentence_can_be_filled_in(tables):
    assert len(tables.declared()) > 40
    for said in tables.declared():
        text = said.text(**dict.fromkeys(placeholders(said), Value()))
        assert text == str(said(**dict.fromkeys(placeholders(said), Value())))
        # A table of Markdown ends a cell there.
        assert "|" not in text + said.remedy
        assert "\n" not in text + said.remedy
        assert "`" not in text


def test_each_remedy_can_be_done_without_looking_up(tables):
    for said in tables.declared():
        assert len(said.remedy.split()) > 1, said.sentence


def uses(tables: Any) -> Iterator[tuple[str, Any, ast.Call | None]]:
    """Each mention of a refusal in the code: where, which, and the call that fills it in."""
    for file in tables.FILES:
        tree = ast.parse(file.read_text())
        calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        texts = {id(node.value): node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "text"}
        for node in ast.walk(tree):
            name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
            if name.isupper() and isinstance(node.ctx, ast.Load):
                known = tables.names(file)
                said = known.get(name) if isinstance(node, ast.Name) else getattr(known.get(ast.unparse(node.value)), name, None)
                if type(said).__name__ == "Refusal":
                    yield f"{file.name}:{node.lineno}", said, calls.get(id(texts.get(id(node), node)))


def test_each_use_gives_the_values_that_the_sentence_names(tables):
    for place, said, call in uses(tables):
        given = {word.arg for word in call.keywords if word.arg != "facts"} if call else None
        assert given in (None, placeholders(said)), place
        assert not call or not call.args, place


def test_each_sentence_is_said(tables):
    used = {id(said) for _place, said, _call in uses(tables)}
    assert [said.sentence for said in tables.declared() if id(said) not in used] == []


def test_no_error_is_made_of_words_where_it_is_raised(tables):
    for file in tables.FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("RolloutError", "KinfraError"):
                assert isinstance(node.args[0], (ast.Name, ast.Call)), f"{file.name}:{node.lineno}"


def messages(tasks: object) -> Iterator[str]:
    """Every fail_msg of a file of tasks."""
    for one in tasks if isinstance(tasks, list) else tasks.values() if isinstance(tasks, dict) else ():
        yield from messages(one)
    if isinstance(tasks, dict) and "fail_msg" in tasks:
        yield str(tasks["fail_msg"])


def test_each_message_of_the_roles_is_quoted(root):
    page = " ".join((root / "docs/operations.md").read_text().split())
    found = [
        said
        for room in ("roles/*/tasks/*.yml", "playbooks/*.yml")
        for file in sorted(root.glob(room))
        for said in messages(yaml.safe_load(file.read_text()))
    ]
    assert len(found) > 3
    for said in found:
        # One that chooses between two texts has both.
        for text in re.findall(r"'([^']* [^']*)' (?:if|else|\}\})", said) or [said]:
            quoted = re.sub(r"\{\{.*?\}\}", "…", " ".join(text.split()))
            assert quoted in page, quoted
