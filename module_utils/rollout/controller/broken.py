"""Which file, and which line of it, keeps Ansible from reading what people wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, Optional

from ansible.errors import AnsibleError
from ansible.module_utils.rollout.controller import rendering
from ansible.module_utils.rollout.errors import Refusal
from ansible.parsing.dataloader import DataLoader

BROKEN = Refusal(
    "The inventory",
    "{file}, line {line}: {why}",
    "correct that line, or the one before it",
)
_READ = (".yml", ".yaml", ".json")


def sentence(error: Optional[BaseException]) -> str:
    """The sentence of an error of Ansible's, with file and line if it knows them."""
    for one in rendering.causes(error):
        # Ansible's own display passes over it where one error wraps another.
        origin = getattr(one, "obj", None)
        file, line = getattr(origin, "path", None), getattr(origin, "line_num", None)
        if file and line:
            return BROKEN.text(file=file, line=line, why=one)
    return str(error)


def among(sources: Iterable[str]) -> list[str]:
    """A sentence for each file of these inventories, or in these directories, that is not YAML."""
    found = []
    for source in sources:
        path = Path(source)
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.suffix in _READ and file.is_file():
                try:
                    DataLoader().load_from_file(str(file))
                except (AnsibleError, OSError) as error:
                    found.append(sentence(error))
    return found
