#!/usr/bin/env bash
# Fetches fail2ban's package, to compare with it, and prints where it is: that of this Debian, or of the SUITE that is
# given (sid has the newest).
exec "$(dirname "$0")/package.sh" fail2ban "$@"
