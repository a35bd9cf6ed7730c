//! What Asterisk writes about a packet: each message family, with the sender's text in its place.
//!
//! The templates are those of chan_sip (1.4 to 20), `res_pjsip` and pjproject (12 to 23), the
//! SECURITY events, `manager.c`, `chan_iax2.c`, `acl.c` and the dialplan's `Log()`. Which part of a
//! message is the sender's, and what bytes it may hold, is [`Field`]'s matter.

#![allow(clippy::doc_markdown, reason = "PJSIP and Call-ID are names")]

use std::net::IpAddr;

use crate::logger::Record;
use crate::random::Random;

/// A part of a message that its sender chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// A SIP header of chan_sip, printed raw, with its name or URI: up to 20480 bytes over TCP.
    Header,
    /// A request's method: a token.
    Method,
    /// PJSIP's From with a name: `"NAME" <sip:…>`; a quote in the name only as `\"`.
    Name,
    /// PJSIP's From without one: `<sip:USER@HOST>`; a host in brackets may hold nearly anything.
    Uri,
    /// A Call-ID, to the end of its header line.
    CallId,
    /// The user of a PJSIP From, %-decoded and cut at 36 bytes.
    User,
    /// A digest's nonce or response: a quote only as `\"`.
    Digest,
    /// An extension that PJSIP dials: %-decoded, cut at 79 bytes.
    Extension,
    /// A user or extension of chan_sip: %-decoded, of a header that is cut at 255 bytes.
    Decoded,
    /// An information element of IAX2, up to 255 bytes of anything.
    Element,
    /// A manager's user name over TCP: to the end of its line.
    Login,
    /// The same over HTTP: %-decoded.
    WebLogin,
    /// What an unparsable packet holds.
    Packet,
    /// Text that a module prints as it came, of a kind that no rule knows: line feeds and all.
    Text,
}

/// Who fills the fields.
pub trait Values {
    fn fill(&mut self, field: Field) -> Vec<u8>;
}

/// How the packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
}

/// Where a packet came from, or, over UDP, may claim to.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    pub host: IpAddr,
    pub port: u16,
    pub transport: Transport,
    /// Somebody else wrote this address into a UDP packet: he never sees an answer.
    pub spoofed: bool,
    /// Whom the topmost Via header names: chan_sip believes it for its SECURITY events.
    pub maddr: IpAddr,
    /// The nonce that chan_sip was sent back.
    pub nonce: u32,
}

/// What a host did, as a log may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// Nothing that counts.
    Nothing,
    /// Something that counts; who sent it is not certain.
    Offence,
    /// The same by a host that got an answer from us.
    ProvenOffence,
    /// It logged in.
    Login,
}

macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        /// What is sent, and what it leads to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $($kind),* }
        impl Kind {
            pub const ALL: &[Self] = &[$(Self::$kind),*];
        }
    };
}

kinds! {
    // chan_sip
    SipWrongPassword, SipNameMismatch, SipNoPeer, SipForeignDomain, SipPeerAcl, SipNotToRegister,
    SipGuestCall, SipMisdial, SipInvalidTo, SipTooLarge, SipSubscribe, SipUnknownMethod,
    SipInviteRefused, SipFrom, SipUserFails, SipLogin,
    // chan_pjsip
    PjsipNoEndpoint, PjsipNoEndpointNamed, PjsipWrongPassword, PjsipWrongPasswordNamed, PjsipAcl,
    PjsipGuestCall, PjsipMisdial, PjsipRegister, PjsipNoHint, PjsipUnparsable, PjsipDump,
    PjsipTooManyContacts, PjsipLogin,
    // the manager
    AmiUnknownUser, AmiUnknownUserByWeb, AmiWrongSecret, AmiAcl, AmiNotAllowed, AmiGarbage,
    AmiLongLine, AmiLogin,
    // IAX2
    IaxUnknownPeer, IaxWrongDigest, IaxWrongPassword, IaxEmpty, IaxStranger, IaxNoExtension,
    IaxNoToken, IaxTooNew,
    // others
    Websocket, Dialplan, Noise,
    // free text
    Verbose, Debug, RawDump, Unlisted,
}

impl Kind {
    /// Of these nobody knows how far their text goes: no rule and no `[[message]]` reads them.
    pub const FREE: [Self; 4] = [Self::Verbose, Self::Debug, Self::RawDump, Self::Unlisted];
}

/// Which Asterisk it is, as far as messages differ.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// 1.8 and later print ports in chan_sip's messages, 12 and later in those of IAX2.
    pub ports: bool,
    /// Up to 13.9, PJSIP's refusals have no method, up to 16.14 its calls another order.
    pub old_pjsip: bool,
    /// Up to 12, chan_sip's refusal of an INVITE ends with the From header.
    pub old_invite: bool,
}

/// `kind` by `sender`, whose text comes from `values`: what is logged, and what it amounts to.
pub fn write(
    kind: Kind,
    sender: &Sender,
    version: Version,
    random: &mut Random,
    values: &mut dyn Values,
) -> (Vec<Record>, Deed) {
    let mut writer = Writer { sender, version, random, values, records: Vec::new() };
    let deed = writer.write(kind);
    (writer.records, deed)
}

struct Writer<'a> {
    sender: &'a Sender,
    version: Version,
    random: &'a mut Random,
    values: &'a mut dyn Values,
    records: Vec<Record>,
}

const SIP: &str = "chan_sip.c";
const IAX: &str = "chan_iax2.c";
const DISTRIBUTOR: &str = "res_pjsip/pjsip_distributor.c";
const REGISTRAR: &str = "res_pjsip_registrar.c";

impl Writer<'_> {
    fn fill(&mut self, field: Field) -> Vec<u8> {
        self.values.fill(field)
    }

    fn say(&mut self, level: &'static str, file: &str, message: Vec<u8>) {
        let (file, line) = (file.as_bytes().to_vec(), 100);
        self.records.push(Record { level, file, line, function: "log_it", message });
    }

    /// `host:port`, with brackets around IPv6.
    fn host_port(&self) -> String {
        let Sender { host, port, .. } = self.sender;
        match host {
            IpAddr::V4(host) => format!("{host}:{port}"),
            IpAddr::V6(host) => format!("[{host}]:{port}"),
        }
    }

    /// With the port where this version prints it.
    fn place(&self) -> String {
        if self.version.ports { self.host_port() } else { self.sender.host.to_string() }
    }

    fn transport(&self) -> &'static str {
        match self.sender.transport {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// An offence over the sender's transport.
    fn offence(&self) -> Deed {
        match self.sender.transport {
            Transport::Udp => Deed::Offence,
            _ => Deed::ProvenOffence,
        }
    }

    fn security(
        &mut self,
        event: &str,
        service: &str,
        account: &[u8],
        session: &[u8],
        tail: &[u8],
    ) {
        // An event with text that is not UTF-8 cannot be packed, and is lost.
        if [account, session, tail].iter().any(|text| std::str::from_utf8(text).is_err()) {
            let message = bytes!["Failed to issue security event of type ", event, "."];
            return self.say("ERROR", "security_events.c", message);
        }
        let remote = if service == "SIP" { self.sender.maddr } else { self.sender.host };
        let (ip, local) = if remote.is_ipv4() { ("4", "192.0.2.10") } else { ("6", "2001:db8::1") };
        let (severity, transport) = match event {
            "SuccessfulAuth" | "ChallengeSent" => ("Informational", self.transport()),
            _ if service == "AMI" => ("Error", "TCP"),
            _ => ("Error", self.transport()),
        };
        let address = |host: &str, port: u16| format!("IPV{ip}/{transport}/{host}/{port}");
        let message = bytes![
            "SecurityEvent=\"",
            event,
            "\",EventTV=\"2026-11-22T10:00:00.659+0100\",Severity=\"",
            severity,
            "\",Service=\"",
            service,
            "\",EventVersion=\"1\",AccountID=\"",
            account,
            "\",SessionID=\"",
            session,
            "\",LocalAddress=\"",
            address(local, 5060),
            "\",RemoteAddress=\"",
            address(&remote.to_string(), self.sender.port),
            "\"",
            tail
        ];
        self.say("SECURITY", "res_security_log.c", message);
    }

    fn write(&mut self, kind: Kind) -> Deed {
        use Kind::*;
        match kind {
            SipWrongPassword | SipNameMismatch | SipNoPeer | SipForeignDomain | SipPeerAcl
            | SipNotToRegister | SipGuestCall | SipMisdial | SipInvalidTo | SipTooLarge
            | SipSubscribe | SipUnknownMethod | SipInviteRefused | SipFrom | SipUserFails
            | SipLogin => self.sip(kind),
            PjsipNoEndpoint
            | PjsipNoEndpointNamed
            | PjsipWrongPassword
            | PjsipWrongPasswordNamed
            | PjsipAcl => self.pjsip_refusal(kind),
            PjsipGuestCall | PjsipMisdial | PjsipRegister | PjsipNoHint | PjsipUnparsable
            | PjsipDump | PjsipTooManyContacts | PjsipLogin => self.pjsip(kind),
            AmiUnknownUser | AmiUnknownUserByWeb | AmiWrongSecret | AmiAcl | AmiNotAllowed
            | AmiGarbage | AmiLongLine | AmiLogin => self.manager(kind),
            IaxUnknownPeer | IaxWrongDigest | IaxWrongPassword | IaxEmpty | IaxStranger
            | IaxNoExtension | IaxNoToken | IaxTooNew => self.iax(kind),
            Websocket | Dialplan | Noise => self.other(kind),
            Verbose | Debug | RawDump | Unlisted => self.free(kind),
        }
    }

    fn registration(&mut self, to: &[u8], reason: &str) {
        let message =
            bytes!["Registration from '", to, "' failed for '", self.place(), "' - ", reason];
        self.say("NOTICE", SIP, message);
    }

    fn sip(&mut self, kind: Kind) -> Deed {
        let (place, host) = (self.place(), self.sender.host.to_string());
        match kind {
            Kind::SipWrongPassword => {
                let to = self.fill(Field::Header);
                self.registration(&to, "Wrong password");
                let account = self.fill(Field::Decoded);
                let nonce = format!("{:08x}", self.sender.nonce);
                let tail = format!(
                    ",Challenge=\"{nonce}\",ReceivedChallenge=\"{nonce}\",ReceivedHash=\"7a6a\""
                );
                self.security(
                    "InvalidPassword",
                    "SIP",
                    &account,
                    b"0x7f0eb8002bd0",
                    tail.as_bytes(),
                );
                return Deed::ProvenOffence;
            }
            Kind::SipNameMismatch => {
                let to = self.fill(Field::Header);
                self.registration(&to, "Username/auth name mismatch");
            }
            Kind::SipNoPeer => {
                let to = self.fill(Field::Header);
                self.registration(&to, "No matching peer found");
                let account = self.fill(Field::Decoded);
                self.security("InvalidAccountID", "SIP", &account, b"0x7f0eb8002bd0", b"");
            }
            Kind::SipForeignDomain => {
                let to = self.fill(Field::Header);
                self.registration(&to, "Not a local domain");
            }
            Kind::SipPeerAcl => {
                for _ in 0..2 {
                    let reason = "due to a failure to pass ACL '(BASELINE)'";
                    let message = bytes!["SIP Peer ACL: Rejecting '", host, "' ", reason];
                    self.say("NOTICE", "acl.c", message);
                    let to = self.fill(Field::Header);
                    self.registration(&to, "Device does not match ACL");
                }
            }
            Kind::SipNotToRegister => {
                let to = self.fill(Field::Header);
                self.registration(&to, "Peer is not supposed to register");
            }
            Kind::SipGuestCall | Kind::SipMisdial => {
                let guest = kind == Kind::SipGuestCall;
                let (place, exten) = (self.host_port(), self.fill(Field::Decoded));
                let name = if guest { "" } else { "1003" };
                let end = "' rejected because extension not found in context 'public'.";
                let message =
                    bytes!["Call from '", name, "' (", place, ") to extension '", exten, end];
                self.say("NOTICE", SIP, message);
                if !guest {
                    return Deed::Nothing;
                }
            }
            Kind::SipInvalidTo => {
                let to = self.fill(Field::Header);
                let end = " (missing sip:) trying to use anyway...";
                self.say("NOTICE", SIP, bytes!["Invalid to address: '", to, "' from ", host, end]);
            }
            Kind::SipTooLarge => {
                let end = "' because way too large: 20481";
                self.say("WARNING", SIP, bytes!["Rejecting TCP/TLS packet from '", place, end]);
                return Deed::ProvenOffence;
            }
            Kind::SipSubscribe => {
                let (exten, maddr) = (self.fill(Field::Decoded), self.sender.maddr.to_string());
                let end = ":5060, but there is no hint for that extension.";
                let head = "Got SUBSCRIBE for extension ";
                self.say("NOTICE", SIP, bytes![head, exten, "@internal from ", maddr, end]);
                return Deed::Nothing;
            }
            Kind::SipUnknownMethod => {
                let (method, maddr) = (self.fill(Field::Method), self.sender.maddr.to_string());
                let message = bytes!["Unknown SIP command '", method, "' from '", maddr, ":5060'"];
                self.say("NOTICE", SIP, message);
                return Deed::Nothing;
            }
            Kind::SipInviteRefused => {
                let from = self.fill(Field::Header);
                let end = if self.version.old_invite { "" } else { " for INVITE, code = -1" };
                self.say("NOTICE", SIP, bytes!["Failed to authenticate device ", from, end]);
            }
            Kind::SipFrom => {
                let from = self.fill(Field::Header);
                let head = "Correct auth, but based on stale nonce received from '";
                self.say("NOTICE", SIP, bytes![head, from, "'"]);
                let id = self.fill(Field::Header);
                self.say("NOTICE", SIP, bytes!["Ignoring spurious REGISTER with Call-ID: ", id]);
                return Deed::Nothing;
            }
            Kind::SipUserFails => {
                let account = self.fill(Field::Decoded);
                let tail = b",ACLName=\"device_must_match_acl\"";
                self.security("FailedACL", "SIP", &account, b"0x7f0eb8002bd0", tail);
                let tail = b",Challenge=\"32ce0704\"";
                self.security("ChallengeSent", "SIP", &account, b"0x7f0eb8002bd0", tail);
            }
            _ => {
                let tail = b",UsingPassword=\"1\"";
                self.security("SuccessfulAuth", "SIP", b"1000", b"0x7f0eb8002bd0", tail);
                return Deed::Login;
            }
        }
        self.offence()
    }

    fn pjsip_refusal(&mut self, kind: Kind) -> Deed {
        let from = match kind {
            Kind::PjsipNoEndpointNamed | Kind::PjsipWrongPasswordNamed => {
                let name = self.fill(Field::Name);
                bytes!["\"", name, "\" <sip:100@192.0.2.10>"]
            }
            _ => {
                let uri = self.fill(Field::Uri);
                bytes!["<sip:", uri, ">"]
            }
        };
        let call_id = self.fill(Field::CallId);
        let known = matches!(kind, Kind::PjsipWrongPassword | Kind::PjsipWrongPasswordNamed);
        let reason = match kind {
            Kind::PjsipAcl => "Not match Endpoint ACL",
            _ if known => "Failed to authenticate",
            _ => "No matching endpoint found",
        };
        let method = match self.random.below(4) {
            0 => self.fill(Field::Method),
            _ => b"REGISTER".to_vec(),
        };
        let (request, place) = if self.version.old_pjsip && !known {
            let Sender { host, port, .. } = self.sender;
            (bytes!["Request "], format!("{host}:{port}"))
        } else {
            (bytes!["Request '", method, "' "], self.host_port())
        };
        let tries = match self.random.below(8) {
            0 if !known => " after 7 tries in 1834.000 ms",
            _ => "",
        };
        let cut = &call_id[..call_id.len().min(255)];
        let refusal = bytes![
            request,
            "from '",
            from,
            "' failed for '",
            place,
            "' (callid: ",
            cut,
            ") - ",
            reason,
            tries
        ];
        if kind == Kind::PjsipAcl {
            let host = self.sender.host.to_string();
            let reason = "due to a failure to pass ACL '(BASELINE)'";
            self.say("NOTICE", "acl.c", bytes!["SIP ACL: Rejecting '", host, "' ", reason]);
            let message = bytes!["Incoming SIP message from ", place, " did not pass ACL test"];
            self.say("WARNING", "res_pjsip_acl.c", message);
            let tail = b",ACLName=\"not_match_endpoint_acl\"";
            self.security("FailedACL", "PJSIP", b"trunk2", &call_id, tail);
        }
        self.say("NOTICE", DISTRIBUTOR, refusal);
        if known {
            let (nonce, response) = (self.fill(Field::Digest), self.fill(Field::Digest));
            let nonce = &nonce[..nonce.len().min(63)];
            let tail = bytes![
                ",Challenge=\"",
                nonce,
                "\",Response=\"",
                response,
                "\",ExpectedResponse=\"\""
            ];
            self.security("ChallengeResponseFailed", "PJSIP", b"1000", &call_id, &tail);
        } else if kind != Kind::PjsipAcl {
            let user = self.fill(Field::User);
            self.security("InvalidAccountID", "PJSIP", &user, &call_id, b"");
            let tail = b",Challenge=\"1569024763/510a77c1\"";
            self.security("ChallengeSent", "PJSIP", b"<unknown>", &call_id, tail);
        }
        self.offence()
    }

    fn pjsip(&mut self, kind: Kind) -> Deed {
        let (place, transport) = (self.host_port(), self.transport());
        let glued = format!("{}:{}", self.sender.host, self.sender.port);
        match kind {
            Kind::PjsipGuestCall | Kind::PjsipMisdial => {
                let guest = kind == Kind::PjsipGuestCall;
                let name = if guest { "anonymous" } else { "1003" };
                let exten = self.fill(Field::Extension);
                let end = "' rejected because extension not found in context 'public'.";
                let caller = if self.version.old_pjsip {
                    format!("Call from '{name}' ({transport}:{place})")
                } else {
                    format!(" {name}: Call ({transport}:{place})")
                };
                let message = bytes![caller, " to extension '", exten, end];
                self.say("NOTICE", "res_pjsip_session.c", message);
                if !guest {
                    return Deed::Nothing;
                }
            }
            Kind::PjsipRegister => {
                let (call_id, aor) = (self.fill(Field::CallId), self.random.chance(50));
                let message = if aor {
                    bytes!["AOR '' not found for endpoint 'anonymous' (", glued, ")"]
                } else {
                    bytes!["Endpoint 'anonymous' (", glued, ") has no configured AORs"]
                };
                self.say("WARNING", REGISTRAR, message);
                let (event, tail) = if aor {
                    ("RequestNotSupported", "RequestType=\"registrar_requested_aor_not_found\"")
                } else {
                    ("FailedACL", "ACLName=\"registrar_attempt_without_configured_aors\"")
                };
                self.security(event, "PJSIP", b"anonymous", &call_id, &bytes![",", tail]);
            }
            Kind::PjsipNoHint => {
                let exten = self.fill(Field::Extension);
                let end = "' does not exist in context 'internal' or has no associated hint";
                let message = bytes!["Endpoint '1000': Extension '", exten, end];
                self.say("NOTICE", "res_pjsip_exten_state.c", message);
                return Deed::Nothing;
            }
            Kind::PjsipUnparsable => {
                let method = self.fill(Field::Method);
                let message = bytes![
                    "\t             sip_transport.c Dropping 298 bytes packet from ",
                    transport,
                    " ",
                    glued,
                    " : PJSIP syntax error exception when parsing '",
                    method,
                    "' header on line 4 col 8"
                ];
                self.library("WARNING", message);
            }
            Kind::PjsipDump => {
                let packet = self.fill(Field::Packet);
                let message = if self.random.chance(50) {
                    bytes![
                        "\t             sip_transport.c Error processing 342 bytes packet from ",
                        transport,
                        " ",
                        glued,
                        " : PJSIP syntax error exception when parsing 'Via' header on line 2 col 9:\n",
                        packet,
                        "\n-- end of packet."
                    ]
                } else {
                    bytes![
                        "\t              sip_endpoint.c Error processing packet from ",
                        glued,
                        ": Missing required header(s) (PJSIP_EMISSINGHDR) From [code 171050]:\n",
                        packet,
                        "\n-- end of packet."
                    ]
                };
                self.library("ERROR", message);
            }
            Kind::PjsipTooManyContacts => {
                let call_id = self.fill(Field::CallId);
                let message = bytes![
                    "Registration attempt from endpoint '1004' (",
                    glued,
                    ") to AOR '1004' will exceed max contacts of 2"
                ];
                self.say("WARNING", REGISTRAR, message);
                let tail = b",ACLName=\"registrar_attempt_exceeds_maximum_configured_contacts\"";
                self.security("FailedACL", "PJSIP", b"1004", &call_id, tail);
                return Deed::Nothing;
            }
            _ => {
                let call_id = self.fill(Field::CallId);
                let tail = b",UsingPassword=\"1\"";
                self.security("SuccessfulAuth", "PJSIP", b"1000", &call_id, tail);
                return Deed::Login;
            }
        }
        self.offence()
    }

    /// A message of the pjproject library.
    fn library(&mut self, level: &'static str, message: Vec<u8>) {
        let file = b"pjproject".to_vec();
        self.records.push(Record { level, file, line: 0, function: "<?>", message });
    }

    fn manager(&mut self, kind: Kind) -> Deed {
        let host = self.sender.host.to_string();
        let say = |writer: &mut Self, parts: &[&[u8]]| {
            writer.say("NOTICE", "manager.c", bytes![host, " ", parts.concat(), "'"]);
        };
        match kind {
            Kind::AmiUnknownUser | Kind::AmiUnknownUserByWeb => {
                let by_web = kind == Kind::AmiUnknownUserByWeb;
                let user = self.fill(if by_web { Field::WebLogin } else { Field::Login });
                self.security("InvalidAccountID", "AMI", &user, b"0x7f0eb8002bd0", b"");
                say(self, &[b"tried to authenticate with nonexistent user '", &user]);
                say(self, &[b"failed to authenticate as '", &user]);
            }
            Kind::AmiWrongSecret => {
                let (key, account) = (self.fill(Field::Login), b"admin");
                let tail =
                    bytes![",Challenge=\"258\",Response=\"", key, "\",ExpectedResponse=\"1b\""];
                self.security("ChallengeResponseFailed", "AMI", account, b"0x7f0eb8002bd0", &tail);
                say(self, &[b"failed to authenticate as 'admin"]);
            }
            Kind::AmiAcl => {
                self.security("FailedACL", "AMI", b"admin", b"0x7f0eb8002bd0", b"");
                say(self, &[b"failed to pass IP ACL as 'admin"]);
                say(self, &[b"failed to authenticate as 'admin"]);
            }
            Kind::AmiNotAllowed => {
                let action = self.fill(Field::Login);
                let action = &action[..action.len().min(55)];
                let tail = bytes![",RequestType=\"Action: ", action, "\""];
                self.security("RequestNotAllowed", "AMI", b"", b"0x7f0eb8002bd0", &tail);
            }
            Kind::AmiGarbage => {
                let action = self.fill(Field::Login);
                if std::str::from_utf8(&action).is_ok() {
                    let message = bytes![
                        "SecurityEvent=\"RequestBadFormat\",EventTV=\"2026-11-22T10:00:00.659+0100\"",
                        ",Severity=\"Error\",Service=\"AMI\",EventVersion=\"1\"",
                        ",SessionID=\"0x7f0eb8002bd0\",LocalAddress=\"IPV4/TCP/0.0.0.0/5038\"",
                        ",RemoteAddress=\"",
                        if self.sender.host.is_ipv4() { "IPV4" } else { "IPV6" },
                        "/TCP/",
                        host,
                        "/4711\",RequestType=\"",
                        action,
                        "\",AccountID=\"\""
                    ];
                    self.say("SECURITY", "res_security_log.c", message);
                }
            }
            Kind::AmiLongLine => {
                let line = self.fill(Field::Login);
                let line = &line[..line.len().min(25)];
                let head = "Discarding message from ";
                let message = bytes![head, host, ". Line too long: ", line, "..."];
                self.say("WARNING", "manager.c", message);
            }
            _ => {
                let tail = b",UsingPassword=\"1\"";
                self.security("SuccessfulAuth", "AMI", b"admin", b"0x7f0eb8002bd0", tail);
                return Deed::Login;
            }
        }
        Deed::ProvenOffence
    }

    fn iax(&mut self, kind: Kind) -> Deed {
        let (host, place) = (self.sender.host.to_string(), self.place());
        let text = self.fill(Field::Element);
        let (level, message) = match kind {
            Kind::IaxUnknownPeer => {
                ("NOTICE", bytes!["No registration for peer '", text, "' (from ", host, ")"])
            }
            Kind::IaxWrongDigest => (
                "NOTICE",
                bytes![
                    "Host ",
                    host,
                    " failed MD5 authentication for '1000' (",
                    text,
                    " != a96237666c6e42711816f4bde7535fcf)"
                ],
            ),
            Kind::IaxWrongPassword => {
                ("WARNING", bytes!["Host ", place, " failed to authenticate as trunk1"])
            }
            Kind::IaxEmpty => ("NOTICE", bytes!["Empty registration from ", host]),
            Kind::IaxStranger => {
                let head = "Rejected connect attempt from ";
                ("NOTICE", bytes![head, place, ", who was trying to reach '", text, "@default'"])
            }
            Kind::IaxNoExtension => {
                let head = "Rejected connect attempt from ";
                ("NOTICE", bytes![head, place, ", request '", text, "@default' does not exist"])
            }
            Kind::IaxNoToken => (
                "ERROR",
                bytes![
                    "Call rejected, CallToken Support required. If unexpected, resolve by placing ",
                    "address ",
                    place,
                    " in the calltokenoptional list or setting user ",
                    text,
                    " requirecalltoken=no"
                ],
            ),
            _ => ("WARNING", bytes!["Peer '", host, "' has too new a protocol version (9) for me"]),
        };
        self.say(level, IAX, message);
        if kind == Kind::IaxNoExtension { Deed::Nothing } else { Deed::Offence }
    }

    fn other(&mut self, kind: Kind) -> Deed {
        match kind {
            Kind::Websocket => {
                let (place, protocols) = (self.host_port(), self.fill(Field::Header));
                let message = bytes![
                    "WebSocket connection from '",
                    place,
                    "' could not be accepted - no protocols \
                     out of '",
                    protocols,
                    "' supported"
                ];
                self.say("WARNING", "res_http_websocket.c", message);
                Deed::ProvenOffence
            }
            Kind::Dialplan => {
                let exten = self.fill(Field::Extension);
                let message =
                    bytes!["\"Rejecting unknown SIP connection from ", self.place(), "\""];
                let (file, level) = (bytes!["Ext. ", exten], "WARNING");
                let record = Record { level, file, line: 6, function: "@ from-sip", message };
                self.records.push(record);
                Deed::Offence
            }
            _ => {
                let message = bytes!["getaddrinfo(\"vm\", \"(null)\", ...): Temporary failure"];
                self.say("ERROR", "netsock2.c", message);
                Deed::Nothing
            }
        }
    }

    /// Messages whose text goes on as its sender likes.
    fn free(&mut self, kind: Kind) -> Deed {
        let text = self.fill(Field::Text);
        let (level, file, message) = match kind {
            Kind::Verbose => {
                let head = "    -- Executing [s@from-sip:1] NoOp(\"SIP/1000-0000001a\", \"";
                ("VERBOSE", "pbx.c", bytes![head, text, "\") in new stack"])
            }
            Kind::Debug => ("DEBUG", SIP, bytes!["Header  4 [ 40]: From: ", text]),
            Kind::RawDump => {
                let head = format!("\n<--- SIP read from UDP:{} --->\n", self.host_port());
                ("VERBOSE", SIP, bytes![head, text, "\n<------------->"])
            }
            _ => {
                let (level, file, head) = *self.random.pick(&[
                    ("WARNING", "app_dial.c", "Unable to create channel of type 'SIP': "),
                    ("NOTICE", "pbx_lua.c", "caller is "),
                    ("WARNING", "func_strings.c", "Cannot parse '"),
                    ("ERROR", "res_agi.c", "Script says: "),
                ]);
                (level, file, bytes![head, text])
            }
        };
        self.say(level, file, message);
        Deed::Nothing
    }
}
