#!/usr/bin/env bash
# Writes docs/coverage.md: each message, and what fail2ban makes of it.
. "$(dirname "$0")/common.sh"

dev/need.sh build pages
dev/rust.sh
fail2ban=$(dev/fail2ban.sh)
say "cargo compiles what writes it, the first time for minutes; then fail2ban is asked about each message"
$CARGO run --locked --quiet --example coverage -- "$fail2ban"
