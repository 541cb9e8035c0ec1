#!/usr/bin/env bash
# All checks; every one runs, the first that failed decides.
set -uo pipefail
failed=0
check() {
    printf '%-16s' "$1"
    shift
    if output=$("$@" 2>&1); then echo ok; else echo FAILED; printf '%s\n' "$output"; failed=1; fi
}
check ruff ruff check .
check ruff-format ruff format --check .
check bandit bandit --quiet --configfile pyproject.toml --recursive module_utils plugins library playbooks ktrdr scripts bench
check mypy mypy
check ansible-config ansible-config validate --format ini --type all
check yamllint yamllint --strict .
check ansible-lint ansible-lint --offline --strict
mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
check shellcheck shellcheck --external-sources "${scripts[@]}"
mapfile -t dockerfiles < <(git ls-files '*Dockerfile.*')
check hadolint hadolint "${dockerfiles[@]}"
check zizmor zizmor --quiet --offline --strict-collection .github
exit "$failed"
