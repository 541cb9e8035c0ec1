"""What all tests share: the import paths that Ansible gives to modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Callable

import ansible.module_utils
import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

ansible.module_utils.__path__.append(str(ROOT / "module_utils"))
sys.path[:0] = [str(ROOT / "library"), *(str(ROOT / "tests" / place) for place in ("unit/rollout", "unit", "gpu"))]

# Timings on a loaded machine say nothing about the code.
settings.register_profile("rollout", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rollout")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def load() -> Callable[[str], ModuleType]:
    """Import a file by its path in the repository: several are called rollout.py."""

    def load_file(path: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location("tested_" + path.replace("/", "_")[:-3], ROOT / path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load_file
