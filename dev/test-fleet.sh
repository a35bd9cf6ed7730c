#!/usr/bin/env bash
# Runs the tests of the fleet with Valkey, in place of the Redis that `make test` runs them with.
. "$(dirname "$0")/common.sh"

dev/need.sh build test
dev/rust.sh
ASTERGUARD_FLEET_SERVER=$(dev/valkey.sh)
export ASTERGUARD_FLEET_SERVER
"$ASTERGUARD_FLEET_SERVER" --version
$CARGO test --locked --test fleet
