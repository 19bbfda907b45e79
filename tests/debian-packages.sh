#!/bin/sh
# Install the named Debian packages that are missing; only root can.
#
#     debian-packages.sh [--must] PACKAGE...
#
# Without --must, a package that is not available is reported but is no failure: the tests that need it report it again.
set -eu

fatal=0
if [ "${1-}" = --must ]; then
    fatal=1
    shift
fi

missing=
for package; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing Debian packages:$missing (only root can install them: apt-get install$missing)" >&2
    exit $fatal
fi

echo "installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
known=1
for package in $missing; do
    apt-cache show "$package" >/dev/null 2>&1 || known=0
done
[ $known = 1 ] || apt-get -q update >"$log" 2>&1 || true
# Tests need the program prometheus, not a server on every address of this machine.
policy=/usr/sbin/policy-rc.d
case " $missing " in *" prometheus "*) service=prometheus.service ;; *) service= ;; esac
if [ -n "$service" ] && [ ! -e $policy ]; then
    trap 'rm -f "$log" $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi
# An old index names files that have been removed: fetch a new one and try again.
# shellcheck disable=SC2086 # a list of words
apt-get -qy install --no-install-recommends $missing >"$log" 2>&1 || {
    apt-get -q update >"$log" 2>&1 && apt-get -qy install --no-install-recommends $missing >"$log" 2>&1
} || {
    tail -n 5 "$log" >&2
    echo "cannot install$missing" >&2
    exit $fatal
}
[ -z "$service" ] || systemctl --quiet disable "$service" 2>/dev/null || true
