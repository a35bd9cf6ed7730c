//! Asterisk's logger: how a message becomes bytes of a log file.
//!
//! As `main/logger.c` and `main/term.c` have it, 1.8 to 23: prefix and message go into a buffer of
//! 8192 bytes; what does not fit is lost, the line feed first. Then everything from an ESC to the
//! next "m" is taken out, in place. An ESC that no "m" follows ends that without ending the string,
//! so what the buffer held at that place stays.

/// The buffer that a record is written to the file from (`BUFSIZ`), with its terminating NUL.
const BUFFER: usize = 8192;

/// What a module hands to the logger.
#[derive(Clone, Debug)]
pub struct Record {
    pub level: &'static str,
    /// As `__FILE__` has it; the dialplan's `Log()` puts the extension in.
    pub file: Vec<u8>,
    /// 0: Asterisk prints none.
    pub line: u16,
    pub function: &'static str,
    pub message: Vec<u8>,
}

/// The shapes of a line.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A file with the default formatter.
    File,
    /// A file with the `[plain]` formatter.
    Plain,
    /// By the syslog channel to rsyslog, which writes control bytes as `#ooo`.
    Syslog,
    /// A file with the `[json]` formatter.
    Json,
}

/// One log file.
#[derive(Clone, Debug)]
pub struct Logger {
    pub shape: Shape,
    /// As `dateformat` has it.
    pub stamp: &'static str,
}

impl Logger {
    /// The bytes that `record` adds to the file.
    pub fn write(&self, record: &Record) -> Vec<u8> {
        if matches!(self.shape, Shape::Json) {
            return self.object(record);
        }
        let Record { level, file, line, function, message } = record;
        let until_nul = message.split(|byte| *byte == 0).next().unwrap();
        let line = if *line == 0 { String::new() } else { line.to_string() };
        let gap = if line.is_empty() { "" } else { " " };
        let mut buffer = match self.shape {
            Shape::File => {
                bytes!["[", self.stamp, "] ", level, "[1943] ", file, ": ", until_nul]
            }
            Shape::Plain => {
                let place = bytes![file, ":", line, gap, function];
                bytes!["[", self.stamp, "] ", level, "[1943]: ", place, ": ", until_nul]
            }
            Shape::Syslog | Shape::Json => {
                let place = bytes![file, ":", line, " in ", function];
                bytes![level, "[1943]: ", place, ": ", until_nul]
            }
        };
        if buffer.last() != Some(&b'\n') {
            buffer.push(b'\n');
        }
        buffer.truncate(BUFFER - 1);
        strip(&mut buffer);
        match self.shape {
            Shape::File | Shape::Plain | Shape::Json => buffer,
            Shape::Syslog => by_rsyslog(&buffer),
        }
    }

    /// What jansson makes of it; nothing of what is not UTF-8.
    fn object(&self, record: &Record) -> Vec<u8> {
        let Record { level, file, line, function, message } = record;
        let until_nul = message.split(|byte| *byte == 0).next().unwrap();
        let (Ok(file), Ok(text)) = (std::str::from_utf8(file), std::str::from_utf8(until_nul))
        else {
            return Vec::new();
        };
        let object = serde_json::json!({
            "hostname": "pbx",
            "timestamp": self.stamp,
            "identifiers": { "lwp": 1943, "callid": "" },
            "logmsg": {
                "location": { "filename": file, "function": function, "line": line },
                "level": level,
                "message": text,
            },
        });
        let mut bytes = object.to_string().into_bytes();
        bytes.push(b'\n');
        bytes.truncate(BUFFER - 1);
        bytes
    }
}

/// What `term_strip(buffer, buffer, size)` leaves.
fn strip(buffer: &mut Vec<u8>) {
    let (mut read, mut written) = (0, 0);
    while read < buffer.len() {
        if buffer[read] == 0x1b {
            match buffer[read..].iter().position(|byte| *byte == b'm') {
                Some(m) => read += m + 1,
                // No NUL is written: the string goes on with what was there before.
                None => return,
            }
        } else {
            buffer[written] = buffer[read];
            (read, written) = (read + 1, written + 1);
        }
    }
    buffer.truncate(written);
}

/// A datagram as rsyslog writes it by default: no line feed at the end, control bytes escaped.
fn by_rsyslog(datagram: &[u8]) -> Vec<u8> {
    let text = datagram.strip_suffix(b"\n").unwrap_or(datagram);
    let mut line = b"Nov 22 10:00:00 pbx asterisk[467]: ".to_vec();
    for byte in text {
        match byte {
            0..=0x1f | 0x7f => line.extend(format!("#{byte:03o}").into_bytes()),
            _ => line.push(*byte),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(text: &str) -> String {
        let mut buffer = text.as_bytes().to_vec();
        strip(&mut buffer);
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn escapes_are_removed_as_asterisk_does() {
        assert_eq!(stripped("plain\n"), "plain\n");
        assert_eq!(stripped("a\u{1b}[0mb\u{1b}, an m\nc\n"), "ab\nc\n");
        // Nothing after it ends it: it stays (seen on 16.28) ...
        assert_eq!(stripped("a\u{1b}[b\n"), "a\u{1b}[b\n");
        // ... and behind one that was taken out, a part is there twice.
        assert_eq!(stripped("a\u{1b}mbc\u{1b}d\n"), "abcbc\u{1b}d\n");
    }

    #[test]
    fn text_over_the_buffer_is_lost_with_its_line_feed() {
        let logger = Logger { shape: Shape::File, stamp: "x" };
        let message = vec![b'a'; 9000];
        let file = b"chan_sip.c".to_vec();
        let record = Record { level: "NOTICE", file, line: 1, function: "f", message };
        let line = logger.write(&record);
        assert!(line.len() == 8191 && line.starts_with(b"[x] NOTICE[1943] chan_sip.c: aaa"));
        assert_eq!(line.last(), Some(&b'a'));
    }
}
