//! A log file at rest, unpacked on the way if its name says that gzip packed it, and whether it is one at all.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;

use crate::detect::prefix::{self, Tags};
use crate::input::line_splitter::Region;

/// Opens `path`; `progress` counts the bytes that the file has on the disk.
pub fn open(path: &Path, progress: &ProgressBar) -> io::Result<Box<dyn Read>> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let file = progress.wrap_read(file);
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    Ok(if packed { Box::new(Unpacked(MultiGzDecoder::new(file))) } else { Box::new(file) })
}

/// Whether a line of `region` begins as Asterisk's messages do, or as the kernel's.
pub fn looks_like_asterisks(region: &Region<'_>, tags: &Tags) -> bool {
    let mut scratch = Vec::new();
    region.lines().any(|(_, line)| is_message(line, tags, &mut scratch))
}

/// Whether one line begins so.
pub fn is_message(line: &[u8], tags: &Tags, scratch: &mut Vec<u8>) -> bool {
    prefix::begins_message(line, tags, scratch) || prefix::kernel(line).is_some()
}

/// Returns what is said of a file without such a line.
pub fn unrecognized(file: &str) -> String {
    format!("no line of {file} looks like one that Asterisk writes: is it the right file?")
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
