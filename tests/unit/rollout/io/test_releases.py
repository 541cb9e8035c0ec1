from __future__ import annotations

import json
import stat

import pytest
from ansible.module_utils.rollout.domain.bundle import File
from ansible.module_utils.rollout.errors import RolloutError
from ansible.module_utils.rollout.io import releases
from ansible.module_utils.rollout.io.releases import Releases

MANIFEST = {"release": "a", "name": "a", "application": "app", "images": {}, "stacks": []}


@pytest.fixture
def store(tmp_path):
    found = Releases(str(tmp_path / "state"))
    found.require_writable()
    return found


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_write_release_and_read_it_back(store):
    store.write_release("a", {".env": 'X="é\r"\n', "f.yml": "a: 1\r\n"}, MANIFEST)
    assert store.names() == ["a"]
    assert store.read("a", "f.yml") == "a: 1\r\n"
    assert store.read("a", "g.yml") is None
    assert set(store.manifest("a")["files"]) == {".env", "f.yml"}
    assert mode(store.directory("a") / ".env") == mode(store.directory("a") / "release.json") == 0o600
    assert mode(store.directory("a")) == 0o700
    assert store.edited("a") == []


def test_edited_names_changed_and_lost_files(store):
    store.write_release("a", {"x": "1", "y": "2", "z": "3"}, MANIFEST)
    (store.directory("a") / "x").write_text("1\n")
    (store.directory("a") / "z").unlink()
    assert store.edited("a") == ["x", "z"]
    (store.directory("a") / "y").write_bytes(b"gr\xfcn")
    assert store.edited("a") == ["x", "y", "z"], "an editor wrote no UTF-8"


def test_write_release_is_whole_or_not_at_all(store, monkeypatch):
    def fail(path, text, mode=0o600):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(releases, "write_atomic", fail)
    with pytest.raises(RolloutError) as error:
        store.write_release("a", {"x": "1"}, MANIFEST)
    assert str(error.value) == f"Release a cannot be written to {store.releases}: No space left on device."
    assert list(store.releases.iterdir()) == []
    assert store.names() == []


def test_a_release_that_is_incomplete_does_not_count_and_is_a_sentence(store):
    (store.releases / "a").mkdir()
    assert store.names() == []
    with pytest.raises(RolloutError, match=r"Release a is incomplete: .*/a/release.json cannot be read"):
        store.manifest("a")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[]", "it lacks release, name, application, images, stacks, files"),
        ("{}", "it lacks release, name, application, images, stacks, files"),
        (json.dumps({**MANIFEST, "files": []}), "it lacks files"),
    ],
)
def test_a_release_whose_document_is_damaged_is_a_sentence_and_its_name_stays_taken(store, text, why):
    store.write_release("a", {"x": "1"}, MANIFEST)
    store.write_release("b", {"x": "1"}, MANIFEST)
    (store.directory("a") / "release.json").write_text(text)
    with pytest.raises(RolloutError) as error:
        store.manifest("a")
    assert str(error.value) == (
        f"Release a is incomplete: {store.directory('a')}/release.json cannot be read ({why}). Roll that release out again, which "
        "stages it anew beside this, or choose another one."
    )
    assert (store.names(), store.whole(), store.taken()) == (["a", "b"], ["b"], ["a", "b"])


def test_a_release_that_is_incomplete_is_written_anew(store):
    (store.releases / "a").mkdir()
    (store.releases / "a" / "left").write_text("")
    store.write_release("a", {"x": "1"}, MANIFEST)
    assert store.edited("a") == []
    assert store.read("a", "left") is None


def test_a_release_is_removed_at_once_or_not_at_all(store, monkeypatch):
    store.write_release("a", {"x": "1"}, MANIFEST)
    monkeypatch.setattr(releases.shutil, "rmtree", lambda *a, **o: None)
    store.remove("a")
    assert store.names() == []
    assert not store.directory("a").exists()


def test_removed_is_gone(store):
    store.write_release("a", {"x": "1"}, MANIFEST)
    store.remove("a")
    assert list(store.releases.iterdir()) == []


def test_names_without_a_state_directory(tmp_path):
    assert Releases(str(tmp_path / "none")).names() == []


def test_what_power_loss_left_is_no_release_and_goes_at_the_next_write(store):
    left = store.releases / ".a.x7z"
    left.mkdir()
    (left / "release.json").write_text("{}")
    assert store.names() == []
    store.write_release("b", {}, MANIFEST)
    assert [p.name for p in store.releases.iterdir()] == ["b"]


MOUNTED = {"0a/x.conf": {"": File(b"x")}}
PARTS = {"stacks": ["core"], "parts": {"core": {"compose": ["f.yml"], "mounts": {"conf/x.conf": "PLACE"}}}}


def mounting(store, content=b"x"):
    """Write a release that mounts a file of that content."""
    files = {"": File(content)}
    place = store.content.place("conf/x.conf", files)
    parts = json.loads(json.dumps(PARTS).replace("PLACE", place))
    store.write_release("a", {"core/f.yml": "a: 1", "core/sub/web.env": "A=1"}, {**MANIFEST, **parts}, {place: files})
    return store.content.root / place


def test_a_stack_has_a_folder_of_its_own(store):
    mounting(store)
    assert (store.directory("a") / "core/sub/web.env").read_text() == "A=1"
    assert {mode(path) for path in store.directory("a").rglob("*") if path.is_dir()} == {0o700}
    assert {mode(path) for path in store.directory("a").rglob("*") if path.is_file()} == {0o600}
    assert (store.edited("a"), store.foreign("a")) == ([], [])


@pytest.mark.parametrize("how", ["other", "gone", "mode"])
def test_a_mounted_file_that_was_edited_is_named_by_its_path_at_the_source(store, how):
    there = mounting(store)
    {"other": lambda: there.write_text("y"), "gone": there.unlink, "mode": lambda: there.chmod(0o666)}[how]()
    (store.directory("a") / "core/f.yml").write_text("")
    assert store.edited("a") == ["core/conf/x.conf", "core/f.yml"]


def test_what_was_edited_is_written_anew(store):
    there = mounting(store)
    there.write_text("y")
    store.write_mounted("a", {f"{there.parent.name}/x.conf": {"": File(b"x")}})
    assert store.edited("a") == []


@pytest.mark.parametrize("write", ["release", "mounted"])
def test_mounted_files_that_cannot_be_written_are_a_sentence_and_no_release(store, monkeypatch, write):
    def fail(place, files):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.content, "put", fail)
    with pytest.raises(RolloutError, match=r"^Release a cannot be written to .*: No space left on device\.$"):
        store.write_release("a", {}, MANIFEST, MOUNTED) if write == "release" else store.write_mounted("a", MOUNTED)
    assert store.names() == []


@pytest.mark.parametrize(
    ("path", "strange"),
    [
        ("pgdata/PG_VERSION", ["pgdata"]),
        ("core/data/x/y", ["core/data"]),
        ("core/sub/mine", ["core/sub/mine"]),
        ("core/f.yml", []),
    ],
)
def test_what_no_rollout_wrote_is_found_in_any_folder(store, path, strange):
    mounting(store)
    there = store.directory("a") / path
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_text("a: 1")
    assert store.foreign("a") == strange


def test_a_manifest_of_an_earlier_version_is_read_in_todays_words(store):
    store.write_release("a", {".env": ""}, {**MANIFEST, "images": {"r/web": {"digest": "sha256:a", "id": "1"}}})
    assert store.manifest("a")["images"] == {"r/web:a": {"digest": "sha256:a", "id": "1", "follows": True}}
