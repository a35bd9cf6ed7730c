//! The page: a table for each family of messages, and one of sums.

use std::fmt::Write;

use crate::fail2ban::Fail2ban;
use crate::judge::Outcome;
use crate::messages::{Message, Record, Tells};
use crate::ours::Asterguard;

/// A message with both answers.
pub struct Row<'a> {
    message: &'a Message,
    /// What stands before fail2ban's columns.
    our_columns: String,
    plain: Outcomes,
    forged: Option<Outcomes>,
}

/// What comes of one sample.
#[derive(Clone, Copy)]
struct Outcomes {
    ours: Outcome,
    theirs: Outcome,
}

impl<'a> Row<'a> {
    pub fn new(message: &'a Message, asterguard: &Asterguard, fail2ban: &Fail2ban) -> Self {
        let outcomes = |record: &Record<'_>| Outcomes {
            ours: Outcome::of(record, &asterguard.verdict(&record.log()).named()),
            theirs: Outcome::of(record, &fail2ban.named(record)),
        };
        Self {
            message,
            our_columns: our_columns(message, asterguard),
            plain: outcomes(&message.plain()),
            forged: message.forged().as_ref().map(outcomes),
        }
    }

    fn outcomes(&self) -> impl Iterator<Item = Outcomes> {
        [Some(self.plain), self.forged].into_iter().flatten()
    }
}

const TOP: &str = "\
# Coverage

What asterguard and fail2ban make of each message that Asterisk 1.2 to 23 writes about hosts. Written
by `make coverage`, which runs asterguard with its shipped rules and `fail2ban-regex` with the filter for
Asterisk that comes with fail2ban, on the same lines: those of [messages.toml](../coverage/messages.toml).
To try one yourself: `asterguard test 'LINE'`, `fail2ban-regex 'LINE' asterisk`.

* *plain*: the message as it is written when a host 203.0.113.9 (or 2001:db8:bad::9) attacks, or one of
  ours, 198.51.100.4, does what is in order.
* *forged*: the same message when its sender wants the innocent host 192.0.2.66 to be banned.

| | |
|---|---|
| **✓** | names the attacker |
| (✓) | names nobody, because another line of the same attempt does: see the note |
| – | names nobody, and misses an attack |
| · | names nobody, which is right: see the note |
| ? | names the attacker, but the same line could name anybody: see the note |
| **✗** | names a host that did nothing wrong |
| **✗✗** | names a host that has nothing to do with it |

Beside our mark stands the verdict: *proven* and *unverified* count; *hearsay*, *ignored*, *tampered*,
*success* (a login) and *none* do not ([what they mean](rules.md#evidence)). With several lines, each has
its own.
";

const HEAD: &str = "
| message | Asterisk | note | asterguard: plain | forged | fail2ban: plain | forged |
|---|---|---|---|---|---|---|
";

/// The whole page.
pub fn write(rows: &[Row<'_>], fail2ban: &str) -> String {
    let mut page = format!("{TOP}\nfail2ban was version {fail2ban}, from the Debian package.\n");
    page.push_str(&sums(rows));
    for family in families(rows) {
        let _ = write!(page, "\n## {}\n{HEAD}", name(family));
        for row in family {
            let theirs = mark(row.plain.theirs);
            let forged = row.forged.map_or("", |forged| mark(forged.theirs));
            let _ = writeln!(page, "{} {theirs} | {forged} |", row.our_columns);
        }
    }
    page
}

/// Message, versions, note and our answers: what a row of the page begins with.
pub fn our_columns(message: &Message, asterguard: &Asterguard) -> String {
    let answer = |record: Record<'_>| {
        let verdict = asterguard.verdict(&record.log());
        let mark = match Outcome::of(&record, &verdict.named()) {
            Outcome::Missed if record.sample.instead.is_some() => "(✓)",
            outcome => mark(outcome),
        };
        format!("{mark} {}", verdict.in_words())
    };
    let forged = message.forged().map(answer).unwrap_or_default();
    format!(
        "| `{}` | {} | {} | {} | {forged} |",
        message.text,
        versions(message),
        note(message),
        answer(message.plain()),
    )
}

fn versions(message: &Message) -> String {
    match (message.since.as_deref(), message.until.as_deref()) {
        (Some(since), Some(until)) if since != until => format!("{since} – {until}"),
        (Some(only), _) | (None, Some(only)) => only.to_owned(),
        (None, None) => String::new(),
    }
}

/// Why nobody is named, where that needs a reason.
fn note(message: &Message) -> String {
    let samples = message.records().map(|record| record.sample);
    let reasons = samples.flat_map(|sample| [sample.instead.clone(), sample.todo.clone()]);
    let mut notes: Vec<_> = message.why.clone().into_iter().chain(reasons.flatten()).collect();
    notes.dedup();
    notes.join(" ")
}

fn mark(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Caught => "**✓**",
        Outcome::Missed => "–",
        Outcome::Silent => "·",
        Outcome::Lucky => "?",
        Outcome::Overdone => "**✗**",
        Outcome::WrongHost => "**✗✗**",
    }
}

fn families<'r, 'a>(rows: &'r [Row<'a>]) -> impl Iterator<Item = &'r [Row<'a>]> {
    rows.chunk_by(|a, b| a.message.family == b.message.family)
}

fn name<'a>(family: &[Row<'a>]) -> &'a str {
    family.first().map_or("", |row| &row.message.family)
}

/// How many messages of attacks each of the two catches, and for how many it names whom it must not.
fn sums(rows: &[Row<'_>]) -> String {
    let mut table = "
| family | messages | of attacks | asterguard catches | fail2ban catches | asterguard names wrongly | fail2ban names wrongly |
|---|--:|--:|--:|--:|--:|--:|
"
    .to_owned();
    for family in families(rows) {
        let _ = writeln!(table, "| {} | {} |", name(family), sums_of(family));
    }
    let _ = writeln!(table, "| **all** | {} |", sums_of(rows));
    table.push_str(
        "\n*Catches*: by the plain line. *Names wrongly*: **✗** or **✗✗**, by the plain line or the forged one.\n",
    );
    table
}

/// The families of which asterguard does not catch more than fail2ban.
pub fn families_behind<'a>(rows: &[Row<'a>]) -> Vec<&'a str> {
    let behind = |family: &&[Row<'_>]| {
        caught(family, |row| row.plain.ours) <= caught(family, |row| row.plain.theirs)
    };
    families(rows).filter(behind).map(name).collect()
}

fn caught(rows: &[Row<'_>], answer: impl Fn(&Row<'_>) -> Outcome) -> usize {
    rows.iter().filter(|row| answer(row) == Outcome::Caught).count()
}

fn sums_of(rows: &[Row<'_>]) -> String {
    let count = |of: &dyn Fn(&Row<'_>) -> bool| rows.iter().filter(|row| of(row)).count();
    [
        rows.len(),
        count(&|row| row.message.tells == Tells::Attack),
        caught(rows, |row| row.plain.ours),
        caught(rows, |row| row.plain.theirs),
        count(&|row| row.outcomes().any(|outcomes| outcomes.ours.is_harmful())),
        count(&|row| row.outcomes().any(|outcomes| outcomes.theirs.is_harmful())),
    ]
    .map(|sum| sum.to_string())
    .join(" | ")
}
