//! Bytes to an address: strict, no name lookup, no guess.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::exchange::Transport;
use crate::rules::address_tag::AddressTag;

/// The word between an address and its port in [`AddressTag::HostWordPort`].
const WORD: &[u8] = b" port ";

/// An address read from a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundAddress {
    /// The address as written (IPv4-mapped ones are not unwrapped here).
    pub host: IpAddr,
    /// Its port; 0 where the line does not say.
    pub port: u16,
    /// The transport that carried the message, where the line says so.
    pub transport: Transport,
    /// The number of bytes that it took.
    pub len: usize,
}

impl AddressTag {
    /// Reads the address that `text` begins with.
    #[must_use]
    pub fn read(self, text: &[u8]) -> Option<FoundAddress> {
        let (transport, skip) = match self {
            Self::Host
            | Self::HostPort
            | Self::HostPortColon
            | Self::HostMaybePort
            | Self::HostDotPort
            | Self::HostWordPort => (Transport::Unknown, 0),
            Self::TransportColon => transport(text, b':')?,
            Self::TransportSpace => transport(text, b' ')?,
            Self::Slashes => {
                let (b"IPV4/" | b"IPV6/") = text.get(..5)? else { return None };
                match transport(text.get(5..)?, b'/') {
                    Some((transport, len)) => (transport, 5 + len),
                    None => (Transport::Unknown, 5),
                }
            }
        };
        let rest = text.get(skip..)?;
        let (host, port, len) = match self {
            Self::Host => {
                let (host, len) = address(rest)?;
                (host, 0, len)
            }
            Self::HostMaybePort => {
                let (host, len) = address(rest)?;
                let (port, more) = port(rest.get(len..)?, b':').unwrap_or_default();
                (host, port, len + more)
            }
            Self::HostPort | Self::TransportColon | Self::TransportSpace => address_and_port(rest)?,
            Self::HostDotPort => {
                let token = rest.get(..run_of(rest, |b| b.is_ascii_digit() || b == b'.'))?;
                let (host, dotted) = token.split_at_checked(memchr::memrchr(b'.', token)?)?;
                let (port, more) = port(dotted, b'.')?;
                (IpAddr::V4(ipv4(host)?), port, host.len() + more)
            }
            Self::HostWordPort => {
                let (host, len) = bare_address(rest)?;
                let (word, number) = rest.get(len..)?.split_at_checked(WORD.len() - 1)?;
                let (port, more) = port(number, b' ').filter(|_| word == b" port")?;
                (host, port, len + word.len() + more)
            }
            Self::HostPortColon => {
                let belongs = |byte| is_address_byte(byte) || byte == b'[' || byte == b']';
                let token = rest.get(..run_of(rest, belongs))?.strip_suffix(b":")?;
                let (host, port, len) =
                    address_and_port(token).filter(|(.., len)| *len == token.len())?;
                (host, port, len + 1)
            }
            Self::Slashes => {
                let (host, len) = bare_address(rest)?;
                let (port, more) = port(rest.get(len..)?, b'/')?;
                (host, port, len + more)
            }
        };
        // An IPV4 label before an IPv6 address (or the other way round) is nothing Asterisk writes.
        let label = text.get(3).filter(|_| self == Self::Slashes);
        match (label, host) {
            (Some(b'4'), IpAddr::V6(_)) | (Some(b'6'), IpAddr::V4(_)) => None,
            _ => Some(FoundAddress { host, port, transport, len: skip + len }),
        }
    }
}

/// Reads a transport name and the `separator` behind it.
fn transport(text: &[u8], separator: u8) -> Option<(Transport, usize)> {
    let end = memchr::memchr(separator, text.get(..4).unwrap_or(text))?;
    let transport = match text.get(..end)? {
        b"UDP" => Transport::Datagram,
        b"TCP" => Transport::Stream,
        b"TLS" | b"WS" | b"WSS" => Transport::Wrapped,
        _ => return None,
    };
    Some((transport, end + 1))
}

/// Reads `separator` and a port number, and says how many bytes they took.
fn port(text: &[u8], separator: u8) -> Option<(u16, usize)> {
    let text = text.strip_prefix(&[separator])?;
    let digits = text.get(..run_of(text, |byte| byte.is_ascii_digit()))?;
    let number = digits.iter().try_fold(0_u16, |number, digit| {
        number.checked_mul(10)?.checked_add(u16::from(digit - b'0'))
    });
    number.filter(|_| !digits.is_empty()).map(|number| (number, 1 + digits.len()))
}

/// Reads `ADDRESS:PORT`; behind an IPv6 address without brackets, the last colon is the port's.
fn address_and_port(text: &[u8]) -> Option<(IpAddr, u16, usize)> {
    if let Some((host, len)) = leading_ipv4(text) {
        let (port, more) = port(text.get(len..)?, b':')?;
        let len = len + more;
        let goes_on = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b':';
        return (!text.get(len).is_some_and(goes_on)).then_some((host, port, len));
    }
    if text.first() != Some(&b'[') {
        let token = text.get(..run_of(text, is_address_byte))?;
        if memchr::memchr_iter(b':', token).nth(1).is_some() {
            let colon = memchr::memrchr(b':', token)?;
            let host = ipv6(token.get(..colon)?)?;
            let (port, more) = port(text.get(colon..)?, b':')?;
            return Some((IpAddr::V6(host), port, colon + more));
        }
    }
    let (host, len) = address(text)?;
    let (port, more) = port(text.get(len..)?, b':')?;
    Some((host, port, len + more))
}

/// Reads an address: IPv4, IPv6, or IPv6 in brackets; a zone (`%eth0`) is read and dropped.
fn address(text: &[u8]) -> Option<(IpAddr, usize)> {
    if let Some(inner) = text.strip_prefix(b"[") {
        let (host, len) = bare_address(inner)?;
        return (inner.get(len) == Some(&b']')).then_some((host, len + 2));
    }
    bare_address(text)
}

fn bare_address(text: &[u8]) -> Option<(IpAddr, usize)> {
    if let Some(found) = leading_ipv4(text) {
        return Some(found);
    }
    let token = without_stops(text.get(..run_of(text, is_address_byte))?);
    let host = ipv6(token)?;
    let zone = match text.get(token.len()..)? {
        [b'%', zone @ ..] => 1 + run_of(zone, |b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)),
        _ => 0,
    };
    Some((IpAddr::V6(host), token.len() + zone))
}

/// Reads an IPv4 address; a colon behind it is the port's, full stops end a sentence.
fn leading_ipv4(text: &[u8]) -> Option<(IpAddr, usize)> {
    let (host, rest) = ipv4_of(text)?;
    let stops = run_of(rest, |byte| byte == b'.');
    match rest.get(stops) {
        Some(b':') if stops == 0 => {}
        Some(byte) if is_address_byte(*byte) => return None,
        _ => {}
    }
    Some((IpAddr::V4(host), text.len() - rest.len()))
}

/// A full stop behind an address ends the sentence, not the address.
fn without_stops(token: &[u8]) -> &[u8] {
    let end = token.iter().rposition(|byte| *byte != b'.').map_or(0, |last| last + 1);
    token.get(..end).unwrap_or(token)
}

fn run_of(text: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| belongs(**byte)).count()
}

fn is_address_byte(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b':' || byte == b'.'
}

/// Four decimal octets.
fn ipv4(token: &[u8]) -> Option<Ipv4Addr> {
    ipv4_of(token).and_then(|(host, rest)| rest.is_empty().then_some(host))
}

/// The same at the beginning of a text, and what stands behind it.
fn ipv4_of(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let (a, rest) = octet(text)?;
    let (b, rest) = octet(rest.strip_prefix(b".")?)?;
    let (c, rest) = octet(rest.strip_prefix(b".")?)?;
    let (d, rest) = octet(rest.strip_prefix(b".")?)?;
    Some((Ipv4Addr::new(a, b, c, d), rest))
}

/// A decimal octet; no leading zeros, which some programs read as octal.
fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: u8| Some(u16::from(byte.wrapping_sub(b'0'))).filter(|digit| *digit < 10);
    let (first, mut rest) = text.split_first()?;
    let mut value = digit(*first)?;
    for _ in 0..if value == 0 { 0 } else { 2 } {
        let Some((next, after)) = rest.split_first() else { break };
        let Some(digit) = digit(*next) else { break };
        (value, rest) = (10 * value + digit, after);
    }
    Some((u8::try_from(value).ok()?, rest))
}

fn ipv6(token: &[u8]) -> Option<Ipv6Addr> {
    if token.len() > 45 {
        return None;
    }
    std::str::from_utf8(token).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex_automata::meta::Regex;
    use regex_automata::util::syntax;

    fn read(tag: AddressTag, text: &str) -> Option<(String, usize)> {
        tag.read(text.as_bytes()).map(|s| (s.host.to_string(), s.len))
    }

    #[test]
    fn spellings_of_an_address() {
        use AddressTag::*;
        for (tag, text, host, rest) in [
            (Host, "203.0.113.9 failed", "203.0.113.9", " failed"),
            (Host, "203.0.113.9. Line", "203.0.113.9", ". Line"),
            (Host, "2001:db8::9' x", "2001:db8::9", "' x"),
            (Host, "2001:db8::9. Line", "2001:db8::9", ". Line"),
            (Host, "[2001:0DB8:0:0:0::9] x", "2001:db8::9", " x"),
            (Host, "::ffff:1.2.3.4'", "::ffff:1.2.3.4", "'"),
            (HostPort, "203.0.113.9:5071'", "203.0.113.9", "'"),
            (HostPort, "[2001:db8::9]:5071'", "2001:db8::9", "'"),
            (HostPort, "[fe80::1%eth0]:5071'", "fe80::1", "'"),
            (HostPort, "2001:db8::7:5060)", "2001:db8::7", ")"),
            (HostPort, "[1.2.3.4]:61470)", "1.2.3.4", ")"),
            (HostPortColon, "203.0.113.9:5071: Missing", "203.0.113.9", " Missing"),
            (HostPortColon, "2001:db8::7:5060: Missing", "2001:db8::7", " Missing"),
            (HostPortColon, "[2001:db8::9]:5071: ", "2001:db8::9", " "),
            (HostMaybePort, "203.0.113.9'", "203.0.113.9", "'"),
            (HostMaybePort, "203.0.113.9:5'", "203.0.113.9", "'"),
            (HostMaybePort, "[2001:db8::9]:5071'", "2001:db8::9", "'"),
            (HostDotPort, "203.0.113.9.4569'", "203.0.113.9", "'"),
            (HostWordPort, "203.0.113.9 port 40022 ssh2", "203.0.113.9", " ssh2"),
            (HostWordPort, "2001:db8::9 port 40022: x", "2001:db8::9", ": x"),
            (HostWordPort, "fe80::1%eth0 port 40022", "fe80::1", ""),
            (TransportColon, "WSS:203.0.113.9:5071)", "203.0.113.9", ")"),
            (TransportSpace, "UDP 2001:db8::9:5071 :", "2001:db8::9", " :"),
            (Slashes, "IPV4/UDP/203.0.113.9/5071\"", "203.0.113.9", "\""),
            (Slashes, "IPV6/TLS/2001:db8::9/5071\"", "2001:db8::9", "\""),
            (Slashes, "IPV4/203.0.113.9/5060\"", "203.0.113.9", "\""),
        ] {
            assert_eq!(read(tag, text), Some((host.to_owned(), text.len() - rest.len())), "{text}");
        }
    }

    #[test]
    fn what_is_no_address() {
        use AddressTag::*;
        for (tag, text) in [
            (Host, ""),
            (Host, "pbx.example.com"),
            (Host, "1.2.3"),
            (Host, "1.2.3.4.5"),
            (Host, "1.2.3.256"),
            (Host, "01.2.3.4"),
            (Host, "1:2:3"),
            (Host, "[2001:db8::9"),
            (HostWordPort, "203.0.113.9 port"),
            (HostWordPort, "203.0.113.9 port x"),
            (HostWordPort, "203.0.113.9 port 70000"),
            (HostWordPort, "203.0.113.9:5071"),
            (Host, "(null)"),
            (HostPort, "203.0.113.9"),
            (HostPort, "203.0.113.9:65536"),
            (HostPort, "[2001:db8::9]"),
            (HostPort, "203.0.113.9:5060:1"),
            (HostPort, "203.0.113.9:50a:1"),
            (HostPortColon, "203.0.113.9:5071 "),
            (HostPortColon, "203.0.113.9: "),
            (HostPortColon, "203.0.113.9:5071:1 "),
            (HostPortColon, "203.0.113.9:5071:: "),
            (HostDotPort, "203.0.113.9'"),
            (HostDotPort, "203.0.113.9.65536'"),
            (HostDotPort, "203.0.113.9.4.5'"),
            (TransportColon, "SCTP:1.2.3.4:5"),
            (Slashes, "IPV6/UDP/203.0.113.9/5071"),
            (Slashes, "IPV4/UDP/(null)/5071"),
            (Slashes, "IPV5/UDP/203.0.113.9/5071"),
            (Slashes, "IPV4/UDP/[203.0.113.9]/5071"),
        ] {
            assert_eq!(read(tag, text), None, "{text}");
        }
    }

    #[test]
    fn the_transport_is_seen() {
        let over = |text: &str| AddressTag::Slashes.read(text.as_bytes()).unwrap().transport;
        assert_eq!(over("IPV4/UDP/203.0.113.9/5"), Transport::Datagram);
        assert_eq!(over("IPV4/TCP/203.0.113.9/5"), Transport::Stream);
        assert_eq!(over("IPV4/WS/203.0.113.9/5"), Transport::Wrapped);
        assert_eq!(over("IPV4/203.0.113.9/5"), Transport::Unknown);
    }

    proptest! {
        #[test]
        fn ipv4_is_what_the_standard_library_takes_for_it(
            text in r"([0-9]{1,3}\.){3}[0-9]{1,3}|[0-9.:a]{0,12}|(0?[0-9]{1,4}\.){2,4}[0-9]{0,3}",
        ) {
            prop_assert_eq!(ipv4(text.as_bytes()), text.parse().ok());
        }

        /// The pattern set must let through whatever the reader would read.
        #[test]
        fn what_is_read_fits_the_regex(
            tag in 0usize..8,
            text in r"(UDP|TCP|WSS|IPV4/|IPV6/UDP/)?[ :]?(\[)?([0-9]{1,3}\.){3}[0-9]{1,3}(\])?[:/]?[0-9]{0,5}|[:/\[]?([0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(%eth0)?\]?[:/]?[0-9]{0,5}|[ -~]{0,40}",
        ) {
            let (tag, _) = AddressTag::ALL[tag];
            let text = text.as_bytes();
            if let Some(sighting) = tag.read(text) {
                let regex = Regex::builder()
                    .syntax(syntax::Config::new().unicode(false).utf8(false))
                    .build(&format!("^(?:{})$", tag.regex()))
                    .unwrap();
                prop_assert!(regex.is_match(&text[..sighting.len]));
            }
        }
    }
}
