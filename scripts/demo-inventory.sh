#!/usr/bin/env bash
# Tells inventory/local which database image the demo uses; written only where it differs.
. scripts/common.sh
# shellcheck source=/dev/null
. "$cache/base.env"
file=inventory/local/group_vars/all/demo.yml
text=$(printf -- '---\n# Written by make demo.\nktrdr_db_image: %s\n' "$DB_IMAGE")
if [ "$DB_IMAGE" != "$DB_SOURCE" ]; then
    docker tag "$DB_SOURCE" "$DB_IMAGE"
    docker push --quiet "$DB_IMAGE" > /dev/null
fi
if [ "$(cat "$file" 2> /dev/null)" != "$text" ]; then printf '%s\n' "$text" > "$file"; fi
