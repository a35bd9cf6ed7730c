//! The ports that Asterisk listens on, by its configuration.
//!
//! | file | what opens a port |
//! |---|---|
//! | `pjsip.conf` | `type=transport`: `bind` (5060, for `protocol=tls` 5061), `protocol` (udp) |
//! | `sip.conf` | UDP always: `udpbindaddr`, `bindaddr`, `bindport` (5060); `tcpenable`, `tcpbindaddr` (5060); `tlsenable`, `tlsbindaddr` (5061) |
//! | `http.conf` | `enabled` with `bindaddr`: `bindport` (8088); `tlsenable`, `tlsbindaddr` (8089). ARI, AMI over HTTP, and SIP over WebSocket are all there |
//! | `iax.conf` | `bindaddr`, as often as it stands there, `bindport` (4569) |
//! | `rtp.conf`, `udptl.conf` | ranges of ports for calls: 5000 to 31000, 4000 to 4999 |
//!
//! `manager.conf` holds passwords and cannot be read, so AMI is listed with its default port only. The
//! keys, their order and the defaults are those of Asterisk 16 (all) and 22 (without `sip.conf`). What
//! is listed is what would be opened: modules that are not loaded open nothing, which only the kernel's
//! listening sockets tell.

use std::net::{IpAddr, Ipv6Addr};

use super::conf::{self, ConfSection, Files};

/// Ports at most; about 150 bytes each.
pub const MOST_PORTS: usize = 256;

/// AMI's port where manager.conf does not name another.
pub const AMI_PORT: u16 = 5038;
const SIP_PORT: u16 = 5060;
const SIP_TLS_PORT: u16 = 5061;
const HTTP_PORT: u16 = 8088;
const HTTPS_PORT: u16 = 8089;
const IAX_PORT: u16 = 4569;
const RTP_PORTS: (u16, u16) = (5000, 31000);
const UDPTL_PORTS: (u16, u16) = (4000, 4999);
/// The lowest port that calls may use.
const LOWEST_MEDIA_PORT: u16 = 1024;

/// The transport that carries a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream in clear.
    Tcp,
    /// A stream that is encrypted.
    Tls,
    /// WebSocket in clear.
    Ws,
    /// WebSocket that is encrypted.
    Wss,
}

/// The part of Asterisk that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Driver {
    /// `chan_sip`, up to Asterisk 20.
    ChanSip,
    /// `res_pjsip`.
    Pjsip,
    /// Asterisk's HTTP server.
    Http,
    /// `chan_iax2`.
    Iax2,
    /// The manager interface (AMI).
    Manager,
}

/// A port that Asterisk listens on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Its number, never 0.
    pub number: u16,
    /// The transport that carries it.
    pub transport: Transport,
    /// The part of Asterisk that listens.
    pub driver: Driver,
    /// The address that it is bound to; `None`: not given (then it is every one), or given by name. May be `0.0.0.0` or `::`.
    pub address: Option<IpAddr>,
    /// The section that opens it.
    pub section: String,
    /// The file in which that section begins; `None`: no file says so, it is a known default.
    pub file: Option<String>,
}

/// All ports that Asterisk listens on, by service. Each list is sorted and has each port once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// SIP, with the ports of the HTTP server as `Ws` and `Wss`.
    pub sip: Vec<Port>,
    /// The HTTP server: ARI, AMI over HTTP, WebSocket.
    pub http: Vec<Port>,
    /// IAX2.
    pub iax: Vec<Port>,
    /// AMI: its default port, as manager.conf is not read.
    pub ami: Vec<Port>,
    /// The first and the last port of calls (RTP).
    pub rtp: (u16, u16),
    /// The first and the last port of faxes (UDPTL).
    pub udptl: (u16, u16),
    /// The things that were left out, for people.
    pub left_out: Vec<String>,
}

impl Default for Listening {
    /// Returns what an Asterisk without any configuration would use for calls; no port.
    fn default() -> Self {
        let none = Vec::new;
        let (sip, http, iax, ami, left_out) = (none(), none(), none(), none(), Vec::new());
        Self { sip, http, iax, ami, rtp: RTP_PORTS, udptl: UDPTL_PORTS, left_out }
    }
}

impl Listening {
    /// Reads Asterisk's configuration, whose files `files` has by their names.
    pub fn read(files: &mut dyn Files) -> Self {
        let mut found = Self::default();
        let pjsip = found.file(files, "pjsip.conf", &["type", "bind", "protocol"]);
        let keys = [
            "bindport",
            "bindaddr",
            "udpbindaddr",
            "tcpenable",
            "tcpbindaddr",
            "tlsenable",
            "sslenable",
            "tlsbindaddr",
            "sslbindaddr",
        ];
        let sip = found.file(files, "sip.conf", &keys);
        let http = found.file(
            files,
            "http.conf",
            &[
                "enabled",
                "bindport",
                "bindaddr",
                "tlsenable",
                "sslenable",
                "tlsbindaddr",
                "sslbindaddr",
            ],
        );
        let iax = found.file(files, "iax.conf", &["bindport", "bindaddr"]);
        pjsip.iter().filter(|section| !section.template).for_each(|s| found.pjsip(s));
        // A file without sections is not there: then its module does not start.
        if !sip.is_empty() {
            found.chan_sip(&General::of(&sip, "sip.conf"));
        }
        if let Some(general) = general(&http) {
            found.http(&General { section: Some(general), file: "http.conf" });
        }
        let websocket = match (pjsip.is_empty(), sip.is_empty()) {
            (false, _) => Some(Driver::Pjsip),
            (true, false) => Some(Driver::ChanSip),
            (true, true) => None,
        };
        found.websocket(websocket);
        if !iax.is_empty() {
            found.iax(&General::of(&iax, "iax.conf"));
        }
        let rtp = found.file(files, "rtp.conf", &["rtpstart", "rtpend"]);
        found.rtp = range(general(&rtp), "rtpstart", "rtpend", RTP_PORTS);
        let udptl = found.file(files, "udptl.conf", &["udptlstart", "udptlend"]);
        found.udptl = range(general(&udptl), "udptlstart", "udptlend", UDPTL_PORTS);
        found.ami.push(Port {
            number: AMI_PORT,
            transport: Transport::Tcp,
            driver: Driver::Manager,
            address: None,
            section: "general".to_owned(),
            file: None,
        });
        found.finish();
        found
    }

    fn file(&mut self, files: &mut dyn Files, name: &str, keys: &[&str]) -> Vec<ConfSection> {
        let conf = conf::read(files, name, keys);
        self.left_out.extend(conf.left_out);
        conf.sections
    }

    fn pjsip(&mut self, section: &ConfSection) {
        if !section.last("type").is_some_and(|kind| kind.eq_ignore_ascii_case("transport")) {
            return;
        }
        let protocol = section.last("protocol").unwrap_or("udp").to_ascii_lowercase();
        let (transport, default) = match protocol.as_str() {
            "udp" => (Transport::Udp, SIP_PORT),
            "tcp" => (Transport::Tcp, SIP_PORT),
            "tls" => (Transport::Tls, SIP_TLS_PORT),
            // The HTTP server listens for these, and a flow has no port of its own.
            "ws" | "wss" | "flow" => return,
            other => {
                self.left_out.push(format!(
                    "the transport {} ({}) has the protocol {other}, which is none",
                    section.name, section.file
                ));
                return;
            }
        };
        let from = General { section: Some(section), file: "pjsip.conf" };
        match section.last("bind") {
            Some(bind) => {
                if let Some((address, port)) = self.bound(&from, "bind", bind) {
                    let port =
                        from.port(port.unwrap_or(default), transport, Driver::Pjsip, address);
                    push(&mut self.sip, port);
                }
            }
            None => self.left_out.push(format!(
                "the transport {} ({}) has no bind: Asterisk does not start it",
                section.name, section.file
            )),
        }
    }

    fn chan_sip(&mut self, general: &General<'_>) {
        // One address under two names; `bindport` counts more than a port in it.
        let udp = general.last(&["udpbindaddr", "bindaddr"]);
        let udp = udp.and_then(|(key, text)| self.bound(general, key, text));
        let (address, port) = udp.unwrap_or((None, None));
        let bindport = general.number("bindport");
        let number = bindport.or(port).unwrap_or(SIP_PORT);
        push(&mut self.sip, general.port(number, Transport::Udp, Driver::ChanSip, address));
        if general.is_on(&["tcpenable"]) {
            let tcp = general.last(&["tcpbindaddr"]);
            let tcp = tcp.and_then(|(key, text)| self.bound(general, key, text));
            // Without an address of its own it gets that of UDP, with its port.
            let (address, number) = match tcp {
                Some((address, port)) => (address, port.unwrap_or(SIP_PORT)),
                None => (address, number),
            };
            push(&mut self.sip, general.port(number, Transport::Tcp, Driver::ChanSip, address));
        }
        if general.is_on(&["tlsenable", "sslenable"]) {
            let tls = general.last(&["tlsbindaddr", "sslbindaddr"]);
            let tls = tls.and_then(|(key, text)| self.bound(general, key, text));
            let (address, number) = match tls {
                Some((address, port)) => (address, port.unwrap_or(SIP_TLS_PORT)),
                None => (address, SIP_TLS_PORT),
            };
            push(&mut self.sip, general.port(number, Transport::Tls, Driver::ChanSip, address));
        }
    }

    fn http(&mut self, general: &General<'_>) {
        let clear = general.last(&["bindaddr"]).filter(|_| general.is_on(&["enabled"]));
        let clear = clear.and_then(|(key, text)| self.bound(general, key, text));
        if let Some((address, port)) = clear {
            let number = port.or_else(|| general.number("bindport")).unwrap_or(HTTP_PORT);
            push(&mut self.http, general.port(number, Transport::Tcp, Driver::Http, address));
        }
        if general.is_on(&["tlsenable", "sslenable"]) {
            let tls = general.last(&["tlsbindaddr", "sslbindaddr"]);
            let tls = tls.and_then(|(key, text)| self.bound(general, key, text));
            // `enabled` is for the port in clear; without an address of its own TLS gets that one's.
            if let Some((address, port)) = tls.or(clear.map(|(address, _)| (address, None))) {
                let number = port.unwrap_or(HTTPS_PORT);
                push(&mut self.http, general.port(number, Transport::Tls, Driver::Http, address));
            }
        }
    }

    /// SIP over WebSocket comes in at the HTTP server's ports.
    fn websocket(&mut self, driver: Option<Driver>) {
        let Some(driver) = driver else { return };
        for port in &self.http {
            let tls = port.transport == Transport::Tls;
            let transport = if tls { Transport::Wss } else { Transport::Ws };
            push(&mut self.sip, Port { transport, driver, ..port.clone() });
        }
    }

    fn iax(&mut self, general: &General<'_>) {
        // `bindport` is for the addresses that follow it.
        let mut default = IAX_PORT;
        let before = self.iax.len();
        for (key, text) in general.values() {
            if key.eq_ignore_ascii_case("bindport") {
                default = number(text).unwrap_or(default);
            } else if let Some((address, port)) = self.bound(general, key, text) {
                let number = port.unwrap_or(default);
                push(&mut self.iax, general.port(number, Transport::Udp, Driver::Iax2, address));
            }
        }
        if self.iax.len() == before {
            push(&mut self.iax, general.port(default, Transport::Udp, Driver::Iax2, None));
        }
    }

    /// Address and port that a value names; what names none is left out. Of all, only the HTTP server
    /// looks names up.
    fn bound(&mut self, from: &General<'_>, key: &str, text: &str) -> Option<Bound> {
        let is_http = from.file == "http.conf";
        let bound = address_and_port(text).filter(|(address, _)| is_http || address.is_some());
        if bound.is_none() && self.left_out.len() < MOST_PORTS {
            let (section, file) = (from.name(), from.file());
            self.left_out.push(format!(
                "{key} of {section} ({file}) is neither an address nor an address with a port"
            ));
        }
        bound
    }

    fn finish(&mut self) {
        for list in [&mut self.sip, &mut self.http, &mut self.iax] {
            list.sort_unstable();
            list.dedup();
            if list.len() > MOST_PORTS {
                let more = list.len() - MOST_PORTS;
                self.left_out.push(format!("{more} ports are left out: there are too many"));
                list.truncate(MOST_PORTS);
            }
        }
    }
}

/// An address, if it is none by name, and a port, if there is one.
type Bound = (Option<IpAddr>, Option<u16>);

/// The section that a port comes from; where a file has no `general`, the defaults count.
struct General<'a> {
    section: Option<&'a ConfSection>,
    file: &'static str,
}

impl<'a> General<'a> {
    fn of(sections: &'a [ConfSection], file: &'static str) -> Self {
        Self { section: general(sections), file }
    }

    fn values(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let values = self.section.map_or(&[][..], |section| &section.values);
        values.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The last value of any of these keys, which mean the same, with the key.
    fn last(&self, keys: &[&str]) -> Option<(&'a str, &'a str)> {
        let known = |key: &str| keys.iter().any(|known| key.eq_ignore_ascii_case(known));
        self.values().filter(|(key, _)| known(key)).last()
    }

    fn is_on(&self, keys: &[&str]) -> bool {
        self.last(keys).is_some_and(|(_, value)| is_true(value))
    }

    fn number(&self, key: &str) -> Option<u16> {
        self.last(&[key]).and_then(|(_, value)| number(value))
    }

    fn name(&self) -> &'a str {
        self.section.map_or("general", |section| &section.name)
    }

    fn file(&self) -> &str {
        self.section.map_or(self.file, |section| &section.file)
    }

    fn port(
        &self,
        number: u16,
        transport: Transport,
        driver: Driver,
        address: Option<IpAddr>,
    ) -> Port {
        let (section, file) = (self.name().to_owned(), Some(self.file().to_owned()));
        Port { number, transport, driver, address, section, file }
    }
}

/// The first section `general`: of several, Asterisk reads one.
fn general(sections: &[ConfSection]) -> Option<&ConfSection> {
    sections.iter().find(|s| !s.template && s.name.eq_ignore_ascii_case("general"))
}

/// Adds a port. Counted at the end; more than this are not worth the memory.
fn push(list: &mut Vec<Port>, port: Port) {
    if list.len() < 16 * MOST_PORTS {
        list.push(port);
    }
}

/// Returns whether Asterisk takes `value` for yes.
#[must_use]
pub fn is_true(value: &str) -> bool {
    ["yes", "true", "y", "t", "1", "on"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// A port, which is never 0.
fn number(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|port| *port != 0)
}

/// The ports of calls as Asterisk uses them: what makes no range is as if it were not said.
fn range(
    general: Option<&ConfSection>,
    first: &str,
    last: &str,
    default: (u16, u16),
) -> (u16, u16) {
    let bound = |key, default| {
        let value = general.and_then(|general| general.last(key));
        let value = value.and_then(|text| text.trim().parse::<u32>().ok());
        value.map_or(default, |port| u16::try_from(port).unwrap_or(u16::MAX).max(LOWEST_MEDIA_PORT))
    };
    let range = (bound(first, default.0), bound(last, default.1));
    if range.0 < range.1 { range } else { default }
}

/// Reads `192.0.2.1`, `192.0.2.1:5060`, `::`, `[::]`, `[::]:5060`, `fe80::1%eth0`, `name:5060`. A
/// name stands for no address. `None`: it is none of these, or the port is none (0 is left away, as
/// it stands for the default).
pub(super) fn address_and_port(text: &str) -> Option<(Option<IpAddr>, Option<u16>)> {
    let text = text.trim();
    let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (host, behind) = bracketed.split_once(']')?;
        let port = if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) };
        (without_zone(host).parse::<Ipv6Addr>().ok()?.to_string(), port)
    } else if without_zone(text).parse::<Ipv6Addr>().is_ok() {
        (without_zone(text).to_owned(), None)
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        }
    };
    let port = port.map(str::parse::<u16>).transpose().ok()?;
    let is_name = |host: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        host.chars().any(|c| c.is_ascii_alphabetic()) && host.chars().all(fits)
    };
    let address = match host.parse() {
        Ok(address) => Some(address),
        Err(_) if is_name(&host) => None,
        Err(_) => return None,
    };
    Some((address, port.filter(|port| *port != 0)))
}

fn without_zone(host: &str) -> &str {
    host.split_once('%').map_or(host, |(address, _)| address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::conf::tests::Memory;
    use super::*;

    fn listening(files: &[(&str, &str)]) -> Listening {
        Listening::read(&mut Memory::of(files))
    }

    fn words(ports: &[Port]) -> Vec<String> {
        let word = |port: &Port| {
            let address = port.address.map_or("-".to_owned(), |address| address.to_string());
            format!(
                "{} {:?} {:?} {address} {}",
                port.number, port.transport, port.driver, port.section
            )
        };
        ports.iter().map(word).collect()
    }

    #[test]
    fn nothing_is_listened_on_without_configuration() {
        let found = listening(&[]);
        assert!(found.sip.is_empty() && found.http.is_empty() && found.iax.is_empty());
        assert_eq!((found.rtp, found.udptl), ((5000, 31000), (4000, 4999)));
        assert_eq!(words(&found.ami), ["5038 Tcp Manager - general"]);
        assert_eq!(found.ami[0].file, None);
        assert_eq!(found.left_out, [""; 0]);
    }

    #[test]
    fn pjsip_transports_with_templates_and_includes() {
        // As FreePBX has it: the transports are in a file of their own.
        let transports = "
            [base](!)
            type=transport
            bind=0.0.0.0:5070
            [0.0.0.0-udp](base)
            [0.0.0.0-tcp](base)
            protocol=tcp
            [v6-tls](base)
            protocol=TLS
            bind=[::]:5071
            [v6-tls-default]
            type = transport
            protocol = tls
            bind = ::
            [plain]
            type=transport
            bind=192.0.2.1
            [web]
            type=transport
            protocol=wss
            bind=0.0.0.0:7777
            [aor]
            type=aor
            bind=0.0.0.0:9
            [no-bind]
            type=transport
            [odd]
            type=transport
            protocol=sctp
            bind=0.0.0.0:10
            [broken]
            type=transport
            bind=0.0.0.0:70000
        ";
        let found = listening(&[
            ("pjsip.conf", "#include pjsip.transports.conf\n[phone]\ntype=endpoint\n"),
            ("pjsip.transports.conf", transports),
        ]);
        assert_eq!(
            words(&found.sip),
            [
                "5060 Udp Pjsip 192.0.2.1 plain",
                "5061 Tls Pjsip :: v6-tls-default",
                "5070 Udp Pjsip 0.0.0.0 0.0.0.0-udp",
                "5070 Tcp Pjsip 0.0.0.0 0.0.0.0-tcp",
                "5071 Tls Pjsip :: v6-tls",
            ]
        );
        assert_eq!(found.sip[0].file.as_deref(), Some("pjsip.transports.conf"));
        assert_eq!(found.left_out.len(), 3, "{:?}", found.left_out);
        assert!(found.left_out[0].contains("no-bind (pjsip.transports.conf) has no bind"));
        assert!(found.left_out[1].contains("odd") && found.left_out[1].contains("sctp"));
        assert!(found.left_out[2].contains("bind of broken"));
    }

    #[test]
    fn chan_sip_has_defaults_and_each_transport_its_own() {
        let sip = |text: &str| words(&listening(&[("sip.conf", text)]).sip);
        assert_eq!(sip(""), [""; 0]);
        assert_eq!(sip("[general]\n"), ["5060 Udp ChanSip - general"]);
        assert_eq!(sip("[phone]\ntype=friend\n"), ["5060 Udp ChanSip - general"]);
        // FreePBX next to PJSIP.
        assert_eq!(
            sip("[general]\nbindport=5160\nudpbindaddr=0.0.0.0\ntcpenable=yes\n\
                 tcpbindaddr=0.0.0.0:5160\ntlsenable=yes\ntlsbindaddr=[::]:5161\n"),
            [
                "5160 Udp ChanSip 0.0.0.0 general",
                "5160 Tcp ChanSip 0.0.0.0 general",
                "5161 Tls ChanSip :: general",
            ]
        );
        // `bindport` counts more than the address' own port. Without an address of its own, TCP has
        // UDP's address and port, TLS its address.
        assert_eq!(
            sip("[general]\nbindaddr=192.0.2.1:5080\nbindport=5090\ntcpenable=1\nsslenable=on\n"),
            [
                "5061 Tls ChanSip 192.0.2.1 general",
                "5090 Udp ChanSip 192.0.2.1 general",
                "5090 Tcp ChanSip 192.0.2.1 general",
            ]
        );
        assert_eq!(
            sip("[general]\nudpbindaddr=[::]:5080\ntcpenable=no\ntcpbindaddr=::\ntlsenable=0\n"),
            ["5080 Udp ChanSip :: general"]
        );
        // Nor does TCP with an address of its own.
        assert_eq!(
            sip("[general]\nbindport=5090\ntcpenable=yes\ntcpbindaddr=::\n"),
            ["5060 Tcp ChanSip :: general", "5090 Udp ChanSip - general"]
        );
    }

    #[test]
    fn http_is_websocket_for_whoever_speaks_sip() {
        let http = "[general]\nenabled=yes\nbindaddr=0.0.0.0\nbindport=8080\ntlsenable=yes\n\
                    tlsbindaddr=[::]:8443\nservername=x\n";
        let found = listening(&[("http.conf", http)]);
        let expected = ["8080 Tcp Http 0.0.0.0 general", "8443 Tls Http :: general"];
        assert_eq!(words(&found.http), expected);
        assert_eq!(words(&found.sip), [""; 0]);
        let found = listening(&[("http.conf", http), ("pjsip.conf", "[a]\ntype=endpoint\n")]);
        assert_eq!(
            words(&found.sip),
            ["8080 Ws Pjsip 0.0.0.0 general", "8443 Wss Pjsip :: general"]
        );
        let found = listening(&[("http.conf", http), ("sip.conf", "[general]\n")]);
        assert_eq!(words(&found.sip)[1], "8080 Ws ChanSip 0.0.0.0 general");
    }

    #[test]
    fn http_needs_an_address_and_to_be_enabled() {
        let http =
            |text: &str| words(&listening(&[("http.conf", &format!("[general]\n{text}"))]).http);
        assert_eq!(http("bindaddr=127.0.0.1\n"), [""; 0]);
        assert_eq!(http("enabled=yes\n"), [""; 0]);
        assert_eq!(http("enabled=yes\ntlsenable=yes\n"), [""; 0]);
        assert_eq!(
            http("enabled=yes\nbindaddr=localhost\ntlsenable=yes\n"),
            ["8088 Tcp Http - general", "8089 Tls Http - general"]
        );
        // TLS with an address of its own needs no other.
        assert_eq!(http("tlsenable=yes\ntlsbindaddr=::\n"), ["8089 Tls Http :: general"]);
        assert_eq!(http("tlsbindaddr=0.0.0.0:8089\n"), [""; 0]);
    }

    #[test]
    fn iax_listens_on_each_address() {
        let iax = |text: &str| words(&listening(&[("iax.conf", text)]).iax);
        assert_eq!(iax("[general]\n"), ["4569 Udp Iax2 - general"]);
        assert_eq!(iax("[general]\nbindport=4570\n"), ["4570 Udp Iax2 - general"]);
        assert_eq!(
            iax("[general]\nbindport=4570\nbindaddr=192.0.2.1\nbindaddr=192.0.2.2:4571\n\
                 bindaddr=[2001:db8::1]\nbindaddr=192.0.2.1\nbindaddr=192.0.2.3:x\n"),
            [
                "4570 Udp Iax2 192.0.2.1 general",
                "4570 Udp Iax2 2001:db8::1 general",
                "4571 Udp Iax2 192.0.2.2 general",
            ]
        );
    }

    /// The sockets that Asterisk 16.28 really had with these files; 22.10 had the same but for
    /// `chan_sip`'s.
    #[test]
    fn real_asterisks_listened_on_the_same_ports() {
        let ports = |sip, iax, http, pjsip| {
            let found = listening(&[
                ("sip.conf", sip),
                ("iax.conf", iax),
                ("http.conf", http),
                ("pjsip.conf", pjsip),
            ]);
            let all = [&found.sip, &found.iax, &found.http].into_iter().flatten();
            let mut all: Vec<_> = all
                .filter(|port| !matches!(port.transport, Transport::Ws | Transport::Wss))
                .map(|port| {
                    let any = IpAddr::from([0, 0, 0, 0]);
                    let protocol = if port.transport == Transport::Udp { "udp" } else { "tcp" };
                    let address =
                        std::net::SocketAddr::new(port.address.unwrap_or(any), port.number);
                    format!("{protocol} {address}")
                })
                .collect();
            all.sort_unstable();
            all
        };
        assert_eq!(
            ports(
                "[general]\nbindport=5090\nbindaddr=0.0.0.0:5080\ntcpenable=yes\ntlsenable=no\n",
                "[general]\nbindaddr=127.0.0.1\nbindport=4570\nbindaddr=127.0.0.2\n\
                 bindaddr=127.0.0.3:4571\n",
                "[general]\nenabled=yes\nbindaddr=127.0.0.1\nbindport=8188\n",
                "[t](!)\ntype=transport\nprotocol=udp\nbind=127.0.0.1:5070\n[a](t)\n[b](t)\n\
                 protocol=tcp\n[c]\ntype=transport\nprotocol=tcp\nbind=127.0.0.9\n[d]\n\
                 type=transport\nprotocol=wss\nbind=0.0.0.0:7777\n[e]\ntype=transport\n\
                 bind=[::1]:5071\n[g]\ntype=transport\n",
            ),
            [
                "tcp 0.0.0.0:5090",
                "tcp 127.0.0.1:5070",
                "tcp 127.0.0.1:8188",
                "tcp 127.0.0.9:5060",
                "udp 0.0.0.0:5090",
                "udp 127.0.0.1:4569",
                "udp 127.0.0.1:5070",
                "udp 127.0.0.2:4570",
                "udp 127.0.0.3:4571",
                "udp [::1]:5071",
            ]
        );
        assert_eq!(
            ports(
                "[general]\nbindport=5090\ntcpenable=yes\ntcpbindaddr=0.0.0.0\n\
                 [general]\nbindport=5099\n",
                "[general]\nbindaddr=127.0.0.1\nbindport=4570\n",
                "[general]\nenabled=yes\nbindport=8188\n",
                "[a]\ntype=transport\nbind=127.0.0.1\n",
            ),
            ["tcp 0.0.0.0:5060", "udp 0.0.0.0:5090", "udp 127.0.0.1:4569", "udp 127.0.0.1:5060"]
        );
        assert_eq!(
            ports(
                "[other]\n",
                "[general]\nbindport=4570\n",
                "[general]\nbindaddr=127.0.0.1:8199\nbindport=8188\nenabled=yes\n",
                "[a]\ntype=transport\nbind=localhost:5079\n",
            ),
            ["tcp 127.0.0.1:8199", "udp 0.0.0.0:4570", "udp 0.0.0.0:5060"]
        );
    }

    #[test]
    fn ranges_of_calls_and_faxes() {
        let rtp = |text: &str| listening(&[("rtp.conf", text)]).rtp;
        assert_eq!(rtp("[general]\nrtpstart=10000\nrtpend=20000\n"), (10000, 20000));
        assert_eq!(rtp("[general]\nrtpstart=10000\n"), (10000, 31000));
        assert_eq!(rtp("[general]\nrtpstart=1\nrtpend=99999\n"), (1024, 65535));
        assert_eq!(rtp("[general]\nrtpstart=20000\nrtpend=10000\n"), (5000, 31000));
        let text = "[general]\nudptlstart=4500\nudptlend=4600\n";
        assert_eq!(listening(&[("udptl.conf", text)]).udptl, (4500, 4600));
    }

    #[test]
    fn too_many_ports_are_left_out() {
        use std::fmt::Write as _;
        let mut text = String::new();
        for n in 0..6000 {
            write!(text, "[t{n}]\ntype=transport\nbind=0.0.0.0:{}\n", 1000 + n).unwrap();
        }
        let found = listening(&[("pjsip.conf", &text)]);
        assert_eq!(found.sip.len(), MOST_PORTS);
        assert!(found.left_out[0].ends_with("ports are left out: there are too many"));
    }

    #[test]
    fn addresses_with_and_without_ports() {
        for (text, expected) in [
            ("192.0.2.1", Some(("192.0.2.1", None))),
            (" 192.0.2.1:5 ", Some(("192.0.2.1", Some(5)))),
            ("192.0.2.1:0", Some(("192.0.2.1", None))),
            ("::", Some(("::", None))),
            ("[::]", Some(("::", None))),
            ("[::1]:65535", Some(("::1", Some(65535)))),
            ("fe80::1%eth0", Some(("fe80::1", None))),
            ("[fe80::1%eth0]:7", Some(("fe80::1", Some(7)))),
            ("pbx.example:7", Some(("", Some(7)))),
            ("pbx", Some(("", None))),
            ("", None),
            (":5", None),
            ("[::", None),
            ("[::]5", None),
            ("[192.0.2.1]:5", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:65536", None),
            ("192.0.2.1:-1", None),
            ("192.0.2.300", None),
            ("a b", None),
        ] {
            let expected = expected.map(|(address, port)| (address.parse().ok(), port));
            assert_eq!(address_and_port(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_looked_at(
            text in "\\PC{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..200),
            words in prop::collection::vec(prop::sample::select(vec![
                "[general]", "[t](!)", "[u](t)", "type=transport", "protocol=tls", "bind=", "bindport=",
                "bindaddr=", "tlsbindaddr=", "enabled=yes", "tlsenable=yes", "tcpenable=yes", "rtpstart=",
                "rtpend=", "0.0.0.0", "[::]", ":5060", "65536", "-1", "\n", "\n", "\n",
            ]), 0..60),
        ) {
            let _ = address_and_port(&text);
            for text in [bytes, words.concat().into_bytes()] {
                let names = ["pjsip.conf", "sip.conf", "http.conf", "iax.conf", "rtp.conf", "udptl.conf"];
                let mut files = Memory(names.map(|name| (name.to_owned(), text.clone())).into());
                let found = Listening::read(&mut files);
                for list in [&found.sip, &found.http, &found.iax] {
                    prop_assert!(list.len() <= MOST_PORTS);
                    prop_assert!(list.iter().all(|port| port.number > 0));
                }
                prop_assert!(found.rtp.0 < found.rtp.1 && found.rtp.0 >= LOWEST_MEDIA_PORT);
            }
        }

        #[test]
        fn an_address_that_is_written_is_read(address: IpAddr, port in 1..u16::MAX) {
            let socket = std::net::SocketAddr::new(address, port);
            prop_assert_eq!(address_and_port(&socket.to_string()), Some((Some(address), Some(port))));
            prop_assert_eq!(address_and_port(&address.to_string()), Some((Some(address), None)));
        }
    }
}
