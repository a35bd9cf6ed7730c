//! Netlink's attributes, read from bytes (`linux/netlink.h`). Nothing in them is taken at its word.

const HEADER: usize = 4;
/// Flags in the kind of an attribute aside.
const TYPE_MASK: u16 = 0x3fff;

/// Kinds and values; what is broken ends it.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(number(rest, 0)?));
        let kind = u16::from_ne_bytes(number(rest, 2)?) & TYPE_MASK;
        let value = rest.get(HEADER..length)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// Returns the bytes of a number; `None` if they are not all there.
pub(crate) fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// Returns where the part after this many bytes begins.
pub(crate) const fn aligned(length: usize) -> usize {
    (length + 3) & !3
}

/// The length of a message's header (`struct nlmsghdr`), in bytes.
const MESSAGE_HEADER: usize = 16;

/// Returns the messages in what was received in one call, each from its header on; a broken one ends it.
pub(crate) fn messages(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        // Shorter than its own header it cannot be; taken at its word, it would never end.
        let length = (u32::from_ne_bytes(number(rest, 0)?) as usize).max(MESSAGE_HEADER);
        let message = rest.get(..length)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some(message)
    })
}
