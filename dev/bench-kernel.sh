#!/usr/bin/env bash
# Measures, as root, from the log line to the kernel and after a flush, beside fail2ban.
. "$(dirname "$0")/common.sh"

dev/need.sh build test
dev/rust.sh
# Debian's newest, as of sid: it needs nothing but Python.
ASTERGUARD_FAIL2BAN=$(dev/fail2ban.sh sid)
export ASTERGUARD_FAIL2BAN
say "cargo compiles the bench and runs it: some minutes"
$CARGO bench --locked --bench kernel
