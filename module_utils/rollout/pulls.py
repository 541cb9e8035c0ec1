"""What ``docker pull`` shows on a terminal, as bytes. Pure."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LAYER = re.compile(r"([0-9a-f]{12}): ([A-Za-z]+(?: [A-Za-z]+)?)(?:.*?([\d.]+) ?([kMGT]?)B/([\d.]+) ?([kMGT]?)B)?")
# Its bytes are there.
_HERE = ("Verifying Checksum", "Download complete", "Extracting", "Pull complete", "Already exists")
_UNIT = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class Pull:
    """The progress of one pull, fed with what docker prints as it comes."""

    def __init__(self) -> None:
        self._rest = ""
        self._layers: dict[str, tuple[int, int]] = {}

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
            if word == "Downloading" and total:
                self._layers[layer] = _bytes(done, done_unit), _bytes(total, unit)
            elif word in _HERE:
                self._layers[layer] = before[1], before[1]

    @property
    def done(self) -> int:
        """Compressed bytes that have come."""
        return sum(done for done, _total in self._layers.values())


def _bytes(number: str, unit: str) -> int:
    try:
        return int(float(number) * _UNIT[unit])
    except ValueError:
        return 0
