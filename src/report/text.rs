//! The report as text: for a terminal, and for programs that show mails without HTML.

use std::fmt::Write as _;

use super::week::{STEPS, begun, step};
use super::{HourNumbers, NamedNumbers, Report};
use crate::model::time::Time;

/// Returns the report as lines of at most about 100 characters.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line(&report.verdict);
    let (since, until) = (Time::from_secs(report.since), Time::from_secs(report.until));
    line(&format!("{}, {since} to {until}", report.machine));
    look_at(report, &mut line);
    week(report, &mut line);
    let place =
        |host: &super::HostNumbers| host.place.as_ref().map_or(String::new(), ToString::to_string);
    let hosts = report.hosts.iter().map(|host| {
        [
            host.host.clone(),
            host.attempts.to_string(),
            host.bans.to_string(),
            host.jails.join(" "),
            place(host),
        ]
    });
    table(
        &format!("Hosts: {} banned", report.banned_hosts),
        ["host", "attempts", "bans", "jails", "place"],
        hosts,
        &mut line,
    );
    for (title, named) in [
        ("Networks", &report.networks),
        ("Countries", &report.countries),
        ("Operators", &report.asns),
    ] {
        table(title, ["name", "attempts", "bans", "hosts"], named.iter().map(numbers), &mut line);
    }
    let rules = report.rules.iter().map(|rule| {
        let numbers = rule.numbers;
        [
            rule.rule.clone(),
            numbers.attempts.to_string(),
            numbers.bans.to_string(),
            numbers.untrusted.to_string(),
            numbers.ambiguous.to_string(),
        ]
    });
    table("Rules", ["rule", "attempts", "bans", "untrusted", "ambiguous"], rules, &mut line);
    let accounts = report.accounts.iter().map(|account| {
        let exists = if account.exists { "EXISTS" } else { "" };
        [account.account.clone(), account.hosts.to_string(), exists.to_owned()]
    });
    table("Accounts that banned hosts tried", ["account", "hosts", ""], accounts, &mut line);
    let came_back = &report.came_back;
    let returned = came_back
        .top
        .iter()
        .map(|host| [host.host.clone(), host.bans.to_string(), host.lengths_in_words()]);
    table(
        &format!("Came back after a ban: {} of {} hosts", came_back.hosts, report.banned_hosts),
        ["host", "bans", "lengths"],
        returned,
        &mut line,
    );
    table(
        &format!("Observe mode would have made {} bans", report.totals.observed),
        ["jail", "attempts", "bans", "hosts"],
        report.observed.jails.iter().map(numbers),
        &mut line,
    );
    happenings(report, &mut line);
    out
}

fn numbers(named: &NamedNumbers) -> [String; 4] {
    let hosts = if named.hosts == 0 { String::new() } else { named.hosts.to_string() };
    [named.name.clone(), named.attempts.to_string(), named.bans.to_string(), hosts]
}

fn look_at(report: &Report, line: &mut impl FnMut(&str)) {
    line("");
    if report.look_at.is_empty() {
        return line("Nothing to look at.");
    }
    line("Look at these");
    for finding in &report.look_at {
        line(&format!("  ! {}", finding.text));
        for item in &finding.items {
            line(&format!("      {item}"));
        }
        let more = usize::try_from(finding.count).unwrap_or(usize::MAX);
        if !finding.items.is_empty() && more > finding.items.len() && finding.count < 10_000 {
            line("      …");
        }
        line(&format!("    do: {}", finding.todo));
    }
}

fn week(report: &Report, line: &mut impl FnMut(&str)) {
    for (what, number) in [
        ("Attempts", (|hour: &HourNumbers| hour.attempts) as fn(&HourNumbers) -> u64),
        ("Bans", |hour: &HourNumbers| hour.bans),
    ] {
        line("");
        line(&format!("{what} an hour: this week, and the week before"));
        line("     0     6     12    18        0     6     12    18");
        for day in &report.week.days {
            let cells = day.weeks.each_ref().map(|hours| {
                let cell = |hour: &Option<HourNumbers>| match hour.as_ref().map(number) {
                    None => ' ',
                    Some(0) => '.',
                    Some(many) => {
                        char::from_digit(u32::try_from(step(many)).unwrap_or(0), 10).unwrap_or('?')
                    }
                };
                hours.iter().map(cell).collect::<String>()
            });
            line(&format!("{}  {}    {}", day.name, cells[0], cells[1]));
        }
        if let Some(busiest) = report.week.busiest(number) {
            line(&format!("Most: {} in the hour from {}", number(&busiest), begun(&busiest)));
        }
    }
    line(&format!("{}. The last day is today.", legend()));
}

/// `Steps: 1=1+ 2=3+ …`
fn legend() -> String {
    let mut words = String::from("Steps:");
    for (place, least) in STEPS.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(words, " {}={least}+", place + 1);
    }
    words
}

/// Returns month, day and time of day: `11-29 01:30`. Year and zone are at the top of the report.
#[must_use]
pub fn when(secs: i64) -> String {
    let whole = Time::from_secs(secs).to_string();
    whole.get(5..16).map_or(whole.clone(), |short| short.replace('T', " "))
}

/// Writes rows in columns; nothing if there are none.
fn table<const N: usize>(
    title: &str,
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    line: &mut impl FnMut(&str),
) {
    let mut all = vec![header.map(str::to_owned)];
    all.extend(rows);
    if all.len() == 1 {
        return;
    }
    line("");
    line(title);
    let mut widths = [0; N];
    for row in &all {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &all {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let text = format!("  {}", cells.collect::<Vec<_>>().join("  "));
        line(text.trim_end());
    }
}

fn happenings(report: &Report, line: &mut impl FnMut(&str)) {
    let end = |until: Option<i64>| until.map_or("now".to_owned(), when);
    let pauses = report.pauses.iter().map(|pause| {
        let jail = pause.jail.clone().unwrap_or_else(|| "all".to_owned());
        let by = pause.by.clone().unwrap_or_else(|| "nobody known".to_owned());
        [when(pause.since), end(pause.until), jail, by]
    });
    table("Pauses", ["from", "until", "jail", "by"], pauses, line);
    let problems = report.problems.iter().take(super::MOST_LISTED).map(|problem| {
        let text = problem.text.split("; do: ").next().unwrap_or_default().to_owned();
        [when(problem.since), end(problem.until), text]
    });
    table("Problems", ["from", "until", "what"], problems, line);
    for (title, happened) in [
        ("Repairs of the table in the kernel", &report.heals),
        ("Lines that were not read", &report.lost),
    ] {
        let rows = happened.iter().map(|it| [when(it.time), it.text.clone()]);
        table(title, ["when", "what"], rows, line);
    }
    match &report.feeds {
        None => {
            line("");
            line("Feeds: not known, because no daemon answers");
        }
        Some(feeds) => {
            let rows = feeds.iter().take(super::MOST_LISTED).map(|feed| {
                let problem = feed.problem.clone().unwrap_or_default();
                [feed.feed.clone(), report.age(feed), feed.networks.to_string(), problem]
            });
            table("Feeds", ["feed", "age", "networks", "problem"], rows, line);
        }
    }
}
