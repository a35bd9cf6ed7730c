#!/usr/bin/env bash
# Checks docs/grafana.json against the types that Grafana publishes for its dashboards (npm: @grafana/schema, Apache-2.0).
. "$(dirname "$0")/common.sh"

dev/need.sh dashboard
types=$target/dashboard
mkdir -p "$types"
echo '{"private": true}' >"$types/package.json"
say "npm fetches @grafana/schema and typescript"
(cd "$types" && npm install --silent --no-audit --no-fund @grafana/schema@13.2.3 typescript@5)
{
    echo "import type { Dashboard, Panel, RowPanel } from '@grafana/schema';"
    # Names of enums are strings in JSON.
    # shellcheck disable=SC2016
    echo 'type Json<T> = T extends string ? `${T}` : T extends number ? number : T extends (infer U)[] ? Json<U>[]'
    echo '    : T extends object ? { [K in keyof T]: Json<T[K]> } : T;'
    echo "const dashboard = $(cat docs/grafana.json) satisfies Json<Dashboard>;"
    echo 'const panels: Json<Panel | RowPanel>[] = dashboard.panels; void panels;'
} >"$types/check.ts"
"$types/node_modules/.bin/tsc" --noEmit --strict --skipLibCheck --moduleResolution bundler --module esnext --target es2022 \
    "$types/check.ts"
say "docs/grafana.json is a dashboard as Grafana's types have it"
