//! The page: a table for each family of messages, and two of sums.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use anyhow::Result;

use crate::judge::{Judged, Outcome};
use crate::messages::{Message, Record};
use crate::others::Other;
use crate::ours::Asterguard;

/// A message with all answers.
pub struct Row<'a> {
    message: &'a Message,
    /// What stands before the columns of other programs.
    our_columns: String,
    judged: Judged,
    /// Whom each of the others names: by the plain line, and by the forged one.
    others: Vec<Answers>,
}

/// What comes of the samples.
struct Answers {
    plain: Outcome,
    forged: Option<Outcome>,
}

impl<'a> Row<'a> {
    pub fn new(message: &'a Message, asterguard: &Asterguard, others: &[Other]) -> Result<Self> {
        let judged = Judged::of(message, asterguard)?;
        let answers = |other: &Other| {
            let outcome = |record: &Record<'_>| Outcome::of(record, &other.named(record));
            Answers {
                plain: outcome(&message.plain()),
                forged: message.forged().as_ref().map(outcome),
            }
        };
        Ok(Self {
            message,
            our_columns: our_columns(message, &judged, asterguard)?,
            others: others.iter().map(answers).collect(),
            judged,
        })
    }

    /// Whether attackers bring it about.
    fn by_attackers(&self) -> bool {
        self.message.exchange().is_some()
    }

    /// Whether it names its sender.
    fn names(&self, named: &BTreeSet<IpAddr>) -> bool {
        self.by_attackers() && Outcome::of(&self.message.plain(), named).names_sender()
    }

    fn by_text(&self) -> bool {
        self.names(&self.judged.text.named)
    }

    /// Whether the line tells of its sender, though it does not count.
    fn only_told(&self) -> bool {
        self.by_attackers() && !self.by_text() && {
            self.judged.text.tells_of(self.message.plain().source)
        }
    }

    fn with_exchanges(&self) -> bool {
        self.judged.attacked.as_ref().is_some_and(|verdict| self.names(&verdict.named))
    }

    fn by_other(&self, index: usize) -> bool {
        self.by_attackers() && self.others.get(index).is_some_and(|it| it.plain.names_sender())
    }

    fn other_harms(&self, index: usize) -> bool {
        self.others.get(index).is_some_and(|Answers { plain, forged }| {
            plain.is_harmful() || forged.is_some_and(Outcome::is_harmful)
        })
    }
}

const TOP: &str = "\
# Coverage

The messages that Asterisk 1.2 to 23 writes about hosts, and what guards make of them. A row is a message in the
wording of some versions. Refusals that leave no line have a row too (*no line*): what nobody can read is not left
out of the count. The rows are those of [messages.toml](../coverage/messages.toml). Written by `make coverage`.

How each column comes about:

* **text alone**: asterguard reads the line with its shipped rules, as `replay` does without a capture.
* **with exchanges**: it sees the exchange that brings the message about, too, as `replay --pcap` and the running guard
  do. Column *answer of the PBX*: `REGISTER+ 403` is a REGISTER with credentials for the nonce before, answered by 403;
  `REGISTER*` has credentials for a nonce that was never sent. They come from Asterisk's sources
  ([exchanges.toml](../coverage/exchanges.toml)), are written as packets have them, paired and counted by the same
  code that does so for packets, and joined with the line. chan_pjsip is seen by HEP, chan_sip on the wire: over UDP and
  TCP only. AMI, HTTP and IAX2 are not seen: there, the line stands alone. A line about SIP that has no exchange beside it
  counts for nothing here, even if it does by text alone: where exchanges are seen, they are the evidence.
  A **✗** in this column: a phone of ours that brings the message about is counted, see the note.
* **fail2ban**: `fail2ban-regex` with the filter for Asterisk that comes with it, on the same lines. The older version
  is that of this Debian, the newer one that of Debian's sid.
* **CrowdSec**: `crowdsec` with the collection `crowdsecurity/asterisk` of the hub that Debian ships with it; what its
  scenarios count. Debian has no newer one.

To try one yourself: `asterguard test 'LINE'`, `fail2ban-regex 'LINE' asterisk`, `cscli explain --log 'LINE' --type
asterisk`.

Each program is asked about two samples. *Plain*: the message as it is written when a host 203.0.113.9 (or
2001:db8:bad::9) attacks, or one of ours, 198.51.100.4, does what is in order. *Forged*: the same message when its sender
wants the innocent host 192.0.2.66 to be banned. Where there are two marks, the second is of the forged sample.

| | |
|---|---|
| **✓** | names the attacker |
| (✓) | names nobody, because another line of the same attempt does: see the note |
| – | names nobody, and misses an attack |
| · | names nobody, which is right by this line: see the note |
| ? | names the attacker, but the same line could name anybody: see the note |
| **✗** | names a host that did nothing wrong |
| **✗✗** | names a host that has nothing to do with it |

Beside our mark stands the verdict: *proven* and *unverified* count; *hearsay*, *ignored*, *tampered*,
*success* (a login) and *none* do not ([what they mean](rules.md#evidence)). With several lines, each has
its own. *Challenge unanswered* has a limit of its own, ten in ten minutes ([the jail
asterisk-probe](configuration.md#jails-that-are-built-in)). The kernel's lines are judged with the jail that
rules/kernel-firewall.toml describes.
";

/// The whole page.
pub fn write(rows: &[Row<'_>], others: &[Other]) -> String {
    let mut page = TOP.to_owned();
    page.push_str(&sums(rows, others));
    page.push_str(&harm(rows, others));
    let names: Vec<_> = others.iter().map(|other| other.name.as_str()).collect();
    for family in families(rows) {
        let _ = write!(
            page,
            "\n## {}\n\n| message | Asterisk | note | text alone: plain | forged | answer of the PBX | with exchanges | {} |\n|---|---|---|---|---|---|---|{}\n",
            name(family),
            names.join(" | "),
            "---|".repeat(names.len()),
        );
        for row in family {
            page.push_str(&row.our_columns);
            for Answers { plain, forged } in &row.others {
                let forged = forged.map_or(String::new(), |forged| format!(" {}", mark(forged)));
                let _ = write!(page, " {}{forged} |", mark(*plain));
            }
            page.push('\n');
        }
    }
    page
}

/// Message, versions, note and our answers: what a row of the page begins with.
pub fn our_columns(message: &Message, judged: &Judged, asterguard: &Asterguard) -> Result<String> {
    let answer = |record: Record<'_>| {
        let verdict = asterguard.by_text(&record);
        let mark = match Outcome::of(&record, &verdict.named) {
            Outcome::Missed if record.sample.instead.is_some() => "(✓)",
            outcome => mark(outcome),
        };
        let line = record.sample.line.is_empty();
        if line { format!("{mark} no line") } else { format!("{mark} {}", verdict.in_words()) }
    };
    let forged = message.forged().map(answer).unwrap_or_default();
    let script = message.exchange().map(|name| asterguard.script(name)).transpose()?;
    let (answered, attacked) = match (script, &judged.attacked) {
        (Some(script), Some(verdict)) => {
            let outcome = match verdict.ground() {
                Some(ground) => format!("**✓** {ground}"),
                None if message.plain().sample.instead.is_some() => "(✓)".to_owned(),
                None => "–".to_owned(),
            };
            (script.in_words(), outcome)
        }
        _ => Default::default(),
    };
    let mistaken = if judged.harm[1].is_empty() { "" } else { " **✗**" };
    Ok(format!(
        "| `{}` | {} | {} | {} | {forged} | {answered} | {attacked}{mistaken} |",
        message.text,
        versions(message),
        note(message),
        answer(message.plain()),
    ))
}

fn versions(message: &Message) -> String {
    match (message.since.as_deref(), message.until.as_deref()) {
        (Some(since), Some(until)) if since != until => format!("{since} – {until}"),
        (Some(only), _) | (None, Some(only)) => only.to_owned(),
        (None, None) => String::new(),
    }
}

/// Why nobody is named, or somebody is, where that needs a reason.
fn note(message: &Message) -> String {
    let samples = message.records().map(|record| record.sample);
    let reasons = samples.flat_map(|sample| [sample.instead.clone(), sample.todo.clone()]);
    let mut notes: Vec<_> = message.why.clone().into_iter().chain(reasons.flatten()).collect();
    notes.extend(message.mistaken.clone());
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

fn count<'a>(rows: &[Row<'a>], which: impl Fn(&Row<'a>) -> bool) -> usize {
    rows.iter().filter(|row| which(row)).count()
}

/// A table with a line for each family and one for all.
fn table<'a>(
    rows: &[Row<'a>],
    head: &str,
    columns: usize,
    line: impl Fn(&[Row<'a>]) -> Vec<usize>,
) -> String {
    let mut table = format!("| family | {head} |\n|---|{}\n", "--:|".repeat(columns));
    let numbers =
        |rows: &[Row<'a>]| line(rows).iter().map(usize::to_string).collect::<Vec<_>>().join(" | ");
    for family in families(rows) {
        let _ = writeln!(table, "| {} | {} |", name(family), numbers(family));
    }
    let _ = writeln!(table, "| **all** | {} |", numbers(rows));
    table
}

/// Of how many messages that attackers bring about each program counts the sender.
pub fn sums(rows: &[Row<'_>], others: &[Other]) -> String {
    let names: Vec<_> = others.iter().map(|other| other.name.as_str()).collect();
    let head = format!(
        "messages | attackers bring about | asterguard, text alone | only told | asterguard, with exchanges | {}",
        names.join(" | ")
    );
    let table = table(rows, &head, 5 + others.len(), |rows| {
        let mut line = vec![
            rows.len(),
            count(rows, Row::by_attackers),
            count(rows, Row::by_text),
            count(rows, Row::only_told),
            count(rows, Row::with_exchanges),
        ];
        line.extend((0..others.len()).map(|other| count(rows, |row| row.by_other(other))));
        line
    });
    format!(
        "\n## Who is counted\n\n{table}
*Attackers bring about*: all messages that somebody without an account can cause, also those that name nobody, that are
written at VERBOSE only, or that phones of ours cause as well. A program gets the point for each of them by whose plain
line its sender counts, be that right (**✓**), luck (?) or too much (**✗**). *Only told*: as hearsay, in `replay` and
`explain`.
"
    )
}

/// For how many messages each program names whom it must not.
pub fn harm(rows: &[Row<'_>], others: &[Other]) -> String {
    let names: Vec<_> = others.iter().map(|other| other.name.as_str()).collect();
    let head =
        format!("asterguard, text alone | asterguard, with exchanges | {}", names.join(" | "));
    let table = table(rows, &head, 2 + others.len(), |rows| {
        let mut line: Vec<_> = (0..2)
            .map(|way| count(rows, |row| row.judged.harm.get(way).is_some_and(|it| !it.is_empty())))
            .collect();
        line.extend((0..others.len()).map(|other| count(rows, |row| row.other_harms(other))));
        line
    });
    format!(
        "\n## Who is counted wrongly\n\n{table}
Of all messages: **✗** or **✗✗**, by the plain sample or the forged one. With exchanges, a phone of ours that brings the
message about has its own exchange: `innocent` in messages.toml.
"
    )
}

/// The families of which asterguard counts less, with exchanges, than another program.
pub fn families_behind(rows: &[Row<'_>], others: &[Other]) -> Vec<String> {
    let behind = |family: &[Row<'_>], other: usize| {
        count(family, Row::with_exchanges) < count(family, |row| row.by_other(other))
    };
    let pairs = families(rows).flat_map(|family| {
        let others = others.iter().enumerate();
        others.filter(move |(at, _)| behind(family, *at)).map(move |(_, other)| (family, other))
    });
    pairs.map(|(family, other)| format!("{} ({})", name(family), other.name)).collect()
}

/// The sums of the whole, to be said at the end.
pub fn in_short(rows: &[Row<'_>], others: &[Other]) -> String {
    let mut said = format!(
        "{} messages, {} by attackers; asterguard counts {} by text alone, {} with exchanges",
        rows.len(),
        count(rows, Row::by_attackers),
        count(rows, Row::by_text),
        count(rows, Row::with_exchanges),
    );
    for (at, other) in others.iter().enumerate() {
        let _ = write!(said, "; {} {}", other.name, count(rows, |row| row.by_other(at)));
    }
    said
}
