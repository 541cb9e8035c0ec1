from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import clock
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.images import Login, pull_image, session
from ansible.module_utils.rollout.io.store import Store
from ansible.module_utils.rollout.verbs import guard, locking
from story import held


@pytest.fixture
def naps(monkeypatch):
    """The pauses between two tries."""
    found = []
    monkeypatch.setattr(clock, "sleep", found.append)
    return found


def refused(call, *arguments):
    with pytest.raises(RolloutError) as error:
        call(*arguments)
    return str(error.value)


@pytest.mark.parametrize(
    ("words", "pauses"),
    [
        ("unexpected EOF", [2, 4, 8, 16]),
        ("TLS handshake timeout", [2, 4, 8, 16]),
        ("received unexpected HTTP status: 503 Service Unavailable", [2, 4, 8, 16]),
        ("toomanyrequests: Rate exceeded", [2, 4, 8, 16]),
        ("toomanyrequests: retry-after: 20s, allowed: 44000/minute", [20, 20, 20]),
        ("toomanyrequests: retry-after: 3h, allowed: 44000/minute", []),
        ("unauthorized: token", []),
        ("manifest unknown", []),
        ("no space left on device", []),
        ("no matching manifest for linux/arm64", []),
    ],
)
def test_pull_tries_again_where_that_can_help(docker, naps, words, pauses):
    calls = docker(f"*) echo '{words}' >&2; exit 1;;")
    assert refused(pull_image, Engine(), "r@d") == f"Image r@d could not be pulled: {words}"
    assert calls() == ["pull r@d"] * (len(pauses) + 1)
    assert naps == pauses


def test_pull_that_works_at_the_second_try(docker, tmp_path, naps):
    calls = docker(f"pull*) test -e {tmp_path}/once && exit 0; touch {tmp_path}/once; echo EOF >&2; exit 1;;")
    pull_image(Engine(), "r@d")
    assert len(calls()) == 2
    assert naps == [2]


def test_a_certificate_that_docker_does_not_trust(docker):
    words = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    calls = docker(f"pull*) echo '{words}' >&2; exit 1;;")
    assert refused(pull_image, Engine(), "r.example:5000/a@d") == (
        f"Image r.example:5000/a@d could not be pulled: {words}. Docker on this host does not trust the certificate of r.example:5000: "
        "put that of its CA into /etc/docker/certs.d/r.example:5000/ca.crt."
    )
    assert len(calls()) == 1


def test_the_last_words_of_a_pull_that_failed_are_shown(docker):
    docker("pull*) printf 'failed to copy %0900d' 7 >&2; echo ': no space left on device' >&2; exit 1;;")
    said = refused(pull_image, Engine(), "r@d")
    assert said.startswith("Image r@d could not be pulled: 0000")
    assert said.endswith("7: no space left on device")


def test_a_pull_tells_how_far_it_is(docker):
    layer = "cafa9637794d: Downloading [=> ]"
    docker(f"pull*) printf '{layer}  1MB/3MB\\r'; printf '{layer}  2MB/3MB\\r'; echo 'cafa9637794d: Pull complete';;")
    told = []
    assert pull_image(Engine(), "r@d", told=told.append) == 3_000_000
    assert told == sorted(told)
    assert told[-1] == 3_000_000


def test_a_pull_that_is_tried_again_begins_at_nothing(docker, tmp_path):
    docker(
        f"pull*) test -e {tmp_path}/once && {{ echo 'Digest: x'; exit 0; }}; touch {tmp_path}/once\n"
        "echo 'cafa9637794d: Downloading [=> ]  1MB/3MB'; exit 1;;"
    )
    told = []
    assert pull_image(Engine(), "r@d", told=told.append) == 1_000_000, "all that came"
    assert told == [1_000_000, 0]


def test_what_was_here_did_not_come(docker):
    docker("pull*) echo 'cafa9637794d: Already exists'; echo 'bdc8624d3fc6: Pull complete';;")
    assert pull_image(Engine(), "r@d", sizes={"cafa9637794d": 500, "bdc8624d3fc6": 7}) == 7


def test_a_pull_that_stalls_is_tried_again(docker):
    calls = docker("pull*) exec sleep 60;;")
    assert refused(pull_image, Engine(), "r@d", 0.1) == "Image r@d could not be pulled: no byte came for 0 s"
    assert calls() == ["pull r@d"] * 5


LOGIN = Login("r.example/team", "karl", "canary-1")
OURS = "r.example/team/web@sha256:1"


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "user"))
    found = Store(str(tmp_path / "state"))
    found.require_writable()
    return found


def test_a_login_is_in_a_directory_of_its_own_and_no_process_lists_it(docker, store, tmp_path):
    calls = docker(f'pull*) echo "$DOCKER_CONFIG" > {tmp_path}/config; cat "$DOCKER_CONFIG/config.json" > {tmp_path}/read;;')
    with session(store, Engine(), LOGIN, [OURS]) as engine:
        pull_image(engine, OURS)
        place = Path(engine.config)
        assert [stat.S_IMODE(path.stat().st_mode) for path in (place, place / "config.json")] == [0o700, 0o600]
        assert place.parent == store.root
    assert (tmp_path / "config").read_text() == f"{place}\n"
    # karl:canary-1
    assert json.loads((tmp_path / "read").read_text()) == {"auths": {"r.example": {"auth": "a2FybDpjYW5hcnktMQ=="}}}
    assert not place.exists()
    assert calls() == [f"pull {OURS}"]


@pytest.mark.parametrize(
    "words", ["unauthorized: authentication required", "no basic auth credentials", "pull access denied for web", "403 Forbidden"]
)
def test_a_refused_login_is_a_sentence_without_the_password(docker, store, words):
    calls = docker(f"pull*) echo '{words}' >&2; exit 1;;")
    with session(store, Engine(), LOGIN, [OURS]) as engine:
        assert refused(pull_image, engine, OURS) == (
            f"Registry r.example does not let user karl pull {OURS} on this host: {words}. Check rollout_registry_username and "
            "rollout_registry_password (vaulted), and whether that user may read the image."
        )
        assert refused(pull_image, engine, "other.example/db:1") == f"Image other.example/db:1 could not be pulled: {words}"
    assert len(calls()) == 2, "another try is of no use"


def test_a_helper_that_does_not_work_is_named_where_its_login_is_missed(docker, store, tmp_path):
    docker("pull*) echo 'no basic auth credentials' >&2; exit 1;;")
    (tmp_path / "user").mkdir()
    (tmp_path / "user/config.json").write_text('{"credsStore": "absent"}')
    with session(store, Engine(), LOGIN, [OURS, "db.example/db"]) as engine:
        assert refused(pull_image, engine, "db.example/db:1") == (
            "Image db.example/db:1 could not be pulled: no basic auth credentials. Docker's settings on this host name a credential "
            "helper for db.example, and it does not work in a rollout: docker-credential-absent: docker-credential-absent: command "
            "not found. Let it work without a desktop session, or log in without it (docker login)."
        )


KILLED = """
import sys
import ansible.module_utils
ansible.module_utils.__path__.append(sys.argv[1])
from ansible.module_utils.rollout.io.engine import Engine
from ansible.module_utils.rollout.io.images import Login, session
from ansible.module_utils.rollout.io.store import Store
store = Store(sys.argv[2])
with store.step("r1"), session(store, Engine(), Login("r.example", "karl", "canary-1"), []) as engine:
    print(engine.config, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def left(store, start, real_clock):
    """The login that a killed step left."""
    held(store, "r1")
    root = Path(__file__).resolve().parents[4]
    process = start(sys.executable, "-c", KILLED, str(root / "module_utils"), str(store.root), stdin=subprocess.PIPE)
    place = Path(process.stdout.readline().strip())
    assert (place / "config.json").exists()
    store.sweep()
    assert (place / "config.json").exists(), "it is in use"
    process.kill()
    process.wait(60)
    process.stdin.close()
    assert (place / "config.json").exists()
    return place


def _next_step(store):
    with store.step("r1"):
        pass


def _guard(store):
    store.remove_lock()
    guard.watch(store, Engine())


def _next_run(store):
    store.remove_lock()
    locking.hold(store, "r2", {"user": "ada", "host": "laptop"}, [], 900.0, 0.0, False)


def _unlock(store):
    locking.release(store, "r1", False)


@pytest.mark.parametrize("act", [_next_step, _guard, _next_run, _unlock])
def test_what_a_killed_step_left_of_a_login_goes(store, left, act):
    act(store)
    assert not left.exists()
    assert not list(store.root.rglob("config.json"))


def test_a_look_leaves_everything_as_it_is(store, left):
    locking.hold(store, "r1", {"user": "ada", "host": "laptop"}, [], 900.0, 0.0, True)
    assert left.exists()
