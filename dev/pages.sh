#!/usr/bin/env bash
# Writes manual pages, completions, and the notices of the crates that the program is linked with.
. "$(dirname "$0")/common.sh"

dev/need.sh build pages
dev/rust.sh
rm -rf "$pages"
say "cargo compiles what writes manual pages and completions: with two cores, up to two minutes the first time"
$CARGO run --locked --quiet --example pages -- "$pages"
packaging/notices.py >"$pages/NOTICES"
