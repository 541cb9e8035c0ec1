"""The verbs: what they do, and every refusal by its message."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
from io import StringIO
from pathlib import Path

import pytest

from ktrdr.cli.kinfra import docker, files
from ktrdr.cli.kinfra.slots import Container

ROOT = Path(__file__).resolve().parents[4]
VERBS = ("provision", "list", "up", "down", "logs", "destroy")
FILES = {".env", ".env.sandbox", ".generated.json", "docker-compose.yml"}


def container(name="ktrdr-sandbox-1-db-1", project="ktrdr-sandbox-1", directory="", state="running", ports=""):
    return Container("id", name, project, directory, state, "Up (healthy)", ports)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def slot(kinfra, engine, home):
    """Slot 1, provisioned."""
    assert kinfra("sandbox provision 1")[0] == 0
    return home / "slot-1"


def answers(monkeypatch, text):
    monkeypatch.setattr("sys.stdin", StringIO(text))


class TestProvision:
    def test_it_makes_the_files_for_their_owner_alone(self, slot):
        assert set(content(slot)) == FILES
        assert (slot / "docker-compose.yml").read_bytes() == files.TEMPLATE.read_bytes()
        assert os.readlink(slot / ".env") == ".env.sandbox"
        assert stat.S_IMODE(slot.stat().st_mode) == 0o700
        assert {stat.S_IMODE((slot / name).stat().st_mode) for name in FILES} == {0o600}

    def test_it_says_what_comes_next(self, kinfra, engine, home):
        assert kinfra("sandbox provision 2") == (
            0,
            f"Slot 2 is in {home}/slot-2. Start it: kinfra sandbox up 2\n"
            "or docker compose up -d there. Then it answers on http://localhost:8002/api/v1/health\n",
            "",
        )

    def test_again_changes_nothing(self, kinfra, slot):
        before = content(slot)
        assert "Slot 1 is unchanged in " in kinfra("sandbox provision 1")[1]
        assert content(slot) == before

    def test_it_notes_an_absent_image(self, kinfra, engine):
        engine.images.clear()
        status, said, _ = kinfra("sandbox provision 1")
        assert status == 0
        assert said.endswith("Image ktrdr-backend:dev is not on this machine: make dev-image builds it.\n")

    def test_images_of_the_environment_stay_with_the_slot(self, kinfra, slot, monkeypatch):
        monkeypatch.setenv("KTRDR_BACKEND_IMAGE", "ghcr.io/a/b:c")
        kinfra("sandbox provision 1")
        monkeypatch.delenv("KTRDR_BACKEND_IMAGE")
        assert "unchanged" in kinfra("sandbox provision 1")[1]
        assert (slot / ".env.sandbox").read_text().endswith("\nKTRDR_BACKEND_IMAGE=ghcr.io/a/b:c\n")

    @pytest.mark.parametrize("name", ["docker-compose.yml", ".env.sandbox"])
    def test_what_was_edited_by_hand_stays(self, refused, kinfra, slot, name):
        with (slot / name).open("a") as file:
            file.write("# mine\n")
        before = content(slot)
        assert refused("sandbox provision 1") == (
            f"1 Slot 1 was edited by hand ({name} in {slot}): use it as it is (kinfra sandbox up 1), "
            "or lose the edits (kinfra sandbox provision 1 --force)."
        )
        assert content(slot) == before
        assert kinfra("sandbox provision 1 --force")[0] == 0
        assert "# mine" not in (slot / name).read_text()

    def test_another_env_in_place_of_the_link_was_edited_too(self, refused, slot):
        (slot / ".env").unlink()
        (slot / ".env").write_text("X=1\n")
        assert refused("sandbox provision 1").startswith(f"1 Slot 1 was edited by hand (.env in {slot}): ")

    def test_a_new_template_replaces_what_was_generated(self, kinfra, slot, tmp_path, monkeypatch):
        monkeypatch.setattr(files, "TEMPLATE", tmp_path / "new.yml")
        (tmp_path / "new.yml").write_text("services: {}\n")
        assert kinfra("sandbox provision 1")[0] == 0
        assert (slot / "docker-compose.yml").read_text() == "services: {}\n"

    def test_what_a_kill_left_half_written_converges(self, kinfra, slot):
        (slot / ".generated.json").unlink()
        (slot / ".env").unlink()
        (slot / "docker-compose.yml.new").write_text("half")
        assert kinfra("sandbox provision 1")[0] == 0
        assert set(content(slot)) == FILES

    @pytest.mark.parametrize("number", ["0", "10", "x"])
    def test_a_slot_that_there_cannot_be(self, refused, number):
        assert refused(f"sandbox provision {number}") == f"2 Slot '{number}' is not a number from 1 to 9: give one of those."

    def test_a_taken_port(self, refused, engine, home, monkeypatch):
        monkeypatch.setattr(docker, "holder", lambda port, every: "process nginx (pid 7)" if port == 8102 else "")
        assert refused("sandbox provision 2") == (
            "1 Port 8102 (BACKTEST) of slot 2 is taken by process nginx (pid 7): stop the holder, or use another slot."
        )
        assert not home.exists()

    def test_its_own_containers_hold_its_ports(self, kinfra, engine, slot, monkeypatch):
        engine.containers = [container(directory=str(slot), ports=f"127.0.0.1:{p}->1/tcp") for p in (8001, 8101, 8201, 8301)]
        monkeypatch.setattr(docker, "holder", lambda port, every: "its own container")
        assert kinfra("sandbox provision 1")[0] == 0

    @pytest.mark.parametrize("verb", ["provision", "up", "down", "logs", "destroy --yes"])
    @pytest.mark.parametrize("kind", ["container", "volume"])
    def test_a_project_of_another_folder_is_not_touched(self, refused, engine, slot, verb, kind):
        if kind == "container":
            engine.containers = [container(directory="/home/b/slot-1")]
        else:
            engine.volumes = {"ktrdr-sandbox-1_db": "/home/b/slot-1"}
        word, *options = verb.split()
        assert refused(" ".join(["sandbox", word, "1", *options])) == (
            f"1 Project ktrdr-sandbox-1 on this engine was made from /home/b/slot-1, not from {slot}: "
            "use another slot, or that folder."
        )
        assert engine.told == []

    def test_an_image_that_is_none(self, refused, engine, home, monkeypatch):
        monkeypatch.setenv("KTRDR_BACKEND_IMAGE", "a b")
        assert refused("sandbox provision 1") == (
            "2 KTRDR_BACKEND_IMAGE is 'a b', which is not an image: set it to one such as ktrdr-backend:dev, or unset it."
        )
        assert not home.exists()

    def test_an_unreadable_template(self, refused, engine, home, tmp_path, monkeypatch):
        monkeypatch.setattr(files, "TEMPLATE", tmp_path / "absent.yml")
        assert refused("sandbox provision 1") == (
            f"1 The template {tmp_path}/absent.yml cannot be read (No such file or directory): git restore brings it back."
        )
        assert not home.exists()

    def test_an_unreadable_file(self, refused, slot):
        (slot / "docker-compose.yml").unlink()
        (slot / "docker-compose.yml").mkdir()
        assert refused("sandbox provision 1") == (
            f"1 {slot}/docker-compose.yml cannot be read (Is a directory): fix or remove it, then run again."
        )

    @pytest.mark.parametrize("step", range(1, 5))
    def test_a_full_disk_leaves_nothing_of_a_new_slot(self, refused, engine, home, monkeypatch, step):
        fail_at(monkeypatch, step, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        assert refused("sandbox provision 4") == (
            f"1 Slot 4 cannot be written to {home}/slot-4 (No space left on device); nothing of it was left: "
            "make room or name another folder in KTRDR_SANDBOX_HOME, then run again."
        )
        assert list(home.iterdir()) == []

    @pytest.mark.parametrize("step", range(1, 5))
    def test_a_full_disk_leaves_an_old_slot_usable(self, kinfra, refused, slot, monkeypatch, step):
        monkeypatch.setenv("KTRDR_BACKEND_IMAGE", "ghcr.io/a/b:c")
        with monkeypatch.context() as patch:
            fail_at(patch, step, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
            assert "what it had was left" in refused("sandbox provision 1")
        assert set(content(slot)) == FILES
        assert kinfra("sandbox provision 1")[0] == 0

    @pytest.mark.parametrize("step", range(1, 5))
    def test_ctrl_c_leaves_nothing_of_a_new_slot(self, refused, engine, home, monkeypatch, step):
        fail_at(monkeypatch, step, KeyboardInterrupt())
        assert refused("sandbox provision 4") == (
            "1 Interrupted: slot 4 was not provisioned; kinfra sandbox provision 4 tries again."
        )
        assert list(home.iterdir()) == []


def fail_at(monkeypatch, step, error):
    """Let the given one of the renames that put files into place fail."""
    renames = []

    def replace(self, target):
        renames.append(target)
        if len(renames) == step:
            raise error
        os.replace(self, target)

    monkeypatch.setattr(Path, "replace", replace)


class TestList:
    def test_no_slot(self, kinfra, engine, home):
        assert kinfra("sandbox list") == (0, f"There is no slot in {home}: kinfra sandbox provision 1 makes one.\n", "")

    def test_a_table(self, kinfra, engine, slot):
        kinfra("sandbox provision 9")
        engine.containers = [container(directory=str(slot)), container(project="other")]
        said = kinfra("sandbox list")[1].splitlines()
        assert [re.split("  +", line.strip()) for line in said[:3]] == [
            ["SLOT", "PORTS", "STATE", "IMAGE", "AGE"],
            ["1", "8001 8101 8201 8301", "healthy", "ktrdr-backend:dev", "0 s"],
            ["9", "8009 8109 8209 8309", "down", "ktrdr-backend:dev", "0 s"],
        ]
        assert said[-1] == "PORTS are those of API, BACKTEST, TRAINING, DB."

    def test_what_it_does_not_know(self, kinfra, engine, slot):
        (slot / ".generated.json").write_text("?")
        engine.containers = [container(directory="/b")]
        assert re.split("  +", kinfra("sandbox list")[1].splitlines()[1].strip())[2:] == ["in /b", "ktrdr-backend:dev", "?"]

    def test_80_columns_hold_it(self, kinfra, engine, home, monkeypatch):
        monkeypatch.setenv("KTRDR_BACKEND_IMAGE", "registry.example.org/" + "a" * 80)
        kinfra("sandbox provision 1")
        said = kinfra("sandbox list")[1]
        assert max(map(len, said.splitlines())) <= 80
        assert said.count("a") > 80  # folded, not cut


class TestUp:
    def test_it_waits_for_health(self, kinfra, engine, slot):
        assert kinfra("sandbox up 1") == (0, "Slot 1 answers on http://localhost:8001/api/v1/health\n", "")
        assert engine.told == [("compose", "up", "--detach", "--wait", "--wait-timeout", "180")]

    @pytest.mark.parametrize("verb", ["up", "logs"])
    def test_a_slot_that_is_not_there(self, refused, engine, home, verb):
        assert refused(f"sandbox {verb} 3") == (
            f"1 Slot 3 has no docker-compose.yml in {home}/slot-3: kinfra sandbox provision 3 makes it."
        )

    @pytest.mark.parametrize(
        ("image", "how"),
        [
            ("ktrdr-backend:dev", "make dev-image builds it"),
            ("mine:dev", "make dev-image builds ktrdr-backend:dev, or build that one"),
        ],
    )
    def test_an_absent_image(self, refused, engine, slot, image, how):
        engine.images.clear()
        (slot / ".env.sandbox").write_text(f"KTRDR_BACKEND_IMAGE={image}\n")
        assert refused("sandbox up 1") == f"1 Image {image} is not on this machine: {how}."
        assert engine.told == []

    def test_an_image_of_a_registry_is_left_to_compose(self, kinfra, engine, slot):
        (slot / ".env.sandbox").write_text("KTRDR_BACKEND_IMAGE=ghcr.io/a/b:c\n")
        assert kinfra("sandbox up 1")[0] == 0

    def test_a_port_that_was_taken_since(self, refused, engine, slot, monkeypatch):
        monkeypatch.setattr(docker, "holder", lambda port, every: "container x of project y")
        assert refused("sandbox up 1") == (
            "1 Port 8001 (API) of slot 1 is taken by container x of project y: stop the holder, or use another slot."
        )

    def test_what_compose_refuses(self, refused, engine, slot):
        engine.status = 1
        assert refused("sandbox up 1") == (
            "1 Slot 1 did not come up (docker compose says above why): kinfra sandbox logs 1 shows more, "
            "kinfra sandbox down 1 stops it."
        )

    def test_ctrl_c(self, refused, engine, slot):
        engine.interrupts = True
        assert refused("sandbox up 1") == (
            "1 Interrupted: slot 1 may be half up; kinfra sandbox up 1 carries on, kinfra sandbox down 1 stops it."
        )


class TestDown:
    def test_data_and_files_stay(self, kinfra, engine, slot):
        engine.containers = [container(directory=str(slot)), container("other", "ktrdr-sandbox-2")]
        assert kinfra("sandbox down 1") == (0, "Slot 1 is down.\n", "")
        assert engine.told == [("containers", "ktrdr-sandbox-1-db-1"), ("network", "ktrdr-sandbox-1")]
        assert set(content(slot)) == FILES

    def test_ctrl_c(self, refused, engine, slot):
        engine.interrupts = True
        assert refused("sandbox down 1") == "1 Interrupted: slot 1 may be half down; kinfra sandbox down 1 carries on."


class TestLogs:
    @pytest.mark.parametrize(("option", "more"), [("", ()), (" --follow", ("--follow",))])
    def test_compose_shows_them(self, kinfra, engine, slot, option, more):
        engine.containers = [container(directory=str(slot))]
        assert kinfra(f"sandbox logs 1{option}")[0] == 0
        assert engine.told == [("compose", "logs", "--tail", "200", *more)]

    def test_ctrl_c_ends_them(self, kinfra, engine, slot):
        engine.containers = [container(directory=str(slot))]
        engine.interrupts = True
        assert kinfra("sandbox logs 1 -f") == (0, "", "")

    def test_none_of_a_slot_that_is_down(self, refused, engine, slot):
        assert refused("sandbox logs 1") == "1 Slot 1 is down and has no logs: kinfra sandbox up 1 starts it."

    def test_what_compose_refuses(self, refused, engine, slot):
        engine.containers = [container(directory=str(slot))]
        engine.status = 1
        assert refused("sandbox logs 1") == "1 The logs of slot 1 cannot be shown: docker compose says above why."


class TestDestroy:
    ALL = ["containers ktrdr-sandbox-1-db-1", "network ktrdr-sandbox-1", "volume ktrdr-sandbox-1"]

    @pytest.mark.parametrize("how", [" --yes", "y\n", "YES\n"])
    def test_it_takes_all_that_is_the_slots(self, kinfra, engine, slot, home, monkeypatch, how):
        kinfra("sandbox provision 2")
        engine.containers = [container(directory=str(slot)), container("other", "ktrdr-sandbox-2")]
        answers(monkeypatch, how)
        status, said, _ = kinfra("sandbox destroy 1" + (how if "--" in how else ""))
        assert (status, said.splitlines()[-1].rpartition("] ")[2]) == (0, "Slot 1 is gone.")
        assert engine.verbs == self.ALL
        assert [path.name for path in home.iterdir()] == ["slot-2"]

    @pytest.mark.parametrize("answer", ["n\n", "\n", "nay\n"])
    def test_anything_but_yes_is_no(self, kinfra, engine, slot, monkeypatch, answer):
        answers(monkeypatch, answer)
        status, asked, said = kinfra("sandbox destroy 1")
        assert asked == f"Remove slot 1 with its containers, its data and {slot}? [y/N] "
        assert (status, said) == (1, "Slot 1 was not destroyed.\n")
        assert engine.told == []
        assert slot.exists()

    def test_nobody_to_ask(self, refused, engine, slot, monkeypatch):
        answers(monkeypatch, "")
        assert refused("sandbox destroy 1") == (
            "1 Slot 1 was not destroyed, because nobody could be asked: kinfra sandbox destroy 1 --yes."
        )
        assert engine.told == []

    def test_no_slot(self, kinfra, engine):
        assert kinfra("sandbox destroy 1") == (0, "Slot 1 does not exist.\n", "")

    def test_what_is_left_where_the_directory_is_gone(self, kinfra, engine, home):
        engine.volumes = {"ktrdr-sandbox-1_db": str(home / "slot-1")}
        assert kinfra("sandbox destroy 1 --yes") == (0, "Slot 1 is gone.\n", "")
        assert "volume ktrdr-sandbox-1" in engine.verbs

    def test_ctrl_c(self, refused, engine, slot):
        engine.interrupts = True
        assert refused("sandbox destroy 1 --yes") == (
            "1 Interrupted: slot 1 is partly destroyed; kinfra sandbox destroy 1 carries on."
        )

    def test_a_directory_that_is_a_link_is_not_followed(self, refused, engine, slot, tmp_path):
        slot.rename(tmp_path / "mine")
        slot.symlink_to(tmp_path / "mine")
        assert refused("sandbox destroy 1 --yes").endswith(": remove it by hand.")
        assert set(content(tmp_path / "mine")) == FILES


class TestUsage:
    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("sandbox provision", "2 Missing argument 'N': see kinfra --help."),
            ("sandbox provision 1 --frce", "2 No such option: --frce (Possible options: --force): see kinfra --help."),
            ("sandbox provision 1 2", "2 Got unexpected extra argument(s) (2): see kinfra --help."),
            ("sandbox provision -1", "2 No such option: -1: see kinfra --help."),
            ("sandbox prevision 1", "2 No such command 'prevision'. Did you mean 'provision'?: see kinfra --help."),
        ],
    )
    def test_wrong_words(self, refused, line, said):
        assert refused(line) == said

    @pytest.mark.parametrize("line", ["", "sandbox"])
    def test_without_a_command_it_helps(self, kinfra, line):
        status, said, error = kinfra(line)
        assert (status, error) == (2, "")
        assert "Usage: kinfra" in said

    def test_ctrl_c_before_anything(self, refused, engine, monkeypatch):
        monkeypatch.setattr(docker, "containers", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        assert refused("sandbox list") == "1 Interrupted: nothing was changed."

    @pytest.mark.parametrize("line", ["", "sandbox", *(f"sandbox {verb}" for verb in VERBS)])
    def test_help_fits_80_columns(self, kinfra, line):
        status, said, _ = kinfra(f"{line} --help")
        assert status == 0
        assert max(map(len, said.splitlines())) <= 80


def test_the_template_begins_as_specified():
    assert files.TEMPLATE.read_text().startswith(
        "# =============================================================================\n"
        "# KTRDR Sandbox - Uses dev image (CPU-only torch, ~500MB)\n"
        "# For CI images, override in .env.sandbox:\n"
        "#   KTRDR_BACKEND_IMAGE=ghcr.io/kpiteira/ktrdr-backend:latest\n"
        "#   (workers would need separate KTRDR_WORKER_IMAGE but not implemented)\n"
        "# =============================================================================\n"
    )


@pytest.mark.skipif(not (ROOT / ".venv/bin/python").exists(), reason="make setup made no .venv here")
def test_the_command_that_setup_writes(tmp_path):
    subprocess.run(["scripts/kinfra.sh", tmp_path], cwd=ROOT, check=True)
    done = subprocess.run([tmp_path / "kinfra", "sandbox", "up", "x"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "Slot 'x' is not a number from 1 to 9: give one of those.\n")


def test_images_hold_no_kinfra():
    assert "\nktrdr/cli\n" in (ROOT / ".dockerignore").read_text()
