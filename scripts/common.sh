# shellcheck shell=bash
# What every script shares. Sourced, from the repository's root.
set -euo pipefail
cache=.cache
mkdir -p "$cache"
REGISTRY=${REGISTRY:-localhost:5000}
export DOCKER_BUILDKIT=1

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# The machine's CA bundle, for networks whose proxy has a CA of its own.
ca_bundle() {
    local bundle=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
    if [ -s "$bundle" ]; then printf '%s' "$bundle"; else printf /dev/null; fi
}

# The machine's own apt sources, distribution archives alone: builds take the mirror from there.
apt_sources() {
    python3 scripts/apt_sources.py > "$cache/build.sources"
    [ -s "$cache/build.sources" ] || die "No Debian or Ubuntu source was found in /etc/apt: add one, then run again."
}

# build TAG DOCKERFILE CONTEXT [argument...]: as docker build, quiet when all is well.
build() {
    local tag=$1 file=$2 context=$3 log
    shift 3
    log=$(mktemp)
    if ! docker build --network host --secret "id=ca,src=$(ca_bundle)" "$@" --tag "$tag" --file "$file" "$context" \
        > "$log" 2>&1; then
        tail -n 30 "$log" >&2
        rm -f "$log"
        die "Image $tag could not be built from $file: the last lines of docker build are above."
    fi
    rm -f "$log"
}
