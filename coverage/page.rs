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
# Which Asterisk messages count?

This page has the messages that Asterisk 1.2 to 23 writes about hosts, and shows what asterguard, fail2ban and CrowdSec
do with each. First come two tables of sums, then [how to read the tables](#how-to-read-the-tables), then a table for
each family of messages. `make coverage` writes this page from [messages.toml](../coverage/messages.toml).
";

const LEGEND: &str = "
## How to read the tables

A row is a message in the words of some versions. If Asterisk refuses a host and writes no line, there is a row too
(*no line*). A refusal that nobody can read in a log is not left out of the count.

Each program gets two samples of each message:

* *Plain*: the message as Asterisk writes it when the host 203.0.113.9 (or 2001:db8:bad::9) attacks. If the message is
  not about an attack, it is about the harmless host 198.51.100.4.
* *Forged*: the same message when its sender wants the innocent host 192.0.2.66 to be banned.

Where a cell has two marks, the second is about the forged sample.

| mark | the program |
|---|---|
| **✓** | names the attacker |
| (✓) | names nobody, because another line of the same attempt names the attacker: see the note |
| – | names nobody, and misses an attack |
| · | names nobody, which is right for this line: see the note |
| ? | names the attacker, but the same line could name anybody: see the note |
| **✗** | names a host that did nothing wrong |
| **✗✗** | names a host that has nothing to do with the message |

After asterguard's mark comes its verdict ([what it means](rules.md#evidence)). Verdicts with `proven` and `unverified`
count. `hearsay` (untrusted), `ignored`, `tampered` (ambiguous), `success` (a login) and `none` do not count. If there
are several lines, each has its own verdict. *Challenge unanswered* has its own limit, ten in ten minutes ([the jail
asterisk-probe](configuration.md#jails-that-are-built-in)). For the kernel's lines, the jail is used that
rules/kernel-firewall.toml describes.

The columns:

* **text alone**: asterguard reads only the line, with its built-in rules. `replay` without a capture does the same.
* **answer of the PBX**: what Asterisk answers when this message is written. `REGISTER+ 403` is a REGISTER with
  credentials for the nonce before, answered by 403. `REGISTER*` has credentials for a nonce that was never sent. These
  exchanges come from Asterisk's sources ([exchanges.toml](../coverage/exchanges.toml)).
* **with exchanges**: asterguard sees the line and this exchange. `replay --pcap` and the running service do the same.
  The exchanges are written as packets, and the same code as for real packets reads and counts them.
  * chan_pjsip is seen by HEP. chan_sip is seen in network traffic, over UDP and TCP only. AMI, HTTP and IAX2 are not
    seen here, so their lines stand alone.
  * A line about SIP without an exchange counts for nothing here, even if it counts by text alone. Where exchanges are
    seen, they are the evidence.
  * A **✗** in this column: a harmless phone that causes the message is counted too. See the note.
* **fail2ban**: `fail2ban-regex` reads the same lines with the filter for Asterisk that comes with it. The older version
  is that of the Debian on which this page was written. The newer one is that of Debian sid.
* **CrowdSec**: what the scenarios of `crowdsec` count, with the collection `crowdsecurity/asterisk` of the hub that
  Debian ships with it. Debian has no newer version.

To try a line yourself: `asterguard test 'LINE'`, `fail2ban-regex 'LINE' asterisk`, `cscli explain --log 'LINE' --type
asterisk`.
";

/// The whole page.
pub fn write(rows: &[Row<'_>], others: &[Other]) -> String {
    let mut page = TOP.to_owned();
    page.push_str(&sums(rows, others));
    page.push_str(&harm(rows, others));
    page.push_str(LEGEND);
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
        "messages | attackers can cause | asterguard, text alone | only shown | asterguard, with exchanges | {}",
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
*Attackers can cause*: all messages that somebody without an account can cause. Messages that name nobody, that are
written at VERBOSE only, or that phones cause as well are among them. A program gets a point for a message if it counts
the sender of the plain line. It does not matter whether this is right (**✓**), luck (?) or too much (**✗**). *Only
shown*: untrusted lines (`hearsay`), which `replay` and `explain` show.
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
This counts all messages with **✗** or **✗✗**, by the plain sample or by the forged one. *With exchanges*, a harmless
phone that causes the message has its own exchange: `innocent` in messages.toml.
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
