#!/usr/bin/env bash
# asterguard at work, for real: an attack in a log, a ban in the kernel, packets that get no answer,
# and a ban that ends by itself. Everything happens in two network namespaces that are made here and
# removed at the end; this machine's firewall, logs and configuration are not touched.
#
# Usage: demo.sh [path of asterguard]      (as root; `make demo` builds it first)
# Ends with 0 if all was as shown, else with 1.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
guard=$(realpath "${1:-$here/../target/debug/asterguard}")

attacker=198.51.100.15 # guesses passwords, and answered our challenge each time
scanner=198.51.100.42  # a guest who dials numbers that do not exist
framed=192.0.2.66      # did nothing; others write its address into what they send
phone=198.51.100.2     # mistyped a password once

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' grey=$'\e[90m' plain=$'\e[0m'
else
    bold='' green='' red='' grey='' plain=''
fi
title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
say() { printf '%s\n' "$*"; }
show() { sed "s/.*/    $grey&$plain/"; }
ok() { printf '%s  ok  %s %s\n' "$green" "$plain" "$*"; }
fail() {
    printf '%s FAIL %s %s\n' "$red" "$plain" "$*"
    [ ! -s "$work/guard.log" ] || { say "the guard said:" && show <"$work/guard.log"; }
    exit 1
}

[ "$(id -u)" = 0 ] || { say "the demo makes network namespaces: run it as root (sudo demo/demo.sh)"; exit 1; }
for program in $("$here/../dev/need.sh" --list demo); do
    type -P "$program" >/dev/null || { say "\`$program\` is not there: make deps"; exit 1; }
done
[ -x "$guard" ] || { say "$guard is not there: make build"; exit 1; }

# ---------------------------------------------------------------------------------- the small world

work=$(mktemp -d /tmp/asterguard-demo.XXXXXX)
pbx=ag-demo-pbx-$$
world=ag-demo-world-$$
clean_up() {
    for namespace in "$pbx" "$world"; do
        # Whatever runs in there is ours.
        ip netns pids "$namespace" 2>/dev/null | xargs -r kill -9 || true
        ip netns del "$namespace" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

in_pbx() { ip netns exec "$pbx" "$@"; }
in_world() { ip netns exec "$world" "$@"; }

ip netns add "$pbx"
ip netns add "$world"
ip link add wire netns "$pbx" type veth peer name wire netns "$world"
ip -n "$pbx" address add 203.0.113.16/24 dev wire
for host in "$attacker" "$scanner" "$framed" "$phone"; do
    ip -n "$world" address add "$host/32" dev wire
done
for namespace in "$pbx" "$world"; do
    ip -n "$namespace" link set lo up
    ip -n "$namespace" link set wire up
done
ip -n "$world" route add 203.0.113.0/24 dev wire
ip -n "$pbx" route add 198.51.100.0/24 dev wire
ip -n "$pbx" route add 192.0.2.0/24 dev wire

# Waits until a command succeeds, for at most 20 seconds.
until_true() {
    local what=$1 deadline=$((SECONDS + 20))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || fail "waited in vain until $what"
        sleep 0.05
    done
}

# Knocks at the PBX as every host, and checks that those named are left without an answer and all
# others are not.
knock() {
    local silent=$1 fates host
    fates=$(in_world python3 "$here/peer.py" knock "$attacker" "$scanner" "$framed" "$phone")
    show <<<"$fates"
    for host in "$attacker" "$scanner" "$framed" "$phone"; do
        case " $silent " in
        *" $host "*) fate=silence ;;
        *) fate=answered ;;
        esac
        for transport in udp tcp; do
            grep -qx "$host $transport $fate" <<<"$fates" || fail "$host ($transport): not $fate"
        done
    done
}

ip netns exec "$pbx" python3 "$here/peer.py" pbx >"$work/pbx.log" &
disown
until_true "the PBX answers" grep -qs ready "$work/pbx.log"

# ---------------------------------------------------------------------------------------- the guard

title "A PBX at 203.0.113.16, and the guard beside it"
log=$work/messages
socket=$work/asterguard.sock
: >"$log"
# What is built in, with short bans: this is to be over soon.
cat >"$work/asterguard.toml" <<TOML
[default]
logpath = "$log"
unverified = { bantime = "10s" }

[jail.asterisk-guess]
bantime = "10s"
TOML
show <"$work/asterguard.toml"
ip netns exec "$pbx" "$guard" run --config "$work/asterguard.toml" --state-dir "$work/state" \
    --socket "$socket" --user root 2>"$work/guard.log" &
guard_pid=$!
disown
status() { "$guard" status --socket "$socket"; }
following() { [[ $(status 2>/dev/null) == *"messages: following"* ]]; }
until_true "the guard reads the log" following
status | sed 2q | show
knock ''
ok "everybody is answered"

# --------------------------------------------------------------------------------------- the attack

title "Asterisk 16 writes this while it is attacked (demo/attack.log, without dates and ports)"
sed -E "s/^\[[^]]*\] NOTICE\[[^ ]+ //; s/(:[0-9]{5})('|\))/\2/" "$here/attack.log" | uniq -c | show
cat "$here/attack.log" >>"$log"

set_now() { in_pbx nft list set inet asterguard sip4; }
# Not `set_now | grep -q`: grep would hang up on nft, and pipefail take that for "not found".
banned() { [[ $(set_now) == *" $1 "* ]]; }
until_true "$attacker is in the kernel's set" banned "$attacker"
until_true "$scanner is in the kernel's set" banned "$scanner"

title "asterguard status"
status | show
! banned "$framed" || fail "$framed is banned"
! banned "$phone" || fail "$phone is banned"
ok "$attacker and $scanner are banned"
ok "$framed is not, though six lines name it: callers wrote it into what they sent"
ok "$phone is not: one wrong password is a mistake"

title "Knocking at the PBX"
knock "$attacker $scanner"
ok "the banned get no answer, over UDP and TCP; all others do"

title "nft list set inet asterguard sip4"
set_now | show
ok "the kernel has counted what it dropped, and knows when to stop"

# ------------------------------------------------------------------------------------------ its end

title "The guard is killed (kill -9)"
kill -9 "$guard_pid"
gone() { ! kill -0 "$guard_pid" 2>/dev/null; }
until_true "the guard is gone" gone
! status >/dev/null 2>&1 || fail "the guard still answers"
banned "$attacker" || fail "the ban is gone with the guard"
ok "nothing runs any more, and the ban holds"

title "Ten seconds after the ban"
let_go() { ! banned "$attacker" && ! banned "$scanner"; }
until_true "the kernel lets go" let_go
set_now | show
knock ''
ok "the kernel has ended the bans by itself"

title "All was as shown"
