#!/usr/bin/env bash
# Measures whole programs that read the same logs: ours, the newest fail2ban of Debian, the newest fail2ban-rs of the Rust
# registry, grep and wc.
. "$(dirname "$0")/common.sh"

dev/need.sh build test
dev/rust.sh
ASTERGUARD_FAIL2BAN=$(dev/fail2ban.sh sid)
peers=${CARGO_TARGET_DIR:-target}/peers
say "cargo installs fail2ban-rs into $peers, to compare with it"
$CARGO install --quiet --root "$peers" fail2ban-rs
ASTERGUARD_FAIL2BAN_RS=$peers/bin/fail2ban-rs
export ASTERGUARD_FAIL2BAN ASTERGUARD_FAIL2BAN_RS
say "cargo compiles the bench and runs it: some minutes"
$CARGO bench --locked --bench peers
