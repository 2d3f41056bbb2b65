#!/usr/bin/env bash
# Install the Debian packages that the system tests use, where that is allowed; say what is missing where it is not.
set -u
packages=()
need() { command -v "$1" >/dev/null 2>&1 || packages+=("$2"); }
need Rscript r-base-core
need qemu-x86_64 qemu-user
need chromium chromium
[ -e /usr/include/simde/x86/avx512.h ] || packages+=(libsimde-dev)
need redis-check-rdb redis-tools # holds the server's program too; redis-server would add a service
[ -x /usr/lib/postgresql/15/bin/postgres ] || packages+=(postgresql-15)
[ ${#packages[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    # No cluster and no service: the tests start servers of their own in temporary folders.
    clusters=/etc/postgresql-common/createcluster.conf policy=/usr/sbin/policy-rc.d
    [ -e "$clusters" ] || { mkdir -p "${clusters%/*}" && echo "create_main_cluster = false" >"$clusters"; }
    [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && trap 'rm -f "$policy"' EXIT; }
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"; } >/dev/null 2>&1 ||
        echo "calibrig: could not install ${packages[*]}; the tests that need them will say that they are skipped"
else
    echo "calibrig: not installed and no right to install: ${packages[*]}; the tests that need them will say that they are skipped"
fi
exit 0
