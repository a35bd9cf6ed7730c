//! Keys of fail2ban's that change nothing here: they are answered with the reason, and with the way to do it here.

use toml::de::DeValue;

use super::toml_reader::{TomlKey, TomlReader, TomlValue};

/// Encodings in which what is looked for (levels, messages, addresses) has the bytes of ASCII.
const ASCII_BYTES: [&str; 8] =
    ["auto", "ascii", "us-ascii", "utf-8", "utf8", "latin1", "latin-1", "locale"];
/// The beginnings of the names of others.
const ASCII_FAMILIES: [&str; 5] = ["iso-8859-", "iso8859-", "windows-125", "cp125", "koi8-"];

const ENCODING_HELP: &str = "leave it out: lines are read as bytes, whatever their encoding is, and a byte that fits none hides no line";
const WIDE_HELP: &str =
    "let the program write UTF-8, or any encoding in which ASCII letters are one byte each";
const MATCHES_HELP: &str = "leave it out: the last lines are kept anyhow, and `asterguard explain HOST` shows those of a host";
const LINES_HELP: &str = "leave it out, and write a failregex for the line that has the host: a stranger may write lines between two others. Messages of \
                          Asterisk with several lines are put together";
const DNS_HELP: &str = "leave it out: who controls a name would choose who is banned. Let the program log addresses; ignoreip takes names, and follows them";
const COMMAND_HELP: &str = "leave it out: write the hosts into ignoreip, which also takes names, or let your program write them into a file of allowfiles in \
                            [lists], or run `asterguard allow HOST --for 8h`";

/// Answers a key; returns whether it is one of these.
pub(super) fn answer(reader: &mut TomlReader, key: &TomlKey, value: &TomlValue) -> bool {
    let name = key.get_ref().as_ref();
    let word = match value.get_ref() {
        DeValue::String(text) => text.trim().to_lowercase(),
        DeValue::Integer(digits) => digits.as_str().to_owned(),
        _ => String::new(),
    };
    // What fail2ban does with this value is what is done here.
    let (is_so, wrong, help) = match name {
        "logencoding" => {
            let family = ASCII_FAMILIES.iter().any(|family| word.starts_with(family));
            let is_read = family || word.is_empty() || ASCII_BYTES.contains(&word.as_str());
            let help = if is_read { ENCODING_HELP } else { WIDE_HELP };
            (is_read, "logs in this encoding cannot be read", help)
        }
        "maxmatches" => {
            let is_count = word.parse::<u32>().is_ok();
            (is_count, "this is no number of lines", MATCHES_HELP)
        }
        "maxlines" => (word == "1", "one line is read at a time", LINES_HELP),
        "usedns" => (word == "no", "names in logs are never looked up", DNS_HELP),
        "ignorecommand" => (word.is_empty(), "no program is run to ask about a host", COMMAND_HELP),
        _ => return false,
    };
    if is_so {
        reader.warning(key.span(), format_args!("{name} changes nothing"), help);
    } else {
        reader.error(value.span(), wrong, help);
    }
    true
}
