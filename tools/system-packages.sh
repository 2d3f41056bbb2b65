#!/usr/bin/env bash
# Install the Debian packages that the system tests use, where that is allowed; say what is missing where it is not.
set -u
packages=()
need() { command -v "$1" >/dev/null 2>&1 || packages+=("$2"); }
need Rscript r-base-core
need qemu-x86_64 qemu-user
need chromium chromium
[ -e /usr/include/simde/x86/avx512.h ] || packages+=(libsimde-dev)
[ ${#packages[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"; } >/dev/null 2>&1 ||
        echo "calibrig: could not install ${packages[*]}; the tests that need them will say that they are skipped"
else
    echo "calibrig: not installed and no right to install: ${packages[*]}; the tests that need them will say that they are skipped"
fi
exit 0
