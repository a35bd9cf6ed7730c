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
# What is known of texts that are not given now stays.
awk 'NR == FNR { seen[$1] = 1; print; next } !($1 in seen)' "$list.new" "$list" | LC_ALL=C sort >"$list.all"
mv "$list.all" "$list"
rm "$list.new"
