#!/usr/bin/env bash
# Runs a command as a member of group docker: a user who was added to it just now is none yet in this session.
if docker info > /dev/null 2>&1 || [ "$(id -u)" -eq 0 ]; then exec "$@"; fi
exec sg docker -c "$(printf '%q ' "$@")"
