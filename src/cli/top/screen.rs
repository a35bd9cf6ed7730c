//! What the screen looks like: the state in lines of text, with styles. Pure. All that strangers may have written is
//! escaped here.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::model::{Mode, Model, Pages};
use crate::cli::text::printable_text;
use crate::control::status::{Health, PauseStatus};
use crate::control::top::{TopReport, TopRow};
use crate::decide::ban_view::BanOrder;
use crate::model::event::{Class, Evidence};
use crate::model::time::{RoughDuration, Time};
use crate::model::words::counted;

/// A screen that is smaller shows nothing but that.
const SMALLEST: (u16, u16) = (40, 10);
/// A screen that has so many columns or lines has room for more.
const WIDE: usize = 120;
const WIDEST: usize = 160;
const HIGH: u16 = 40;
/// Characters of the name of a network.
const LONGEST_NETWORK: usize = 30;
/// Lines of problems.
const FEW_PROBLEMS: usize = 1;
const MANY_PROBLEMS: usize = 4;
/// Minutes and readings that are shown at most.
const LONGEST_SPARK: usize = 120;

/// The signs that are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signs {
    /// Where the terminal shows UTF-8.
    Unicode,
    /// Elsewhere.
    Ascii,
}

impl Signs {
    fn bars(self) -> [char; 8] {
        match self {
            Self::Unicode => ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Self::Ascii => ['_', '.', ':', '-', '=', '+', '*', '#'],
        }
    }

    fn more(self) -> char {
        match self {
            Self::Unicode => '…',
            Self::Ascii => '~',
        }
    }
}

/// How something is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub signs: Signs,
    /// Whether there are colours.
    pub is_coloured: bool,
}

impl Look {
    fn colour(self, colour: Color) -> Style {
        if self.is_coloured { Style::new().fg(colour) } else { Style::new() }
    }
}

/// Draws the whole screen.
pub fn draw(model: &Model, look: Look, area: Rect, buffer: &mut Buffer) {
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let text = format!("too small: {} x {} at least", SMALLEST.0, SMALLEST.1);
        buffer.set_stringn(area.x, area.y, text, area.width.into(), Style::new());
        return;
    }
    let width = usize::from(area.width);
    let mut lines = head(model, look, Some(width));
    if let (Mode::Text(_), Some(_)) = (&model.mode, &model.report) {
        // A text needs the room.
        lines.drain(1..lines.len().saturating_sub(1));
    }
    let room = usize::from(area.height).saturating_sub(lines.len() + 1);
    lines.extend(match &model.mode {
        Mode::Text(pages) => text(pages, look, width, room),
        Mode::Table | Mode::Typing { .. } | Mode::Asking { .. } => {
            let shown = model.rows().get(model.first..).unwrap_or_default();
            let shown = shown.get(..shown.len().min(room.saturating_sub(1))).unwrap_or_default();
            let mut table = table(model, shown, look, Some(width));
            let chosen = model.chosen.saturating_sub(model.first) + 1;
            if let (Some(line), false) = (table.get_mut(chosen), shown.is_empty()) {
                *line = std::mem::take(line).patch_style(Modifier::REVERSED);
            }
            table
        }
    });
    for (line, y) in lines.iter().zip(area.y..area.bottom().saturating_sub(1)) {
        buffer.set_line(area.x, y, line, area.width);
        // All of the line that is chosen is seen to be.
        if line.style.add_modifier.contains(Modifier::REVERSED) {
            buffer.set_style(Rect { y, height: 1, ..area }, line.style);
        }
    }
    let foot = foot(model, look, width);
    buffer.set_line(area.x, area.bottom() - 1, &foot, area.width);
}

/// Returns the lines of a report for a pipe: `width` is that of a terminal, `None` where there is none.
pub fn plain(model: &Model, look: Look, width: Option<usize>) -> Vec<String> {
    let mut lines = head(model, look, width);
    lines.extend(table(model, model.rows(), look, width));
    let text = |line: &Line<'_>| {
        let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
        text.trim_end().to_owned()
    };
    lines.iter().map(text).collect()
}

/// Returns how many lines there are above the bans.
pub fn head_height(model: &Model) -> usize {
    let look = Look { signs: Signs::Ascii, is_coloured: false };
    head(model, look, Some(model.size.0.into())).len()
}

/// Returns the lines above the bans.
fn head(model: &Model, look: Look, width: Option<usize>) -> Vec<Line<'static>> {
    let Some(report) = &model.report else {
        let why = model.lost.as_deref().unwrap_or("waiting for the daemon");
        return vec![Line::from(cut(&safe(why), width, look)), Line::default()];
    };
    let mut lines = vec![health(report, look, model.now)];
    lines.extend(rates(model, report, look, width));
    let alarm = look.colour(Color::Red).add_modifier(Modifier::BOLD);
    if let Some(age) = model.missing() {
        let why = model.lost.as_deref().map_or(String::new(), |why| format!(": {}", safe(why)));
        let text = format!("!  no report from the daemon for {}{why}", brief(age));
        lines.push(Line::styled(cut(&text, width, look), alarm));
    }
    for pause in &report.paused {
        lines.push(Line::styled(cut(&paused(pause, model.zone()), width, look), alarm));
    }
    if let Some(text) = logged_in(report) {
        let style = look.colour(Color::Yellow).add_modifier(Modifier::BOLD);
        lines.push(Line::styled(cut(&text, width, look), style));
    }
    let most = if model.size.1 >= HIGH { MANY_PROBLEMS } else { FEW_PROBLEMS };
    let is_pause = |problem: &&String| report.paused.is_empty() || !problem.starts_with("pause");
    for problem in report.problems.iter().filter(is_pause).take(most) {
        let text = cut(&format!("!  {}", safe(problem)), width, look);
        lines.push(Line::styled(text, look.colour(Color::Yellow)));
    }
    lines.push(Line::default());
    lines
}

/// Returns the line of the health.
fn health(report: &TopReport, look: Look, now: Time) -> Line<'static> {
    let (word, colour) = match report.health {
        Health::Ok => ("OK", Color::Green),
        Health::Degraded => ("DEGRADED", Color::Yellow),
        Health::Paused => ("PAUSED", Color::Red),
    };
    let new: u64 = report.minutes.iter().rev().take(60).map(|minute| u64::from(minute.bans)).sum();
    let dry = if report.dry_run { " (dry run)" } else { "" };
    let login = report.login.map_or("none".to_owned(), |secs| {
        format!("{} ago", brief(now.since(Time::from_secs(secs))))
    });
    let lag = if report.lag > 0 { format!("  lag {}s", report.lag) } else { String::new() };
    let rest = format!(
        "{dry}  up {}  banned {} ({new} new/h)  last login {login}{lag}",
        brief(Duration::from_secs(report.uptime)),
        report.hosts_banned,
    );
    Line::from(vec![
        Span::raw(format!("asterguard {}  ", safe(&report.version))),
        Span::styled(word, look.colour(colour).add_modifier(Modifier::BOLD)),
        Span::raw(rest),
    ])
}

/// Returns the lines of the rates.
fn rates(
    model: &Model,
    report: &TopReport,
    look: Look,
    width: Option<usize>,
) -> Vec<Line<'static>> {
    // Title, and what stands behind.
    let room = width.unwrap_or(WIDE).saturating_sub(14 + 32).clamp(8, LONGEST_SPARK);
    let minute = |values: Vec<u32>, title: &str| {
        let shown = values.get(values.len().saturating_sub(room)..).unwrap_or_default();
        let peak = shown.iter().copied().enumerate().max_by_key(|(_, value)| *value);
        let (at, most) = peak.unwrap_or_default();
        let ago = i64::try_from(shown.len().saturating_sub(at + 1)).unwrap_or(0);
        let time = clock(report.time.saturating_sub(ago * 60), model.zone());
        let peak = if most == 0 { String::new() } else { format!(", peak {most} at {time}") };
        let now = shown.last().copied().unwrap_or(0);
        let spark = spark(shown.iter().copied().map(f64::from), look.signs);
        (title.to_owned(), spark, format!("now {now}{peak}"))
    };
    let minutes = &report.minutes;
    let dropped = model.dropped.iter().rev().take(room).rev().copied();
    let rate = report.dropped_per_second.map_or("not known yet".to_owned(), |rate| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for people")]
        let whole = rate.round().max(0.0) as u64;
        format!("now {}", short(whole))
    });
    let age = report.counters_read.map_or(0, |read| report.time.saturating_sub(read));
    // With very many bans, the kernel is not asked all the time.
    let age = if age > 3 { format!(" ({age}s ago)") } else { String::new() };
    let all = [
        minute(minutes.iter().map(|minute| minute.attempts).collect(), "attempts/min"),
        minute(minutes.iter().map(|minute| minute.bans).collect(), "bans/min"),
        ("dropped/s".to_owned(), spark(dropped, look.signs), rate + &age),
    ];
    let line = |(title, spark, rest): (String, String, String)| {
        Line::from(vec![
            Span::raw(format!("{title:<13} ")),
            Span::styled(spark, look.colour(Color::Cyan)),
            Span::raw(format!("  {rest}")),
        ])
    };
    all.into_iter().map(line).collect()
}

/// Returns a row of bars, of which the highest is the greatest value.
fn spark(values: impl Iterator<Item = f64> + Clone, signs: Signs) -> String {
    let most = values.clone().fold(0.0, f64::max);
    let bars = signs.bars();
    let bar = |value: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
        let at = if most > 0.0 { (value / most * 7.0).ceil().clamp(0.0, 7.0) as usize } else { 0 };
        bars.get(at).copied().unwrap_or(' ')
    };
    values.map(bar).collect()
}

fn paused(pause: &PauseStatus, zone: &TimeZone) -> String {
    let end = pause
        .until
        .map_or("until somebody ends it".to_owned(), |end| format!("until {}", clock(end, zone)));
    let by = pause.by.as_deref().map_or(String::new(), |by| format!(", by {}", safe(by)));
    match &pause.jail {
        Some(jail) => format!("!  paused: the bans of {} are not in force {end}{by}", safe(jail)),
        None => format!("!  paused: nothing is blocked {end}{by}"),
    }
}

/// Returns the line about banned hosts that had logged in.
fn logged_in(report: &TopReport) -> Option<String> {
    if report.logged_in == 0 {
        return None;
    }
    let verb = if report.logged_in == 1 { "has" } else { "have" };
    let hosts = report.logged_in_hosts.iter().map(|known| {
        let account = known.account.as_deref();
        let account = account.map_or(String::new(), |name| format!(" (account {})", safe(name)));
        format!("{}{account}", safe(&known.host))
    });
    let hosts = hosts.collect::<Vec<_>>().join(", ");
    let bans = counted(report.logged_in, "banned host");
    Some(format!("!  {bans} {verb} logged in before: {hosts}"))
}

/// A column of the table.
struct Column {
    title: &'static str,
    is_right: bool,
    cells: Vec<String>,
}

/// Returns the header and the rows.
fn table(model: &Model, rows: &[TopRow], look: Look, width: Option<usize>) -> Vec<Line<'static>> {
    if rows.is_empty() {
        return vec![Line::from(if model.report.is_none() {
            ""
        } else if !model.filter.is_empty() {
            "no ban passes the filter"
        } else if model.observe {
            "nobody would be banned by a jail in observe mode"
        } else {
            "nobody is banned"
        })];
    }
    let columns = columns(model, rows, width.unwrap_or(usize::MAX));
    let widths = widths(&columns, width);
    let line = |cell: &dyn Fn(&Column) -> String| {
        let cells = columns.iter().zip(&widths).map(|(column, width)| {
            let text = cut(&cell(column), Some(*width), look);
            if column.is_right { format!("{text:>width$}") } else { format!("{text:<width$}") }
        });
        cells.collect::<Vec<_>>().join(" ").trim_end().to_owned()
    };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines = vec![Line::styled(line(&|column| column.title.to_owned()), bold)];
    for (at, row) in rows.iter().enumerate() {
        let text = line(&|column| column.cells.get(at).cloned().unwrap_or_default());
        let style = if row.login.is_some() { look.colour(Color::Yellow) } else { Style::new() };
        lines.push(Line::styled(text, style));
    }
    lines
}

fn columns(model: &Model, rows: &[TopRow], width: usize) -> Vec<Column> {
    let is_wide = width >= WIDE;
    let mut columns = Vec::new();
    let mut add = |title, is_right, cell: &dyn Fn(&TopRow) -> String| {
        columns.push(Column { title, is_right, cells: rows.iter().map(cell).collect() });
    };
    add("HOST", false, &|row| safe(&row.ban.ban.host).into_owned());
    add("", false, &|row| if row.login.is_some() { "*".to_owned() } else { String::new() });
    if rows.iter().any(|row| row.ban.ban.place.country.is_some()) {
        add("CC", false, &|row| {
            row.ban.ban.place.country.map_or(String::new(), |country| country.to_string())
        });
    }
    add("JAIL", false, &|row| {
        let jail = safe(&row.ban.jail);
        let short = jail.strip_prefix("asterisk-").filter(|_| !is_wide);
        short.unwrap_or(&jail).to_owned()
    });
    if is_wide {
        add("PORTS", false, &|row| safe(&row.ban.ban.scope).into_owned());
    }
    add(if is_wide { "EVIDENCE" } else { "EVID" }, false, &|row| evidence(row, is_wide).to_owned());
    add("TRIES", true, &|row| match row.tries {
        0 => String::new(),
        tries => short(tries.into()),
    });
    add("BANS", true, &|row| short(row.bans.into()));
    if is_wide {
        add("SINCE", false, &|row| moment(row.ban.ban.since, model.zone()));
    }
    add("LEFT", true, &|row| left(row, is_wide));
    add("DROPPED", true, &|row| row.ban.ban.dropped.packets.map_or(String::new(), short));
    add("LAST", true, &|row| {
        let ago = row.last.map(|last| brief(model.now.since(Time::from_secs(last))));
        let behind = if is_wide { " ago" } else { "" };
        ago.map_or(String::new(), |ago| ago + behind)
    });
    if width >= WIDEST && rows.iter().any(|row| row.ban.ban.place.network().is_some()) {
        add("NETWORK", false, &|row| {
            let network = row.ban.ban.place.network().unwrap_or_default();
            safe(&network).chars().take(LONGEST_NETWORK).collect()
        });
    }
    add("WHAT", false, &|row| what(row, is_wide));
    columns
}

/// Returns the widths of columns: as wide as what is in them. On a terminal, the last one has what is left, and the first
/// gives way.
fn widths(columns: &[Column], width: Option<usize>) -> Vec<usize> {
    let length = |text: &str| text.chars().count();
    let widest = |column: &Column| {
        let cells = column.cells.iter().map(|cell| length(cell)).max().unwrap_or(0);
        cells.max(length(column.title))
    };
    let mut widths: Vec<usize> = columns.iter().map(widest).collect();
    let Some(width) = width else { return widths };
    let least = 14;
    let gaps = columns.len().saturating_sub(1);
    let used = |widths: &[usize]| widths.iter().sum::<usize>() + gaps;
    let last = widths.last().copied().unwrap_or(0);
    let fixed = used(&widths) - last;
    // What is too long is cut: first the last column, and then the host and the jail.
    let room = width.saturating_sub(fixed).max(least.min(last));
    if let Some(last) = widths.last_mut() {
        *last = room.min(*last);
    }
    for (at, column) in columns.iter().enumerate() {
        let least = match column.title {
            "HOST" => 15,
            "JAIL" => 5,
            _ => continue,
        };
        let over = used(&widths).saturating_sub(width);
        if let Some(own) = widths.get_mut(at) {
            *own = own.saturating_sub(over).max(least.min(*own));
        }
    }
    widths
}

fn evidence(row: &TopRow, is_wide: bool) -> &'static str {
    match (row.ban.ban.by_hand, row.ban.ban.evidence) {
        (true, _) => "hand",
        (false, Evidence::Proven) => "proven",
        (false, Evidence::Unverified) if is_wide => "unverified",
        (false, Evidence::Unverified) => "unver.",
        (false, Evidence::Hearsay) => "hearsay",
    }
}

fn left(row: &TopRow, is_wide: bool) -> String {
    let ban = &row.ban.ban;
    let left = match ban.left.map(Duration::from_secs) {
        None if is_wide => "permanent".to_owned(),
        None => "ever".to_owned(),
        Some(left) if is_wide => RoughDuration(left).to_string(),
        Some(left) => brief(left),
    };
    match (ban.paused, is_wide) {
        (false, _) => left,
        (true, true) => left + " (paused)",
        (true, false) => left + "!",
    }
}

/// Returns what the host did last.
fn what(row: &TopRow, is_wide: bool) -> String {
    let account = row.account.as_deref().map(safe);
    let behind = account.map_or(String::new(), |account| format!(": {account}"));
    let words = match (row.class, is_wide) {
        (None, _) if row.ban.ban.by_hand => return "by hand".to_owned(),
        (None, _) => "",
        (Some(Class::Guess), true) => "wrong password",
        (Some(Class::Guess), false) => "password",
        (Some(Class::User), true) => "unknown account",
        (Some(Class::User), false) => "account",
        (Some(Class::Extension), true) => "unknown extension",
        (Some(Class::Extension), false) => "extension",
        (Some(Class::Acl), true) => "refused by an access list",
        (Some(Class::Acl), false) => "access list",
        (Some(Class::Malformed), _) => "malformed",
        (Some(Class::Scan), _) => "scan",
    };
    let rule = row.last_rule.as_deref().filter(|_| is_wide);
    let rule = rule.map_or(String::new(), |rule| format!("  {}", safe(rule)));
    format!("{words}{behind}{rule}")
}

/// Returns a text in place of the bans.
fn text(pages: &Pages, look: Look, width: usize, room: usize) -> Vec<Line<'static>> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let title = Line::styled(cut(&safe(&pages.title), Some(width), look), bold);
    let Some(lines) = &pages.lines else {
        return vec![title, Line::from("...")];
    };
    let broken: Vec<String> = lines.iter().flat_map(|line| broken(&safe(line), width)).collect();
    let room = room.saturating_sub(1);
    // The last page is a full one.
    let top = pages.top.min(broken.len().saturating_sub(room));
    let shown = broken.into_iter().skip(top).take(room).map(Line::from);
    std::iter::once(title).chain(shown).collect()
}

/// Breaks a line where the screen ends; what follows is indented.
fn broken(line: &str, width: usize) -> Vec<String> {
    let chars: Vec<char> = line.chars().collect();
    let (mut lines, mut rest) = (Vec::new(), chars.as_slice());
    loop {
        let indent = if lines.is_empty() { 0 } else { 4 };
        let most = width.saturating_sub(indent).max(1);
        let within = rest.get(..most).filter(|within| within.len() < rest.len());
        // Between words, if there is a blank in the second half.
        let at = within.map_or(rest.len(), |within| {
            let blank = within.iter().rposition(|c| *c == ' ').filter(|at| *at > most / 2);
            blank.map_or(most, |at| at + 1)
        });
        let (line, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        lines.push(" ".repeat(indent) + line.iter().collect::<String>().trim_end());
        if behind.is_empty() {
            return lines;
        }
        rest = behind;
    }
}

/// Returns the last line: what is typed or asked, what was done, or what is shown.
fn foot(model: &Model, look: Look, width: usize) -> Line<'static> {
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    match &model.mode {
        Mode::Typing { what, text } => {
            let prompt = what.prompt();
            // The end of a long text is what somebody types.
            let room = width.saturating_sub(prompt.chars().count() + 1);
            let typed: Vec<char> = safe(text).chars().collect();
            let shown = typed.get(typed.len().saturating_sub(room)..).unwrap_or_default();
            Line::from(vec![
                Span::styled(prompt, Style::new().add_modifier(Modifier::BOLD)),
                Span::raw(shown.iter().collect::<String>()),
                Span::styled(" ", reversed),
            ])
        }
        Mode::Asking { question, .. } => {
            let room = width.saturating_sub(5);
            let text = cut(&safe(question), Some(room), look) + " y/n ";
            Line::styled(text, reversed)
        }
        Mode::Text(_) => Line::from("Esc back  Up Down PgUp PgDn  w whois"),
        Mode::Table => match &model.said {
            Some(said) => {
                let colour = if said.is_good { Color::Green } else { Color::Red };
                Line::styled(cut(&safe(&said.text), Some(width), look), look.colour(colour))
            }
            None => shown(model, width, look),
        },
    }
}

/// Returns what of the bans is shown, and the most important keys.
fn shown(model: &Model, width: usize, look: Look) -> Line<'static> {
    let Some(report) = &model.report else { return Line::from("? help  q quit") };
    let name = |(order, name): &(BanOrder, &'static str)| (*order == model.sort).then_some(*name);
    let sort = BanOrder::ALL.iter().find_map(name).unwrap_or("");
    let of = match (model.observe, model.filter.is_empty()) {
        (true, _) => counted(report.matching, "would-be ban"),
        (false, true) => counted(report.matching, "ban"),
        (false, false) => format!("{} of {}", report.matching, counted(report.bans, "ban")),
    };
    let filter = if model.filter.is_empty() {
        String::new()
    } else {
        format!("  filter: {}", safe(&model.filter))
    };
    let last = (model.first + model.page()).min(report.rows.len());
    let first = (model.first + 1).min(last);
    let zone = if model.is_utc { "  UTC" } else { "" };
    let what = if model.is_waiting { "...".to_owned() } else { format!("{first}-{last}: {of}") };
    let left = format!("{what}  sort: {sort}{filter}{zone}");
    let keys = "? help  q quit";
    let room = width.saturating_sub(keys.len() + 2);
    Line::from(format!("{:<room$}  {keys}", cut(&left, Some(room), look)))
}

/// Returns a text of which nothing acts on the terminal.
fn safe(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    // Some of our own sentences have more than one line.
    Cow::Owned(printable_text(&text.replace('\n', " ")))
}

/// Returns as much of a text as fits.
fn cut(text: &str, width: Option<usize>, look: Look) -> String {
    let Some(width) = width else { return text.to_owned() };
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    if width == 0 { kept } else { kept + &look.signs.more().to_string() }
}

/// Returns a time span in its largest unit: `2s`, `31m`, `6d`.
fn brief(span: Duration) -> String {
    let secs = span.as_secs();
    match secs {
        0..60 => format!("{secs}s"),
        60..3600 => format!("{}m", secs / 60),
        3600..86_400 => format!("{}h", secs / 3600),
        86_400..31_557_600 => format!("{}d", secs / 86_400),
        _ => format!("{}y", secs / 31_557_600),
    }
}

/// Returns a number in at most five characters: `412`, `48.1k`, `1.2M`.
fn short(number: u64) -> String {
    let of = |unit: u64, sign: char| {
        let tenths = number / (unit / 10);
        if tenths < 1000 {
            format!("{}.{}{sign}", tenths / 10, tenths % 10)
        } else {
            format!("{}{sign}", tenths / 10)
        }
    };
    match number {
        0..1000 => number.to_string(),
        1000..1_000_000 => of(1000, 'k'),
        1_000_000..1_000_000_000 => of(1_000_000, 'M'),
        _ => of(1_000_000_000, 'G'),
    }
}

/// Returns the time of day of an instant: `14:02`.
fn clock(secs: i64, zone: &TimeZone) -> String {
    written(secs, zone, "%H:%M")
}

/// Returns an instant with its date: `11-29 14:02`.
fn moment(secs: i64, zone: &TimeZone) -> String {
    written(secs, zone, "%m-%d %H:%M")
}

fn written(secs: i64, zone: &TimeZone, format: &str) -> String {
    let stamp = Timestamp::from_second(secs);
    stamp.map_or_else(
        |_| "?".to_owned(),
        |stamp| stamp.to_zoned(zone.clone()).strftime(format).to_string(),
    )
}
