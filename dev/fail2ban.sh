#!/usr/bin/env bash
# Fetches fail2ban's package, to compare with it, and prints where it is. It is only asked, so it is unpacked and
# not installed: installed, it would start and ban. apt-get need not become another user for that.
. "$(dirname "$0")/common.sh"

place=$(realpath -m "$target/fail2ban")
if [ ! -d "$place" ]; then
    say "apt-get fetches fail2ban's package: up to a minute"
    rm -rf "$place.new"
    mkdir -p "$place.new"
    fetch() { (cd "$place.new" && apt-get -qq -o APT::Sandbox::User=root download fail2ban) >&2; }
    fetch 2>/dev/null || { apt-get update -qq && fetch; }
    dpkg-deb -x "$place.new"/fail2ban_*.deb "$place.new"
    mv "$place.new" "$place"
fi
echo "$place"
