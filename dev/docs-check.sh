#!/usr/bin/env bash
# Checks the spelling and style of README and docs, and the spelling of help texts, with the word lists in dev/words.
#
#   codespell  finds misspelled words. Words that it must accept are in dev/words/accepted.
#   diction    finds words and phrases that are hard to read, those of dev/words/phrases, and doubled words.
#   style      finds sentences that are too long.
#   links.pl   finds links that lead nowhere.
#
#   docs-check.sh         checks all of them
#   docs-check.sh PAGE... only these pages
. "$(dirname "$0")/common.sh"

# A sentence has at most this many words.
longest=40
# The page whose style is not checked: its tables have messages of Asterisk.
excepted=(docs/coverage.md)

dev/need.sh docs

pages=("$@")
if [ $# = 0 ]; then
    for page in README.md CONTRIBUTING.md SECURITY.md docs/*.md; do
        [[ " ${excepted[*]} " = *" $page "* ]] || pages+=("$page")
    done
fi

# The text of a page, with its line numbers: no code, no addresses of links, and each heading, item of a list and cell of
# a table as a sentence, with a capital letter at its start. Only such sentences are looked at by diction and style.
sentences() {
    perl -0777 -pe '
        sub blank { (my $lines = shift) =~ s/[^\n]//g; $lines }
        s/^```.*?^```$/blank($&)/gemsx;
        s/<!--.*?-->/blank($&)/ges;
        s/(?<=\n\n)((?:\ {4}[^\n]*\n|\n)+)/blank($1)/ge;
        my $code = "a";  # another word each time, since two in a row are no doubled word
        s/``.*?``|`[^`]*`|\[[^]\s]*\.md\]/"Code" . $code++ . blank($&)/ge;
        s/\]\([^)\s]*\)/]/g;
        s/(?<![.?!:\n])\n(?=\s*(?:\*|\d+\.)\ )/.\n/g;
        s/[][*#]//g;
        s/^\|[-:| ]+\|$//gm;
        s/^\| ?//gm;
        s/ \|(?=\s)/./g;
        s/(?<![.?!:,\n])\n(?=\n|\z)/.\n/g;
        s/(\A\s*|[.?!]\)?\s+)(?=[^A-Z\s])/$1Here /g;
    ' "$1"
}

bad=0
perl dev/links.pl "${pages[@]}" || bad=1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for page in "${pages[@]}"; do
    sentences "$page" >"$work/page"
    found=$(diction --suggest --no-default-file --file dev/words/phrases --quiet "$work/page")
    if ! grep -q '^No phrases in ' <<<"${found##*$'\n'}"; then
        awk -v page="$page:" 'NF && !/^[0-9]+ phrases? in/ { print page $0 }' <<<"$found"
        bad=1
    fi
    found=$(style --print-long="$longest" "$work/page" | sed -nE "s|^[^:]*/page:([0-9]+): (.*)|$page:\1: more than $longest words: \2|p")
    [ -z "$found" ] || { printf '%s\n' "$found"; bad=1; }
done

# Everything that people read: pages, help texts and messages in the source, examples, and texts of the package.
[ $# -gt 0 ] || pages=(README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs src dev demo/demo.sh packaging rules Makefile)
codespell --builtin clear,rare --ignore-words dev/words/accepted --skip '*.log' "${pages[@]}" || bad=1

[ $bad = 0 ] || say "a page says something that is hard to read, or is misspelled: see above, and dev/words"
exit $bad
