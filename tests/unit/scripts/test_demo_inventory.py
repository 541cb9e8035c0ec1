"""The demo's inventory: it is not written where the demo could not succeed."""

from __future__ import annotations

import shutil
import subprocess

import fake_docker
import pytest


@pytest.fixture
def demo(root, tmp_path):
    """Run the script on a copy, with a docker that has these volumes: exit status and stderr, and whether it wrote the inventory."""
    (tmp_path / "scripts").mkdir()
    for name in ("common.sh", "demo-inventory.sh"):
        shutil.copy(root / "scripts" / name, tmp_path / "scripts")
    written = tmp_path / "inventory/local/group_vars/all/demo.yml"
    written.parent.mkdir(parents=True)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/base.env").write_text("DB_IMAGE=db DB_SOURCE=db PROXY_IMAGE=proxy PROXY_SOURCE=proxy\n")

    def run(*volumes, password=False):
        if password:
            (tmp_path / "inventory/local/.secrets").mkdir()
            (tmp_path / "inventory/local/.secrets/database_password").write_text("x")
        known = " | ".join(f"'volume inspect {volume}'" for volume in volumes) or "none"
        fake_docker.install(tmp_path, f"{known}) ;;\n*) exit 1;;")
        done = subprocess.run(
            ["bash", "scripts/demo-inventory.sh"],
            cwd=tmp_path,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stderr, written.exists()

    return run


def test_a_first_demo(demo):
    assert demo() == (0, "", True)


def test_a_database_whose_password_is_known(demo):
    assert demo("ktrdr-core_db", password=True) == (0, "", True)


def test_a_database_of_another_folder_is_refused_before_anything_is_rolled_out(demo):
    code, said, written = demo("ktrdr-core_db")
    assert (code, written) == (1, False)
    assert said == (
        "Volume ktrdr-core_db holds a database whose password is not in inventory/local/.secrets: it was made from another "
        "folder. Go on there, or remove the database with all else that a demo made (make demo-down), then run again.\n"
    )
