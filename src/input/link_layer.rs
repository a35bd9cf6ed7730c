//! What stands ahead of the IP header in a captured packet.
//!
//! Numbers and layouts are those of <https://www.tcpdump.org/linktypes.html>.

const NULL: u16 = 0;
const ETHERNET: u16 = 1;
const RAW: u16 = 101;
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const LINUX_SLL2: u16 = 276;
/// What systems write for [`RAW`] that number it as their kernels do.
const RAW_OF_BSD: [u16; 2] = [12, 14];

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Tags of virtual networks: 802.1Q, 802.1ad, and the number that came before that.
const ETHERTYPE_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// Tags in a row that are looked past.
const MOST_TAGS: usize = 4;

/// The content of a captured packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// An IP packet, from its header on.
    Ip(&'a [u8]),
    /// Something else, or too little to tell.
    Other,
    /// Nothing is known of packets of this kind.
    UnknownLinkType,
}

/// Returns what a packet of this link type carries.
#[must_use]
pub fn content(link_type: u16, bytes: &[u8]) -> Content<'_> {
    let ip = match link_type {
        ETHERNET => typed(bytes, 12, 14),
        LINUX_SLL => typed(bytes, 14, 16),
        LINUX_SLL2 => typed(bytes, 0, 20),
        RAW | IPV4 | IPV6 => Some(bytes),
        NULL | LOOP => bytes.get(4..),
        link_type if RAW_OF_BSD.contains(&link_type) => Some(bytes),
        _ => return Content::UnknownLinkType,
    };
    let version = ip.and_then(|ip| ip.first()).map(|first| first >> 4);
    ip.filter(|_| matches!(version, Some(4 | 6))).map_or(Content::Other, Content::Ip)
}

/// Returns what stands behind a header whose type of content, as Ethernet numbers it, stands at `place`, and that is
/// `length` bytes long.
fn typed(bytes: &[u8], place: usize, length: usize) -> Option<&[u8]> {
    let mut kind = number(bytes, place)?;
    let mut rest = bytes.get(length..)?;
    for _ in 0..MOST_TAGS {
        if !ETHERTYPE_VLAN.contains(&kind) {
            break;
        }
        kind = number(rest, 2)?;
        rest = rest.get(4..)?;
    }
    matches!(kind, ETHERTYPE_IPV4 | ETHERTYPE_IPV6).then_some(rest)
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IP: [u8; 3] = [0x45, 0, 7];

    #[test]
    fn headers_of_each_known_kind_are_looked_past() {
        let mac = [0x11; 12];
        let tag = |kind: u16| [&kind.to_be_bytes()[..], &[0, 5]].concat();
        let (v4, v6) = (ETHERTYPE_IPV4.to_be_bytes(), ETHERTYPE_IPV6.to_be_bytes());
        for (link_type, header) in [
            (ETHERNET, [&mac[..], &v4].concat()),
            (ETHERNET, [&mac[..], &tag(0x8100), &v4].concat()),
            (ETHERNET, [&mac[..], &tag(0x88a8), &tag(0x8100), &v4].concat()),
            (LINUX_SLL, [&[0; 14][..], &v6].concat()),
            (LINUX_SLL, [&[0; 14][..], &tag(0x8100), &v4].concat()),
            (LINUX_SLL2, [&v4[..], &[0; 18]].concat()),
            (RAW, Vec::new()),
            (12, Vec::new()),
            (IPV4, Vec::new()),
            (NULL, vec![2, 0, 0, 0]),
            (LOOP, vec![0, 0, 0, 2]),
        ] {
            let bytes = [&header[..], &IP].concat();
            assert_eq!(content(link_type, &bytes), Content::Ip(&IP), "{link_type}");
            assert_eq!(content(link_type, &header), Content::Other, "{link_type}");
        }
    }

    #[test]
    fn what_is_no_ip_is_told_from_what_is_not_known() {
        let arp = [&[0x11; 12][..], &[8, 6], &IP].concat();
        assert_eq!(content(ETHERNET, &arp), Content::Other);
        let tags = [&[0x11; 12][..], &[0x81, 0, 0, 1].repeat(9), &[8, 0], &IP].concat();
        assert_eq!(content(ETHERNET, &tags), Content::Other);
        assert_eq!(content(RAW, &[0x99]), Content::Other);
        assert_eq!(content(105, &IP), Content::UnknownLinkType);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(
            link_type in prop_oneof![Just(0u16), Just(1), Just(101), Just(108), Just(113), Just(276), any::<u16>()],
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            if let Content::Ip(ip) = content(link_type, &bytes) {
                prop_assert!(ip.len() <= bytes.len() && !ip.is_empty());
            }
        }
    }
}
