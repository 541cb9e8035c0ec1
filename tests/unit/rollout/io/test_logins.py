from __future__ import annotations

import base64
import json
import stat

import pytest
from ansible.module_utils.rollout.io import logins
from ansible.module_utils.rollout.io.engine import Engine

HUB = "https://index.docker.io/v1/"
OURS = {"auth": "YXBwOnBhc3M6d29yZA=="}  # app:pass:word
THEIRS = {"auth": "ZGI6ZGItcGFzc3dvcmQ="}
NONE = "echo 'credentials not found in native keychain'; exit 1"


@pytest.fixture
def user(tmp_path, monkeypatch):
    """The settings of the host's user."""
    home = tmp_path / "user"
    home.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(home))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.delenv("DOCKER_AUTH_CONFIG", raising=False)
    (tmp_path / "bin").mkdir()

    def settle(**settings):
        (home / "config.json").write_text(json.dumps(settings))

    settle.home = home
    return settle


@pytest.fixture
def helper(tmp_path):
    """Put a credential helper on PATH; what it was asked."""

    def make(name, does):
        script = tmp_path / f"bin/docker-credential-{name}"
        script.write_text(f'#!/bin/sh\necho "$* $(cat)" >> {tmp_path}/asked-{name}\n{does}\n')
        script.chmod(0o755)
        return lambda: (tmp_path / f"asked-{name}").read_text().splitlines() if (tmp_path / f"asked-{name}").exists() else []

    return make


@pytest.fixture
def write(tmp_path):
    """The settings with our login, and what else is known of the logins."""
    place = tmp_path / "login"
    place.mkdir()

    def call(*others, registry="r.example", **more):
        credentials = logins.write(place, {registry: ("app", "pass:word"), **more}, others)
        assert credentials.users == {registry: "app", **{name: user for name, (user, _password) in more.items()}}
        assert stat.S_IMODE((place / "config.json").stat().st_mode) == 0o600
        return json.loads((place / "config.json").read_text()), dict(credentials.left_out)

    call.place = place
    return call


def test_ours_alone(user, write):
    assert write("r.example", "docker.io") == ({"auths": {"r.example": OURS}}, {})


@pytest.mark.parametrize("text", ["{", "[]", "[[1, 2, 3]]", '"x"', '{"auths": [], "credHelpers": 1}'])
def test_settings_that_nobody_can_read_are_none(user, write, text):
    (user.home / "config.json").write_text(text)
    assert write("db.example")[0]["auths"] == {"r.example": OURS}


@pytest.mark.parametrize("registry", ["docker.io", "index.docker.io"])
def test_docker_hub_has_a_name_of_its_own(user, write, registry):
    user(auths={HUB: THEIRS, "db.example": THEIRS})
    assert write(registry=registry)[0]["auths"] == {HUB: OURS, "db.example": THEIRS}


def test_what_the_host_is_logged_in_to_stays(user, write):
    user(auths={"db.example": THEIRS, "r.example": THEIRS}, currentContext="rootless", HttpHeaders={"X": "1"}, proxies={})
    found, left_out = write("r.example", "db.example")
    assert found == {
        "auths": {"db.example": THEIRS, "r.example": OURS},
        "currentContext": "rootless",
        "HttpHeaders": {"X": "1"},
        "proxies": {},
    }
    assert left_out == {}


def test_everything_else_of_the_settings_is_where_docker_looks_for_it(user, write):
    (user.home / "contexts/meta").mkdir(parents=True)
    (user.home / "contexts/meta/one").write_text("context")
    (user.home / "ca.pem").write_text("certificate")
    write()
    assert (write.place / "contexts/meta/one").read_text() == "context"
    assert (write.place / "ca.pem").read_text() == "certificate"


def test_helpers_that_work_stay_and_ours_goes_before_them(user, write, helper):
    store, other = helper("store", NONE), helper("other", "echo '{}'")
    user(credsStore="store", credHelpers={"db.example": "other", "r.example": "other", "unasked.example": "absent"})
    found, left_out = write("r.example", "db.example", "docker.io")
    assert found["credsStore"] == "store"
    assert found["credHelpers"] == {"db.example": "other", "r.example": "", "unasked.example": "absent"}
    assert left_out == {}
    assert (store(), other()) == ([f"get {HUB}"], ["get db.example"])


def test_a_helper_of_ours_alone_is_not_asked(user, write, helper):
    store = helper("store", "exit 1")
    user(credsStore="store")
    assert write("r.example")[0]["credHelpers"] == {"r.example": ""}
    assert store() == []


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("echo 'Cannot autolaunch D-Bus without X11 $DISPLAY'; exit 1", "Cannot autolaunch D-Bus without X11 $DISPLAY"),
        ("echo 'pass not initialized' >&2; exit 1", "pass not initialized"),
        ("exec sleep 600", "docker-credential-store gave no answer in 0 s"),
        ("exit 1", "no message"),
    ],
)
def test_a_helper_that_cannot_work_here_is_left_out(user, write, helper, monkeypatch, request, does, said):
    if "sleep" in does:
        request.getfixturevalue("real_clock")
        monkeypatch.setattr(logins, "HELPER_S", 0.3)
    helper("store", does)
    user(credsStore="store", auths={"db.example": THEIRS})
    found, left_out = write("r.example", "db.example", "docker.io")
    assert found["credHelpers"] == {"db.example": "", HUB: "", "r.example": ""}
    assert found["auths"]["db.example"] == THEIRS
    assert left_out == {name: f"docker-credential-store: {said}" for name in ("db.example", "docker.io")}


def test_a_helper_that_is_not_installed_is_left_out(user, write):
    user(credHelpers={"db.example": "absent"})
    found, left_out = write("r.example", "db.example")
    assert found["credHelpers"] == {"db.example": ""}
    assert left_out == {"db.example": "docker-credential-absent: docker-credential-absent: command not found"}


def test_logins_of_the_environment_stay_and_do_not_hide_ours(user, write, monkeypatch, tmp_path):
    user(auths={"db.example": {"auth": "old"}})
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps({"auths": {"db.example": THEIRS, "r.example": THEIRS}}))
    found, _left_out = write("r.example", "db.example")
    assert found["auths"] == {"db.example": THEIRS, "r.example": OURS}
    script = tmp_path / "bin/docker"
    script.write_text('#!/bin/sh\necho "$DOCKER_AUTH_CONFIG"\n')
    script.chmod(0o755)
    configured = Engine().configured(str(write.place), logins.Credentials())
    assert (configured.checked(["x"], "X"), bool(Engine().checked(["x"], "X").strip())) == ("\n", True)


@pytest.mark.parametrize(
    ("registry", "auths", "login"),
    [
        ("r.example", {"r.example": OURS}, ("app", "pass:word")),
        ("r.example", {"https://r.example": OURS}, ("app", "pass:word")),
        ("docker.io", {HUB: THEIRS}, ("db", "db-password")),
        ("other.example", {"r.example": OURS}, ("", "")),
        ("r.example", {"r.example": {}}, ("", "")),
        ("r.example", {"r.example": {"auth": "%%%"}}, ("", "")),
        ("r.example", {"r.example": {"auth": "/w=="}}, ("", "")),
        ("r.example", {"r.example": {"auth": "YXBwOg==", "identitytoken": "x"}}, ("", "")),
        ("r.example", {"r.example": [1]}, ("", "")),
        ("r.example", [], ("", "")),
    ],
)
def test_the_login_of_dockers_client(user, registry, auths, login):
    user(auths=auths)
    assert logins.found(registry) == login


def test_a_login_of_the_environment(user, monkeypatch):
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps({"auths": {"r.example": OURS}}))
    assert logins.found("r.example") == ("app", "pass:word")


@pytest.mark.parametrize(
    ("does", "login"),
    [
        ('echo \'{"ServerURL": "x", "Username": "app", "Secret": "pass"}\'', ("app", "pass")),
        ('echo \'{"Username": "<token>", "Secret": "pass"}\'', ("", "")),
        ('echo \'{"Username": 7, "Secret": "pass"}\'', ("", "")),
        ("echo '{'", ("", "")),
        ("echo '[]'", ("", "")),
        (NONE, ("", "")),
    ],
)
@pytest.mark.parametrize("settings", [{"credsStore": "pass"}, {"credHelpers": {"r.example": "pass"}, "credsStore": "absent"}])
def test_the_login_of_a_helper(user, helper, settings, does, login):
    asked = helper("pass", does)
    user(**settings, auths={"r.example": OURS})
    assert logins.found("r.example") == login
    assert asked() == ["get r.example"]


def test_a_helper_that_is_absent_knows_no_login(user):
    user(credsStore="absent")
    assert logins.found("r.example") == ("", "")


@pytest.mark.usefixtures("user")
def test_each_registry_has_a_login_of_its_own(write):
    found, left_out = write("r.example", "db.example", **{"db.example": ("karl", "x")})
    known = {name: base64.b64decode(one["auth"]).decode() for name, one in found["auths"].items()}
    assert known == {"r.example": "app:pass:word", "db.example": "karl:x"}
    assert left_out == {}


def test_the_helper_of_a_registry_that_we_log_in_to_is_not_asked(user, write, helper):
    asked = helper("store", "exit 1")
    user(credsStore="store")
    found, left_out = write("r.example", "db.example", **{"db.example": ("karl", "x")})
    assert (found["credHelpers"], left_out) == ({"r.example": "", "db.example": ""}, {})
    assert asked() == []
