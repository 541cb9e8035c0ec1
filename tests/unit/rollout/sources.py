"""Folders of stacks as they lie on a controller, and Ansible's reader of their files."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.rollout.controller.source import collect, main_file
from ansible.module_utils.rollout.controller.templates import Templates
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.template import Templar

SECRET = [("default", VaultSecret(b"vault-password"))]


def write(root, files):
    """Make files: path -> text or bytes."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            (root / path).write_bytes(text)
        else:
            (root / path).write_text(text, newline="")
    return root


def vaulted(text):
    return VaultLib(SECRET).encrypt(text).decode()


def reader(password=True, **variables):
    loader = DataLoader()
    if password:
        loader.set_vault_secrets(SECRET)
    return Templates(loader, Templar(loader, variables=variables), variables)


def first(root, spec):
    return main_file(spec, str(root), lambda name: str(root / name))


def bundle(root, stack="core", variables=None, **spec):
    spec = {"compose": "docker-compose.yml", **spec}
    spec = {key: value for key, value in spec.items() if value != "absent"}
    return collect(stack, spec, first(root, spec), reader(**(variables or {})))


def below(path: str) -> bool:
    return not path.startswith("/") and ".." not in Path(path).parts
