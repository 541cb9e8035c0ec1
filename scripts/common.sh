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

# apt_install PACKAGE...: quietly, with a sentence where it cannot be done.
apt_install() {
    command -v apt-get > /dev/null || die "Missing: $*. This is no Debian or Ubuntu: install it by hand, then run again."
    say "Installing $*"
    # An index that cannot be refreshed may still do; if not, the installation says so.
    as_root apt-get update -qq || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > /dev/null ||
        die "Missing: $*. apt-get could not install it: see its message above."
}

# The machine's CA bundle, for networks whose proxy has a CA of its own.
ca_bundle() {
    local bundle=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
    if [ -s "$bundle" ]; then printf '%s' "$bundle"; else printf /dev/null; fi
}

# The machine's own apt sources, distribution archives alone: builds take the mirror from there.
apt_sources() {
    # ktrdr-base is Debian 12 on every Debian, because torch's wheel is made for its Python.
    local suite=
    if [ "$(. /etc/os-release && echo "$ID")" = debian ] && [ "$(. /etc/os-release && echo "$VERSION_CODENAME")" != bookworm ]; then
        suite=bookworm
    fi
    python3 scripts/apt_sources.py ${suite:+"$suite"} > "$cache/build.sources"
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
