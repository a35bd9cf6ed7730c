#!/usr/bin/env bash
# Writes src/fail2ban/stock-hashes.txt: hashes of the failregexes for Asterisk in the fail2ban of each Debian, and in
# TEXTs (NAME=FILE: pages on the web with older ones). Nothing of the originals is kept.
#
#   stock.sh [NAME=FILE...]
. "$(dirname "$0")/common.sh"

versions=()
for suite in bullseye bookworm trixie sid; do
    place=$(dev/fail2ban.sh $suite)
    versions+=("debian-$suite=$place/etc/fail2ban")
done
list=src/fail2ban/stock-hashes.txt
$CARGO run --locked --quiet --example stock -- "${versions[@]}" "$@" >"$list.new"
mv "$list.new" "$list"
