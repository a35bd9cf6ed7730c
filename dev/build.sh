#!/usr/bin/env bash
# Builds the program.
. "$(dirname "$0")/common.sh"

dev/need.sh build
dev/rust.sh
[ -x "$binary" ] || say "cargo compiles asterguard and its crates ($PROFILE): with two cores, two minutes (dev) or six (release)"
$CARGO build --locked --profile "$PROFILE"
