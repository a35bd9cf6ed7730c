//! Changes of Asterisk's configuration files, as texts: lines into a section, values of keys, lines commented out.
//!
//! They keep every byte that they do not have to change. Whether Asterisk reads the result as meant is checked by
//! whoever asks for them, with the parser.

/// What stands before lines of ours.
pub const MARK: &str = "; by asterguard setup";

/// Returns the end of the line that begins at `start`, behind its line feed.
fn line_end(text: &[u8], start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(text.len(), |at| start + at + 1)
}

/// The lines of a text, each with where it begins.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let end = line_end(text, start);
        let line = text.get(start..end).filter(|line| !line.is_empty())?;
        start = end;
        Some((end - line.len(), line))
    })
}

/// The name of the section that a line begins.
fn section_of(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line.trim_ascii()).ok()?.strip_prefix('[')?;
    line.split_once(']').map(|(name, _)| name)
}

/// The key and the value that a line sets, without a comment.
fn value_of(line: &[u8]) -> Option<(&str, &str)> {
    let line = std::str::from_utf8(line.trim_ascii()).ok()?;
    let line = line.split(';').next().unwrap_or_default();
    let (key, value) = line.split_once('=')?;
    Some((key.trim(), value.strip_prefix('>').unwrap_or(value).trim()))
}

/// Returns the text with `added` (whole lines) at its end.
#[must_use]
pub fn append(text: &[u8], added: &str) -> Vec<u8> {
    let mut new = text.to_vec();
    if !new.is_empty() && !new.ends_with(b"\n") {
        new.push(b'\n');
    }
    new.extend_from_slice(added.as_bytes());
    new
}

/// Returns the text with `added` (whole lines) right behind the first header of a section; `None` if there is none.
#[must_use]
pub fn into_section(text: &[u8], section: &str, added: &str) -> Option<Vec<u8>> {
    let is_it =
        |line: &[u8]| section_of(line).is_some_and(|name| name.eq_ignore_ascii_case(section));
    let (start, _) = lines(text).find(|(_, line)| is_it(line))?;
    let (before, after) = text.split_at(line_end(text, start));
    let mut new = append(before, added);
    new.extend_from_slice(after);
    Some(new)
}

/// Returns the text with these values of keys in a section: in the place of the last value of each, else behind the
/// header of the first such section. `None` if there is no such section.
#[must_use]
pub fn with_values(text: &[u8], section: &str, values: &[(&str, &str)]) -> Option<Vec<u8>> {
    let (mut within, mut begun) = (false, false);
    let mut last = vec![None; values.len()];
    for (start, line) in lines(text) {
        if let Some(name) = section_of(line) {
            // Of several with one name, Asterisk reads the first.
            within = !begun && name.eq_ignore_ascii_case(section);
            begun |= within;
        } else if let Some((key, _)) = value_of(line).filter(|_| within) {
            let known = values.iter().position(|(known, _)| key.eq_ignore_ascii_case(known));
            if let Some(place) = known.and_then(|known| last.get_mut(known)) {
                *place = Some(start);
            }
        }
    }
    let missing: Vec<_> = values
        .iter()
        .zip(&last)
        .filter(|(_, place)| place.is_none())
        .map(|(value, _)| value)
        .collect();
    // From the end to the beginning, so that what was found stays where it was.
    let mut found: Vec<_> = values
        .iter()
        .zip(&last)
        .filter_map(|(value, place)| Some((*place.as_ref()?, value)))
        .collect();
    found.sort_unstable_by_key(|(start, _)| std::cmp::Reverse(*start));
    let mut new = text.to_vec();
    for (start, (key, value)) in found {
        new.splice(start..line_end(text, start), format!("{key} = {value}\n").into_bytes());
    }
    if missing.is_empty() {
        return Some(new);
    }
    let missing = missing.iter().map(|(key, value)| format!("{key} = {value}\n"));
    into_section(&new, section, &format!("{MARK}\n{}", missing.collect::<String>()))
}

/// Returns the text with every line commented out that sets `key` to a value that `is_it` takes; `None` if there is
/// no such line.
pub fn without(text: &[u8], key: &str, is_it: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    let mut new = Vec::with_capacity(text.len());
    for (_, line) in lines(text) {
        if value_of(line)
            .is_some_and(|(known, value)| known.eq_ignore_ascii_case(key) && is_it(value))
        {
            new.extend_from_slice(format!("{MARK}: ").as_bytes());
        }
        new.extend_from_slice(line);
    }
    (new != text).then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Option<Vec<u8>>) -> String {
        String::from_utf8(bytes.unwrap()).unwrap()
    }

    #[test]
    fn lines_go_behind_the_header() {
        let old = b"; top\n[general]\nx=1\n[logfiles](a)\r\nm => n";
        assert_eq!(
            text(into_section(old, "LogFiles", "a => b\n")),
            "; top\n[general]\nx=1\n[logfiles](a)\r\na => b\nm => n"
        );
        assert_eq!(text(into_section(b"[logfiles]", "logfiles", "a\n")), "[logfiles]\na\n");
        assert_eq!(into_section(b"[logfile]\n;[logfiles]\n", "logfiles", "a\n"), None);
        assert_eq!(append(b"x", "a\n"), b"x\na\n");
        assert_eq!(append(b"", "a\n"), b"a\n");
    }

    #[test]
    fn values_take_the_place_of_the_last_one() {
        let old =
            b"[other]\nenabled=x\n[general]\nenabled = no   ; a comment\nenabled=maybe\nid => 1\n";
        assert_eq!(
            text(with_values(old, "general", &[("enabled", "yes"), ("uuid", "u"), ("id", "2")])),
            "[other]\nenabled=x\n[general]\n; by asterguard setup\nuuid = u\nenabled = no   ; a comment\nenabled = yes\nid = 2\n"
        );
        assert_eq!(with_values(b"[x]\n", "general", &[("a", "b")]), None);
    }

    #[test]
    fn lines_are_commented_out() {
        let old = b"[modules]\nnoload => res_hep.so ; why\nnoload = x.so\n;noload = res_hep.so\n";
        assert_eq!(
            text(without(old, "noload", |value| value == "res_hep.so")),
            "[modules]\n; by asterguard setup: noload => res_hep.so ; why\nnoload = x.so\n;noload = res_hep.so\n"
        );
        assert_eq!(without(old, "noload", |value| value == "none"), None);
    }
}
