"""Every sentence with which the tool refuses or gives up has a row in the documentation: "it says X, do Y"."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Iterator, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
SOURCES = [
    file
    for room in ("module_utils/rollout", "library", "plugins/filter", "plugins/callback", "ktrdr/cli")
    for file in sorted((ROOT / room).rglob("*.py"))
]
# Functions that return their sentence, or keep it in a variable, for others to raise or to show.
SAID = ("problem", "too_late", "same_machine", "empty_waves", "unreachable", "bad_answer", "_fatal", "trouble", "taken_over")
KEPT = ("look", "send")
# Functions all of whose sentences the operator may read: what was found at the start, what is off, how it ended.
TOLD = ("state_notes", "_doing", "interrupted", "before", "_head", "_skew", "_apart", "advice", "aftermath", "_drift", "told")
# What stands for the same thing in sentence and row.
HOLE = "…"
# Words that both must have in common.
SHARED = 0.75


class Sentence(NamedTuple):
    """A sentence of the code, with … for what it fills in."""

    place: str
    text: str


def template(node: ast.expr | None) -> list[str]:
    """The texts that an expression may have; what is only known when it runs is a hole."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return ["".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [one + other for one in template(node.left) for other in template(node.right)]
    if isinstance(node, ast.IfExp):
        return template(node.body) + template(node.orelse)
    if isinstance(node, ast.ListComp):
        return template(node.elt)
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in template(value)]
    return [HOLE]


TREES = {file: ast.parse(file.read_text()) for file in SOURCES}
FUNCTIONS = {node.name: node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def returned(name: str) -> list[str]:
    """What a function of ours may return."""
    found = FUNCTIONS.get(name)
    returns = [node.value for node in ast.walk(found) if isinstance(node, ast.Return)] if found else []
    return [text for value in returns for text in template(value)] or [HOLE]


def raised(function: ast.AST, call: ast.Call) -> list[str]:
    """The texts of an error: written there, in a variable of the function, or returned by another function."""
    first = call.args[0]
    if isinstance(first, ast.Call):
        return returned(ast.unparse(first.func).rpartition(".")[2])
    if isinstance(first, ast.Name):
        given = [n.value for n in ast.walk(function) if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == first.id]
        return [text for value in given for text in template(value)] or [HOLE]
    return template(first)


def sentences() -> Iterator[Sentence]:
    """All that the code may say when it refuses or gives up."""
    for file, tree in TREES.items():
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
            texts = [t for c in calls if c.func.id in ("RolloutError", "KinfraError") and c.args for t in raised(function, c)]
            if function.name in SAID and file.parent.name == "rollout":
                texts += returned(function.name)
            if function.name in KEPT:
                given = [n.value for n in ast.walk(function) if isinstance(n, ast.Assign)]
                texts += [t for value in given if isinstance(value, ast.JoinedStr) for t in template(value)]
            if function.name in TOLD:
                docstring = ast.get_docstring(function, clean=False)
                inner = {id(part) for n in ast.walk(function) if isinstance(n, ast.JoinedStr) for part in n.values}
                whole = [n for n in ast.walk(function) if isinstance(n, (ast.JoinedStr, ast.Constant)) and id(n) not in inner]
                written = [t for n in whole for t in template(n)]
                # A word or two are parts of a sentence.
                texts += [t for t in written if t != docstring and len(fixed(words(t))) > 3]
            shown = [c for c in ast.walk(function) if isinstance(c, ast.Call) and ast.unparse(c.func).endswith("display")]
            texts += [t for c in shown if c.args for t in template(c.args[0]) if "REFUSED" in t]
            for text in texts:
                yield Sentence(file.name, text.strip())
    for file in sorted((ROOT / "roles").glob("*/tasks/*.yml")):
        for said in messages(yaml.safe_load(file.read_text())):
            yield from (Sentence(f"{file.parts[-3]}/{file.name}", text) for text in filled_in(said))


def messages(tasks: object) -> Iterator[str]:
    """Every fail_msg of a file of tasks."""
    if isinstance(tasks, list):
        for task in tasks:
            yield from messages(task)
    elif isinstance(tasks, dict):
        if "fail_msg" in tasks:
            yield str(tasks["fail_msg"])
        for value in tasks.values():
            yield from messages(value)


def filled_in(said: str) -> list[str]:
    """The texts of a task's message; one that chooses between two has both."""
    flat = " ".join(said.split())
    chosen = re.search(r"\{\{ '([^']*)' if .*? else '([^']*)' \}\}", flat)
    each = [flat.replace(chosen[0], one) for one in chosen.groups()] if chosen else [flat]
    return [text for text in (re.sub(r"\{\{.*?\}\}", HOLE, one) for one in each) if text != HOLE]


def rows() -> list[str]:
    """Everything that the documentation quotes."""
    pages = [re.sub(r"^```.*?^```\s*$", "", page.read_text(), flags=re.M | re.S) for page in sorted((ROOT / "docs").glob("*.md"))]
    return [quoted for page in pages for quoted in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", page)]


def words(text: str) -> list[str]:
    """Words without the punctuation around them; a word with a hole in it is a hole."""
    bare = (word.strip("\"'.,:;()") for word in text.split())
    return [HOLE if HOLE in word else word for word in bare if word]


def shared(one: list[str], other: list[str]) -> int:
    """How many words two texts have in common, in their order: none where they cannot be the same sentence.

    A hole fills in any words, also none; what comes after the shorter one does not count.
    """
    table: dict[tuple[int, int], int] = {}

    def best(i: int, j: int) -> int:
        if i == len(one) or j == len(other):
            return 0
        if (i, j) not in table:
            found = -1000
            if one[i] == other[j] != HOLE:
                found = 1 + best(i + 1, j + 1)
            if HOLE in (one[i], other[j]):
                found = max(found, best(i + 1, j), best(i, j + 1), best(i + 1, j + 1))
            table[i, j] = found
        return table[i, j]

    return best(0, 0)


ROWS = [words(row) for row in rows()]


def fixed(text: list[str]) -> list[str]:
    """The words that are not filled in."""
    return [word for word in text if word != HOLE]


def documented(sentence: str) -> bool:
    """Whether a row quotes this sentence, or its beginning; other words may stand before it."""
    said = words(sentence)
    own = fixed(said)
    for row in ROWS:
        quoted = fixed(row)
        # Two words in passing are no quotation.
        least = max(min(2, len(own)), SHARED * min(len(own), len(quoted)))
        if own[0] in quoted and len(quoted) >= min(3, len(own)) and shared([HOLE, *said], row) >= least:
            return True
    return False


FOUND = sorted({s for s in sentences() if words(s.text)})
# One that is all holes is written so that this test cannot read it.
BLIND = [s for s in FOUND if not fixed(words(s.text))]
ALL = [s for s in FOUND if s not in BLIND]


def test_the_code_refuses():
    assert len(ALL) > 100


def test_each_error_says_something():
    assert BLIND == []


@pytest.mark.parametrize("sentence", ALL, ids=lambda s: f"{s.place}: {s.text[:60]}")
def test_each_refusal_has_a_row(sentence):
    assert documented(sentence.text), f"{sentence.place} says '{sentence.text}': docs/ has no row for it"


@pytest.mark.parametrize(
    "text",
    ["The moon is in the way of host …: wait.", "Registry … has no moon …", "…: service … has no moon; a rollout does not fly."],
)
def test_a_refusal_without_a_row_is_seen(text):
    assert not documented(text)
