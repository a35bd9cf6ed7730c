#!/usr/bin/env bash
# Fetches the Valkey server of Debian 13, and prints a program that runs it here: with the C library of its own Debian, and
# the other libraries of redis-server, which `dev/need.sh test` installs.
. "$(dirname "$0")/common.sh"

program=$(realpath -m "$target/valkey")/valkey-server
tools=$(dev/package.sh valkey-tools trixie)
libraries=$(dev/package.sh libc6 trixie)/usr/lib/$(uname -m)-linux-gnu
mkdir -p "$(dirname "$program")"
cat >"$program" <<EOF
#!/bin/sh
exec "$(echo "$libraries"/ld-linux*.so.*)" --library-path "$libraries:/usr/lib/$(uname -m)-linux-gnu:/lib/$(uname -m)-linux-gnu" \\
    --argv0 valkey-server "$tools/usr/bin/valkey-check-rdb" "\$@"
EOF
chmod +x "$program"
echo "$program"
