//! The tags of a failregex, in place of which a byte regex stands. The build script includes this file, too.

use super::address_tag::AddressTag;

/// Text from outside between single quotes: no quote, no backslash, no control byte.
const TEXT: (&str, &str) = ("<TEXT>", r#"[^'"\\\x00-\x1f\x7f]*"#);
/// A value of a security event: no double quote, no backslash, no control byte.
const VALUE: (&str, &str) = ("<VALUE>", r#"[^"\\\x00-\x1f\x7f]*"#);

/// Expands the tags of text.
#[must_use]
pub fn text_tags(text: &str) -> String {
    [TEXT, VALUE].iter().fold(text.to_owned(), |text, (tag, regex)| text.replace(tag, regex))
}

/// Returns the address tags of a failregex: which, where they begin, and how long they are.
#[must_use]
pub fn address_tags(failregex: &str) -> Vec<(AddressTag, usize, usize)> {
    let tags = AddressTag::ALL.into_iter();
    let found = tags.flat_map(|(tag, name)| {
        failregex.match_indices(name).map(move |(at, _)| (tag, at, name.len()))
    });
    found.collect()
}
