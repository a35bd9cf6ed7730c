#!/usr/bin/env bash
# Runs the commands of docs/fleet.md in three booted machines, two PBXs and a server with TLS; see packaging/test/fleet. As
# root. Keep target/machines: debootstrap takes a minute for each suite, and the test less.
#
#   SUITES  the Debian releases: bookworm has Redis, trixie has Valkey
. "$(dirname "$0")/common.sh"

dev/need.sh test-fleet-walk
dev/build.sh
say "a fleet of two PBXs and a server, in machines with systemd: a minute for each release, the first time three"
for suite in ${SUITES:-bookworm trixie}; do
    MACHINES=$(realpath -m "$target/machines") packaging/test/fleet "$suite" "$(realpath "$binary")"
done
