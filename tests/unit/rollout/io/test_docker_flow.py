"""Commands over which data flows."""

from __future__ import annotations

import time

import pytest
from ansible.module_utils.rollout.io.docker_command import Docker


def flow(arguments, limit=20.0, pulse=lambda: None, **how):
    return Docker().flow(arguments, limit, pulse, **how)


def test_what_a_command_writes_comes_as_it_is(docker):
    docker("'exec c dump') /usr/bin/printf 'a\\000\\377b\\n'; echo done >&2;;\n")
    got = []
    assert flow(["exec", "c", "dump"], into=got.append) == (0, "done\n")
    assert b"".join(got) == b"a\0\xffb\n"


def test_what_a_command_reads_is_all_of_it(docker, tmp_path):
    docker(f"*) /bin/cat > {tmp_path}/read; echo loaded;;\n")
    assert flow(["exec", "--interactive", "c", "load"], pieces=[b"one ", b"", b"two" * 10**5]) == (0, "loaded\n")
    assert (tmp_path / "read").read_bytes() == b"one " + b"two" * 10**5


def test_a_command_that_fails_says_why(docker):
    docker("*) echo no >&2; exit 3;;\n")
    assert flow(["exec", "c", "dump"], into=lambda piece: None) == (3, "no\n")
    # It reads nothing of what it is given.
    assert flow(["exec", "c", "load"], pieces=[b"x" * 2**20] * 4) == (3, "no\n")


def test_one_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert flow(["exec"]) == (127, "docker: command not found")


@pytest.mark.parametrize("pieces", [None, [b"x"]])
def test_one_that_hangs_is_ended_at_its_deadline(docker, real_clock, pieces):
    docker("*) exec /bin/sleep 20;;\n")
    began = time.monotonic()
    assert flow(["exec", "c", "load"], limit=0.5, pieces=pieces) == (124, "it did not end in 0 s")
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("way", ["pulse", "into"])
def test_what_is_raised_meanwhile_ends_it(docker, tmp_path, way):
    docker(f"*) echo a; /bin/sleep 2; /bin/touch {tmp_path}/late;;\n")

    def stop(*_piece):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        flow(["exec", "c", "dump"], **{"into": lambda piece: None, way: stop})
    time.sleep(2.2)
    assert not (tmp_path / "late").exists()


def test_a_stream_that_breaks_off_is_not_taken_for_all_of_it(docker, tmp_path):
    docker(f"*) /bin/cat > /dev/null; /bin/touch {tmp_path}/loaded;;\n")

    def broken():
        yield b"half of it"
        raise EOFError("damaged")

    with pytest.raises(EOFError, match="damaged"):
        flow(["exec", "c", "load"], pieces=broken())
    assert not (tmp_path / "loaded").exists()
