//! The place that Asterisk sends copies of its SIP messages to, by hep.conf.
//!
//! The keys and defaults are those of `res/res_hep.c` of Asterisk 16 to 22. There, `enabled` defaults to
//! yes, although the sample file that is installed says no; without hep.conf nothing is sent.

use std::fmt;
use std::net::SocketAddr;

use super::conf::{self, Files};
use super::ports::{address_and_port, is_true};

const FILE: &str = "hep.conf";

/// The content of hep.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HepConf {
    /// Whether copies are sent, where `res_hep` and `res_hep_pjsip` are loaded.
    pub enabled: bool,
    /// The place that they are sent to.
    pub capture_address: CaptureAddress,
    /// The password that proves that they are Asterisk's; empty: nothing proves it.
    pub capture_password: Password,
    /// The number that this Asterisk gives itself.
    pub capture_id: u32,
}

/// The place that copies are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaptureAddress {
    /// To this address and port.
    Address(SocketAddr),
    /// To what Asterisk found under this name when it read hep.conf. It is not looked up here.
    Name(String),
    /// To nowhere: it is missing, or has no port. Asterisk sends nothing then.
    Missing,
}

/// A password, hidden from `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Its bytes, for a comparison that takes the same time wherever they differ.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "Password(none)" } else { "Password(hidden)" })
    }
}

impl HepConf {
    /// Reads hep.conf. `None` if it is not there or has no section `general`.
    #[must_use]
    pub fn read(files: &mut dyn Files) -> Option<Self> {
        let keys = ["enabled", "capture_address", "capture_password", "capture_id"];
        let conf = conf::read(files, FILE, &keys);
        // These names are compared exactly by Asterisk, and the last value counts.
        let general = conf.sections.iter().find(|s| !s.template && s.name == "general")?;
        Some(Self {
            enabled: general.last("enabled").is_none_or(is_true),
            capture_address: capture_address(general.last("capture_address").unwrap_or("")),
            capture_password: Password(general.last("capture_password").unwrap_or("").to_owned()),
            capture_id: general.last("capture_id").and_then(|id| id.parse().ok()).unwrap_or(0),
        })
    }

    /// The address and port to which Asterisk sends copies; `None` if it sends none, or to a name.
    #[must_use]
    pub fn target(&self) -> Option<SocketAddr> {
        match self.capture_address {
            CaptureAddress::Address(address) if self.enabled => Some(address),
            _ => None,
        }
    }
}

fn capture_address(text: &str) -> CaptureAddress {
    match address_and_port(text) {
        Some((Some(address), Some(port))) => {
            CaptureAddress::Address(SocketAddr::new(address.to_canonical(), port))
        }
        Some((None, Some(_))) => CaptureAddress::Name(text.to_owned()),
        _ => CaptureAddress::Missing,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::conf::tests::Memory;
    use super::*;

    fn read(text: &str) -> Option<HepConf> {
        HepConf::read(&mut Memory::of(&[(FILE, text)]))
    }

    #[test]
    fn the_five_lines_are_read() {
        let hep = read(
            "[general]\nenabled = yes\ncapture_address = 127.0.0.1:9060 ; here\n\
             capture_password = s3\\;cret\ncapture_id = 77\nuuid_type = call-id\n",
        )
        .unwrap();
        assert_eq!(hep.target(), Some("127.0.0.1:9060".parse().unwrap()));
        assert_eq!(hep.capture_password.as_bytes(), b"s3;cret");
        assert_eq!(hep.capture_id, 77);
        let text = format!("{hep:?}");
        assert!(text.contains("9060") && !text.contains("cret"), "{text}");
    }

    #[test]
    fn what_is_not_said_is_as_asterisk_has_it() {
        assert_eq!(HepConf::read(&mut Memory::of(&[])), None);
        assert_eq!(read("[other]\nenabled=yes\n"), None);
        let hep = read("[general]\n").unwrap();
        assert!(hep.enabled && hep.capture_password.is_empty());
        assert_eq!((&hep.capture_address, hep.target()), (&CaptureAddress::Missing, None));
        // As the sample has it.
        let hep = read("[general]\nenabled = no\ncapture_address = 192.168.1.1:9061\n").unwrap();
        assert_eq!((hep.enabled, hep.target()), (false, None));
    }

    #[test]
    fn addresses_need_a_port_and_names_stay_names() {
        for (text, expected) in [
            ("[2001:db8::1]:9060", Some("[2001:db8::1]:9060")),
            ("[::ffff:192.0.2.1]:9060", Some("192.0.2.1:9060")),
            ("192.0.2.1", None),
            ("2001:db8::1", None),
            ("192.0.2.1:0", None),
            ("192.0.2.1:70000", None),
            (":9060", None),
        ] {
            let hep = read(&format!("[general]\ncapture_address={text}\n")).unwrap();
            assert_eq!(hep.target(), expected.map(|text| text.parse().unwrap()), "{text}");
            assert!(!matches!(hep.capture_address, CaptureAddress::Name(_)), "{text}");
        }
        let hep = read("[general]\ncapture_address=homer.example:9060\n").unwrap();
        assert_eq!(hep.capture_address, CaptureAddress::Name("homer.example:9060".to_owned()));
    }

    proptest! {
        #[test]
        fn no_password_is_ever_shown(password in "[A-Z0-9]{8,20}") {
            let hep = read(&format!("[general]\ncapture_password={password}\n")).unwrap();
            prop_assert_eq!(hep.capture_password.as_bytes(), password.as_bytes());
            let shown = format!("{hep:?} {hep:#?}");
            prop_assert!(!shown.contains(&password));
        }

        #[test]
        fn any_address_can_be_looked_at(text in "\\PC{0,40}") {
            if let CaptureAddress::Address(address) = capture_address(&text) {
                prop_assert!(address.port() > 0);
            }
        }
    }
}
