"""The traces of all runs on the controller: no canary on a screen or in a report."""

import resource

from conftest import leaks


def test_no_screen_shows_a_canary(runs, canaries):
    for name in list(runs.begun):
        runs[name]
    assert len(runs.screens) > 30
    for name, screen in runs.screens.items():
        for text in (screen, "".join(screen.split("\n"))):
            assert leaks(text, canaries) == {}, name


def test_no_report_holds_one(place, canaries):
    reports = [path for path in place.reports.rglob("*") if path.is_file()]
    assert len(reports) > 20
    for report in reports:
        assert leaks(report.read_text(encoding="utf-8"), canaries) == {}, report


def test_no_answer_took_much_memory(runs):
    """The largest process of all that have ended stayed small, though hosts and registries flooded."""
    for name in list(runs.begun):
        runs[name]
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024 < 400
