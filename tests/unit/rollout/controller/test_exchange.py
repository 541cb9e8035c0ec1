"""The bounds of an exchange with a host: real alarms, real memory."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.rollout.controller import exchange
from ansible.module_utils.rollout.domain.answers import WHOLE

pytestmark = pytest.mark.usefixtures("real_clock")


def waits(_seconds=60):
    try:
        threading.Event().wait(_seconds)
    except Exception:  # as a connection plugin that tries again
        pytest.fail("it was taken for a fault of the connection's own")


def floods():
    said = b""
    for _ in range(1000):
        said += b"x" * WHOLE


def bounded(seconds, elsewhere, do):
    with exchange.bounded(seconds, elsewhere):
        do()


def test_what_takes_too_long_is_given_up():
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(
        AnsibleConnectionFailure,
        match=r"^it did not answer within 0.05 s, the longest that this step may take \(rollout_step_timeout\)$",
    ):
        bounded(0.05, True, waits)
    assert (signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)) == (before, (0.0, 0.0))


def test_the_connections_program_is_ended_with_it():
    programs = []

    def connects():
        programs.append(subprocess.Popen(["sleep", "60"]))
        programs[0].wait()

    with pytest.raises(AnsibleConnectionFailure):
        bounded(0.2, True, connects)
    assert programs[0].wait(30) == -signal.SIGTERM


def test_a_step_that_may_take_longer_than_a_look_is_not_disturbed(monkeypatch):
    monkeypatch.setattr(exchange, "LOOK_S", 0.01)
    done = []
    bounded(60, True, lambda: done.append(threading.Event().wait(0.1)))
    assert done == [False]
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


KILLED = """
import os, subprocess, sys
import ansible.module_utils

ansible.module_utils.__path__.append(os.path.abspath("module_utils"))
from ansible.module_utils.rollout.controller import exchange

exchange.LOOK_S = 0.05
if os.fork():
    sys.stdin.read()
with exchange.bounded(60, True):
    program = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    print(os.getpid(), program.pid, flush=True)
    program.wait()
"""


def test_no_process_that_waits_for_a_host_outlives_a_run_that_was_killed(root):
    with subprocess.Popen([sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as run:
        processes = [int(word) for word in run.stdout.readline().split()]
        watched = [os.pidfd_open(process) for process in processes]
        run.kill()
        for process in watched:
            assert select.select([process], [], [], 30)[0], "it lives on"
            os.close(process)
    assert len(processes) == 2


def test_an_answer_that_fills_the_memory_is_given_up():
    with pytest.raises(AnsibleConnectionFailure, match=r"^it answered more than 4 MiB, which no step does$"):
        bounded(60, True, floods)
    # Afterwards there is room again.
    assert len(b"x" * exchange.ROOM * 2) == exchange.ROOM * 2


def test_a_host_on_this_machine_keeps_its_memory():
    with exchange.bounded(60, False):
        assert len(b"x" * exchange.ROOM * 2) == exchange.ROOM * 2


def test_what_ends_in_time_is_let_alone():
    with exchange.bounded(60, True):
        done = True
    assert done


@pytest.mark.parametrize(("variables", "limit"), [({}, 3600.0), ({"rollout_step_timeout": "7"}, 7.0)])
def test_the_inventory_says_how_long(variables, limit):
    class Templar:
        def template(self, value):
            return value

    assert exchange.step_limit(Templar(), variables) == limit
