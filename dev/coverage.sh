#!/usr/bin/env bash
# Writes docs/coverage.md: each message, and what fail2ban and CrowdSec make of it. As root: CrowdSec gets a network
# namespace of its own.
. "$(dirname "$0")/common.sh"

dev/need.sh build pages coverage
dev/rust.sh
fail2ban=$(dev/fail2ban.sh)
newest=$(dev/fail2ban.sh sid)
crowdsec=$(dev/package.sh crowdsec)
say "cargo compiles what writes it, the first time for minutes; then the others are asked about each message"
$CARGO run --locked --quiet --example coverage -- "$fail2ban" "$newest" "$crowdsec"
