//! What a hostile sender writes into the fields of his packets: the tricks that are known, put
//! together and changed by chance.

use crate::logger::Logger;
use crate::messages::{Field, Values};
use crate::random::Random;

/// What a phone or a plain tool for attacks would write.
pub struct Plain<'a>(pub &'a mut Random);

impl Values for Plain<'_> {
    fn fill(&mut self, field: Field) -> Vec<u8> {
        let number = self.0.below(10_000);
        let text = match field {
            Field::Header => format!("<sip:{number}@192.0.2.10>"),
            Field::Uri => format!("{number}@192.0.2.10"),
            Field::Method => "INVITE".to_owned(),
            Field::Packet => "INVITE sip:100@192.0.2.10 SIP/2.0\r\nVia: x\r\n".to_owned(),
            Field::Name => "sipvicious".to_owned(),
            Field::CallId | Field::Digest => format!("{:016x}", self.0.number()),
            _ => number.to_string(),
        };
        text.into_bytes()
    }
}

/// What forgers work from: genuine messages that name somebody else.
pub struct Bank {
    /// The messages alone.
    pub messages: Vec<Vec<u8>>,
    /// As whole lines of this log, with their line feeds.
    pub lines: Vec<Vec<u8>>,
    /// An address, as it stands in a message.
    pub victim: String,
}

/// How the fields of one packet play together.
enum Plan {
    /// Pieces by chance.
    Pieces,
    /// A line feed, and then whole lines.
    Lines,
    /// One field hides what follows it from ESC on, a later one ends that and goes on differently.
    Hide { from: usize },
    /// As much as fits, so that the record is cut: visible, or hidden from ESC to "m".
    Cut,
    /// What a record that was cut lacks, to the end of what is wanted.
    End,
}

/// Fills the fields of one packet.
pub struct Forger<'a> {
    random: &'a mut Random,
    bank: &'a Bank,
    logger: &'a Logger,
    plan: Plan,
    /// The message that he would like to see.
    wanted: &'a [u8],
    filled: usize,
}

const ESC: u8 = 0x1b;

impl<'a> Forger<'a> {
    /// Has the record cut, so that the next one is written right behind it.
    pub fn cutting(mut self) -> Self {
        self.plan = Plan::Cut;
        self
    }

    /// Completes a record that was cut, as one of the messages `of` the bank.
    pub fn completing(mut self, of: std::ops::Range<usize>) -> Self {
        if !of.is_empty() {
            self.wanted = &self.bank.messages[of.start + self.random.below(of.len())];
        }
        self.plan = Plan::End;
        self
    }

    /// `same` says which of the bank's messages are of the kind that the packet causes.
    pub fn new(
        random: &'a mut Random,
        bank: &'a Bank,
        same: std::ops::Range<usize>,
        logger: &'a Logger,
    ) -> Self {
        let related = random.chance(75) && !same.is_empty();
        let index = if related {
            same.start + random.below(same.len())
        } else {
            random.below(bank.messages.len())
        };
        let wanted: &[u8] = &bank.messages[index];
        let plan = match random.below(20) {
            0..=7 => Plan::Pieces,
            8..=11 => Plan::Lines,
            12..=18 => Plan::Hide { from: joint(random, wanted) },
            _ => Plan::Cut,
        };
        Self { random, bank, logger, plan, wanted, filled: 0 }
    }

    fn value(&mut self) -> Vec<u8> {
        self.filled += 1;
        match self.plan {
            Plan::Pieces => {
                let count = 1 + self.random.below(5);
                (0..count).flat_map(|_| self.piece()).collect()
            }
            Plan::Lines => {
                let mut text = self.word();
                for _ in 0..=self.random.below(3) {
                    text.extend(self.line_end());
                    let line = self.random.pick(&self.bank.lines).clone();
                    let keep = if self.random.chance(70) { line.len() } else { line.len() - 1 };
                    text.extend_from_slice(&line[..keep]);
                }
                text
            }
            Plan::Hide { from } if self.filled % 2 == 1 => {
                let mut text = self.word();
                if self.random.chance(60) {
                    // The whole of what is wanted, up to an "m" that the message has as well.
                    let to = self.after_an_m(from);
                    text = self.wanted[self.random.below(from + 1)..to].to_vec();
                }
                text.push(ESC);
                text
            }
            Plan::Hide { from } => {
                let mut text = self.word();
                text.push(b'm');
                let end = joint(self.random, self.wanted).max(from);
                text.extend_from_slice(&self.wanted[from..end]);
                text
            }
            Plan::End => {
                let from = joint(self.random, self.wanted);
                bytes![self.word(), self.wanted[from..]]
            }
            Plan::Cut => {
                let mut text = self.word();
                let visible = self.random.chance(30);
                text.extend((!visible).then_some(ESC));
                text.resize(text.len() + 7000 + self.random.below(1400), b'A');
                if self.random.chance(70) {
                    text.push(b'm');
                    text.extend(self.piece());
                }
                text.resize(text.len() + self.random.below(2) * 12_000, b'A');
                text
            }
        }
    }

    /// A place behind an "m" of what is wanted, at or behind `from`; its end if there is none.
    fn after_an_m(&mut self, from: usize) -> usize {
        let places: Vec<_> =
            (from..self.wanted.len()).filter(|at| self.wanted[*at] == b'm').collect();
        if places.is_empty() { self.wanted.len() } else { *self.random.pick(&places) + 1 }
    }

    fn word(&mut self) -> Vec<u8> {
        let words: [&[u8]; 8] =
            [b"", b"100", b"<sip:1000@192.0.2.10>", b"x'", b"\"x\" <sip:a@b>", b"9", b"z\"", b"s"];
        self.random.pick(&words).to_vec()
    }

    fn line_end(&mut self) -> Vec<u8> {
        let ends: [&[u8]; 5] = [b"\n", b"\n", b"\r\n", b"%0A", b"\n\n"];
        self.random.pick(&ends).to_vec()
    }

    fn piece(&mut self) -> Vec<u8> {
        let victim = self.bank.victim.as_str();
        let (a, b) = (joint(self.random, self.wanted), joint(self.random, self.wanted));
        match self.random.below(24) {
            0 | 1 => self.word(),
            2 => vec![ESC],
            3 => b"m".to_vec(),
            4 => self.line_end(),
            5 => self.random.pick(&self.bank.lines).clone(),
            6 => bytes!["\n", self.random.pick(&self.bank.lines)],
            7 | 8 => self.wanted[a..].to_vec(),
            9 => self.wanted[..a].to_vec(),
            10 | 11 => self.wanted[a.min(b)..a.max(b)].to_vec(),
            12 => bytes![self.wanted[a..self.after_an_m(a)], [ESC]],
            13 => bytes!["m", self.wanted[a..]],
            14 => vec![*self.random.pick(b"A'\"\x1bm \\"); 1 + self.random.below(300)],
            15 => {
                let quotes: [&[u8]; 8] =
                    [b"'", b"\"", b"\",", b"');", b"\\\"", b")", b"\\", b"\",X=\""];
                self.random.pick(&quotes).to_vec()
            }
            16 => vec![*self.random.pick(b"\xff\0\r\x80\x7f\t")],
            17 => bytes!["\",RemoteAddress=\"IPV4/UDP/", victim, "/5060"],
            18 => bytes![
                "\",SessionID=\"x\",LocalAddress=\"IPV4/UDP/192.0.2.10/5060\",RemoteAddress=\"IPV4/UDP/",
                victim,
                "/5060\""
            ],
            19 => bytes!["[", self.logger.stamp, "] NOTICE[1] chan_sip.c: "],
            20 => bytes!["oteAddress=\"IPV4/", victim, "/1\"\n"],
            21 => bytes!["oteAddress=\"IPV4/UDP/", victim, "/1\"", self.line_end()],
            22 => b"\n-- end of packet.\n".to_vec(),
            _ => bytes!["' failed for '", victim, ":5060' (callid: "],
        }
    }

    fn mutate(&mut self, text: &mut Vec<u8>) {
        for _ in 0..=self.random.below(3) {
            let at = self.random.below(text.len() + 1);
            let byte = if self.random.chance(50) {
                *self.random.pick(b"\x1bm\n'\" \\)(:[]\xff\r,=")
            } else {
                self.random.number().to_le_bytes()[0]
            };
            match self.random.below(3) {
                0 => text.insert(at, byte),
                1 if at < text.len() => text[at] = byte,
                _ if at < text.len() => {
                    text.remove(at);
                }
                _ => {}
            }
        }
    }
}

impl Values for Forger<'_> {
    fn fill(&mut self, field: Field) -> Vec<u8> {
        let mut text = self.value();
        if self.random.chance(20) {
            self.mutate(&mut text);
        }
        transmit(field, text)
    }
}

/// A place in a message where a forger may begin or end: at a mark, behind an "m", or anywhere.
fn joint(random: &mut Random, message: &[u8]) -> usize {
    let anywhere = random.below(message.len() + 1);
    if random.chance(30) {
        return anywhere;
    }
    let mark = |at: &usize| b"'\"( ,>".contains(&message[*at]);
    (anywhere..message.len()).find(mark).unwrap_or(anywhere)
}

/// What of `text` can get to the logger in this field.
fn transmit(field: Field, mut text: Vec<u8>) -> Vec<u8> {
    let header_byte = |byte: &u8| !matches!(byte, b'\r' | b'\n' | 0);
    match field {
        Field::Header | Field::CallId => {
            text.retain(header_byte);
            text.truncate(20_000);
        }
        Field::Method => {
            text.retain(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(b));
            text.truncate(200);
        }
        Field::Name => {
            text.retain(header_byte);
            text = quoted(&text);
            text.truncate(200);
        }
        Field::Uri => {
            // The user is printed encoded; what a host in brackets holds is printed as it is.
            text.retain(|byte| header_byte(byte) && *byte != b']');
            text.truncate(200);
            text.splice(0..0, *b"1000@192.0.2.10");
        }
        Field::User => text.truncate(36),
        Field::Digest => {
            text.retain(header_byte);
            text = quoted(&text);
            text.truncate(255);
            if text.last() == Some(&b'\\') {
                text.pop();
            }
        }
        Field::Extension => text.truncate(79),
        Field::Decoded | Field::Element => text.truncate(255),
        Field::Login => {
            text.retain(|byte| *byte != b'\n' && *byte != 0);
            text.truncate(1000);
        }
        Field::WebLogin | Field::Packet | Field::Text => text.truncate(20_000),
    }
    text
}

/// With a backslash before each quote that has none.
fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut escaped = false;
    for byte in text {
        if *byte == b'"' && !escaped {
            out.push(b'\\');
        }
        escaped = *byte == b'\\' && !escaped;
        out.push(*byte);
    }
    if escaped {
        out.pop();
    }
    out
}
