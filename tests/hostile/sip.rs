//! SIP as our PBX and the hosts outside write it: requests, and the answers that repeat parts of them.
//!
//! What an answer repeats, and where the PBX notes the true sender, is as `chan_sip` (`copy_via_headers`) and
//! `chan_pjsip` (`pjsip_via_hdr_print`) have it.

use std::fmt::Write as _;
use std::net::IpAddr;

use asterguard::model::exchange::SipDriver;

use crate::messages::Transport;

/// The address of the PBX.
const PBX: &str = "192.0.2.10";

/// A request.
#[derive(Clone)]
pub struct Request {
    pub driver: SipDriver,
    pub over: Transport,
    /// Where it comes from, as its packet says.
    pub host: IpAddr,
    pub port: u16,
    pub method: &'static str,
    /// The method that stands in `CSeq`.
    pub cseq_method: &'static str,
    pub cseq: u32,
    pub call: Vec<u8>,
    pub branch: String,
    /// Further parameters of the topmost Via.
    pub maddr: Option<IpAddr>,
    pub received: Option<IpAddr>,
    pub user: String,
    /// The nonce that its credentials answer; `None`: it has none.
    pub nonce: Option<String>,
}

/// The answer to a request.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    /// A new challenge.
    pub nonce: Option<String>,
}

/// The port that the PBX is asked at.
pub fn port(driver: SipDriver, over: Transport) -> u16 {
    match (driver, over) {
        (SipDriver::Pjsip, Transport::Udp | Transport::Tcp) => 5060,
        (SipDriver::Pjsip, Transport::Tls) => 5061,
        (SipDriver::ChanSip, Transport::Udp | Transport::Tcp) => 5160,
        (SipDriver::ChanSip, Transport::Tls) => 5161,
        (_, Transport::Ws) => 8088,
        (_, Transport::Wss) => 8089,
    }
}

pub fn transport_name(over: Transport) -> &'static str {
    match over {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
        Transport::Ws => "WS",
        Transport::Wss => "WSS",
    }
}

fn bracketed(host: IpAddr) -> String {
    if host.is_ipv6() { format!("[{host}]") } else { host.to_string() }
}

impl Request {
    pub fn bytes(&self) -> Vec<u8> {
        let mut via = self.via();
        if let Some(host) = self.received {
            let _ = write!(via, ";received={}", bracketed(host));
        }
        if let Some(host) = self.maddr {
            let _ = write!(via, ";maddr={}", bracketed(host));
        }
        let credentials = self.nonce.as_ref().map_or(String::new(), |nonce| {
            format!(
                "Authorization: Digest username=\"{}\",realm=\"asterisk\",nonce=\"{nonce}\",\
                 uri=\"sip:{PBX}\",response=\"{:032x}\",algorithm=MD5\r\n",
                self.user, self.cseq
            )
        });
        bytes![
            format!("{} sip:100@{PBX} SIP/2.0\r\n{via}\r\n", self.method),
            self.between("a"),
            credentials,
            "Content-Length: 0\r\n\r\n"
        ]
    }

    /// The bytes of `answer` to it.
    pub fn answer(&self, answer: &Answer) -> Vec<u8> {
        let (source, port) = (bracketed(self.host), self.port);
        let maddr = self.maddr.map_or(String::new(), |host| format!(";maddr={}", bracketed(host)));
        let via = match self.driver {
            SipDriver::Pjsip => {
                format!("{};rport={port}{maddr};received={source}", self.via_without_branch())
                    + &format!(";branch={}", self.branch)
            }
            SipDriver::ChanSip => {
                let written = self
                    .received
                    .map_or(String::new(), |host| format!(";received={}", bracketed(host)));
                format!("{}{written}{maddr};received={source};rport={port}", self.via())
            }
        };
        let challenge = answer.nonce.as_ref().map_or(String::new(), |nonce| {
            format!(
                "WWW-Authenticate: Digest algorithm=MD5,realm=\"asterisk\",nonce=\"{nonce}\"\r\n"
            )
        });
        bytes![
            format!("SIP/2.0 {} -\r\n{via}\r\n", answer.status),
            self.between("b"),
            challenge,
            "Content-Length: 0\r\n\r\n"
        ]
    }

    /// Where answers to it go.
    pub fn answered_to(&self) -> IpAddr {
        match (self.over, self.maddr) {
            (Transport::Udp, Some(host)) => host,
            _ => self.host,
        }
    }

    fn via_without_branch(&self) -> String {
        let over = transport_name(self.over);
        format!("Via: SIP/2.0/{over} {}:{}", bracketed(self.host), self.port)
    }

    fn via(&self) -> String {
        format!("{};branch={}", self.via_without_branch(), self.branch)
    }

    fn between(&self, tag: &str) -> Vec<u8> {
        let Self { user, cseq, cseq_method, .. } = self;
        let to_tag = if tag == "b" { ";tag=b" } else { "" };
        bytes![
            format!(
                "From: <sip:{user}@{PBX}>;tag=a\r\nTo: <sip:{user}@{PBX}>{to_tag}\r\nCall-ID: "
            ),
            self.call,
            format!("\r\nCSeq: {cseq} {cseq_method}\r\n")
        ]
    }
}
