"""What follows from a slot's number, and whose things are whose."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.cli.kinfra import slots
from ktrdr.cli.kinfra.errors import KinfraError
from ktrdr.cli.kinfra.slots import Container, Record, Slot

ROOT = Path(__file__).resolve().parents[4]
HOME = Path("/home/a/.ktrdr/sandboxes")
contents = st.binary(max_size=20)


def container(**facts):
    usual = {"key": "1", "name": "c", "project": "p", "directory": "", "state": "running", "status": "Up (healthy)", "ports": ""}
    return Container(**{**usual, **facts})


@pytest.mark.parametrize("number", slots.NUMBERS)
def test_numbers(number):
    assert slots.number(str(number)) == number


@pytest.mark.parametrize("text", ["0", "10", "-1", "01", "x", "", " 1", "1.0", "1_0", "٣", "1\n", "9" * 5000])
def test_no_numbers(text):
    with pytest.raises(KinfraError, match=r"^Slot .* is not a number from 1 to 9: give one of those\.$") as refused:
        slots.number(text)
    assert refused.value.status == 2


def test_ports_never_clash_and_the_api_is_at_8000_and_the_number():
    every = [port for n in slots.NUMBERS for port in Slot(n, HOME).ports.values()]
    assert len(set(every)) == len(every)
    assert [Slot(n, HOME).ports["API"] for n in slots.NUMBERS] == list(range(8001, 8010))


def test_ports_are_none_of_production_or_of_the_local_environment():
    facts = yaml.safe_load((ROOT / "inventory/ktrdr.yml").read_text())
    first = [facts["ktrdr_backtest_port"], facts["ktrdr_training_port"], facts["ktrdr_gpu_port"]]
    production = {facts["ktrdr_backend_port"], *(port + 10 * n for port in first for n in range(100))}
    assert production.isdisjoint(port for n in slots.NUMBERS for port in Slot(n, HOME).ports.values())


def test_projects_are_none_of_production():
    assert [Slot(n, HOME).project for n in (1, 9)] == ["ktrdr-sandbox-1", "ktrdr-sandbox-9"]


def test_the_environment_file():
    assert slots.env_text(Slot(3, HOME), {"KTRDR_BACKEND_IMAGE": "ghcr.io/a/b:c"}) == (
        "# Slot 3. KTRDR_BACKEND_IMAGE=… is the image of its services, ktrdr-backend:dev where it is absent.\n"
        "KTRDR_SLOT=3\n"
        "KTRDR_SLOT_DIRECTORY='/home/a/.ktrdr/sandboxes/slot-3'\n"
        "KTRDR_API_PORT=8003\n"
        "KTRDR_BACKTEST_PORT=8103\n"
        "KTRDR_TRAINING_PORT=8203\n"
        "KTRDR_DB_PORT=8303\n"
        "KTRDR_BACKEND_IMAGE=ghcr.io/a/b:c\n"
    )


@pytest.mark.parametrize(
    ("text", "image"),
    [
        (slots.env_text(Slot(3, HOME), {}), "ktrdr-backend:dev"),
        (slots.env_text(Slot(3, HOME), {"KTRDR_BACKEND_IMAGE": "a:b"}), "a:b"),
        ("KTRDR_BACKEND_IMAGE=a:b\nKTRDR_BACKEND_IMAGE = 'c:d' # x\n", "c:d"),
        ("#KTRDR_BACKEND_IMAGE=a:b\nKTRDR_BACKEND_IMAGE=\n", "ktrdr-backend:dev"),
        ("", "ktrdr-backend:dev"),
    ],
)
def test_the_image_of_a_slot(text, image):
    assert slots.image(text) == image


def test_images_of_the_environment():
    digest = "localhost:5000/a/b_c@sha256:" + "0" * 64
    assert slots.images({"KTRDR_BACKEND_IMAGE": digest, "KTRDR_DB_IMAGE": "", "PATH": "/"}) == {"KTRDR_BACKEND_IMAGE": digest}


@pytest.mark.parametrize("image", ["a b", "a\nb", "$HOME", "'a'", "-v", "é"])
def test_no_images(image):
    with pytest.raises(KinfraError, match=r"^KTRDR_DB_IMAGE is .*, which is not an image: set it to one such as ") as refused:
        slots.images({"KTRDR_DB_IMAGE": image})
    assert refused.value.status == 2


@given(st.floats(min_value=1), st.dictionaries(st.text(), contents))
def test_a_record_is_read_as_it_was_written(created, files):
    if created == float("inf"):
        return
    kept = Record(created, {"KTRDR_DB_IMAGE": "a:b"}, slots.digests(files))
    assert slots.record(slots.record_text(kept)) == kept


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff", b"[]", b"3", b"{}", b'{"created": null, "images": {}, "files": {}}', b'{"created": 1, "images": 3, "files": {}}',
     b'{"created": 1, "images": {"KTRDR_DB_IMAGE": "a b"}, "files": {}}', b'{"created": 1, "images": {}, "files": [1]}'],
)  # fmt: skip
def test_what_is_no_record_is_an_empty_one(text):
    assert slots.record(text) == Record()


@given(contents, contents, contents)
def test_edited_is_what_is_neither_generated_before_nor_now(generated, found, wanted):
    edited = slots.edited(slots.digests({"f": generated}), {"f": found}, {"f": wanted})
    assert edited == ([] if found in (generated, wanted) else ["f"])


@given(contents, contents)
def test_without_a_record_only_the_same_is_unedited(found, wanted):
    assert slots.edited({}, {"f": found}, {"f": wanted}) == ([] if found == wanted else ["f"])


def test_what_is_absent_was_not_edited():
    assert slots.edited({"f": "0"}, {}, {"f": b"x"}) == []


def test_stranger(tmp_path):
    slot = Slot(1, tmp_path / "home")
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    own = [str(slot.directory), str(tmp_path / "link" / "slot-1"), ""]
    assert slots.stranger(slot, own) == ""
    assert slots.stranger(slot, [*own, "/elsewhere/slot-1"]) == "/elsewhere/slot-1"


@pytest.mark.parametrize(
    ("ports", "held"),
    [
        ("127.0.0.1:8001->8000/tcp", True),
        ("8000/tcp, 0.0.0.0:8000-8002->8000-8002/tcp", True),
        (":::8001->80/tcp", True),
        ("8001/tcp", False),
        ("0.0.0.0:80->8001/tcp", False),
        ("127.0.0.1:18001->8000/tcp", False),
        ("", False),
    ],
)
def test_publishes(ports, held):
    assert slots.publishes(container(ports=ports), 8001) is held


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ([], "down"),
        ([("exited", "Exited (0)")], "down"),
        ([("running", "Up (healthy)"), ("running", "Up (healthy)")], "healthy"),
        ([("running", "Up (healthy)"), ("running", "Up (health: starting)")], "starting"),
        ([("running", "Up (unhealthy)"), ("running", "Up (health: starting)")], "unhealthy"),
        ([("running", "Up (healthy)"), ("exited", "Exited (1)")], "1 of 2 up"),
    ],
)
def test_state(found, word):
    assert slots.state(container(state=state, status=status) for state, status in found) == word


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (200000, "2 d")],
)
def test_age(seconds, words):
    assert slots.age(seconds) == words
