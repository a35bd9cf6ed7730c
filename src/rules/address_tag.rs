//! The spellings of an address in a message: the tags that rules write in angle brackets.

/// A spelling of an address in a message; what a rule writes in angle brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressTag {
    /// `<HOST>`: `203.0.113.9`, `2001:db8::9` or `[2001:db8::9]`.
    Host,
    /// `<HOST:PORT>`: `203.0.113.9:5060`, `[2001:db8::9]:5060` or, as `%s:%d` prints it,
    /// `2001:db8::9:5060`, where the port is behind the last colon.
    HostPort,
    /// `<HOST:PORT:>`: the same with a colon behind it, which belongs to the tag because it could belong
    /// to an address.
    HostPortColon,
    /// `<HOST[:PORT]>`: with or without a port (an IPv6 address with a port is in brackets).
    HostMaybePort,
    /// `<HOST.PORT>`: `203.0.113.9.4569`.
    HostDotPort,
    /// `<HOST port PORT>`: `203.0.113.9 port 40022`, `2001:db8::9 port 40022`.
    HostWordPort,
    /// `<TRANSPORT:HOST:PORT>`: `UDP:203.0.113.9:5060`.
    TransportColon,
    /// `<TRANSPORT HOST:PORT>`: `UDP 203.0.113.9:5060`.
    TransportSpace,
    /// `<IPV/TRANSPORT/HOST/PORT>`: `IPV4/UDP/203.0.113.9/5060`, or without the transport.
    Slashes,
}

impl AddressTag {
    /// All tags, as rules spell them.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Host, "<HOST>"),
        (Self::HostPort, "<HOST:PORT>"),
        (Self::HostPortColon, "<HOST:PORT:>"),
        (Self::HostMaybePort, "<HOST[:PORT]>"),
        (Self::HostDotPort, "<HOST.PORT>"),
        (Self::HostWordPort, "<HOST port PORT>"),
        (Self::TransportColon, "<TRANSPORT:HOST:PORT>"),
        (Self::TransportSpace, "<TRANSPORT HOST:PORT>"),
        (Self::Slashes, "<IPV/TRANSPORT/HOST/PORT>"),
    ];

    /// A byte regex that accepts whatever `read` of `detect::address` accepts, and more: it is small, and
    /// what it lets through is read strictly.
    #[must_use]
    pub fn regex(self) -> &'static str {
        match self {
            Self::Host | Self::HostPort | Self::HostPortColon | Self::HostMaybePort => {
                r"[0-9A-Za-z:.%_\[\]-]+"
            }
            Self::HostDotPort => r"[0-9.]+",
            Self::HostWordPort => r"[0-9A-Za-z:.%_-]+ port [0-9]+",
            Self::TransportColon => r"[A-Z]+:[0-9A-Za-z:.%_\[\]-]+",
            Self::TransportSpace => r"[A-Z]+ [0-9A-Za-z:.%_\[\]-]+",
            Self::Slashes => r"IPV[46]/[0-9A-Za-z:.%_/-]+",
        }
    }
}
