#!/usr/bin/env bash
# What the report's test needs of the distribution: a Chromium. Where there is no package of it, the test is skipped and says so.
. scripts/common.sh
for browser in chromium google-chrome-stable google-chrome; do
    if command -v "$browser" > /dev/null; then exit 0; fi
done
# Read to its end: who prints into a pipe that was closed early fails, and with it the whole (pipefail).
candidate() { apt-cache policy chromium 2> /dev/null | grep 'Candidate: [0-9]' > /dev/null; }
# Ubuntu has it as a snap alone, which runs in no container and reads no file below /tmp.
if candidate || { as_root apt-get update -qq || true; candidate; }; then apt_install chromium; fi
