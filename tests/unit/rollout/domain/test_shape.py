from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain.shape import Faults, Key, choice, faults, require
from ansible.module_utils.rollout.errors import RolloutError

KEYS = {
    "colour": choice(("red", "blue"), needed=True),
    "size": Key("a whole number", (int,), lambda size: size >= 0),
    "password": Key("a text", (str,), secret=True),
    "flag": Key("true or false", (bool,)),
    "inside": Key("a mapping", (dict,), inner=lambda value, at: faults(value, at, {"size": Key("a size", (int,), needed=True)})),
}


@pytest.mark.parametrize(
    ("value", "sentences"),
    [
        ({"colour": "red", "size": 0, "password": "p", "flag": False, "inside": {"size": 1}}, []),
        ({"colour": "blue"}, []),
        ({}, ["x.colour is missing: expected one of red, blue."]),
        ({"colour": ["red"]}, ["x.colour is ['red']: expected one of red, blue."]),
        (
            {"colour": "red", "sise": 1},
            ["x has 'sise'; known are colour, size, password, flag, inside."],
        ),
        (
            {"colour": "red", "size": True, "flag": 1},
            ["x.size is True: expected a whole number.", "x.flag is 1: expected true or false."],
        ),
        ({"colour": "red", "password": ["canary"]}, ["x.password is a list: expected a text."]),
        (
            {"colour": "green", "inside": {}},
            ["x.colour is 'green': expected one of red, blue.", "x.inside.size is missing: expected a size."],
        ),
    ],
)
def test_each_fault_has_a_sentence(value, sentences):
    assert faults(value, "x", KEYS) == sentences


def test_what_is_gathered_is_refused_together_and_each_once():
    found = Faults()
    with found.gather():
        require(["a", "b"])
    with found.gather():
        raise RolloutError("b")
    found.add("c")
    with pytest.raises(RolloutError) as error:
        found.refuse()
    assert str(error.value) == "a\nb\nc"


def test_nothing_is_refused_if_nothing_is_wrong():
    require([])
    Faults().refuse()


def test_a_defect_is_not_gathered():
    with pytest.raises(KeyError), Faults().gather():
        raise KeyError("x")
