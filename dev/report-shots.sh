#!/usr/bin/env bash
# Shows the page of `asterguard report` in a browser: in two widths, light and dark, and on paper, where it must have one
# page of A4. The week is that of a test, and a hostile one. Two of the pictures are in the documentation.
. "$(dirname "$0")/common.sh"

dev/need.sh build report-shots
shots=$target/report
mkdir -p "$shots"
say "the pages come from the test of a week"
PAGES=$(realpath "$shots") $CARGO test --locked --quiet --lib week_tests >/dev/null

# Chromium has no sandbox of its own for root.
browser=(chromium --headless --disable-gpu --hide-scrollbars --virtual-time-budget=1000)
[ "$(id -u)" != 0 ] || browser+=(--no-sandbox)
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
browse() { HOME=$home "${browser[@]}" --user-data-dir="$home/data" "$@" >/dev/null 2>&1; }

# A window is 500 wide at least, so a telephone is a frame in one.
framed() { printf '<!DOCTYPE html><style>body{margin:0;background:#999;text-align:center}</style><iframe src="%s" style="border:0;width:400px;height:3600px"></iframe>' "$1"; }

for page in full plain empty; do
    url=file://$(realpath "$shots/$page.html")
    framed "$page.html" >"$shots/$page-frame.html"
    browse --screenshot="$shots/$page-wide.png" --window-size=1200,1700 "$url"
    browse --screenshot="$shots/$page-dark.png" --window-size=1200,1700 --blink-settings=preferredColorScheme=0 "$url"
    browse --screenshot="$shots/$page-narrow.png" --window-size=500,3600 "file://$(realpath "$shots/$page-frame.html")"
    browse --print-to-pdf="$shots/$page.pdf" --no-pdf-header-footer "$url"
    paper=$(pdfinfo "$shots/$page.pdf")
    if ! grep -Eq '^Pages: +1$' <<<"$paper" || ! grep -q A4 <<<"$paper"; then
        echo "$shots/$page.pdf is not one page of A4: $(grep -E '^Page' <<<"$paper" | tr '\n' ' ')" >&2
        exit 1
    fi
    pdftoppm -r 100 -png -singlefile "$shots/$page.pdf" "$shots/$page-paper"
done
browse --screenshot="$shots/docs-wide.png" --window-size=1200,1250 "file://$(realpath "$shots/plain.html")"
browse --screenshot="$shots/docs-narrow.png" --window-size=500,1300 "file://$(realpath "$shots/plain-frame.html")"
for name in wide narrow; do pngquant --force --output "docs/report-$name.png" 32 "$shots/docs-$name.png"; done
say "see $shots, and docs/report-{wide,narrow}.png"
