//! A line of a list: an address or a network, or nothing, or what is wrong with it.

use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

use crate::config::network;
use crate::model::listed::unblockable;

/// An error in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The bytes of it that are wrong.
    pub span: Range<usize>,
    /// The text that says what is wrong with them.
    pub message: String,
    /// The text that says what to write instead.
    pub help: &'static str,
}

/// Reads a line (without its line feed): one address or network, and a comment after `#` or `;`.
/// `None` if it is empty but for that.
///
/// # Errors
/// Returns an error if it holds anything else.
pub fn line(line: &[u8]) -> Result<Option<IpNet>, LineError> {
    let text = line.split(|byte| matches!(byte, b'#' | b';')).next().unwrap_or_default();
    let lead = text.len() - text.trim_ascii_start().len();
    let text = text.trim_ascii();
    if text.is_empty() {
        return Ok(None);
    }
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let (word, more) = text.split_at(end);
    let wrong = |span, message, help| LineError { span, message, help };
    if !more.is_empty() {
        let skipped = more.len() - more.trim_ascii_start().len();
        let span = lead + end + skipped..lead + text.len();
        let help = "write one address or network a line, and comments after a # or ;";
        return Err(wrong(span, "there is more than one word".to_owned(), help));
    }
    let shown = String::from_utf8_lossy(word);
    let read = std::str::from_utf8(word).map_err(|_| WORD_HELP).and_then(network);
    read.map(Some).map_err(|help| {
        let message = format!("{shown:?} is not an address or network");
        wrong(lead..lead + end, message, help)
    })
}

const WORD_HELP: &str = "write an address such as 203.0.113.10, or a network, 203.0.113.0/24";

/// Returns the reason why a network of a feed is left out. Feeds are about the internet: those that
/// also list what is not routed there (RFC 1918, 4193, 6598) would block a whole site.
#[must_use]
pub fn unfeedable(net: &IpNet) -> Option<&'static str> {
    let private = match net.addr() {
        IpAddr::V4(v4) => {
            let shared = matches!(v4.octets(), [100, 64..=127, ..]);
            v4.is_private() || shared
        }
        IpAddr::V6(v6) => v6.is_unique_local(),
    };
    unblockable(net).or(private.then_some("private networks are not taken from feeds"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<String> {
        line(text.as_bytes()).unwrap().map(|net| net.to_string())
    }

    #[test]
    fn lines_are_addresses_networks_and_comments() {
        for (text, net) in [
            ("203.0.113.10", "203.0.113.10/32"),
            ("  203.0.113.0/24\t\r", "203.0.113.0/24"),
            ("203.0.113.7/24", "203.0.113.0/24"),
            ("2001:db8::/32;SBL1", "2001:db8::/32"),
            ("2001:DB8::1 # office", "2001:db8::1/128"),
            ("::ffff:203.0.113.9", "203.0.113.9/32"),
        ] {
            assert_eq!(read(text).as_deref(), Some(net), "{text}");
        }
        for text in ["", "\r", "# all", " ; all", "\t#", "#203.0.113.10"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (text, wrong) in [
            ("  203.0.113.256 # no", "203.0.113.256"),
            ("203.0.113.0/33", "203.0.113.0/33"),
            ("203.0.113.1  203.0.113.2 #", "203.0.113.2"),
            ("203.0.113.1,203.0.113.2", "203.0.113.1,203.0.113.2"),
            ("sip.example.com", "sip.example.com"),
            ("<html>", "<html>"),
            ("010.0.0.1", "010.0.0.1"),
        ] {
            let error = line(text.as_bytes()).unwrap_err();
            assert_eq!(&text[error.span], wrong);
        }
        assert!(line(b"\xff\xfe1\0").is_err());
    }

    #[test]
    fn nobody_blocks_this_machine_or_a_whole_site() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        for text in ["0.0.0.0/0", "0.0.0.0/7", "127.0.0.1/32", "224.0.0.0/8", "fe80::/64", "::/0"] {
            assert!(unblockable(&net(text)).is_some(), "{text}");
        }
        for text in ["10.0.0.0/8", "192.168.1.0/24", "100.64.0.0/10", "fd00::/32"] {
            assert_eq!(unblockable(&net(text)), None, "{text}");
            assert!(unfeedable(&net(text)).is_some(), "{text}");
        }
        for text in ["203.0.113.0/24", "198.51.100.1/32", "2001:db8::/32", "100.63.0.0/16"] {
            assert_eq!(unfeedable(&net(text)), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            match line(&bytes) {
                Ok(_) => {}
                Err(wrong) => prop_assert!(bytes.get(wrong.span).is_some_and(|part| !part.is_empty())),
            }
        }

        #[test]
        fn every_network_is_read_as_it_is_written(bits: u128, length in 0_u8..=128, v4: bool,
            before in "[ \t]{0,3}", after in "[ \t]{0,3}([#;][ -~]{0,9})?\r?") {
            let net = if v4 {
                let octets = u32::try_from(bits & 0xffff_ffff).unwrap().to_be_bytes();
                IpNet::new(IpAddr::from(octets), length / 4).unwrap()
            } else {
                IpNet::new(IpAddr::from(bits.to_be_bytes()), length).unwrap()
            };
            let text = format!("{before}{net}{after}");
            let expected = crate::model::subject::canonical_net(net);
            prop_assert_eq!(line(text.as_bytes()).unwrap(), Some(expected));
        }
    }
}
