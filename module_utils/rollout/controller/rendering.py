"""Why a compose file's template cannot be rendered, as a sentence: which file, which line, which variable. Pure."""

from __future__ import annotations

import re
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

import yaml
from ansible.module_utils.rollout.errors import Refusal
from jinja2 import Environment, TemplateSyntaxError, meta, nodes

NOT_RENDERED = Refusal(
    "Compose file and environment",
    "{file} cannot be rendered: {why}.{guess}",
    "correct the variable, or the template; with `-e NAME=3` a variable is the text '3', and `int` makes a number of it",
)
TEXTS = Refusal(
    "Compose file and environment",
    " A number is needed where it has {names}: {shown}.",
    "give that variable a number",
)
NOWHERE = Refusal(
    "Compose file and environment",
    " Define it in the inventory or with -e, or correct the template.",
    "define the variable, or correct the template",
)
# Operations that a number can do, and a text cannot.
_COUNTED = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow)
_NUMBER = re.compile(r"\s*-?\d+\s*")
# Ansible's own words around the message, and its class of a text.
_AROUND = re.compile(r"(?:A captured exception marker was tripped: |Error rendering template: )+")


def refusal(file: str, texts: Sequence[str], error: BaseException, value: Callable[[str], Any]) -> str:
    """The sentence for a template that could not be rendered.

    Args:
        file: the template, as the inventory names it.
        texts: the texts of the template and of those that it names.
        error: what was raised.
        value: the value of a variable, by its name; None if there is none.
    """
    why = _AROUND.sub("", str(error)).replace("'_AnsibleTaggedStr' object", "a text").rstrip(".")
    line = next((e.lineno for e in causes(error) if isinstance(e, TemplateSyntaxError)), None)
    found = {name: value(name) for text in texts for name in _counted(text)}
    wrong = {name: one for name, one in found.items() if isinstance(one, str)}
    # Those that were made numbers of pass; where all look like numbers, none was.
    wrong = {name: one for name, one in wrong.items() if not _NUMBER.fullmatch(one)} or wrong
    guess = ""
    if why.endswith("is undefined"):
        guess = NOWHERE.text()
    elif wrong:
        guess = TEXTS.text(names=" and ".join(wrong), shown=", ".join(f"{name} is a text" for name in wrong))
    return NOT_RENDERED.text(file=file + (f", line {line}," if line else ""), why=why, guess=guess)


def located(message: str, stacks: Mapping[str, Any], specs: Mapping[str, Any]) -> str:
    """What Compose says of files that are no YAML, with the line that is meant: Compose tells where the block around it begins.

    Args:
        message: the failure of a step that had Compose read the sources of these ``stacks``.
        specs: the stacks as ``rollout_stacks`` has them.
    """
    for stack, source in stacks.items():
        for name in source.get("compose") or ():
            fault = re.compile(rf"(Reading (?:.* and )?{re.escape(name)}(?: and .*)? failed: \S*\s?yaml: line )\d+")
            try:
                [*yaml.parse(str((source["files"].get(name) or {}).get("text") or ""), yaml.SafeLoader)]
            except yaml.MarkedYAMLError as error:
                line = error.problem_mark.line + 1 if error.problem_mark else 0
                where = "what its template renders" if _rendered(specs.get(stack) or {}, name) else name
                message = fault.sub(rf"\g<1>{line} of {where}", message)
    return message


def _rendered(spec: Mapping[str, Any], name: str) -> bool:
    """Whether a template makes this compose file of the stack."""
    compose = spec.get("compose") or []
    named = [compose] if isinstance(compose, str) else compose
    return bool(spec.get("template")) or any(str(one).endswith(f"{name}.j2") for one in named)


def causes(error: Optional[BaseException]) -> Iterator[BaseException]:
    """An error, and those that led to it."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


def referenced(text: str) -> list[str]:
    """The other templates that a template imports or includes by a fixed name."""
    return [name for name in meta.find_referenced_templates(_tree(text)) if name]


def _tree(text: str) -> nodes.Template:
    try:
        return Environment().parse(text)  # nosec B701 # parsed, and never rendered
    except TemplateSyntaxError:
        return nodes.Template([])


def _counted(text: str) -> Iterator[str]:
    """The names that a template counts to, or calculates with."""
    tree = _tree(text)
    ranges = [node for node in tree.find_all(nodes.Call) if isinstance(node.node, nodes.Name) and node.node.name == "range"]
    sums = [[node.left, node.right] for node in tree.find_all(_COUNTED)]
    for operands in [*(node.args for node in ranges), *sums]:
        for operand in operands:
            yield from (name.name for name in ([operand] if isinstance(operand, nodes.Name) else operand.find_all(nodes.Name)))
