"""What a command costs: measured on small ones whose cost is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

# In a process of its own: it adopts orphans.
PROGRAM = """
import json, os, pathlib, sys
from bench.growth import measure
measure.adopt()
found = measure.command([sys.executable, "-c", sys.argv[1]], os.environ, pathlib.Path("."), pathlib.Path(sys.argv[2]))
print(json.dumps({**found, "left": measure.descendants(os.getpid())}))
"""
BURN = "import time\nwhile time.process_time() < 0.5: pass\n"


def measured(root, tmp_path, program):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, textwrap.dedent(program), tmp_path / "log"],
        **{"cwd": root, "env": {**os.environ, "PYTHONPATH": str(root)}, "timeout": 120, "check": True, "stdout": subprocess.PIPE},
    )
    return json.loads(done.stdout)


def test_status_output_and_cpu(root, tmp_path):
    found = measured(root, tmp_path, BURN + "print('said')\nraise SystemExit(3)")
    assert found["rc"] == 3
    assert (tmp_path / "log").read_text() == "said\n"
    assert 0.5 <= found["cpu"] < found["wall"] + 0.5


def test_an_orphan_that_lives_on_is_counted_and_ended(root, tmp_path):
    orphan = BURN + "import time, pathlib; pathlib.Path('/proc/self/comm').write_text('o'); time.sleep(60)"
    found = measured(
        root,
        tmp_path,
        f"""
        import pathlib, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", {orphan!r}], start_new_session=True)
        while pathlib.Path(f"/proc/{{child.pid}}/comm").read_text() != "o\\n": time.sleep(0.05)
        """,
    )
    assert found["cpu"] >= 0.5
    assert found["wall"] < 60
    assert found["left"] == []


def test_memory_is_that_of_the_whole_tree(root, tmp_path):
    program = """
        import os, time
        keep = bytearray(os.urandom(2**20) * 64)
        if os.fork():
            os.wait()
        else:
            time.sleep(3)
        """
    found = measured(root, tmp_path, program)
    assert found["samples"] >= 1
    # Both processes hold the 64 MiB that they share: RSS counts them twice, PSS once.
    assert found["peak_rss"] > 128 * 2**20
    assert 64 * 2**20 < found["peak_pss"] < found["peak_rss"] - 48 * 2**20
