//! The messages whose forms the rules know, found by how a body begins.

use std::collections::BTreeMap;

use crate::rules::MessageShape;

/// The messages of all rule files, those together whose heads have the same first bytes.
#[derive(Debug)]
pub(super) struct Messages(Vec<Alike>);

/// Messages whose heads have the same first bytes.
#[derive(Debug)]
struct Alike {
    /// The first bytes of their heads, at most eight, and the bits of a body that they are compared with.
    bytes: u64,
    mask: u64,
    /// Those that text of others may follow even when they are whole stand first.
    shapes: Vec<MessageShape>,
    followed: usize,
}

impl Messages {
    pub fn new(shapes: Vec<MessageShape>) -> Self {
        let mut alike: BTreeMap<_, Vec<MessageShape>> = BTreeMap::new();
        for shape in shapes {
            let bytes = first_bytes(&shape.head);
            let mask = first_bytes(&vec![0xff; shape.head.len()]);
            alike.entry((bytes, mask)).or_default().push(shape);
        }
        let alike = alike.into_iter().map(|((bytes, mask), mut shapes)| {
            let is_followed = |shape: &MessageShape| shape.dump || shape.echo;
            shapes.sort_by_key(|shape| !is_followed(shape));
            let followed = shapes.partition_point(is_followed);
            Alike { bytes, mask, shapes, followed }
        });
        Self(alike.collect())
    }

    /// Returns the messages that a body is one of, as far as they matter: of those that a rule matches, which are
    /// whole, others' text may follow some only.
    pub fn of(&self, body: &[u8], whole: bool) -> impl Iterator<Item = &MessageShape> {
        let first = first_bytes(body);
        let likely = self.0.iter().filter(move |alike| first & alike.mask == alike.bytes);
        let matter = move |alike: &Alike| if whole { alike.followed } else { alike.shapes.len() };
        let shapes = likely.flat_map(move |alike| alike.shapes.iter().take(matter(alike)));
        shapes.filter(move |shape| is_of(shape, body))
    }

    /// Returns the messages of two lines whose second one is this.
    pub fn with_second_line(&self, text: &[u8]) -> impl Iterator<Item = &MessageShape> {
        let is_second = move |shape: &&MessageShape| {
            shape.next.as_ref().is_some_and(|next| next.is_match(text))
        };
        self.0.iter().flat_map(|alike| &alike.shapes).filter(is_second)
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
