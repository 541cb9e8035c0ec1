"""What a command leaves behind is its own cost, and not the next one's."""

from __future__ import annotations

import os
import subprocess
import sys

# In a process of its own: it adopts orphans.
PROGRAM = """
import pathlib, sys
from bench import contestants, measure, stack
measure.adopt_orphans()
measure.LEFT_S = float(sys.argv[2])
tool = contestants.Tool(["bash", "-c", sys.argv[1]], pathlib.Path("/"))
ended = measure.run(tool, pathlib.Path(sys.argv[3]))
try:
    print(ended.rc, ended.cpu, measure.orphans())
except stack.BenchError as error:
    print(error)
"""
BURN = "python3 -c 'import time\nwhile time.process_time() < 0.5: pass'"


def said(root, tmp_path, script, limit):
    command = [sys.executable, "-c", PROGRAM, script, str(limit), tmp_path / "log"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, timeout=60, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def test_an_orphan_is_waited_for_and_counted(root, tmp_path):
    rc, cpu, left = said(root, tmp_path, f"({BURN}) & exit 3", 30).split()
    assert rc == "3"
    assert float(cpu) < 0.5 <= float(left)


def test_where_nothing_is_left_nothing_is_added(root, tmp_path):
    rc, cpu, left = said(root, tmp_path, BURN, 30).split()
    assert rc == "0"
    assert float(left) == 0 < 0.5 <= float(cpu)


def test_an_orphan_that_lives_on_is_named(root, tmp_path):
    told = said(root, tmp_path, "sleep 3 & exit", 0.2)
    assert told.startswith("What the last command left behind is still at work after 0 s: ps --ppid ")
