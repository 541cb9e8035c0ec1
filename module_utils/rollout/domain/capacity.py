"""Whether a host can take a release: its bytes, its processor. Pure."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Optional

from ansible.module_utils.rollout.domain import units
from ansible.module_utils.rollout.errors import Refusal

# gzip halves to thirds a Python image's layers; pulling holds the compressed and the unpacked bytes at once.
UNPACKED_PER_COMPRESSED = 3.0
# Bytes that a file of such an image has on average: Debian's python images, and torch, have 15 to 40 KiB.
BYTES_PER_FILE = 16 * 2**10
MARGIN_BYTES, MARGIN_FILES = 64 * 2**20, 1000
# What Ansible, docker's client and the torch check put aside while a release is staged.
TEMPORARY_BYTES, TEMPORARY_FILES = 16 * 2**20, 100
OTHER_PLATFORM = Refusal(
    "Host",
    "Image {image} is for {platforms}, but this host is {platform}: build it for {platform} too.",
    "build the image for that processor",
)
NO_SPACE = Refusal(
    "Host",
    "Not enough disk in {where}: needed {needed} bytes ({size}; {to_pull} to pull, and to unpack), free {free} bytes ({left}). "
    "Make room (docker system df), then run again.",
    "[make room](#disk)",
)
NO_INODES = Refusal(
    "Host",
    "Not enough inodes in {where}: needed {needed} ({what}), free {free}. Remove files there (df --inodes; docker system df), "
    "then run again.",
    "remove files there: the disk has bytes left, but no more files can be made on it. For images, [make room](#disk)",
)
NO_TEMPORARY = Refusal(
    "Host",
    "Not enough disk in {where}: needed {needed} bytes ({size}; for temporary files), free {free} bytes ({left}). Make room "
    "there, then run again.",
    "remove files there, or set `TMPDIR` on the host to a directory with room",
)


def layers_to_come(images: Mapping[str, Mapping[str, Any]], platform: str, local: Iterable[str]) -> dict[str, int]:
    """Compressed bytes still to be pulled for each image: layers that are on the host, or come with one before, do not count.

    Args:
        images: repository -> what `Registry.resolve` returned.
        local: the diff_ids of all layers on the host.
    """
    have, found = set(local), {}
    for repository, image in images.items():
        layers = image.get("platforms", {}).get(platform, [])
        sizes = {layer["diff_id"]: int(layer["size"]) for layer in layers if layer["diff_id"] not in have}
        found[repository] = sum(sizes.values())
        have |= sizes.keys()
    return found


def require_platform(image: str, platforms: Iterable[str], platform: str) -> None:
    """Refuse an image that this processor cannot run.

    Raises:
        RolloutError: names the image's platforms.
    """
    found = sorted(platforms)
    # A variant (linux/arm/v7) is the engine's to choose.
    if found and not any(p == platform or p.startswith(platform + "/") for p in found):
        raise OTHER_PLATFORM(image=image, platforms=", ".join(found), platform=platform)


def require_space(to_come: int, free: int, where: str, inodes: Optional[int] = None) -> None:
    """Refuse a pull that would fill the disk.

    Args:
        to_come: compressed bytes.
        free: bytes.
        inodes: files that may still be made there; None if the file system does not count them.

    Raises:
        RolloutError: says what is needed and what is free.
    """
    if not to_come:
        return
    unpacked = to_come * UNPACKED_PER_COMPRESSED
    needed, files = int(to_come + unpacked) + MARGIN_BYTES, int(unpacked / BYTES_PER_FILE) + MARGIN_FILES
    to_pull = units.human(to_come)
    if free < needed:
        size, left = map(units.human, (needed, free))
        raise NO_SPACE(where=where, needed=needed, free=free, size=size, to_pull=to_pull, left=left)
    if inodes is not None and inodes < files:
        raise NO_INODES(where=where, needed=files, free=inodes, what=f"{to_pull} to pull, and to unpack")


def require_temporary(free: int, where: str, inodes: Optional[int] = None) -> None:
    """Refuse to begin where temporary files find no room; arguments and errors as of `require_space`."""
    if free < TEMPORARY_BYTES:
        size, left = map(units.human, (TEMPORARY_BYTES, free))
        raise NO_TEMPORARY(where=where, needed=TEMPORARY_BYTES, free=free, size=size, left=left)
    if inodes is not None and inodes < TEMPORARY_FILES:
        raise NO_INODES(where=where, needed=TEMPORARY_FILES, free=inodes, what="for temporary files")
