#!/bin/sh
# Installs the distribution's packages that lathe builds and tests with.
# As root: apt-get. Otherwise: prints the line to run. --if-missing: does nothing when all are there. --interop: the same, with what `make interop` needs
# beside them: a browser. --fuzz: with what `make fuzz` needs: clang and its run-time libraries. --valgrind: with what `make check-valgrind` needs.
set -eu
packages="build-essential pkg-config zlib1g-dev libzip-dev libcjson-dev libpng-dev libssl-dev libfreetype-dev libfontconfig-dev libpcre2-dev libutf8proc-dev libcmocka-dev fonts-unifont jq go-md2man"

quiet=
case ${1-} in
--if-missing) quiet=1 ;;
--interop)
    quiet=1
    packages="$packages chromium"
    ;;
--valgrind)
    quiet=1
    packages="$packages valgrind"
    ;;
--fuzz)
    quiet=1
    packages="$packages clang libclang-rt-14-dev"
    ;;
esac

missing=
for p in $packages; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
if [ -z "$missing" ]; then
    [ -n "$quiet" ] || echo "deps: everything is installed"
    exit 0
fi
line="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" != 0 ]; then
    echo "deps: packages are missing; as root run:" >&2
    echo "  $line" >&2
    exit 2
fi
export DEBIAN_FRONTEND=noninteractive
echo "deps: installing$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086
if ! { apt-get update -qq && $line; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "deps: installation failed" >&2
    exit 2
fi
