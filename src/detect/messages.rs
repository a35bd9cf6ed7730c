//! The messages whose forms the rules know, found by how a body begins.

use crate::rules::MessageShape;

/// The messages of all rule files.
#[derive(Debug)]
pub(super) struct Messages {
    /// Those that text of others may follow even when they are whole stand first.
    shapes: Vec<MessageShape>,
    /// How the body of each begins.
    beginnings: Vec<Beginning>,
    followed: usize,
}

/// The first bytes of a head, at most eight.
#[derive(Debug)]
struct Beginning {
    bytes: u64,
    mask: u64,
}

impl Messages {
    pub fn new(mut shapes: Vec<MessageShape>) -> Self {
        let is_followed = |shape: &MessageShape| shape.dump || shape.echo;
        shapes.sort_by_key(|shape| !is_followed(shape));
        let followed = shapes.partition_point(is_followed);
        let beginning = |shape: &MessageShape| Beginning {
            bytes: first_bytes(&shape.head),
            mask: first_bytes(&vec![0xff; shape.head.len()]),
        };
        let beginnings = shapes.iter().map(beginning).collect();
        Self { shapes, beginnings, followed }
    }

    /// Returns the messages that a body is one of, as far as they matter: of those that a rule matches, which are
    /// whole, others' text may follow some only.
    pub fn of(&self, body: &[u8], whole: bool) -> impl Iterator<Item = &MessageShape> {
        let first = first_bytes(body);
        let number = if whole { self.followed } else { self.shapes.len() };
        let all = self.shapes.iter().zip(&self.beginnings).take(number);
        let likely = all.filter(move |(_, beginning)| first & beginning.mask == beginning.bytes);
        likely.map(|(shape, _)| shape).filter(move |shape| is_of(shape, body))
    }

    /// Returns the messages of two lines whose second one is this.
    pub fn with_second_line(&self, text: &[u8]) -> impl Iterator<Item = &MessageShape> {
        self.shapes
            .iter()
            .filter(move |shape| shape.next.as_ref().is_some_and(|next| next.is_match(text)))
    }
}

/// Whether a body is that of a message.
pub(super) fn is_of(shape: &MessageShape, body: &[u8]) -> bool {
    body.starts_with(&shape.head)
        && shape.contains.as_ref().is_none_or(|text| text.find(body).is_some())
}

/// Returns the first eight bytes of a text, zeros behind those of a shorter one.
fn first_bytes(text: &[u8]) -> u64 {
    if let Some(first) = text.first_chunk() {
        return u64::from_le_bytes(*first);
    }
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(text).for_each(|(place, byte)| *place = *byte);
    u64::from_le_bytes(bytes)
}
