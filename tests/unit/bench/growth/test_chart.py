"""growth.svg, by numbers made up here."""

from __future__ import annotations

from xml.etree import ElementTree

from bench.growth import chart, figures


def run(hosts, wall, kind="rollout"):
    phases = {"switch": wall / 2, "stage": wall / 4, "settle": wall / 8, "cpu": wall / 2, "peak_pss": wall * 2**20}
    return {"hosts": hosts, "kind": kind, "serial": 1, "wall": wall, **phases}


def drawn(*runs):
    return chart.figure(runs), chart.svg(runs)


def test_each_series_has_its_panels_and_its_lines():
    figure, text = drawn(run(1, 16.0), run(4, 32.0), run(1, 8.0, "no-op"), run(4, 9.0, "no-op"))
    assert sum(len(axes.lines) for axes in figure.axes) == 2 * len(chart.LINES)
    for word in ("Rollout, rollout_serial 1: seconds", "No-op, rollout_serial 1: seconds", "simulated hosts"):
        assert word in text


def test_a_line_has_its_points_and_memory_its_unit():
    figure, _text = drawn(run(1, 10.0), run(4, 40.0), run(16, 160.0))
    lines = {line.get_label(): line.get_xydata().tolist() for axes in figure.axes for line in axes.lines}
    assert lines["total"] == [[1, 10], [4, 40], [16, 160]]
    assert lines["memory, MiB"] == [[1, 10], [4, 40], [16, 160]]


def test_one_size_is_points():
    figure, text = drawn(run(1, 10.0))
    assert "nan" not in text
    assert all(line.get_marker() == "o" for axes in figure.axes for line in axes.lines)


def test_all_is_within_the_picture():
    figure, text = drawn(run(1, 10.0), run(64, 640.0), run(1, 5.0, "no-op"))
    root = ElementTree.fromstring(text)
    width, height = (float(size) for size in root.get("viewBox").split()[2:])
    for axes in figure.axes:
        box = axes.get_tightbbox()
        dots = figure.dpi / 72
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width * dots
        assert box.y1 <= height * dots


def test_the_lines_are_figures_that_are_measured():
    assert set(chart.LINES) <= set(figures.FIGURES)
