from __future__ import annotations

import importlib
import json

import pytest
from ansible.module_utils.rollout.domain import answers
from ansible.module_utils.testing import patch_module_args


@pytest.fixture
def run(capsys):
    """Run a module in this process: its name and arguments, to its result."""

    def run_module(name, check=False, /, **arguments):
        module = importlib.import_module(name)
        with (
            patch_module_args({**arguments, "_ansible_check_mode": check, "_ansible_remote_tmp": "/tmp"}),
            pytest.raises(SystemExit) as end,
        ):
            module.main()
        result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
        assert bool(end.value.code) == bool(result.get("failed"))
        if name in answers.ANSWERS:
            # Ansible adds the arguments, and of a `path` the file's owner and mode.
            added = {"invocation", *({"gid", "group", "mode", "owner", "size", "state", "uid"} if "path" in result else ())}
            said = {key: value for key, value in result.items() if key not in added}
            assert answers.taken(name, said) == said, "the controller believes all of it, as it is"
        return result

    return run_module
