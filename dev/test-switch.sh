#!/usr/bin/env bash
# Runs the commands of docs/from-fail2ban.md in a booted Debian with a real fail2ban; see packaging/test/switch. As root.
# Keep target/machines: debootstrap takes a minute for each suite, and the test less.
#
#   SUITES  the Debian releases
. "$(dirname "$0")/common.sh"

dev/need.sh test-deb
dev/build.sh
say "a switch from fail2ban, in a machine with systemd: less than a minute, the first time two"
for suite in ${SUITES:-bookworm}; do
    MACHINES=$(realpath -m "$target/machines") packaging/test/switch "$suite" "$(realpath "$binary")"
done
