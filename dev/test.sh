#!/usr/bin/env bash
# Runs all tests; as root, those with a real kernel too (in network namespaces of their own).
. "$(dirname "$0")/common.sh"

dev/need.sh build test
dev/rust.sh
[ "$(id -u)" = 0 ] || echo "not root: tests with network namespaces say that they are skipped" >&2
say "cargo compiles all tests and runs them: with two cores, ten minutes from the beginning"
$CARGO test --locked
