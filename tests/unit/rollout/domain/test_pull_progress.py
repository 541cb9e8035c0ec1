from __future__ import annotations

from pathlib import Path

import pytest
from ansible.module_utils.rollout.domain import pull_progress
from ansible.module_utils.rollout.domain.pull_progress import Pull
from hypothesis import given
from hypothesis import strategies as st

# What docker 20.10 showed while it pulled an image of five layers; of the unpacking only some lines are kept.
RECORDED = (Path(__file__).parents[1] / "recorded" / "docker-pull.txt").read_bytes()
# Its layers, as docker rounds them.
TOTAL = 223_200_000 + 59_930_000 + 15_580 + 1_216 + 98
LAYER = "cafa9637794d"


def fed(*pieces):
    pull = Pull()
    for piece in pieces:
        pull.feed(piece)
    return pull.done


def test_a_recorded_pull_torn_anywhere():
    for size in range(1, 98):
        pull, seen = Pull(), [0]
        for at in range(0, len(RECORDED), size):
            pull.feed(RECORDED[at : at + size].decode("utf-8", "replace"))
            seen.append(pull.done)
        assert seen == sorted(seen), f"torn every {size} bytes it went back"
        assert seen[-1] == TOTAL, f"torn every {size} bytes"


def test_a_recorded_pull_comes_layer_by_layer():
    pull, seen = Pull(), []
    for line in RECORDED.decode().split("\r"):
        pull.feed(line + "\r")
        seen.append(pull.done)
    # Unpacking brings no more bytes.
    assert seen.index(TOTAL) == next(i for i, line in enumerate(RECORDED.split(b"\r")) if b"bdc8624d3fc6: Verifying" in line)
    assert len(set(seen)) > 20


@pytest.mark.parametrize(
    ("line", "done"),
    [
        ("Downloading [=>    ]  98B/200B", 98),
        ("Downloading [=>    ]  1.216kB/2kB", 1_216),
        ("Downloading [=>    ]      5MB/10MB", 5_000_000),
        ("Downloading [=>    ]  1.5GB/3GB", 1_500_000_000),
        ("Downloading [=>    ]  1.5TB/3TB", 1_500_000_000_000),
        ("Downloading [=>    ]  5 MB/10 MB", 5_000_000),
        ("Downloading [=>    ]  5MB/10MB 12s", 5_000_000),
        ("Downloading  5.243MB", 0),
        ("Downloading", 0),
        ("Downloading [=>    ]  1.2.3MB/10MB", 0),
        ("Pulling fs layer", 0),
        ("Waiting", 0),
        ("Already exists", 0),
        ("Pull complete", 0),
    ],
)
def test_the_first_word_of_a_layer(line, done):
    assert fed(f"{LAYER}: {line}\r") == done


@pytest.mark.parametrize(
    ("line", "done"),
    [
        ("Downloading [==>   ]  3MB/4MB", 3_000_000),
        # Begun anew: what had come does not count any more.
        ("Downloading [>     ]  1MB/4MB", 1_000_000),
        ("Waiting", 2_000_000),
        ("Pulling fs layer", 2_000_000),
        ("Verifying Checksum", 4_000_000),
        ("Download complete", 4_000_000),
        ("Extracting [>     ]  1MB/9MB", 4_000_000),
        ("Extracting 3 s", 4_000_000),
        ("Pull complete", 4_000_000),
        ("Retrying in 5 seconds", 2_000_000),
    ],
)
def test_the_next_word_of_a_layer(line, done):
    assert fed(f"{LAYER}: Downloading [=>    ]  2MB/4MB\r", f"{LAYER}: {line}\r") == done


@pytest.mark.parametrize(
    "line",
    [
        "sha-aaaaaa1: Pulling from ktrdr-worker-cpu",
        "Digest: sha256:7e01329a3d67d20d83fb8cd32717c65e40c45f61f2b4c433404a45d79a51bc3c",
        "Status: Downloaded newer image for localhost:5000/x:y",
        "no-layer: Downloading [=> ]  1MB/2MB",
        f"{LAYER[:-1]}: Downloading [=> ]  1MB/2MB",
        "",
    ],
)
def test_what_is_no_layer(line):
    assert fed(line + "\r\n") == 0


def test_a_line_counts_when_it_has_ended():
    assert fed(f"{LAYER}: Downloading [=> ]  1MB/2") == 0
    assert fed(f"{LAYER}: Downloading [=> ]  1MB/2", "23MB\n") == 1_000_000


def test_what_never_ends_a_line_does_not_fill_the_memory():
    pull = Pull()
    for _ in range(100):
        pull.feed("x" * 1_000)
    assert len(pull._rest) == 500
    pull.feed(f"\r{LAYER}: Downloading [=> ]  1MB/2MB\r")
    assert pull.done == 1_000_000


SIZES_OF = {LAYER: 5_000, "bdc8624d3fc6": 70}


@pytest.mark.parametrize(
    ("lines", "done"),
    [
        # So fast that containerd's image store never showed it on its way.
        (["Download complete", "Pull complete"], 5_000),
        (["Pulling fs layer", "Pull complete"], 5_000),
        (["Downloading [=> ]  2kB/5kB"], 2_000),
        (["Already exists"], 0),
        # It was here, and was only unpacked.
        (["Already exists", "Extracting 1 s", "Pull complete"], 0),
    ],
)
def test_a_layer_whose_size_the_registry_told(lines, done):
    pull = Pull(SIZES_OF)
    for line in lines:
        pull.feed(f"{LAYER}: {line}\r\n")
    assert pull.done == done


def test_the_sizes_of_an_image():
    layer = {"diff_id": "sha256:" + "0" * 64, "digest": f"sha256:{LAYER}{'0' * 52}", "size": 5_000}
    assert pull_progress.sizes({"platforms": {"linux/amd64": [layer, {"diff_id": "x", "size": 7}], "linux/arm64": []}}) == {
        LAYER: 5_000
    }
    assert pull_progress.sizes({"digest": "sha256:1"}) == {}


WORDS = st.sampled_from(["Downloading", "Waiting", "Verifying Checksum", "Extracting", "Pull complete", "é"])
SIZES = st.builds("{:.3f}{}B".format, st.floats(0.0, 1e9), st.sampled_from(["", "k", "M", "G", "T", "P"]))
SHOWN = st.builds("{}: {} [=> ]  {}/{}\r".format, st.sampled_from([LAYER, "bdc8624d3fc6"]), WORDS, SIZES, SIZES)


@given(st.lists(SHOWN | st.text(max_size=40)))
def test_whatever_is_shown(pieces):
    assert fed(*pieces) >= 0
