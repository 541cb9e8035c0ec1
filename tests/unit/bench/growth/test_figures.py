"""Phases, growth and page of the growth benchmark, by numbers made up here."""

from __future__ import annotations

import pytest
from ansible.module_utils.rollout.controller import waves

from bench.growth import figures

MACHINE = {
    "cores": 2,
    "memory": 4 * 2**30,
    "system": "a system",
    "engine": "20.10",
    "python": "3.11",
    "ansible": "2.19",
    "when": "a day",
}


def task(play, wall, name="a task", done=1, skipped=0):
    return {"play": play, "task": name, "action": "set_fact", "done": done, "skipped": skipped, "wall": wall}


TASKS = [
    task("Plan the rollout", 1.0),
    task("Stage on every host", 2.0),
    task("Switch the backend", 3.0),
    task("Switch the CPU workers", 4.0, done=2),
    task("Settle", 5.0, "another"),
    task("Revert", 0.5, skipped=3),
    task("Report", 0.5),
]


def run(hosts, wall, serial=1, kind="rollout", **more):
    facts = {"hosts": hosts, "kind": kind, "serial": serial, "wall": wall, "cpu": 1.0, "peak_pss": 2**20, "peak_rss": 2**21}
    return {**facts, "busy": 50.0, "others": 5.0, **dict.fromkeys(figures.PHASES, 1.0), "tasks": figures.by_task(TASKS), **more}


def test_phases_are_the_wall():
    found = figures.phases(TASKS, 18.0)
    assert found == {"plan": 3.0, "stage": 2.0, "switch": 7.0, "settle": 5.0, "after": 1.0}
    assert sum(found.values()) == 18.0


def test_the_plays_that_phases_begin_with_are_those_of_the_playbooks(root):
    said = "".join(path.read_text() for path in (root / "playbooks").glob("*.yml"))
    assert '- name: "Switch {{ switch_play.title }}"\n' in said
    for play in figures._BEGINS:
        # A wave's play is named when it begins.
        assert waves.of_play(play) or f"- name: {play}\n" in said, play


def test_tasks_of_one_name_are_one_row_and_the_longest_is_first():
    first, second = figures.by_task(TASKS)
    assert (first["task"], first["times"], first["done"], first["skipped"], first["wall"]) == ("a task", 6, 7, 3, 11.0)
    assert (second["task"], second["wall"]) == ("another", 5.0)


def test_series_are_medians_by_size():
    runs = [run(4, 9.0), run(1, 1.0), run(4, 5.0), run(4, 6.0), run(4, 100.0, serial=16), run(4, 50.0, kind="no-op")]
    assert figures.series(runs, ("rollout", 1), "wall") == [(1, 1.0), (4, 6.0)]
    assert figures.kinds(runs) == [("rollout", 1), ("rollout", 16), ("no-op", 1)]


@pytest.mark.parametrize(
    ("high", "power", "word"),
    [
        (10.0, 0.0, "hardly grow"),
        (20.0, 0.5, "grow less than linearly"),
        (40.0, 1.0, "grow linearly"),
        (160.0, 2.0, "grow faster than linearly"),
    ],
)
def test_growth_from_16_to_64(high, power, word):
    points = [(1, 999.0), (16, 10.0), (64, high)]
    assert figures.exponent(points) == pytest.approx(power)
    assert figures.growth_word(power) == word
    assert figures.per_host(points) == (high - 10) / 48


def test_one_size_tells_no_growth():
    assert figures.exponent([(1, 2.0)]) is None
    assert figures.per_host([(1, 2.0)]) is None
    assert figures.sentence([run(1, 2.0)], ("rollout", 1)) == ""


def test_a_phase_without_time_tells_no_growth():
    assert figures.exponent([(1, 0.0), (4, 2.0)]) is None


def test_the_sentence_names_each_part_once():
    said = figures.sentence([run(16, 10.0, cpu=1.0), run(64, 40.0, cpu=16.0)], ("rollout", 1))
    assert said.startswith("From 16 to 64 hosts (x4): plan (x1.0), stage (x1.0)")
    assert "total (x4.0) grow linearly" in said
    assert "controller CPU (x16.0) grow faster than linearly" in said


def test_the_page_says_simulated_and_has_a_row_for_each_size():
    runs = [run(1, 10.0), run(64, 136.0), run(1, 7.0, kind="no-op")]
    failed = {
        "hosts": 64,
        "kind": "first",
        "serial": 4,
        "verdict": "reverted",
        "wall": 99.6,
        "said": "the guard |\ndoes not start",
    }
    said = figures.page({"runs": runs, "machine": MACHINE, "settings": {"forks": 16}, "failed": [failed]})
    assert "The hosts are **simulated**" in said
    assert "| 1 | 1 | 1.0 | 1.0 | 1.0 | 1.0 | 1.0 | 10.0 | 1.0 | 1 | 2 | 50.0 | 5.0 |" in said
    assert "| 64 | 1 |" in said
    assert "| 64 | first, rollout_serial 4 | reverted | 100 | the guard \\| does not start |" in said
    # (136 - 10) / 63
    assert "| each further one | | 0.00 | 0.00 | 0.00 | 0.00 | 0.00 | 2.00 |" in said
    assert "## No-op, rollout_serial 1" in said
    assert "| a task | set_fact | 6 | 7 | 3 | 11.0 | 69% |" in said


def test_a_page_without_a_good_run_tells_the_failed_one():
    failed = {"hosts": 1, "kind": "first", "serial": 4, "verdict": "refused", "wall": 9.0, "said": "no"}
    said = figures.page({"runs": [], "machine": MACHINE, "settings": {"forks": 16}, "failed": [failed]})
    assert "| 1 | first, rollout_serial 4 | refused | 9 | no |" in said
