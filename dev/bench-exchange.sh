#!/usr/bin/env bash
# Measures, as root, from Asterisk's refusal to the kernel, and what exchanges cost, by the wire and by HEP.
. "$(dirname "$0")/common.sh"

dev/need.sh build test
dev/rust.sh
say "cargo compiles the bench and runs it: some minutes"
$CARGO bench --locked --bench exchange
