//! `asterguard setup`: changes Asterisk's configuration and the guard's so that the guard sees what it can, and takes
//! that back.
//!
//! [`survey`] looks around, [`plan`] says what to change (pure), [`apply`] writes it and keeps a [`record`],
//! [`undo`] puts the old bytes back, and [`trial`] has Asterisk write a line and waits for it.

pub mod apply;
pub mod edits;
pub mod plan;
pub mod record;
pub mod services;
pub mod survey;
pub mod tree;
pub mod trial;
pub mod undo;

use similar::TextDiff;

/// Returns how a text differs from what it was, as `diff -u` does; `secrets` are not shown.
#[must_use]
pub fn difference(
    name: &str,
    old: Option<&[u8]>,
    new: Option<&[u8]>,
    secrets: &[String],
) -> String {
    let text =
        |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let (before, after) = (text(old), text(new));
    let name = |bytes: Option<&[u8]>| bytes.map_or("/dev/null", |_| name).to_owned();
    let diff = TextDiff::from_lines(&before, &after);
    let text = diff.unified_diff().header(&name(old), &name(new)).to_string();
    let secrets = secrets.iter().filter(|secret| !secret.is_empty());
    secrets.fold(text, |text, secret| text.replace(secret, "************"))
}

#[cfg(test)]
mod tests;
