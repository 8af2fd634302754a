#!/bin/sh
# Installs what the tests under e2e and the benchmark need of the machine: C
# compilers and linkers for it and for arm64, the musl compiler driver, readelf,
# openssl, the keys of Debian's archive, and for the nodes of the test cluster
# libseccomp's headers, ip, nft and mount, and for the module proxy git, ssh and
# sshd, and for the history of benchmarks PostgreSQL, which the tests start
# themselves. Everything else is fetched by the tests
# themselves, without installing it. Safe to run again.
set -eu

tools='gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross binutils musl-tools
openssl ca-certificates debian-archive-keyring
libseccomp-dev pkg-config iproute2 nftables mount
git openssh-client openssh-server
postgresql'

fail() {
	echo "e2e/setup.sh: $1" >&2
	exit 1
}

command -v apt-get >/dev/null && command -v dpkg-query >/dev/null ||
	fail 'the end-to-end tests need a Debian machine (apt-get is missing)'
[ "$(dpkg --print-architecture)" = amd64 ] ||
	fail 'the end-to-end tests run amd64 programs: use an amd64 machine'

missing=
for tool in $tools; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$tool" 2>/dev/null) || state=absent
	[ "$state" = installed ] || missing="$missing $tool"
done
# The tests derive the mirror from the package lists, which a fresh machine lacks.
lists=$(apt-get indextargets --format '$(FILENAME)' 'Created-By: Packages')
if [ -z "$missing" ] && [ -n "$lists" ]; then
	exit 0
fi

[ "$(id -u)" = 0 ] || fail "run as root to install:${missing:- package lists}"
apt-get -qq update
[ -n "$missing" ] || exit 0
# No service starts because of this: a policy that forbids it is there meanwhile.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $missing
