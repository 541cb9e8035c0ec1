#!/usr/bin/env bash
# Runs the scenarios named, or every one; closing lines tell how each went and how many passed.
. scripts/common.sh
# The registry's image, for the scenarios that run one of their own.
# shellcheck source=/dev/null
. "$cache/base.env"
export REGISTRY_IMAGE
if [ $# -eq 0 ]; then
    for scenario in molecule/*/molecule.yml; do set -- "$@" "$(basename "$(dirname "$scenario")")"; done
fi
passed=0
failed=0
lines=()
for name; do
    [ -f "molecule/$name/molecule.yml" ] || die "There is no scenario $name in molecule/."
    start=$SECONDS
    if molecule test --scenario-name "$name"; then
        passed=$((passed + 1)) result=passed
    else
        failed=$((failed + 1)) result=failed
    fi
    lines+=("$(printf '%-12s %s %5d s' "$name" "$result" $((SECONDS - start)))")
done
printf '%s\n' "${lines[@]}"
echo "scenarios: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
