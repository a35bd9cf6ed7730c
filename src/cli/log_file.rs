//! A log file at rest or standard input, unpacked on the way if its name says that gzip packed it.

use std::fs::{File, Metadata};
use std::io::{self, IsTerminal as _, Read};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use flate2::read::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::decide::plan::Plan;
use crate::detect::timestamp::TimestampParser;
use crate::model::time::Time;
use crate::sys::clock;

/// The name of standard input.
pub const STDIN: &str = "-";

/// Opens `path`, or standard input; `progress` counts the bytes that the file has on the disk.
pub fn open(path: &Path, progress: &ProgressBar) -> io::Result<Box<dyn Read>> {
    let file = file(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let file = progress.wrap_read(file);
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    Ok(if packed { Box::new(Unpacked(MultiGzDecoder::new(file))) } else { Box::new(file) })
}

/// Whether this is standard input.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

/// Returns how it is called, for people; a file's name may hold anything.
pub fn name(path: &Path) -> String {
    if is_stdin(path) {
        return "standard input".to_owned();
    }
    let mut name = String::new();
    for letter in path.to_string_lossy().chars() {
        if letter.is_control() {
            name.extend(letter.escape_default());
        } else {
            name.push(letter);
        }
    }
    name
}

/// Returns when it was written last: dates without a year are the last such dates before that. What comes by a pipe is
/// written now.
pub fn written(path: &Path) -> Time {
    let Some(metadata) = metadata(path) else { return clock::now() };
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Time::from_secs(since.map_or(0, |since| since.as_secs().try_into().unwrap_or(i64::MAX)))
}

/// Returns a parser of the dates in a log that was written last at this time, in the format that the configuration
/// names.
pub fn date_parser(plan: &Plan, written: Time) -> TimestampParser {
    TimestampParser::new(plan.log_time_zone(), written).with_format(plan.date_format())
}

/// Returns the bytes that it has; 0 if that is not known.
pub fn size(path: &Path) -> u64 {
    metadata(path).map_or(0, |metadata| metadata.len())
}

/// Shows on standard error how much of `bytes` has been read, or only how much if there is no telling how many there
/// are (0). Nothing is shown where nobody looks, or where somebody types the lines.
pub fn progress(bytes: u64, typed: bool) -> ProgressBar {
    let seen = io::stderr().is_terminal() && !(typed && io::stdin().is_terminal());
    let target = if seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let (length, template) = match bytes {
        0 => (None, "{spinner} {bytes} {bytes_per_sec}"),
        _ => (Some(bytes), "{bar:40} {bytes}/{total_bytes} {eta}"),
    };
    let bar = ProgressBar::with_draw_target(length, target);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Returns what is said of a file without a line of Asterisk's or the kernel's.
pub fn unrecognized(file: &str, is_empty: bool) -> String {
    if is_empty {
        return format!("{file} is empty");
    }
    format!("no line of {file} looks like one that Asterisk writes: is it the right file?")
}

/// The metadata of a regular file.
fn metadata(path: &Path) -> Option<Metadata> {
    let metadata = if is_stdin(path) { file(path).ok()?.metadata() } else { path.metadata() };
    metadata.ok().filter(Metadata::is_file)
}

fn file(path: &Path) -> io::Result<File> {
    if is_stdin(path) {
        return Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?));
    }
    File::open(path)
}

/// A reader of a packed file, which says in words what is wrong with it.
struct Unpacked<R>(MultiGzDecoder<R>);

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            let words = match error.kind() {
                io::ErrorKind::Interrupted => return error,
                io::ErrorKind::UnexpectedEof => "it ends in the middle".to_owned(),
                _ => format!("it is damaged, or was not made by gzip ({error})"),
            };
            io::Error::new(error.kind(), words)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// Returns what can be read of a file, and the reason why no more can be.
    fn read(name: &str, bytes: &[u8]) -> (String, Option<String>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let progress = ProgressBar::hidden();
        let (mut reader, mut text) = (open(&path, &progress).unwrap(), Vec::new());
        let error = reader.read_to_end(&mut text).err().map(|error| error.to_string());
        (String::from_utf8(text).unwrap(), error)
    }

    #[test]
    fn packed_files_are_unpacked_by_their_name() {
        assert_eq!(read("messages", b"one\ntwo\n"), ("one\ntwo\n".to_owned(), None));
        let two = [packed("one\n"), packed("two\n")].concat();
        assert_eq!(read("messages.1.gz", &two), ("one\ntwo\n".to_owned(), None));
    }

    #[test]
    fn what_can_be_read_of_a_broken_file_is_read() {
        let good = packed("one\n");
        let cut = |bytes: &[u8]| bytes[..bytes.len() - 5].to_vec();
        let (text, error) = read("a.gz", &[good.clone(), cut(&packed("two\n"))].concat());
        assert!(text.starts_with("one\n") && error.unwrap() == "it ends in the middle");
        let (text, error) = read("a.gz", &[&good[..], b"garbage and more of it"].concat());
        assert!(text == "one\n" && error.unwrap().starts_with("it is damaged"));
        let (text, error) = read("a.gz", b"[Nov 22 00:52:46] NOTICE[1] a.c: b\n");
        assert!(text.is_empty() && error.unwrap().contains("not made by gzip"));
    }
}
