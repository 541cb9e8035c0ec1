"""Figures, ratios, targets, and the page and picture that are made of them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from bench import picture, report, stats


def records(what: str, *walls: float, **figures: float) -> list[dict]:
    common = {"failed": 0, "outage": 1.0, "cpu": 1.0, "healthy": 2.0, **figures}
    return [{"round": n + 1, "what": what, "wall": wall, **common} for n, wall in enumerate(walls)]


FOUND = [
    *records("floor", 3.0, 4.0, 5.0, outage=1.0),
    *records("rollout", 6.0, 7.0, 20.0, outage=1.2, cpu=3.0),
    *records("plain-ansible", 20.0, 20.0, 20.0, cpu=9.0),
    {"round": 1, "what": "shell", "error": "bash ended with exit status 1:\nno such image"},
    *records("shell", 36.0),
]


def target(what: str, beside: str) -> stats.Target:
    return next(t for t in stats.TARGETS if (t.what, t.figure, t.beside) == (what, "wall", beside))


def test_the_median_and_the_range():
    assert stats.spread(FOUND, "rollout", "wall") == stats.Spread(7.0, 6.0, 20.0)
    assert stats.spread(FOUND, "rollback", "wall") is None


def test_ratios_are_of_the_medians():
    assert stats.ratio(FOUND, "rollout", "wall", "floor", "wall") == pytest.approx(7 / 4)
    assert stats.ratio(FOUND, "rollout", "failed", "floor", "failed") is None
    assert stats.ratio(FOUND, "rollout", "wall", "rollback", "wall") is None


def test_targets_that_are_met_and_one_that_is_not():
    assert stats.judge(FOUND, target("rollout", "floor")).met is True
    slower = [*FOUND, *records("rollout", 20.0, 20.0)]
    assert stats.judge(slower, target("rollout", "floor")).met is False


def test_a_target_is_not_met_by_runs_that_failed_or_were_not_there():
    judged = stats.judge(FOUND, target("rollout", "shell"))
    assert judged.met is None
    assert judged.value == pytest.approx(7 / 36)
    assert stats.judge(FOUND, target("rollback", "rollout")).met is None


def test_no_failed_request_must_hold_in_every_run():
    (zero,) = [t for t in stats.TARGETS if t.what == "start-first"]
    assert stats.judge(records("start-first", 9.0, 9.0), zero).met is True
    once = [*records("start-first", 9.0, 9.0), *records("start-first", 9.0, failed=1)]
    assert stats.judge(once, zero).met is False
    assert stats.judge(FOUND, zero).met is None


def test_cells():
    assert report.cell(None) == "-"
    assert report.cell(stats.Spread(7.04, 6.0, 20.0)) == "7.0 (6.0-20.0)"
    assert report.cell(stats.Spread(0, 0, 0), 0) == "0"


def test_every_row_of_a_table_has_all_its_cells():
    for text in (report.contestants(FOUND), report.also(records("rollback", 7.0)), report.targets(FOUND)):
        assert len({line.count("|") for line in text.splitlines()}) == 1


def test_the_page_says_what_was_found_and_what_went_wrong():
    document = {
        "began": "now",
        "commit": "abc",
        "runs": 3,
        "picture": "latest.svg",
        "machine": {"processors": 2},
        "records": FOUND,
    }
    page = report.page(document)
    assert "| rollout, to the floor | at most 1.8 | 1.75 | yes |" in page
    assert "| rollout, to shell | at most 0.3 | 0.19 | a run failed |" in page
    assert "| rollback, to rollout | at most 1 | - | not measured |" in page
    assert "| `shell`: the specification's shell commands, `sleep 30` | 1 and 1 failed | 36.0 |" in page
    assert "- round 1, `shell`: bash ended with exit status 1:" in page


def test_what_is_measured_has_a_name_in_the_tables():
    named = set(report.WHO) | set(report.ALSO)
    assert {t.what for t in stats.TARGETS} | {t.beside for t in stats.TARGETS if t.beside} <= named


def test_the_picture_is_well_formed_and_to_scale():
    assert ET.fromstring(picture.svg(FOUND)) is not None
    (axes,) = picture.figure(FOUND).axes
    walls = sorted(bar.get_width() for bar in axes.patches if bar.get_height() > 0.3)
    # floor 4, rollout 7, plain-ansible 20, shell 36
    assert walls == [4, 7, 20, 36]


def test_a_picture_of_nothing():
    assert ET.fromstring(picture.svg([])) is not None
