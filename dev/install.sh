#!/usr/bin/env bash
# Installs what `make build pages` made, with a default configuration and systemd units, for systems without a package
# of their own. It needs no Rust: build first, then install as root.
#
#   install.sh           into PREFIX; DESTDIR is put before all paths
#   install.sh --remove  removes what was installed, except /etc/asterguard
. "$(dirname "$0")/common.sh"

prefix=${PREFIX:-/usr/local}
units=$prefix/lib/systemd/system
user=$prefix/lib/sysusers.d/asterguard.conf
share=$prefix/share
# In each shell's own place; the files' names are those in $pages/completions.
declare -A completions=(
    [asterguard.bash]=$share/bash-completion/completions/asterguard
    [_asterguard]=$share/zsh/site-functions/_asterguard
    [asterguard.fish]=$share/fish/vendor_completions.d/asterguard.fish
)
root=${DESTDIR:-}
# put MODE FILE PLACE
put() { install -D -m "$1" "$2" "$root$3"; }

if [ "${1:-}" = --remove ]; then
    rm -f "$root$prefix/bin/asterguard" "$root$user" "${completions[@]/#/$root}"
    for unit in packaging/systemd/*.{service,socket,timer}; do rm -f "$root$units/${unit##*/}"; done
    rm -f "$root$share"/man/man8/asterguard{,-*}.8 "$root$share/man/man5/asterguard.toml.5"
    rm -rf "$root$share/asterguard"
    echo "Left: /etc/asterguard, /var/lib/asterguard, the user asterguard, and bans in force (to end them:"
    echo "nft delete table inet asterguard)"
    exit
fi

[ -x "$binary" ] && [ -d "$pages" ] || { echo "$binary or $pages is not there yet: make build pages" >&2; exit 1; }
put 755 "$binary" "$prefix/bin/asterguard"
install -d "$root$units"
for unit in packaging/systemd/*.{service,socket,timer}; do
    sed "s|/usr/bin/asterguard|$prefix/bin/asterguard|" "$unit" >"$root$units/${unit##*/}"
done
put 644 packaging/systemd/asterguard.conf "$user"
for file in rules/*.toml nft/*.nft; do put 644 "$file" "$share/asterguard/$file"; done
for file in docs/grafana.json docs/alerts.yml; do put 644 "$file" "$share/asterguard/${file##*/}"; done
for page in "$pages"/man/*; do put 644 "$page" "$share/man/man${page##*.}/${page##*/}"; done
for file in "${!completions[@]}"; do put 644 "$pages/completions/$file" "${completions[$file]}"; done
# A configuration that is there is yours.
for file in asterguard.toml conf.d/README rules.d/README; do
    [ -e "$root/etc/asterguard/$file" ] || put 644 "packaging/etc/$file" "/etc/asterguard/$file"
done
echo "Installed into $root$prefix. Now, with systemd:"
echo "  systemd-sysusers $user; usermod -aG asterisk asterguard"
echo "  systemctl daemon-reload; systemctl enable --now asterguard-names.socket asterguard-journal.socket asterguard-ami.socket asterguard-notify.socket asterguard-fleet.socket asterguard-restore asterguard"
echo "Elsewhere: docs/install.md"
