//! Makes the manual page of the configuration from the configuration file with its comments.

use anyhow::{Context, Result};
use roff::{Roff, bold, roman};

/// A stretch of the file that is set in one way.
#[derive(Debug, PartialEq, Eq)]
enum Block<'a> {
    /// Comments: a paragraph to read.
    Prose(Vec<&'a str>),
    /// Keys and values, as they are written.
    Code(Vec<&'a str>),
    /// The same in comments: it is not what is built in.
    Example(Vec<&'a str>),
}

/// The page.
///
/// # Errors
/// When the file does not begin with a line `# FILE: what it is for`.
pub fn page(file: &str) -> Result<Vec<u8>> {
    let (title, rest) = file.split_once('\n').context("the file is empty")?;
    let (path, purpose) = title.trim_start_matches("# ").split_once(": ").context("no title")?;
    let mut page = Roff::new();
    crate::title(&mut page, "asterguard.toml", "5", "File formats");
    page.control("SH", ["NAME"]);
    page.text([roman(format!("asterguard.toml - {}", purpose.trim_end_matches('.')))]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([bold(path)]);
    page.control("br", []).text([bold("/etc/asterguard/conf.d/*.toml")]);
    page.control("SH", ["DESCRIPTION"]);
    for block in blocks(rest) {
        match block {
            Block::Prose(lines) => {
                page.control("PP", []).text([roman(lines.join("\n"))]);
            }
            Block::Code(lines) => code(&mut page, &lines),
            Block::Example(lines) => {
                page.control("PP", []).text([roman("Example:")]);
                code(&mut page, &lines);
            }
        }
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("asterguard"), roman("(8), "), bold("asterguard-check"), roman("(8)")]);
    page.control("PP", []).text([roman("/usr/share/doc/asterguard/configuration.md")]);
    let mut text = Vec::new();
    page.to_writer(&mut text)?;
    Ok(text)
}

fn code(page: &mut Roff, lines: &[&str]) {
    page.control("PP", []).control("RS", ["4"]).control("nf", []);
    page.text([roman(lines.join("\n"))]);
    page.control("fi", []).control("RE", []);
}

/// Takes the file apart. An empty line ends a block, and so does a change between prose and code.
fn blocks(file: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    for line in file.lines() {
        let comment = line.strip_prefix('#');
        let example = comment.and_then(|comment| comment.strip_prefix("     "));
        match (comment.map(str::trim), example, blocks.last_mut()) {
            (Some(""), ..) => blocks.push(Block::Prose(Vec::new())),
            (None, ..) if line.is_empty() => blocks.push(Block::Prose(Vec::new())),
            (None, _, Some(Block::Code(lines))) => lines.push(line),
            (Some(_), Some(code), Some(Block::Example(lines))) => lines.push(code),
            (Some(words), None, Some(Block::Prose(lines))) => lines.push(words),
            (Some(_), Some(code), _) => blocks.push(Block::Example(vec![code])),
            (Some(words), None, _) => blocks.push(Block::Prose(vec![words])),
            (None, ..) => blocks.push(Block::Code(vec![line])),
        }
    }
    blocks.retain(|block| !matches!(block, Block::Prose(lines) if lines.is_empty()));
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_prose_and_the_rest_is_code() {
        let file = "# One\n# paragraph.\n#\n#     [an]\n#     example = 1\n\n# Said of it.\na = 1\nb = [\n    2,\n]\n";
        assert_eq!(
            blocks(file),
            [
                Block::Prose(vec!["One", "paragraph."]),
                Block::Example(vec!["[an]", "example = 1"]),
                Block::Prose(vec!["Said of it."]),
                Block::Code(vec!["a = 1", "b = [", "    2,", "]"]),
            ]
        );
    }

    #[test]
    fn the_page_has_every_line_of_the_file() {
        let page = String::from_utf8(page(&crate::BUILT_IN).unwrap()).unwrap();
        let plain = |text: &str| text.replace(['\\', '"', '&'], "").replace("*(Aq", "'");
        let page = plain(&page);
        for line in crate::BUILT_IN.lines().skip(1) {
            let words = plain(line.trim_start_matches('#').trim());
            assert!(page.contains(&words), "{words:?} is not in the page:\n{page}");
        }
    }
}
