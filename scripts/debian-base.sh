#!/usr/bin/env bash
# Makes ktrdr-base:bookworm, a small image with Python, from the distribution's packages.
. scripts/common.sh
apt_sources
if docker image inspect ktrdr-base:bookworm > /dev/null 2>&1; then exit 0; fi
command -v mmdebstrap > /dev/null || apt_install mmdebstrap
tar=$(mktemp -d)/base.tar
trap 'rm -rf "$(dirname "$tar")"' EXIT
codename=$(. /etc/os-release && if [ "$ID" = debian ]; then echo bookworm; else echo "$VERSION_CODENAME"; fi)
# The hook is for mmdebstrap to expand.
# shellcheck disable=SC2016
if ! as_root mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --customize-hook='rm -rf "$1"/var/cache/apt/*.bin "$1"/var/lib/apt/lists/* "$1"/var/log/*' \
    "$codename" "$tar" "$cache/build.sources"; then
    die "The base image could not be made from this machine's package sources: see mmdebstrap's message above."
fi
as_root chmod 644 "$tar"
docker import "$tar" ktrdr-base:bookworm > /dev/null
