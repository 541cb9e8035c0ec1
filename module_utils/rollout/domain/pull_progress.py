"""What ``docker pull`` shows on a terminal, as bytes. Pure.

Docker's own image store shows the bytes of each layer that it fetches, and containerd's only of those that take their time: the
size of others is known from the registry.
"""

from __future__ import annotations

import re
from typing import Any, Mapping

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LAYER = re.compile(r"([0-9a-f]{12}): ([A-Za-z]+(?: [A-Za-z]+)?)(?:.*?([\d.]+) ?([kMGT]?)B/([\d.]+) ?([kMGT]?)B)?")
# Its bytes have come.
_HERE = ("Verifying Checksum", "Download complete", "Extracting", "Pull complete")
_OLD = "Already exists"
_UNIT = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def sizes(image: Mapping[str, Any]) -> dict[str, int]:
    """The bytes of an image's layers, as a registry resolved it, by the name that docker shows of them."""
    layers = (layer for platform in (image.get("platforms") or {}).values() for layer in platform)
    return {layer["digest"].partition(":")[2][:12]: int(layer["size"]) for layer in layers if layer.get("digest")}


class Pull:
    """The progress of one pull, fed with what docker prints as it comes.

    ``sizes`` are the bytes of layers, by the name that docker shows.
    """

    def __init__(self, sizes: Mapping[str, int] = {}) -> None:
        self._rest, self._sizes = "", sizes
        self._layers: dict[str, tuple[int, int]] = {}
        self._old: set[str] = set()

    def feed(self, text: str) -> None:
        """Take the next piece of output; a line may be torn anywhere."""
        lines = re.split(r"[\r\n]+", self._rest + text)
        self._rest = lines.pop()[-500:]
        for line in lines:
            found = _LAYER.match(_ESCAPE.sub("", line).strip())
            if not found:
                continue
            layer, word, done, done_unit, total, unit = found.groups()
            before = self._layers.get(layer, (0, 0))
            if word == _OLD:
                self._old.add(layer)
            if word == "Downloading" and total:
                self._layers[layer] = _bytes(done, done_unit), _bytes(total, unit)
            elif word in _HERE and layer not in self._old:
                whole = self._sizes.get(layer, before[1])
                self._layers[layer] = whole, whole

    @property
    def done(self) -> int:
        """Compressed bytes that have come, without those of layers that were here."""
        return sum(done for done, _total in self._layers.values())


def _bytes(number: str, unit: str) -> int:
    try:
        return int(float(number) * _UNIT[unit])
    except ValueError:
        return 0
