"""Ansible's own words for the files of a source: its vault, and its lookup of templates."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Mapping

from ansible.errors import AnsibleError
from ansible.module_utils.rollout.controller import rendering
from ansible.module_utils.rollout.errors import Refusal, RolloutError
from ansible.plugins.loader import lookup_loader

NOT_DECRYPTED = Refusal(
    "Files of a stack",
    "{path} cannot be decrypted: {why}. Add --ask-vault-pass, or set ANSIBLE_VAULT_PASSWORD_FILE.",
    "add `--ask-vault-pass`, or set `ANSIBLE_VAULT_PASSWORD_FILE`",
)


class Templates:
    """Reads files as Ansible does, with the variables of a host.

    Args:
        loader, templar: those of a plugin.
    """

    def __init__(self, loader: Any, templar: Any, variables: Mapping[str, Any]) -> None:
        self._loader, self._templar, self._variables = loader, templar, variables
        self._template = lookup_loader.get("template", loader=loader, templar=templar)

    def contents(self, path: Path) -> bytes:
        """The bytes of an encrypted file, decrypted. They are never on a disk.

        Raises:
            RolloutError: there is no fitting password.
        """
        try:
            # In Latin-1 each byte is one character.
            return str(self._loader.get_text_file_contents(str(path), encoding="latin-1")).encode("latin-1")
        except AnsibleError as error:
            raise NOT_DECRYPTED(path=path, why=" ".join(str(error).split()).rstrip(".")) from None

    def render(self, path: Path | str) -> str:
        """What a template makes.

        Raises:
            RolloutError: it cannot be rendered; says which, and why.
        """
        try:
            # Ansible hands an error over as a value, which is not a text.
            return str(*self._template.run([str(path)], self._variables))
        except Exception as error:  # whatever a template may raise
            raise RolloutError(rendering.refusal(str(path), self._texts(path), error, self._value)) from None

    def _texts(self, path: Path | str) -> list[str]:
        found: list[str] = []
        with contextlib.suppress(OSError, AnsibleError, UnicodeDecodeError):
            found.append(Path(path).read_text(encoding="utf-8"))
            found += [Path(path).with_name(name).read_text(encoding="utf-8") for name in rendering.referenced(found[0])]
        return found

    def _value(self, name: str) -> Any:
        with contextlib.suppress(Exception):  # an undefined one, above all
            return self._templar.template(self._templar.available_variables.get(name))
        return None
