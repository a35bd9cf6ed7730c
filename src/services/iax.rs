//! IAX2: the full frames that tell of credentials (RFC 5456, section 8).
//!
//! A full frame has twelve bytes: our or the host's number of the call, the other's, a time, two
//! counters, the type (6: IAX's own) and what of these it is. Elements follow: a byte that names it, one with its length.

/// The first byte of a full frame, and of the second number where the frame is sent again, has this bit.
const FLAG: u16 = 0x8000;
/// The bytes ahead of the elements.
const HEADER: usize = 12;
/// The type of IAX's own frames.
const CONTROL: u8 = 6;
/// The element with the name of the account.
const USERNAME: u8 = 6;
/// The element with the code of why something was refused: those of Q.931.
const CAUSE_CODE: u8 = 42;

/// The kinds of frames that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call is turned away (REJECT).
    Reject,
    /// A call is let in (ACCEPT).
    Accept,
    /// A call is asked for credentials (AUTHREQ).
    AskCall,
    /// Credentials for a call (AUTHREP).
    CallCredentials,
    /// A registration, with credentials or without (REGREQ).
    Register,
    /// A registration is asked for credentials (REGAUTH).
    AskRegistration,
    /// A registration is accepted (REGACK).
    Registered,
    /// A registration is turned away (REGREJ).
    RegistrationRejected,
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The sender's number of the call.
    pub source: u16,
    /// The receiver's number of the call; 0: the sender does not know it.
    pub destination: u16,
    /// Whether it is said to have been sent before.
    pub again: bool,
    /// What it is.
    pub kind: Kind,
    /// The name of the account, as it was sent.
    pub username: Option<&'a [u8]>,
    /// Why something is refused.
    pub cause: Option<u8>,
}

impl<'a> Frame<'a> {
    /// Reads a datagram; `None` for all that is none of these frames.
    #[must_use]
    pub fn read(datagram: &'a [u8]) -> Option<Self> {
        let header: &[u8; HEADER] = datagram.get(..HEADER)?.try_into().ok()?;
        let [s1, s2, d1, d2, _, _, _, _, _, _, class, kind] = *header;
        let source = u16::from_be_bytes([s1, s2]);
        let destination = u16::from_be_bytes([d1, d2]);
        if source & FLAG == 0 || class != CONTROL {
            return None;
        }
        let kind = match kind {
            6 => Kind::Reject,
            7 => Kind::Accept,
            8 => Kind::AskCall,
            9 => Kind::CallCredentials,
            13 => Kind::Register,
            14 => Kind::AskRegistration,
            15 => Kind::Registered,
            16 => Kind::RegistrationRejected,
            _ => return None,
        };
        let mut frame = Self {
            source: source & !FLAG,
            destination: destination & !FLAG,
            again: destination & FLAG != 0,
            kind,
            username: None,
            cause: None,
        };
        let mut rest = datagram.get(HEADER..)?;
        while let [name, length, more @ ..] = rest {
            let Some((value, more)) = more.split_at_checked(usize::from(*length)) else { break };
            match (*name, value) {
                (USERNAME, name) if frame.username.is_none() => frame.username = Some(name),
                (CAUSE_CODE, [code]) if frame.cause.is_none() => frame.cause = Some(*code),
                _ => {}
            }
            rest = more;
        }
        Some(frame)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns a frame with these elements.
    pub fn frame(source: u16, destination: u16, kind: u8, elements: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = (FLAG | source).to_be_bytes().to_vec();
        bytes.extend(destination.to_be_bytes());
        bytes.extend([0, 0, 0, 10, 0, 1, CONTROL, kind]);
        for (name, value) in elements {
            bytes.extend([*name, u8::try_from(value.len()).unwrap()]);
            bytes.extend(*value);
        }
        bytes
    }

    /// As Asterisk 22.10 sent them.
    #[test]
    fn frames_are_read() {
        let bytes = frame(0x1353, 0x18, 14, &[(14, b"\0\x02"), (15, b"178537653"), (6, b"1000")]);
        let read = Frame::read(&bytes).unwrap();
        assert_eq!(
            (read.source, read.destination, read.again, read.kind, read.username, read.cause),
            (0x1353, 0x18, false, Kind::AskRegistration, Some(&b"1000"[..]), None)
        );
        let bytes = frame(0x1353, 0x8018, 16, &[(22, b"Registration Refused"), (42, &[29])]);
        let read = Frame::read(&bytes).unwrap();
        assert_eq!((read.destination, read.again, read.cause), (0x18, true, Some(29)));
        assert_eq!(read.kind, Kind::RegistrationRejected);
        // Neither a voice frame, nor another control frame, nor a mini frame.
        for (at, byte) in [(10, 2), (11, 4), (0, 0x13)] {
            let mut other = bytes.clone();
            other[at] = byte;
            assert_eq!(Frame::read(&other), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(rest in prop::collection::vec(any::<u8>(), 0..300), kind in 0_u8..20) {
            let _ = Frame::read(&rest);
            let bytes = [frame(1, 2, kind, &[]), rest].concat();
            if let Some(read) = Frame::read(&bytes) {
                prop_assert!(read.username.is_none_or(|name| name.len() <= 255));
            }
        }
    }
}
