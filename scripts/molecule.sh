#!/usr/bin/env bash
# Runs every scenario; a closing line tells how many passed.
. scripts/common.sh
passed=0
failed=0
for scenario in molecule/*/molecule.yml; do
    name=$(basename "$(dirname "$scenario")")
    if molecule test --scenario-name "$name"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "scenarios: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
