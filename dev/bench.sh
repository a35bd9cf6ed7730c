#!/usr/bin/env bash
# Measures the parts by themselves, then from a log file to the decision, beside fail2ban.
. "$(dirname "$0")/common.sh"

dev/need.sh build test
dev/rust.sh
# Debian's newest, as of sid: it needs nothing but Python.
ASTERGUARD_FAIL2BAN=$(dev/fail2ban.sh sid)
export ASTERGUARD_FAIL2BAN
say "cargo compiles the benches and runs them: some minutes"
set -x
$CARGO bench --locked --bench parts -- --quick --noplot
$CARGO bench --locked --bench pipeline
