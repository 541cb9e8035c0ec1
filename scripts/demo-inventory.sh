#!/usr/bin/env bash
# Tells inventory/local which images outside the release the demo uses; written only where it differs.
. scripts/common.sh
# shellcheck source=/dev/null
. "$cache/base.env"
file=inventory/local/group_vars/all/demo.yml
text=$(printf -- '---\n# Written by make demo.\nktrdr_db_image: %s\nktrdr_proxy_image: %s\n' "$DB_IMAGE" "$PROXY_IMAGE")
for image in "$DB_SOURCE=$DB_IMAGE" "$PROXY_SOURCE=$PROXY_IMAGE"; do
    if [ "${image%=*}" != "${image#*=}" ]; then
        docker tag "${image%=*}" "${image#*=}"
        docker push --quiet "${image#*=}" > /dev/null
    fi
done
if [ "$(cat "$file" 2> /dev/null)" != "$text" ]; then printf '%s\n' "$text" > "$file"; fi
