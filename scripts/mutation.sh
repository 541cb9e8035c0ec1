#!/usr/bin/env bash
# Mutation tests of the torch verdict and of NVIDIA's rules. Closing lines: figures, and each mutant that was not killed.
. scripts/common.sh
limit=${MUTATION_SECONDS:-1500}
work=$cache/mutation/work venv=$PWD/$cache/mutation/venv
lock=requirements/mutation.txt
if ! cmp --silent "$lock" "$venv/installed.txt"; then
    say "Installing mutmut into $cache/mutation/venv"
    rm -rf "$venv"
    .venv/bin/python -m venv "$venv"
    "$venv/bin/pip" -qq --disable-pip-version-check install --require-hashes --requirement "$lock"
    cp "$lock" "$venv/installed.txt"
fi

# mutmut knows a mutant by its file's path, so module_utils must lie where it is imported from.
rm -rf "$work"
mkdir -p "$work/ansible/module_utils" "$work/tests/domain"
touch "$work/ansible/__init__.py" "$work/ansible/module_utils/__init__.py"
cp -r module_utils/rollout "$work/ansible/module_utils/"
cp -r tests/unit/rollout/domain/torch "$work/tests/domain/"
cp -r tests/unit/rollout/recorded "$work/tests/"
# Few examples, always the same, not shrunk: they are run for each mutant.
cat > "$work/tests/conftest.py" << 'PYTHON'
from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "mutation",
    deadline=None,
    derandomize=True,
    max_examples=15,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("mutation")
PYTHON
# A busy machine is no endless loop: timeouts are generous.
cat > "$work/pyproject.toml" << 'TOML'
[tool.mutmut]
source_paths = ["ansible"]
only_mutate = ["ansible/module_utils/rollout/domain/torch/cuda.py", "ansible/module_utils/rollout/domain/torch/verdict.py"]
pytest_add_cli_args_test_selection = ["tests"]
timeout_constant = 4.0
use_git_change_detection = false

[tool.pytest.ini_options]
testpaths = ["tests"]
TOML
cd "$work"
# One at a time; what the time limit cuts off counts as not checked.
status=0
timeout --signal INT "$limit" "$venv/bin/mutmut" run --max-children 1 > run.log 2>&1 || status=$?
if [ "$status" -eq 124 ]; then
    say "The limit of $limit s has passed (MUTATION_SECONDS)."
elif [ "$status" -ne 0 ]; then
    tr '\r' '\n' < run.log | tail -n 20 >&2
    die "mutmut failed: see its last lines above."
fi
"$venv/bin/mutmut" results
"$venv/bin/mutmut" export-cicd-stats > /dev/null
"$venv/bin/python" - << 'PYTHON'
import json
from pathlib import Path

found = json.loads(Path("mutants/mutmut-cicd-stats.json").read_text())
total = found.pop("total")
found["not_checked"] = total - sum(found.values())
always = ("killed", "survived", "timeout")
print(f"{total} mutants:", ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in found.items() if n or name in always))
PYTHON
say "To see one: cd $work && ../venv/bin/mutmut show NAME"
