"""Print the machine's own apt sources of its distribution, in deb822 form, for use inside builds.

With an argument, that suite instead of the machine's own (`trixie`): used where a newer package is needed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def fields(stanza: str) -> dict[str, str]:
    """The fields of one deb822 stanza."""
    found = {}
    for line in stanza.splitlines():
        match = re.match(r"([A-Za-z-]+):\s*(.*)", line)
        if match:
            found[match[1]] = match[2]
    return found


def stanzas() -> list[dict[str, str]]:
    """All sources of the machine, of both forms (sources.list(5))."""
    found = []
    for path in sorted(Path("/etc/apt/sources.list.d").glob("*.sources")):
        found += [fields(s) for s in re.split(r"\n\s*\n", path.read_text())]
    lists = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.list"))]
    for line in (line for path in lists if path.exists() for line in path.read_text().splitlines()):
        match = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)", line.strip())
        if match:
            signed = re.search(r"signed-by=(\S+)", match[1] or "")
            found.append({"URIs": match[2], "Suites": match[3], "Components": match[4], "Signed-By": signed[1] if signed else ""})
    return [s for s in found if s.get("Enabled", "yes") == "yes" and s.get("URIs") and s.get("Suites")]


def main() -> None:
    """Print them."""
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().replace('"', "").splitlines() if "=" in line
    )
    keyring = f"/usr/share/keyrings/{release['ID']}-archive-keyring.gpg"
    for source in stanzas():
        suites = source["Suites"].split()
        if not any(suite.startswith(release.get("VERSION_CODENAME", "-")) for suite in suites):
            continue
        if len(sys.argv) > 1:
            if release["VERSION_CODENAME"] not in suites:
                continue
            suites = [sys.argv[1]]
        signed = source.get("Signed-By") or keyring
        print(
            f"Types: deb\nURIs: {source['URIs']}\nSuites: {' '.join(suites)}\n"
            f"Components: {source.get('Components', 'main')}\nSigned-By: {signed}\n"
        )


if __name__ == "__main__":
    main()
