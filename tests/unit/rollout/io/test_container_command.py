from __future__ import annotations

import pytest
from ansible.module_utils.rollout.io import container_command, masking
from ansible.module_utils.rollout.io.container_command import LIMIT_S, ask
from fake_engine import FakeEngine

READY = ["pg_isready", "-U", "the app"]
SHOWN = "pg_isready -U 'the app'"


class Engine(FakeEngine):
    """Answers commands in containers with ``said``; ``execs`` are those that it says have not ended."""

    def __init__(self, clock):
        super().__init__()
        self.clock, self.said, self.execs, self.asked = clock, (0, "", ""), {}, []

    def run(self, arguments, stdin="", timeout=None, extra=None):
        self.asked.append((list(arguments), timeout))
        if self.said[0] == 124 and "gave no answer" in self.said[2]:
            self.clock.time += timeout
        return self.said

    def inspect(self, kind, names):
        return [{"ExecIDs": list(self.execs) or None} for _ in names]

    def get(self, path, doing, **query):
        return self.execs[path.split("/")[2]]


@pytest.fixture
def engine(clock):
    return Engine(clock)


def test_a_command_that_passes(engine):
    assert ask(engine, "c1", READY, set()).fault == ""
    assert engine.asked == [(["exec", "c1", "pg_isready", "-U", "the app"], LIMIT_S)]


@pytest.mark.parametrize(
    ("said", "ends"),
    [
        ((2, "trying\nlocalhost:5432 - no response\n", ""), "with 2 (localhost:5432 - no response)"),
        ((1, "out\n", "err\n"), "with 1 (err)"),
        ((3, "", ""), "with 3 (no message)"),
        ((124, "", ""), "with 124 (no message)"),
        (
            (126, "", 'OCI runtime exec failed: exec: "pg_isready": executable file not found in $PATH: unknown\n'),
            'with 126 (OCI runtime exec failed: exec: "pg_isready": executable file not found in $PATH: unknown)',
        ),
    ],
)
def test_a_command_that_fails(engine, said, ends):
    engine.said = said
    assert ask(engine, "c1", READY, set()).fault == (f"exit status 0 of the command {SHOWN} in its container, which ends {ends}")


def test_what_is_said_is_masked_and_bounded(engine):
    masking.learn("canary-pw")
    engine.said = (1, "x" * 1000 + " canary-pw", "")
    said = ask(engine, "c1", ["redis-cli", "-a", "canary-pw", "y" * 1000], set()).fault
    assert "canary" not in said
    assert "redis-cli -a ******** yyy" in said
    assert len(said) < 2 * container_command.WORDS + 150


def test_a_command_that_hangs_is_not_run_twice_at_once(engine):
    engine.said, late = (124, "", "docker exec gave no answer in 5 s"), set()
    assert ask(engine, "c1", READY, late).fault == f"the command {SHOWN} in its container to end within 5 s"
    process = {"entrypoint": "pg_isready", "arguments": ["-U", "the app"]}
    engine.execs = {
        "e0": {"Running": True, "ProcessConfig": {"entrypoint": "sh"}},
        "e1": {"Running": True, "ProcessConfig": process},
    }
    said = f"the end of the command {SHOWN} in its container, which was asked before and still runs"
    assert [ask(engine, "c1", READY, late).fault for _ in range(3)] == [said] * 3
    assert len(engine.asked) == 1
    assert ask(engine, "c2", READY, set(late)).fault != said, "another container's is its own"
    engine.execs["e1"]["Running"] = False
    engine.said = (0, "", "")
    assert ask(engine, "c1", READY, late).fault == ""
    assert late == set()
