#!/usr/bin/env bash
# Builds one file for every Linux of this machine's architecture. Its C library (musl) looks names up in /etc/hosts
# and DNS only.
. "$(dirname "$0")/common.sh"

dev/need.sh build static
dev/rust.sh
triple=$(uname -m)-unknown-linux-musl
rustup target add "$triple"
say "cargo compiles asterguard and its crates ($PROFILE, $triple): with two cores, up to six minutes"
$CARGO build --locked --profile "$PROFILE" --target "$triple"
ls -l "$target/$triple/$built/asterguard"
