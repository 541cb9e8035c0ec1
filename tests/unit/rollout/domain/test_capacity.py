from __future__ import annotations

import pytest
from ansible.module_utils.rollout.domain import capacity
from ansible.module_utils.rollout.errors import RolloutError


def test_layers_to_come_counts_each_layer_once_and_none_that_is_here():
    layer = {
        "a": {"diff_id": "a", "size": 100},
        "b": {"diff_id": "b", "size": 10},
        "c": {"diff_id": "c", "size": 1},
    }
    images = {
        "one": {
            "platforms": {
                "linux/amd64": [layer["a"], layer["b"]],
                "linux/arm64": [{"diff_id": "z", "size": 9999}],
            }
        },
        "two": {"platforms": {"linux/amd64": [layer["a"], layer["c"]]}},
        "three": {"platforms": {}},
    }
    assert capacity.layers_to_come(images, "linux/amd64", []) == {"one": 110, "two": 1, "three": 0}
    assert capacity.layers_to_come(images, "linux/amd64", ["a"]) == {"one": 10, "two": 1, "three": 0}
    assert capacity.layers_to_come({}, "linux/amd64", []) == {}


@pytest.mark.parametrize("platforms", [["linux/amd64"], ["linux/arm64", "linux/amd64/v2"], []])
def test_platform_that_fits(platforms):
    capacity.require_platform("r/a:1", platforms, "linux/amd64")


def test_platform_that_does_not_fit_is_refused():
    with pytest.raises(RolloutError) as error:
        capacity.require_platform("r/a:1", ["linux/arm64", "linux/amd64x"], "linux/amd64")
    assert str(error.value) == (
        "Image r/a:1 is for linux/amd64x, linux/arm64, but this host is linux/amd64: build it for linux/amd64 too."
    )


def test_space():
    needed = 4 * 1_000_000_000 + capacity.MARGIN_BYTES
    capacity.require_space(1_000_000_000, needed, "/d")
    capacity.require_space(0, 0, "/d")
    with pytest.raises(RolloutError) as error:
        capacity.require_space(1_000_000_000, needed - 1, "/var/lib/docker")
    assert str(error.value) == (
        f"Not enough disk in /var/lib/docker: needed {needed} bytes (4.1 GB; 1.0 GB to pull, and to unpack), free "
        f"{needed - 1} bytes (4.1 GB). Make room (docker system df), then run again."
    )


def test_inodes():
    unpacked = 3 * 1_000_000_000
    needed = unpacked // capacity.BYTES_PER_FILE + capacity.MARGIN_FILES
    capacity.require_space(1_000_000_000, 10**12, "/d", needed)
    capacity.require_space(1_000_000_000, 10**12, "/d", None)
    capacity.require_space(0, 0, "/d", 0)
    with pytest.raises(RolloutError) as error:
        capacity.require_space(1_000_000_000, 10**12, "/var/lib/containerd", needed - 1)
    assert str(error.value) == (
        f"Not enough inodes in /var/lib/containerd: needed {needed} (1.0 GB to pull, and to unpack), free {needed - 1}. Remove files "
        "there (df --inodes; docker system df), then run again."
    )


def test_temporary_files():
    capacity.require_temporary(2**24, "/tmp", 100)
    capacity.require_temporary(2**24, "/tmp", None)
    with pytest.raises(RolloutError) as error:
        capacity.require_temporary(2**24 - 1, "/tmp")
    assert str(error.value) == (
        "Not enough disk in /tmp: needed 16777216 bytes (16.8 MB; for temporary files), free 16777215 bytes (16.8 MB). Make room "
        "there, then run again."
    )
    with pytest.raises(RolloutError) as error:
        capacity.require_temporary(2**24, "/tmp", 99)
    assert str(error.value) == (
        "Not enough inodes in /tmp: needed 100 (for temporary files), free 99. Remove files there (df --inodes; docker system df), "
        "then run again."
    )
