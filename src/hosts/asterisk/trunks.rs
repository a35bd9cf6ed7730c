//! The hosts that Asterisk's configuration knows as trunks: by address or name, not by registration.
//!
//! | file | what names a host |
//! |---|---|
//! | `pjsip.conf` | `type=identify`: `match`; `type=registration`: `server_uri`, `outbound_proxy`; `type=aor`: `contact` |
//! | `pjsip_wizard.conf` | `type=wizard`: `remote_hosts` |
//! | `sip.conf` | `register` lines; `host` and `outboundproxy` of peers and friends |
//! | `iax.conf` | `register` lines; `host` of peers and friends |
//!
//! The keys are those of the sample configurations of Asterisk 16 (all) and 22 (without `sip.conf`).

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::conf::{self, ConfSection, Files};
use crate::model::hostname::HostName;
use crate::model::subject::canonical_net;

/// The least bits that a trunk's network must have. What is wider is no carrier's network but a
/// way to write "everybody".
const WIDEST: (u8, u8) = (16, 32);
/// Trunks at most; about 200 bytes each.
pub const MOST_TRUNKS: usize = 4096;

/// A host or network that Asterisk's configuration names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trunk {
    /// The section that names it.
    pub name: String,
    /// The file that the section is in.
    pub file: String,
    /// Its host.
    pub target: TrunkHost,
}

/// A host, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrunkHost {
    /// By address, or with all its network.
    Net(IpNet),
    /// By a name that has to be looked up.
    Name(HostName),
}

/// All trunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trunks {
    /// Each once, by name.
    pub trunks: Vec<Trunk>,
    /// The things that were left out, for people.
    pub left_out: Vec<String>,
}

impl Trunks {
    /// Reads Asterisk's configuration, whose files `files` has by their names.
    pub fn find(files: &mut dyn Files) -> Self {
        let mut found = Self::default();
        found.file(
            files,
            "pjsip.conf",
            &["type", "match", "server_uri", "outbound_proxy", "contact"],
            Self::pjsip,
        );
        found.file(files, "pjsip_wizard.conf", &["type", "remote_hosts"], Self::wizard);
        found.file(files, "sip.conf", &["type", "host", "register", "outboundproxy"], Self::sip);
        found.file(files, "iax.conf", &["type", "host", "register"], Self::sip);
        found.trunks.sort_unstable();
        found.trunks.dedup();
        if found.trunks.len() > MOST_TRUNKS {
            let more = found.trunks.len() - MOST_TRUNKS;
            found.left_out.push(format!("{more} trunks are left out: there are too many"));
            found.trunks.truncate(MOST_TRUNKS);
        }
        found
    }

    fn file(
        &mut self,
        files: &mut dyn Files,
        name: &str,
        keys: &[&str],
        take: fn(&mut Self, &ConfSection),
    ) {
        let conf = conf::read(files, name, keys);
        self.left_out.extend(conf.left_out);
        conf.sections.iter().filter(|section| !section.template).for_each(|s| take(self, s));
    }

    fn pjsip(&mut self, section: &ConfSection) {
        match section.last("type").map(str::to_ascii_lowercase).as_deref() {
            Some("identify") => {
                for list in section.all("match") {
                    list.split(',').for_each(|word| self.add(section, word));
                }
            }
            Some("registration") => {
                for key in ["server_uri", "outbound_proxy"] {
                    section.last(key).into_iter().for_each(|uri| self.add(section, uri));
                }
            }
            Some("aor") => {
                for list in section.all("contact") {
                    list.split(',').for_each(|uri| self.add(section, uri));
                }
            }
            _ => {}
        }
    }

    fn wizard(&mut self, section: &ConfSection) {
        if section.last("type").is_some_and(|kind| kind.eq_ignore_ascii_case("wizard")) {
            let hosts = section.last("remote_hosts").unwrap_or("");
            hosts.split(',').for_each(|host| self.add(section, host));
        }
    }

    /// `chan_sip` and `chan_iax2` write peers and registrations alike.
    fn sip(&mut self, section: &ConfSection) {
        for line in section.all("register") {
            // [peer?][transport://]user[:secret[:authuser]]@host[:port][/extension][~expiry]
            let host = line.rsplit_once('@').map_or("", |(_, host)| host);
            let end = host.find(['/', '~', '?']).unwrap_or(host.len());
            self.add(section, host.get(..end).unwrap_or(""));
        }
        let kind = section.last("type").map(str::to_ascii_lowercase);
        if !matches!(kind.as_deref(), Some("peer" | "friend")) {
            return;
        }
        if let Some(host) = section.last("host") {
            if !["dynamic", "static"].iter().any(|word| host.eq_ignore_ascii_case(word)) {
                self.add(section, host);
            }
        }
        if let Some(proxy) = section.last("outboundproxy") {
            // proxy[:port][,force]
            self.add(section, proxy.split(',').next().unwrap_or(""));
        }
    }

    /// Adds the host that `text` names: an address, a network or a name, with what URIs have around it.
    fn add(&mut self, section: &ConfSection, text: &str) {
        let Some(target) = target(text) else { return };
        if let TrunkHost::Net(net) = target {
            let least = if matches!(net, IpNet::V4(_)) { WIDEST.0 } else { WIDEST.1 };
            if net.prefix_len() < least {
                self.left_out.push(format!(
                    "{net} of the trunk {} ({}) can be banned: wider than /{least}; if you mean it, write it into ignoreip",
                    section.name, section.file
                ));
                return;
            }
        }
        let (name, file) = (section.name.clone(), section.file.to_string());
        // Sorted and counted at the end; more than this are not worth the memory.
        if self.trunks.len() < 16 * MOST_TRUNKS {
            self.trunks.push(Trunk { name, file, target });
        }
    }
}

/// Returns the host or network that a word of the configuration names: `192.0.2.0/24`,
/// `192.0.2.0/255.255.255.0`, `sip:user@host:port;transport=tcp`, `tls://host`,
/// `[2001:db8::1]:5061`.
fn target(text: &str) -> Option<TrunkHost> {
    let text = text.trim().trim_matches(['"', '<', '>']);
    let scheme = ["sip:", "sips:", "tcp:", "tls:", "udp:", "ws:", "wss:"]
        .iter()
        .find(|scheme| text.get(..scheme.len()).is_some_and(|t| t.eq_ignore_ascii_case(scheme)));
    let text = scheme.and_then(|scheme| text.get(scheme.len()..)).unwrap_or(text);
    let text = text.trim_start_matches('/');
    let text = text.split([';', '?', '>', ' ', '\t']).next().unwrap_or("");
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    if let Some(net) = network(text) {
        return Some(TrunkHost::Net(net));
    }
    let host = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or(""),
        None => text.split(':').next().unwrap_or(""),
    };
    network(host).map(TrunkHost::Net).or_else(|| host.parse().ok().map(TrunkHost::Name))
}

fn network(text: &str) -> Option<IpNet> {
    let (address, mask) =
        text.split_once('/').map_or((text, None), |(address, mask)| (address, Some(mask)));
    let address: IpAddr = address.parse().ok()?;
    let net = match (mask, address) {
        (None, _) => IpNet::from(address),
        (Some(bits), _) if bits.parse::<u8>().is_ok() => {
            IpNet::new(address, bits.parse().ok()?).ok()?
        }
        (Some(mask), IpAddr::V4(address)) => {
            Ipv4Net::with_netmask(address, mask.parse::<Ipv4Addr>().ok()?).ok()?.into()
        }
        _ => return None,
    };
    Some(canonical_net(net))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::conf::tests::Memory;
    use super::*;

    fn trunks(files: &[(&str, &str)]) -> Vec<String> {
        let Trunks { trunks, left_out } = Trunks::find(&mut Memory::of(files));
        let text = |trunk: Trunk| match trunk.target {
            TrunkHost::Net(net) => format!("{} {net}", trunk.name),
            TrunkHost::Name(name) => format!("{} {name}", trunk.name),
        };
        trunks.into_iter().map(text).chain(left_out).collect()
    }

    #[test]
    fn pjsip() {
        let text = "
            [t](!)
            type=identify
            match=203.0.113.1
            [carrier](t)
            endpoint=carrier
            match=203.0.113.64/28, sip.carrier.example, 198.51.100.0/255.255.255.0
            match=[2001:db8::1]:5060
            [carrier-reg]
            type = registration
            server_uri = sip:reg.carrier.example:5061\\;transport=tls
            outbound_proxy = sip:192.0.2.200:5060\\;lr
            client_uri = sip:me@192.0.2.1
            [carrier]
            type=aor
            contact=sip:user@192.0.2.99:5060,sips:other.example
            [phone]
            type=aor
            max_contacts=1
            [carrier]
            type=endpoint
            contact=sip:192.0.2.77
            match=192.0.2.78
        ";
        assert_eq!(
            trunks(&[("pjsip.conf", text)]),
            [
                "carrier 192.0.2.99/32",
                "carrier 198.51.100.0/24",
                "carrier 203.0.113.1/32",
                "carrier 203.0.113.64/28",
                "carrier 2001:db8::1/128",
                "carrier other.example",
                "carrier sip.carrier.example",
                "carrier-reg 192.0.2.200/32",
                "carrier-reg reg.carrier.example",
            ]
        );
    }

    #[test]
    fn the_wizard() {
        let text = "[t](!)\ntype=wizard\n[a](t)\nremote_hosts=192.0.2.1:5060,sip.example.com\n";
        assert_eq!(trunks(&[("pjsip_wizard.conf", text)]), ["a 192.0.2.1/32", "a sip.example.com"]);
    }

    #[test]
    fn sip_and_iax() {
        let sip = "
            [general]
            register => 1234:pass/word@sip.example.com/1234
            register => 2345:p@ss:auth@192.0.2.3:5061~60
            register => tls://3456@peer.example:5061
            register => peer?4567:secret@[2001:db8::4]:5060/77
            outboundproxy=192.0.2.254
            [phone]
            type=friend
            host=dynamic
            [trunk]
            type=peer
            host=192.0.2.5
            outboundproxy=tls://proxy.example:5061,force
            [twice]
            type=friend
            host=192.0.2.6
            host=192.0.2.7
            [authentication]
            host=192.0.2.8
        ";
        let iax = "
            [general]
            register => marko:[torkey]@iax.example.com
            register => joe@192.0.2.10:5656
            [demo]
            type=peer
            host=192.0.2.11
        ";
        assert_eq!(
            trunks(&[("sip.conf", sip), ("iax.conf", iax)]),
            [
                "demo 192.0.2.11/32",
                "general 192.0.2.10/32",
                "general iax.example.com",
                "general 192.0.2.3/32",
                "general 2001:db8::4/128",
                "general peer.example",
                "general sip.example.com",
                "trunk 192.0.2.5/32",
                "trunk proxy.example",
                "twice 192.0.2.7/32",
            ]
        );
    }

    #[test]
    fn nobody_trusts_the_whole_world() {
        let text = "
            [world]
            type=identify
            match=0.0.0.0/0
            match=::/0
            match=10.0.0.0/8
            match=0.0.0.0/0.0.0.0
            match=10.1.0.0/16
            match=64:ff9b::/96
        ";
        let found = trunks(&[("pjsip.conf", text)]);
        assert_eq!(found.len(), 6, "{found:?}");
        assert_eq!(found[0], "world 10.1.0.0/16");
        assert!(found[1..].iter().all(|words| words.contains("of the trunk world (pjsip.conf)")));
        assert!(found[1].starts_with("0.0.0.0/0 ") && found[1].contains("wider than /16"));
        assert!(found[2].starts_with("::/0 ") && found[2].contains("wider than /32"));
    }

    #[test]
    fn what_names_nobody_is_left_out() {
        for text in
            ["", "sip:", "${HOST}", "sip:@", "300.1.1.1", "a b", "192.0.2.1/33", "[::1", "!x"]
        {
            assert!(
                !matches!(target(text), Some(TrunkHost::Net(net)) if net.prefix_len() < 32),
                "{text}"
            );
        }
        for text in ["", "sip:", "${HOST}", "sip:@", "300.1.1.1", "192.0.2.1/33"] {
            assert_eq!(target(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_looked_at(text in "\\PC{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let named = target(&text);
            if let Some(TrunkHost::Name(name)) = named {
                prop_assert!(name.as_str().parse::<HostName>().is_ok());
            }
            let mut files = Memory(["pjsip.conf", "sip.conf"].map(|n| (n.to_owned(), bytes.clone())).into());
            for trunk in Trunks::find(&mut files).trunks {
                if let TrunkHost::Net(net) = trunk.target {
                    prop_assert!(net.prefix_len() >= WIDEST.0);
                }
            }
        }
    }
}
