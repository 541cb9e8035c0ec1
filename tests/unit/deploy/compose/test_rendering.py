"""deploy/environments/homelab holds what the templates render now."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[4]
RENDERED = ROOT / "deploy" / "environments" / "homelab"


def test_committed_rendering_has_not_drifted(tmp_path):
    """Render anew beside, and compare byte for byte."""
    run = subprocess.run(
        ["ansible-playbook", "--inventory", "inventory/homelab", "playbooks/render.yml", "-e", f"render_directory={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    fresh = {p.name: p.read_text() for p in tmp_path.glob("*.yml")}
    assert sorted(fresh) == ["docker-compose.core.yml", "docker-compose.gpu-worker.yml", "docker-compose.workers.yml"]
    for name, text in fresh.items():
        assert (RENDERED / name).read_text() == text, f"{name} has drifted: run make render and commit what it writes"


def test_each_image_is_the_one_of_its_role():
    """Backend, CPU workers and the GPU worker each use their own image, with IMAGE_TAG kept as a variable."""
    for stack, image in (("core", "ktrdr-backend"), ("workers", "ktrdr-worker-cpu"), ("gpu-worker", "ktrdr-worker-gpu")):
        text = (RENDERED / f"docker-compose.{stack}.yml").read_text()
        images = [line.split("image: ")[1] for line in text.splitlines() if "image: " in line]
        ours = [i for i in images if "/ktrdr-" in i]
        assert ours
        assert set(ours) == {f"ghcr.io/kpiteira/{image}:${{IMAGE_TAG:-latest}}"}
