#!/usr/bin/env bash
# Measures how long it takes to join a fleet with 100,000 bans, and to tell five guards of one.
. "$(dirname "$0")/common.sh"

dev/need.sh build test
dev/rust.sh
say "cargo compiles the program with optimisations and runs it: some minutes"
$CARGO test --locked --release --test fleet -- --ignored --nocapture --test-threads 1
