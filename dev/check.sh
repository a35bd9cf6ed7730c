#!/usr/bin/env bash
# Checks formatting, lints, and the licences and sources of dependencies.
. "$(dirname "$0")/common.sh"

dev/need.sh build
dev/rust.sh
cargo_tool cargo-deny 0.20.2

set -x
$CARGO fmt --check
$CARGO clippy --locked --all-targets -- -D warnings
# The check of advisories is left out because it needs a clone of the advisory database, and so a network
# that allows that.
$CARGO deny --locked check licenses bans sources
