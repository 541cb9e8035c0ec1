#!/usr/bin/env bash
# Tells inventory/local which images outside the release the demo uses; written only where it differs.
. scripts/common.sh
# The database keeps the password that it was made with.
if [ ! -e inventory/local/.secrets/database_password ] && docker volume inspect ktrdr-core_db > /dev/null 2>&1; then
    die "Volume ktrdr-core_db holds a database whose password is not in inventory/local/.secrets: it was made from another folder. \
Go on there, or remove the database with all else that a demo made (make demo-down), then run again."
fi
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
