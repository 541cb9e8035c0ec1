"""No text that reaches Ansible's display controls a terminal; Ansible's own colours stay."""

from __future__ import annotations

import re

import pytest
from ansible.errors import AnsibleError
from ansible.module_utils.rollout.controller import terminal
from ansible.plugins.callback.default import CallbackModule
from ansible.utils import color, display
from ansible.utils.color import stringc

HOSTILE = "\x1b]52;c;Y3VybA==\x07\x1b[8mhidden\x9b2J"
SHOWN = r"\x1b]52;c;Y3VybA==\x07\x1b[8mhidden\u009b2J"


@pytest.fixture(params=[True, False], ids=["colours", "plain"])
def guarded(request, monkeypatch):
    monkeypatch.setattr(color, "ANSIBLE_COLOR", request.param)
    made = display.Display()
    monkeypatch.setattr(made, "display", made.display)
    terminal.guard(made)
    return made


@pytest.mark.parametrize("stderr", [False, True])
@pytest.mark.parametrize("paint", [None, "red"])
def test_foreign_text(guarded, capsys, paint, stderr):
    guarded.display(HOSTILE, paint, stderr=stderr)
    said = capsys.readouterr()
    assert (said.err if stderr else said.out) == f"{stringc(SHOWN, paint) if paint else SHOWN}\n"


def test_the_last_error_is_known_and_displayed_all_the_same():
    class Shown:
        said: list = []

        def error(self, msg, stderr=True):
            self.said.append((msg, stderr))

    one, error = Shown(), AnsibleError("second")
    last = terminal.ending(one)
    assert last == []
    one.error("first")
    one.error(error, stderr=False)
    assert last == [error]
    assert one.said == [("first", True), (error, False)]


def test_further_lines_of_what_ansible_tells_are_indented(guarded, capsys):
    guarded.display("\nfatal: a\nROLLOUT SUCCEEDED\n\nROLLOUT SUCCEEDED", "red")
    guarded.display("ROLLOUT REFUSED\n\nOn host h1: x")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert plain == "\nfatal: a\n  ROLLOUT SUCCEEDED\n\n  ROLLOUT SUCCEEDED\nROLLOUT REFUSED\n\nOn host h1: x\n"


def test_warnings_and_verbose_lines(guarded, capsys, request):
    guarded.verbosity = 1
    try:
        # The same twice would be shown once.
        guarded.warning(f"{HOSTILE} {request.node.name}")
        guarded.v(HOSTILE, host="h\x1b[2J")
    finally:
        guarded.verbosity = 0
    said = capsys.readouterr()
    assert SHOWN in said.out
    assert SHOWN in "".join(said.err.split("\n"))
    for text in (said.out, said.err):
        assert "\x1b]" not in text
        assert "\x1b[8m" not in text
        assert "\x1b[2J" not in text


def test_differences_keep_their_colours_and_hide_nothing(guarded, capsys):
    callback = CallbackModule()
    callback._display = guarded
    callback.set_options()
    shown = callback._get_diff({"before": "a\n", "after": f"{HOSTILE}\x1b[8m\x1b[30m\n"})
    guarded.display(shown)
    out = capsys.readouterr().out
    assert SHOWN in out
    assert "\x1b[8m" not in out
    assert "\x1b[30m" not in out
    assert stringc("-a", "red") in out
    assert out.count("\x1b[0m") == shown.count("\x1b[0m")


def test_whoever_replaces_the_class_is_asked(guarded, monkeypatch):
    """As ansible-runner does."""
    heard = []
    monkeypatch.setattr(display.Display, "display", lambda _self, msg, *_more, **_named: heard.append(msg))
    guarded.display(HOSTILE)
    assert heard == [SHOWN]
