#!/usr/bin/env bash
# Installs the programs that jobs need and that are not there (by apt-get, as root).
#
#   need.sh JOB...      the jobs of dev/programs
#   need.sh --list JOB  only names the programs of a job
. "$(dirname "$0")/common.sh"

# The programs of a job, with their packages.
of() { awk -v job="$1" '!/^#/ { for (i = 3; i <= NF; i++) if ($i == job) print $1, $2 }' dev/programs; }

if [ "$1" = --list ]; then
    of "$2" | cut -d' ' -f1
    exit
fi

programs=() packages=()
for job in "$@"; do
    while read -r program package; do
        # Not command -v, which finds what the shell has built in.
        type -P "$program" >/dev/null || { programs+=("$program") && packages+=("${package//,/ }"); }
    done < <(of "$job")
done
[ ${#programs[@]} -gt 0 ] || exit 0
mapfile -t programs < <(printf '%s\n' "${programs[@]}" | sort -u)
mapfile -t packages < <(printf '%s\n' "${packages[@]}" | tr ' ' '\n' | sort -u)

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Not here: ${programs[*]}. On Debian and Ubuntu, as root: apt-get install ${packages[*]}" >&2
    exit 1
fi
say "not here: ${programs[*]}. apt-get installs ${packages[*]}, which takes up to a minute"
apt-get update -qq
# A program is needed, and no service: what is installed here starts none (a Prometheus, for example).
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi
# What packages say while they are set up is of interest only if it fails.
export DEBIAN_FRONTEND=noninteractive
said=$(apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "${packages[@]}" 2>&1) || { echo "$said" >&2; exit 1; }
