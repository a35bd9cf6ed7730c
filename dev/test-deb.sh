#!/usr/bin/env bash
# Installs, uses, upgrades and purges the package in Debian 12 and 13, as root, in machines with systemd of their own;
# see packaging/test/machine. The switch from fail2ban, the edges and the container are tried, too. Keep
# target/machines: debootstrap takes a minute for each kind of machine, and nothing after that.
#
#   SUITES  the Debian releases; the variables of deb.sh besides
. "$(dirname "$0")/common.sh"

dev/need.sh test-deb container
arch=${DEB_ARCH:-$(dpkg --print-architecture)}
dir=${DEB_DIR:-$target/deb}
say "the package, and machines with systemd that install, use, upgrade and purge it: ten minutes, the first time more"
# The newer one is the same program, but for the package's revision: what an upgrade is to dpkg.
revision=${DEB_REVISION:-1}
DEB_DIR=$dir DEB_REVISION=$revision dev/deb.sh
DEB_DIR=$dir/newer DEB_REVISION=$revision+newer dev/deb.sh
fail2ban=$(dev/fail2ban.sh)
for suite in ${SUITES:-bookworm trixie}; do
    MACHINES=$(realpath -m "$target/machines") packaging/test/life "$suite" \
        "$(realpath "$dir"/asterguard_*_"$arch".deb)" "$(realpath "$dir"/newer/asterguard_*_"$arch".deb)" \
        "$(find "$fail2ban" -name fail2ban.service)"
    for test in journal metrics switch edges; do
        MACHINES=$(realpath -m "$target/machines") packaging/test/$test "$suite" "$(realpath "$binary")"
    done
done
MACHINES=$(realpath -m "$target/machines") packaging/test/container "$(realpath "$binary")"
