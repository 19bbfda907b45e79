#!/bin/sh
# Install the named Debian packages that are missing; only root can.
#
#     debian-packages.sh [--must] PACKAGE[:available]...
#
# PACKAGE:available is not installed; apt must only know it, because a test downloads it. Without --must, a package that
# is not available is reported but is no failure: the tests that need it report it again.
set -eu

fatal=0
if [ "${1-}" = --must ]; then
    fatal=1
    shift
fi

# have PACKAGE[:available]: whether nothing is left to do for it.
have() {
    case $1 in
    *:available) apt-cache show "${1%:available}" >/dev/null 2>&1 ;;
    *) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
    esac
}

missing=
for package; do
    have "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

install=
for package in $missing; do
    case $package in *:available) ;; *) install="$install $package" ;; esac
done

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing Debian packages:$missing (only root can install them: apt-get install$install)" >&2
    exit $fatal
fi

echo "installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
known=1
for package in $missing; do
    apt-cache show "${package%:available}" >/dev/null 2>&1 || known=0
done
[ $known = 1 ] || apt-get -q update >"$log" 2>&1 || true
if [ -n "$install" ]; then
    # An old index names files that have been removed: fetch a new one and try again.
    # shellcheck disable=SC2086 # a list of words
    apt-get -qy install --no-install-recommends $install >"$log" 2>&1 || {
        apt-get -q update >"$log" 2>&1 && apt-get -qy install --no-install-recommends $install >"$log" 2>&1
    } || {
        tail -n 5 "$log" >&2
        echo "cannot install$install" >&2
        exit $fatal
    }
fi
