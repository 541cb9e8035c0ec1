from __future__ import annotations

import json

import pytest
from ansible.module_utils.rollout.io.cdi import devices, names

YAML = """---
cdiVersion: 0.5.0
containerEdits:
  hooks:
  - args: [nvidia-cdi-hook, create-symlinks]
    hookName: createContainer
devices:
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
  name: "0"
- name: all
kind: nvidia.com/gpu
"""
DOCUMENT = {
    "cdiVersion": "0.6.0",
    "kind": "vendor.com/net",
    "devices": [{"name": "eth0", "containerEdits": {"deviceNodes": [{"path": "/dev/x"}]}}],
}
BOTH = {"nvidia.com/gpu=0", "nvidia.com/gpu=all", "vendor.com/net=eth0"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (YAML, {"nvidia.com/gpu=0", "nvidia.com/gpu=all"}),
        (json.dumps(DOCUMENT), {"vendor.com/net=eth0"}),
        (json.dumps(DOCUMENT, indent=2), {"vendor.com/net=eth0"}),
        ("name: x", set()),
        ("", set()),
    ],
)
def test_names(text, found):
    assert names(text) == found


def test_devices(tmp_path):
    (tmp_path / "nvidia.yaml").write_text(YAML)
    (tmp_path / "net.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "a.directory").mkdir()
    assert devices({"CDISpecDirs": [str(tmp_path), str(tmp_path / "none")]}) == BOTH
    # An engine that lists them knows it.
    listed = [{"Source": "cdi", "ID": "nvidia.com/gpu=1"}, {"Source": "other", "ID": "x"}]
    assert devices({"CDISpecDirs": [str(tmp_path)], "DiscoveredDevices": listed}) == {"nvidia.com/gpu=1"}
    # One that has it switched off knows none.
    assert devices({"CDISpecDirs": None}) == set()
