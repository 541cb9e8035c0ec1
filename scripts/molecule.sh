#!/usr/bin/env bash
# Runs the scenarios named, or every one. At the end, for each that failed the end of what it said (the whole lies in
# .cache/molecule) and where it failed, then how each went and how many passed.
. scripts/common.sh
# The registry's image, for the scenarios that run one of their own.
# shellcheck source=/dev/null
. "$cache/base.env"
export REGISTRY_IMAGE
if [ $# -eq 0 ]; then
    for scenario in molecule/*/molecule.yml; do set -- "$@" "$(basename "$(dirname "$scenario")")"; done
fi
mkdir -p "$cache/molecule"
passed=0
failed=()
lines=()
for name; do
    [ -f "molecule/$name/molecule.yml" ] || die "There is no scenario $name in molecule/."
    start=$SECONDS
    if molecule test --scenario-name "$name" 2>&1 | tee "$cache/molecule/$name.log"; then
        passed=$((passed + 1)) result=passed
    else
        failed+=("$name") result=failed
    fi
    lines+=("$(printf '%-12s %s %5d s' "$name" "$result" $((SECONDS - start)))")
done
for name in "${failed[@]}"; do
    echo "--- The end of what $name said before its hosts were destroyed:"
    sed 's/\x1b\[[0-9;]*[mK]//g' "$cache/molecule/$name.log" | awk '
        { line[NR] = substr($0, 1, 200) }
        /destroy: Executing$/ { last = NR }
        END { for (n = (last > 120 ? last - 120 : 1); n < (last ? last : NR); n++) print line[n] }'
done
# The very last lines are what a short view of a long log shows.
for name in "${failed[@]}"; do
    echo "--- $name failed at:"
    # By sed, which does not fail where nothing is found.
    sed -nE 's/\x1b\[[0-9;]*[mK]//g; /│ (>|E|FAILED|fatal:|\[ERROR\])/p' "$cache/molecule/$name.log" | tail -n 8 | cut -c 1-160
done
printf '%s\n' "${lines[@]}"
echo "scenarios: $passed passed, ${#failed[@]} failed"
[ "${#failed[@]}" -eq 0 ]
