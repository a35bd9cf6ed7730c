#!/usr/bin/env bash
# The long forms of tests (tests/README.md says which).
#
#   MESSAGES, SOURCES, RELOADS, BANS, KILLS, ROTATIONS  how many
#   SEED   each run makes other messages, unless it is given one, which a failure names
#   TORN   each so many-th byte of the state file is where it is torn
. "$(dirname "$0")/common.sh"

dev/need.sh build test
dev/rust.sh
export SEED=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
long() { $CARGO test --locked --release "$@"; }

say "the long forms of tests, each after it is compiled: an hour at most"
MESSAGES=${MESSAGES:-10000000} long --test hostile -- --nocapture --test-threads=1 nobody_
long --test slow_lines -- --nocapture
export SOURCES=${SOURCES:-10000000}
long --test many_sources -- --nocapture
long --test guard -- --nocapture very_many_strangers
RELOADS=${RELOADS:-1000} long --test guard -- --nocapture under_load_every_line
BANS=${BANS:-100000} long --test guard -- --nocapture refresh_with_very_many
KILLS=${KILLS:-1000} long --test guard -- --nocapture nothing_is_lost
# In memory, as each of some hundred thousand files is written for a moment only.
memory=$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")
TMPDIR=$memory TORN=${TORN:-1} long --lib -- --nocapture torn_anywhere
# 50 000 lines a second into files that stay in use for 20 ms each.
ROTATIONS=${ROTATIONS:-10000} long --test follow -- --nocapture --test-threads=1 under_load
echo "make soak took $((SECONDS / 60)) minutes"
