//! The report as one page of HTML: no script, and nothing from outside. maud escapes all values.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use Cells::{Number, Text, Word};

use super::text::when;
use super::week::{STEPS, begun, step};
use super::{Finding, HourNumbers, NamedNumbers, Report};
use crate::model::time::Time;

const STYLE: &str = include_str!("page.css");
/// The side of a square, with its gap, and the room for the names of hours and days, in units of the drawing.
const SIDE: usize = 12;
const MARGIN: (usize, usize) = (26, 12);

/// Returns the page: about 30 KB, and at most 200 KB.
#[must_use]
pub fn page(report: &Report) -> String {
    let (since, until) = (Time::from_secs(report.since), Time::from_secs(report.until));
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "asterguard on " (report.machine) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 class=(if report.ok { "good" } else { "bad" }) { (report.verdict) }
                    p class="soft" { "asterguard on " (report.machine) ", " (since) " to " (until) }
                }
                main {
                    (look_at(&report.look_at))
                    section {
                        div class="weeks" {
                            (weeks(report, "Attempts an hour", |hour| hour.attempts))
                            (weeks(report, "Bans an hour", |hour| hour.bans))
                        }
                        p class="soft" {
                            @for (place, least) in STEPS.iter().enumerate() {
                                svg class="key" viewBox="0 0 9 9" aria-hidden="true" {
                                    rect width="9" height="9" class=(format!("s{}", place + 1)) {}
                                }
                                " " (least) "+ "
                            }
                            "The last row is today: its hours that are yet to come are those of a week ago."
                        }
                    }
                    section class="tables" { (tables(report)) (happened(report)) }
                }
            }
        }
    };
    markup.into_string()
}

fn look_at(findings: &[Finding]) -> Markup {
    html! {
        section class=(if findings.is_empty() { "look none" } else { "look" }) {
            h2 { @if findings.is_empty() { "Nothing to look at" } @else { "Look at these" } }
            @if !findings.is_empty() {
                ul {
                    @for finding in findings {
                        li {
                            (finding.text) " "
                            span class="soft" { "Do: " (finding.todo) }
                            @if !finding.items.is_empty() {
                                ul { @for item in &finding.items { li { (item) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn weeks(report: &Report, title: &str, number: fn(&HourNumbers) -> u64) -> Markup {
    let busiest = report.week.busiest(number);
    html! {
        div {
            h2 { (title) ", this week" }
            (squares(report, 0, &format!("{title}, this week"), number))
            p class="soft" {
                @if let Some(hour) = busiest { "Most: " (number(&hour)) " in the hour from " (begun(&hour)) }
                @else { "None" }
            }
        }
        div class="before" {
            h2 { (title) ", the week before" }
            (squares(report, 1, &format!("{title}, the week before"), number))
        }
    }
}

/// Draws a week: a row for each day, a square for each hour.
fn squares(report: &Report, which: usize, label: &str, number: fn(&HourNumbers) -> u64) -> Markup {
    let (left, above) = MARGIN;
    let (width, height) = (left + 24 * SIDE, above + 7 * SIDE);
    html! {
        svg viewBox=(format!("0 0 {width} {height}")) role="img" aria-label=(label) {
            @for hour in [0, 6, 12, 18] {
                text x=(left + hour * SIDE) y="9" { (hour) }
            }
            @for (row, day) in report.week.days.iter().enumerate() {
                text x="0" y=(above + row * SIDE + 9) { (day.name) }
                @for (column, hour) in day.weeks.get(which).into_iter().flatten().enumerate() {
                    @if let Some(hour) = hour {
                        rect x=(left + column * SIDE) y=(above + row * SIDE) width=(SIDE - 1) height=(SIDE - 1)
                            class=(format!("s{}", step(number(hour)))) {
                            @if number(hour) > 0 { title { (day.name) " " (column) ":00: " (number(hour)) } }
                        }
                    }
                }
            }
        }
    }
}

/// A column of a table: its name, and what is in it.
type Column = (&'static str, Cells);

/// What the cells of a column hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cells {
    /// Text, which may go on in the next line.
    Text,
    /// Short words, in one line.
    Word,
    /// Numbers.
    Number,
}

impl Cells {
    fn class(self) -> Option<&'static str> {
        match self {
            Self::Text => None,
            Self::Word => Some("w"),
            Self::Number => Some("n"),
        }
    }
}

const NAME: Column = ("", Cells::Text);

/// Writes rows under a title; nothing if there are none.
fn table<const N: usize>(title: &str, columns: [Column; N], rows: &[[Markup; N]]) -> Markup {
    html! {
        @if !rows.is_empty() {
            div {
                h2 { (title) }
                table {
                    thead { tr { @for (name, cells) in columns {
                        @if name.is_empty() { td {} } @else { th scope="col" class=[cells.class()] { (name) } }
                    } } }
                    tbody { @for row in rows { tr { @for (cell, (_, cells)) in row.iter().zip(columns) {
                        td class=[cells.class()] { (cell) }
                    } } } }
                }
            }
        }
    }
}

fn cell(value: impl std::fmt::Display) -> Markup {
    let text = value.to_string();
    html! { (text) }
}

fn named(title: &str, all: &[NamedNumbers]) -> Markup {
    let rows = all.iter().map(|one| {
        let hosts = if one.hosts == 0 { String::new() } else { one.hosts.to_string() };
        [cell(&one.name), cell(one.attempts), cell(one.bans), cell(hosts)]
    });
    table(
        title,
        [NAME, ("attempts", Number), ("bans", Number), ("hosts", Number)],
        &rows.collect::<Vec<_>>(),
    )
}

fn tables(report: &Report) -> Markup {
    let hosts = report.hosts.iter().map(|host| {
        let place = host.place.as_ref().and_then(|place| place.country);
        let name = place.map_or(host.host.clone(), |country| format!("{} ({country})", host.host));
        [cell(name), cell(host.attempts), cell(host.bans), cell(host.jails.join(" "))]
    });
    let rules = report.rules.iter().map(|rule| {
        let numbers = rule.numbers;
        [cell(&rule.rule), cell(numbers.attempts), cell(numbers.bans), cell(numbers.untrusted)]
    });
    let accounts = report.accounts.iter().map(|account| {
        let exists = html! { @if account.exists { span class="exists" { "exists" } } };
        [cell(&account.account), cell(account.hosts), exists]
    });
    let came_back = &report.came_back;
    let returned = came_back
        .top
        .iter()
        .map(|host| [cell(&host.host), cell(host.bans), cell(host.lengths_in_words())]);
    html! {
        (table(
            &format!("Hosts: {} banned", report.banned_hosts),
            [NAME, ("attempts", Number), ("bans", Number), ("jails", Word)],
            &hosts.collect::<Vec<_>>(),
        ))
        (named("Networks", &report.networks))
        (named("Countries", &report.countries))
        (named("Operators", &report.asns))
        (table(
            "Rules",
            [NAME, ("attempts", Number), ("bans", Number), ("untrusted", Number)],
            &rules.collect::<Vec<_>>(),
        ))
        (table(
            "Accounts that banned hosts tried",
            [NAME, ("hosts", Number), ("here", Word)],
            &accounts.collect::<Vec<_>>(),
        ))
        (table(
            &format!("Came back after a ban: {} of {} hosts", came_back.hosts, report.banned_hosts),
            [NAME, ("bans", Number), ("lengths", Text)],
            &returned.collect::<Vec<_>>(),
        ))
        (named(
            &format!("Observe mode would have made {} bans", report.totals.observed),
            &report.observed.jails,
        ))
    }
}

fn happened(report: &Report) -> Markup {
    let end = |until: Option<i64>| until.map_or("now".to_owned(), when);
    let pauses = report.pauses.iter().take(5).map(|pause| {
        let jail = pause.jail.as_deref().unwrap_or("all");
        let by = pause.by.as_deref().unwrap_or("nobody known");
        [cell(when(pause.since)), cell(end(pause.until)), cell(format!("{jail}, by {by}"))]
    });
    let problems =
        report.problems.iter().take(5).map(|problem| {
            [cell(when(problem.since)), cell(end(problem.until)), cell(&problem.check)]
        });
    let heals =
        report.heals.iter().rev().take(5).map(|heal| [cell(when(heal.time)), cell(&heal.text)]);
    let feeds = report.feeds.iter().flatten().take(super::MOST_LISTED).map(|feed| {
        let problem = feed.problem.clone().unwrap_or_default();
        [cell(&feed.feed), cell(report.age(feed)), cell(feed.networks), cell(problem)]
    });
    html! {
        (table("Pauses", [("from", Word), ("until", Word), ("of", Text)], &pauses.collect::<Vec<_>>()))
        (table("Problems", [("from", Word), ("until", Word), ("check", Word)], &problems.collect::<Vec<_>>()))
        (table("Repairs of the table in the kernel", [("when", Word), ("what", Text)], &heals.collect::<Vec<_>>()))
        (table(
            "Feeds",
            [NAME, ("age", Word), ("networks", Number), ("problem", Text)],
            &feeds.collect::<Vec<_>>(),
        ))
        @if report.feeds.is_none() {
            div { h2 { "Feeds" } p class="soft" { "Not known, because no daemon answers." } }
        }
    }
}
