from __future__ import annotations

import math

import pytest
from ansible.module_utils.rollout.domain import units


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (3.3e9, "3.3 GB"),
        (5e12, "5.0 TB"),
        (7e15, "7000.0 TB"),
    ],
)
def test_human(size, text):
    assert units.human(size) == text


@pytest.mark.parametrize(("span", "text"), [(-3, "0 s"), (0.4, "0 s"), (119, "119 s"), (120, "2 min"), (900, "15 min")])
def test_span(span, text):
    assert units.span(span) == text


@pytest.mark.parametrize(("now", "text"), [(0, "0 s"), (59, "59 s"), (60, "1 m"), (3600, "1 h"), (200000, "2 d"), (-5, "0 s")])
def test_age(now, text):
    assert units.age("1970-01-01T00:00:00.123456789Z", now) == text


@pytest.mark.parametrize("never", ["", "0001-01-01T00:00:00Z"])
def test_age_of_no_time(never):
    assert units.age(never, 0) == ""


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (192, "3 min 12 s"),
        (3900, "1 h 5 min"),
        (None, ""),
        ("4", ""),
        (True, ""),
        (-1, ""),
        (math.nan, ""),
        (math.inf, ""),
    ],
)
def test_lengths(seconds, wanted):
    assert units.length(seconds) == wanted


@pytest.mark.parametrize(("seconds", "wanted"), [(0, "0:00"), (9.7, "0:09"), (75, "1:15"), (3723, "1:02:03")])
def test_clock(seconds, wanted):
    assert units.clock(seconds) == wanted
