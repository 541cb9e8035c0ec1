#!/usr/bin/env bash
# Builds ktrdr-backend:dev as deploy/environments/local says. What this machine has in place of Docker Hub's images and of
# torch's index goes into .env there, so that docker compose finds it without this script.
. scripts/common.sh
# shellcheck source=/dev/null
. "$cache/base.env"
file=deploy/environments/local/.env
written='# Written by make dev-image.'
if [ -e "$file" ] && [ "$(head -n 1 "$file")" != "$written" ]; then
    say "$file is your own and stays as it is."
else
    {
        printf '%s\n' "$written" "PYTHON_IMAGE=$PYTHON_IMAGE" "KTRDR_DB_IMAGE=$DB_SOURCE" "CA_BUNDLE=$(ca_bundle)"
        # An empty one would stand for an image without a name.
        if [ -n "$TORCH_WHEELS" ]; then printf '%s\n' "TORCH_WHEELS=$TORCH_WHEELS"; fi
    } > "$file.new"
    mv "$file.new" "$file"
fi
docker compose --project-directory deploy/environments/local build --quiet ||
    die "ktrdr-backend:dev could not be built: see docker compose's message above."
say ktrdr-backend:dev
