"""Filters: the pure decisions that playbooks ask for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import ansible.module_utils

# Ansible ships module_utils to hosts, but does not put this project's on the controller's own import path.
_HERE = str(Path(__file__).resolve().parents[2] / "module_utils")
if _HERE not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(_HERE)

from ansible.module_utils.rollout import inventory, report


def rollout_verdict(results: Mapping[str, Any], lost: Sequence[str], run: Mapping[str, Any]) -> dict[str, Any]:
    """Verdict, whether it is good, and the last screen."""
    word = report.verdict(list(results.values()), lost)
    return {"verdict": word, "good": report.good(word), "screen": report.screen(results, lost, run)}


def rollout_status(hosts: Mapping[str, Any]) -> str:
    """The screen of status.yml."""
    return report.status_screen(hosts, time.time())


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name -> function."""
        return {
            "rollout_problem": inventory.problem,
            "rollout_stacks_of": inventory.stacks_of,
            "rollout_images_of": inventory.images_of,
            "rollout_pick_images": inventory.pick_images,
            "rollout_merge": inventory.merged,
            "rollout_fault": report.with_fault,
            "rollout_staged": report.with_staged,
            "rollout_switched": report.with_switched,
            "rollout_must_revert": report.must_revert,
            "rollout_verdict": rollout_verdict,
            "rollout_seen": report.seen,
            "rollout_status": rollout_status,
        }
