//! A minute and a half of a PBX: what it is asked and what it answers, what it writes about that, and who really
//! did what.
//!
//! Phones, monitors and plain attackers are honest in what they write. Beside them, others have lines written that
//! name whom they like, and packets sent in others' names.

use std::collections::HashMap;
use std::net::IpAddr;

use asterguard::decide::engine::Sight;
use asterguard::exchange::Flow;
use asterguard::input::line_splitter::MAX_LINE;
use asterguard::model::exchange::{Carrier, SipDriver, Source};
use asterguard::model::time::Time;

use crate::logger::{Logger, Record, Shape};
use crate::messages::{self, Deed, Field, Kind, Sender, Transport, Values, Version};
use crate::random::Random;
use crate::sip::{self, Answer, Request};
use crate::tricks::{Bank, Forger, Plain};

/// The time of the first message, and how long all of it takes, in milliseconds.
pub const BEGIN: i64 = 1_800_000_000_000;
const LENGTH: usize = 90_000;
/// For so long the kernel remembers whom the PBX refused something, in milliseconds.
const REFUSED_LASTS: i64 = 30_000;
/// As far as a message may reach, in bytes; and what a line that begins within it may add.
const REACH: u64 = 8192 + 512;
/// The rest after which a message is over, in milliseconds.
const REST: i64 = 1000;

/// Something that happens.
pub struct Item {
    /// In milliseconds.
    pub at: i64,
    pub actor: usize,
    /// The packet that it belongs to, or that caused it.
    pub packet: usize,
    pub what: What,
}

pub enum What {
    /// A SIP message that the guard gets to see.
    Heard(Flow, Vec<u8>),
    /// The PBX sends something on an encrypted connection.
    Sent(IpAddr, u16),
    /// A record of a log.
    Record(Written),
}

/// A record as it stands in a log.
pub struct Written {
    pub log: usize,
    pub bytes: Vec<u8>,
    pub kind: Kind,
    pub shadow: Shadow,
}

/// Where an honest record stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shadow {
    #[default]
    Clear,
    /// Within reach of a text that may be another's.
    WithinReach,
    /// In the same line as a record that was cut.
    Glued,
}

/// Whoever sends something.
pub struct Actor {
    pub name: &'static str,
    /// It uses tricks: without it, others must fare the same.
    pub is_junk: bool,
}

/// What a host really did.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// Something that counts, or somebody did so in its name over UDP.
    pub offence: bool,
    /// Something that counts, and it has got an answer.
    pub proven: bool,
    pub login: bool,
    /// When its credentials were refused, where that is seen; in milliseconds.
    pub refused: Vec<i64>,
    /// It did less than any jail bans for.
    pub spared: bool,
    /// Somebody else sent packets in its name.
    pub spoofed: bool,
}

pub struct Scene {
    pub items: Vec<Item>,
    pub actors: Vec<Actor>,
    /// Who is not in here did nothing.
    pub truth: HashMap<IpAddr, Truth>,
    pub sight: Sight,
    pub logs: usize,
    /// Which of them hold objects. A record that is cut off casts doubt there for as many bytes as it may hold, and
    /// a rest does not end that.
    framed: Vec<bool>,
    /// How many bytes arrive at once.
    pub piece: usize,
    pub packets: usize,
}

/// A registration of a phone, of which others may have heard.
struct Heard {
    at: i64,
    host: IpAddr,
    port: u16,
    call: Vec<u8>,
}

/// A message before it is known whether the guard sees it.
struct Message {
    at: i64,
    actor: usize,
    packet: usize,
    source: Source,
    flow: Flow,
    bytes: Vec<u8>,
    /// A request; whose credentials are refused.
    request: Option<bool>,
    refuses: bool,
}

struct Maker<'a> {
    random: &'a mut Random,
    scene: Scene,
    messages: Vec<Message>,
    logs: Vec<Log>,
    version: Version,
    knows_ports: bool,
    heard: Vec<Heard>,
    now: i64,
}

/// How far others' text reaches in a log.
#[derive(Default)]
struct Reach {
    /// The bytes so far, and the time of the last.
    at: u64,
    last: i64,
    until: u64,
    gap_until: u64,
    /// The bytes of a line that has not ended.
    in_line: usize,
}

/// A log, and what it holds.
struct Log {
    logger: Logger,
    security: bool,
    others: bool,
    free: bool,
}

impl Scene {
    /// Number `index` of the scenes that `seed` stands for.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut random = Random::new(seed, index ^ 0x5ce_e000_0000);
        let mut maker = Maker::new(&mut random);
        maker.office();
        for _ in 0..=maker.random.below(3) {
            maker.attacker();
        }
        if maker.random.chance(40) {
            maker.monitor();
        }
        if maker.random.chance(40) {
            maker.mistyper();
        }
        for _ in 0..maker.random.below(3) {
            maker.evader();
        }
        for _ in 0..=maker.random.below(4) {
            maker.liar();
        }
        if maker.random.chance(30) {
            maker.spoofer();
        }
        maker.finish()
    }

    pub fn is_junk(&self, item: &Item) -> bool {
        self.actors[item.actor].is_junk
    }

    /// Finds the honest records that stand within reach of others' text.
    fn cast_shadows(&mut self) {
        let mut logs: Vec<Reach> = (0..self.logs).map(|_| Reach::default()).collect();
        for item in &mut self.items {
            let junk = self.actors[item.actor].is_junk;
            let What::Record(record) = &mut item.what else { continue };
            let log = &mut logs[record.log];
            if log.in_line == 0 && item.at - log.last >= REST {
                log.until = if self.framed[record.log] { log.until } else { log.gap_until };
            }
            let glued = log.in_line > 0;
            record.shadow = match glued {
                _ if junk => Shadow::Clear,
                true => Shadow::Glued,
                false if log.at < log.until => Shadow::WithinReach,
                false => Shadow::Clear,
            };
            log.at += record.bytes.len() as u64;
            log.last = item.at;
            let mut longest = 0;
            for piece in record.bytes.split_inclusive(|byte| *byte == b'\n') {
                log.in_line += piece.len();
                longest = log.in_line.max(longest);
                log.in_line = if piece.ends_with(b"\n") { 0 } else { log.in_line };
            }
            if junk || glued {
                log.until = log.at + REACH;
            }
            // What follows a line that is too long to be read is in doubt even after a rest.
            if longest >= MAX_LINE {
                log.gap_until = log.at + REACH;
            }
        }
    }
}

/// Fills in a Call-ID that is known; else remembers the one that another made up.
struct Linked<'a> {
    inner: &'a mut dyn Values,
    call: Option<Vec<u8>>,
}

impl Values for Linked<'_> {
    fn fill(&mut self, field: Field) -> Vec<u8> {
        if field != Field::CallId {
            return self.inner.fill(field);
        }
        let Self { inner, call } = self;
        call.get_or_insert_with(|| inner.fill(field)).clone()
    }
}

/// A request of a script, and the answers to it.
type Step = (&'static str, Credentials, &'static [u16]);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Credentials {
    Without,
    /// They answer the last challenge.
    Ours,
}
use Credentials::{Ours, Without};

/// What brings a message about.
fn script(kind: Kind) -> &'static [Step] {
    use Kind::*;
    match kind {
        PjsipNoEndpoint | PjsipNoEndpointNamed => &[("REGISTER", Without, &[401])],
        PjsipWrongPassword | PjsipWrongPasswordNamed => {
            &[("REGISTER", Without, &[401]), ("REGISTER", Ours, &[401])]
        }
        PjsipAcl => &[("INVITE", Without, &[403])],
        PjsipGuestCall | SipGuestCall => &[("INVITE", Without, &[404])],
        PjsipLogin => &[("REGISTER", Without, &[401]), ("REGISTER", Ours, &[200])],
        SipWrongPassword => &[("REGISTER", Without, &[100, 401]), ("REGISTER", Ours, &[100, 403])],
        SipNoPeer => &[("REGISTER", Without, &[100, 404])],
        SipPeerAcl | SipNotToRegister | SipForeignDomain => &[("REGISTER", Without, &[403])],
        SipLogin => &[("REGISTER", Without, &[100, 401]), ("REGISTER", Ours, &[100, 200])],
        _ => &[],
    }
}

fn driver_of(kind: Kind) -> Option<SipDriver> {
    let name = format!("{kind:?}");
    if name.starts_with("Pjsip") {
        Some(SipDriver::Pjsip)
    } else if name.starts_with("Sip") {
        Some(SipDriver::ChanSip)
    } else {
        None
    }
}

impl<'a> Maker<'a> {
    fn new(random: &'a mut Random) -> Self {
        let see = |answers, hep, talked| Sight { answers, hep, talked, ..Sight::default() };
        let sights = [
            see(false, false, false),
            see(false, false, false),
            see(true, false, false),
            see(true, false, true),
            see(true, true, true),
            see(true, true, false),
        ];
        let sight = *random.pick(&sights);
        let shapes = [Shape::File, Shape::File, Shape::Plain, Shape::Syslog, Shape::Json];
        let stamps = ["Nov 22 10:00:00", "2026-11-22 10:00:00.123", "1795309297"];
        let logger = |random: &mut Random| {
            let shape = *random.pick(&shapes);
            // Objects hold the whole date.
            let stamp = if matches!(shape, Shape::Json) {
                "2026-11-22 10:00:00.123"
            } else {
                *random.pick(&stamps)
            };
            Logger { shape, stamp }
        };
        let apart = random.chance(40);
        let others = Log {
            logger: logger(random),
            security: !apart && random.chance(75),
            others: true,
            free: random.chance(50),
        };
        let mut logs = vec![others];
        if apart {
            let logger = logger(random);
            logs.push(Log { logger, security: true, others: false, free: false });
        }
        let version = Version {
            ports: random.chance(80),
            old_pjsip: random.chance(20),
            old_invite: random.chance(25),
        };
        let scene = Scene {
            items: Vec::new(),
            actors: Vec::new(),
            truth: HashMap::new(),
            sight,
            logs: logs.len(),
            framed: logs.iter().map(|log| matches!(log.logger.shape, Shape::Json)).collect(),
            piece: *random.pick(&[1 << 17, 4096, 97]),
            packets: 0,
        };
        let knows_ports = random.chance(70);
        let (messages, heard) = (Vec::new(), Vec::new());
        Self { random, scene, messages, logs, version, knows_ports, heard, now: BEGIN }
    }

    fn enter(&mut self, name: &'static str, is_junk: bool) -> IpAddr {
        self.scene.actors.push(Actor { name, is_junk });
        let number = u8::try_from(self.scene.actors.len()).unwrap();
        if self.random.chance(15) {
            format!("2001:db8:{number:x}::7").parse().unwrap()
        } else {
            [198, 51, 100, 10 + number].into()
        }
    }

    fn truth(&mut self, host: IpAddr) -> &mut Truth {
        self.scene.truth.entry(host).or_default()
    }

    fn any_time(&mut self) -> i64 {
        BEGIN + i64::try_from(self.random.below(LENGTH)).unwrap()
    }

    fn port(&mut self) -> u16 {
        1024 + u16::try_from(self.random.below(60_000)).unwrap()
    }

    fn call(&mut self) -> Vec<u8> {
        format!("{:016x}", self.random.number()).into_bytes()
    }

    fn nonce(&mut self, driver: SipDriver) -> String {
        let number = self.random.number();
        match driver {
            SipDriver::Pjsip => format!("1795309297/{number:032x}"),
            SipDriver::ChanSip => format!("{:08x}", number >> 32),
        }
    }

    fn driver(&mut self) -> SipDriver {
        *self.random.pick(&[SipDriver::Pjsip, SipDriver::Pjsip, SipDriver::ChanSip])
    }

    fn over(&mut self, driver: SipDriver) -> Transport {
        use Transport::*;
        match driver {
            SipDriver::Pjsip => *self.random.pick(&[Udp, Udp, Tcp, Tls, Ws, Wss]),
            SipDriver::ChanSip => *self.random.pick(&[Udp, Udp, Tcp, Tls]),
        }
    }

    /// What sees the messages between the PBX and somebody.
    fn source(&self, driver: SipDriver, over: Transport) -> Option<Source> {
        let Sight { answers, hep, .. } = self.scene.sight;
        match (driver, over) {
            (SipDriver::Pjsip, _) if hep => Some(Source::Hep),
            (_, Transport::Udp | Transport::Tcp) if answers => Some(Source::Wire),
            _ => None,
        }
    }

    /// Begins what belongs to another packet.
    fn next_packet(&mut self) {
        self.scene.packets += 1;
    }

    fn push(&mut self, what: What) {
        let (actor, packet) = (self.scene.actors.len() - 1, self.scene.packets);
        self.scene.items.push(Item { at: self.now, actor, packet, what });
    }

    /// A message goes between the PBX and somebody; `request`: whether its credentials are refused.
    fn say(&mut self, of: &Request, bytes: Vec<u8>, request: Option<bool>, refuses: bool) {
        self.now += 1 + i64::try_from(self.random.below(3)).unwrap();
        let host = if request.is_some() { of.host } else { of.answered_to() };
        let encrypted = matches!(of.over, Transport::Tls | Transport::Wss);
        if encrypted && request.is_none() {
            self.push(What::Sent(host, of.port));
        }
        let Some(source) = self.source(of.driver, of.over) else { return };
        let port = sip::port(of.driver, of.over);
        // By HEP, nothing but the port tells what carried it.
        let carrier = match (source, of.over) {
            (_, Transport::Udp) | (Source::Hep, Transport::Tcp) => Carrier::Datagram,
            _ => Carrier::Stream,
        };
        let known = source == Source::Hep || self.knows_ports;
        let driver = known.then_some(of.driver);
        let flow = Flow { host, host_port: of.port, port, carrier, source, driver, doubted: false };
        let (at, actor, packet) = (self.now, self.scene.actors.len() - 1, self.scene.packets);
        self.messages.push(Message { at, actor, packet, source, flow, bytes, request, refuses });
    }

    /// A request and the answers to it; returns the nonce that it gets. `again`: how often each is repeated.
    fn ask(&mut self, request: &Request, answers: &[u16], again: usize) -> Option<String> {
        let last = answers.last().copied().unwrap_or(0);
        let refused = request.nonce.is_some() && matches!(last, 401 | 403);
        self.say(request, request.bytes(), Some(refused), false);
        let mut given = None;
        for status in answers {
            given = matches!(status, 401 | 407).then(|| self.nonce(request.driver));
            let answer = request.answer(&Answer { status: *status, nonce: given.clone() });
            self.say(request, answer.clone(), None, *status >= 400);
            for _ in 0..again {
                self.say(request, request.bytes(), Some(false), false);
                self.say(request, answer.clone(), None, *status >= 400);
            }
        }
        given
    }

    /// Has the PBX write what it writes about a message.
    fn write(&mut self, kind: Kind, sender: &Sender, values: &mut dyn Values) -> Deed {
        let (records, deed) = messages::write(kind, sender, self.version, self.random, values);
        for record in records {
            self.now += i64::try_from(self.random.below(4)).unwrap();
            self.record(kind, &record);
        }
        deed
    }

    fn record(&mut self, kind: Kind, record: &Record) {
        for log in 0..self.logs.len() {
            let Log { security, others, free, logger } = &self.logs[log];
            let holds = match record.level {
                "SECURITY" => *security,
                "VERBOSE" | "DEBUG" => *free,
                _ => *others,
            };
            let bytes = if holds { logger.write(record) } else { Vec::new() };
            if !bytes.is_empty() {
                self.push(What::Record(Written { log, bytes, kind, shadow: Shadow::Clear }));
            }
        }
    }

    /// A kind of message as it comes about, with all that the PBX answers and writes.
    fn perform(&mut self, kind: Kind, request: Request, sender: &Sender, values: &mut dyn Values) {
        let mut linked = Linked { call: Some(request.call.clone()), inner: values };
        self.perform_linked(kind, request, sender, &mut linked);
    }

    fn perform_linked(
        &mut self,
        kind: Kind,
        mut request: Request,
        sender: &Sender,
        linked: &mut Linked<'_>,
    ) {
        let steps = script(kind);
        if linked.call.is_none() && driver_of(kind).is_some() {
            linked.fill(Field::CallId);
        }
        if let Some(call) = &linked.call {
            request.call.clone_from(call);
        }
        let mut sender = *sender;
        let mut nonce = None;
        let mut gets_answers = request.over != Transport::Udp;
        for (method, credentials, answers) in steps {
            (request.method, request.cseq_method) = (method, method);
            request.cseq += 1;
            request.branch = format!("z9hG4bK{:x}", self.random.number());
            request.nonce = match credentials {
                Without => None,
                Ours => nonce.take(),
            };
            gets_answers |= *credentials == Ours;
            let hex =
                request.nonce.as_deref().and_then(|nonce| u32::from_str_radix(nonce, 16).ok());
            sender.nonce = hex.unwrap_or(sender.nonce);
            nonce = self.ask(&request, answers, 0);
        }
        let before = self.now;
        // A line may be read before its exchange.
        self.now -= i64::try_from(self.random.below(8)).unwrap();
        let deed = self.write(kind, &sender, linked);
        self.now = self.now.max(before);
        let host = sender.host;
        let truth = self.truth(host);
        let attacks = !steps.is_empty() && !matches!(kind, Kind::PjsipLogin | Kind::SipLogin);
        truth.offence |= attacks || matches!(deed, Deed::Offence | Deed::ProvenOffence);
        truth.proven |= deed == Deed::ProvenOffence
            || sender.transport != Transport::Udp && deed == Deed::Offence
            || attacks && gets_answers;
        truth.login |= deed == Deed::Login;
    }

    fn request(&mut self, driver: SipDriver, over: Transport, host: IpAddr) -> Request {
        Request {
            driver,
            over,
            host,
            port: self.port(),
            method: "REGISTER",
            cseq_method: "REGISTER",
            cseq: u32::try_from(self.random.below(1000)).unwrap(),
            call: self.call(),
            branch: String::new(),
            maddr: None,
            received: None,
            user: format!("{}", 1000 + self.random.below(50)),
            nonce: None,
        }
    }

    fn sender(request: &Request) -> Sender {
        let Request { host, port, over, .. } = *request;
        Sender { host, port, transport: over, spoofed: false, maddr: host, nonce: 0x1a }
    }

    /// Phones that log in over and over; once or twice a password is mistyped.
    fn office(&mut self) {
        let host = self.enter("office", false);
        let mut mistypes = self.random.below(3);
        self.truth(host).spared = true;
        for _ in 0..3 + self.random.below(3) {
            let driver = self.driver();
            let over = self.over(driver);
            let mut request = self.request(driver, over, host);
            let (login, wrong) = match driver {
                SipDriver::Pjsip => (Kind::PjsipLogin, Kind::PjsipWrongPassword),
                SipDriver::ChanSip => (Kind::SipLogin, Kind::SipWrongPassword),
            };
            let mut at = self.random.below(20_000);
            while at < LENGTH {
                self.now = BEGIN + i64::try_from(at).unwrap();
                self.next_packet();
                request.cseq += 5;
                if self.random.chance(40) {
                    request.call = self.call();
                }
                let Request { port, .. } = request;
                self.heard.push(Heard { at: self.now, host, port, call: request.call.clone() });
                let kind = if mistypes > 0 && self.random.chance(20) {
                    mistypes -= 1;
                    wrong
                } else {
                    login
                };
                let mut copy = Random::new(self.random.number(), 0);
                let sender = Self::sender(&request);
                self.perform(kind, request.clone(), &sender, &mut Plain(&mut copy));
                at += 12_000 + self.random.below(20_000);
            }
        }
    }

    /// Guesses passwords, or looks for accounts, without tricks.
    fn attacker(&mut self) {
        let host = self.enter("attacker", false);
        let driver = self.driver();
        let over = self.over(driver);
        let kind = match driver {
            SipDriver::Pjsip => *self.random.pick(&[
                Kind::PjsipWrongPassword,
                Kind::PjsipWrongPassword,
                Kind::PjsipNoEndpoint,
                Kind::PjsipGuestCall,
            ]),
            SipDriver::ChanSip => *self.random.pick(&[
                Kind::SipWrongPassword,
                Kind::SipWrongPassword,
                Kind::SipGuestCall,
            ]),
        };
        let (count, gap) = (2 + self.random.below(11), 20 + self.random.below(6000));
        let new_call = self.random.chance(70);
        let mut request = self.request(driver, over, host);
        let mut at = self.random.below(LENGTH / 4);
        for _ in 0..count {
            self.now = BEGIN + i64::try_from(at).unwrap();
            self.next_packet();
            request.cseq += 3;
            if new_call {
                request.call = self.call();
            }
            let mut copy = Random::new(self.random.number(), 0);
            let sender = Self::sender(&request);
            self.perform(kind, request.clone(), &sender, &mut Plain(&mut copy));
            at += 100 + self.random.below(gap);
        }
    }

    /// Mistypes its password once or twice; somebody who heard of that has it written many times.
    fn mistyper(&mut self) {
        let host = self.enter("mistyper", false);
        self.truth(host).spared = true;
        let driver = self.driver();
        let over = self.over(driver);
        let (kind, other) = match driver {
            SipDriver::Pjsip => (Kind::PjsipWrongPassword, Kind::PjsipNoEndpoint),
            SipDriver::ChanSip => (Kind::SipWrongPassword, Kind::SipNoPeer),
        };
        let mut request = self.request(driver, over, host);
        let mut overheard = Vec::new();
        for second in [20, 40].into_iter().take(1 + self.random.below(2)) {
            self.now = BEGIN + 1000 * second;
            self.next_packet();
            request.cseq += 5;
            let mut copy = Random::new(self.random.number(), 0);
            let sender = Self::sender(&request);
            self.perform(kind, request.clone(), &sender, &mut Plain(&mut copy));
            overheard.push(self.now);
        }
        self.enter("echoer", true);
        for at in overheard {
            self.now = at + i64::try_from(self.random.below(300)).unwrap();
            self.next_packet();
            let kind = *self.random.pick(&[kind, kind, other]);
            self.echo(kind, &Self::sender(&request), &request.call);
        }
    }

    /// Has many copies of a message written within one whose text nobody knows the end of.
    fn echo(&mut self, kind: Kind, sender: &Sender, call: &[u8]) {
        const COPIES: usize = 8;
        let mut copy = Random::new(self.random.number(), 0);
        let logger = self.logs[0].logger.clone();
        let mut message = b"caller is x\n".to_vec();
        for _ in 0..COPIES {
            let mut plain = Plain(&mut copy);
            let mut linked = Linked { call: Some(call.to_vec()), inner: &mut plain };
            let (records, _) =
                messages::write(kind, sender, self.version, self.random, &mut linked);
            message.extend(records.iter().flat_map(|record| logger.write(record)));
        }
        let (level, file) = ("NOTICE", b"pbx_lua.c".to_vec());
        let record = Record { level, file, line: 100, function: "log_it", message };
        self.record(Kind::Unlisted, &record);
    }

    /// Asks by OPTIONS whether the PBX is there, and is refused.
    fn monitor(&mut self) {
        let host = self.enter("monitor", false);
        let driver = self.driver();
        let over = *self.random.pick(&[Transport::Udp, Transport::Tcp]);
        let mut request = self.request(driver, over, host);
        (request.method, request.cseq_method) = ("OPTIONS", "OPTIONS");
        // Text alone cannot tell it from a stranger.
        let seen = self.source(driver, over).is_some();
        self.truth(host).offence = !seen;
        self.truth(host).proven = !seen;
        for at in (0..LENGTH).step_by(3000 + self.random.below(5000)) {
            self.now = BEGIN + i64::try_from(at).unwrap();
            self.next_packet();
            (request.cseq, request.call) = (request.cseq + 1, self.call());
            request.branch = format!("z9hG4bK{:x}", self.random.number());
            let pjsip = driver == SipDriver::Pjsip;
            self.ask(&request, if pjsip { &[401] } else { &[404] }, 0);
            if pjsip {
                let mut copy = Random::new(self.random.number(), 0);
                let mut plain = Plain(&mut copy);
                let mut linked = Linked { call: Some(request.call.clone()), inner: &mut plain };
                let sender = Self::sender(&request);
                self.write(Kind::PjsipNoEndpoint, &sender, &mut linked);
            }
        }
    }

    /// Attacks, and hides it by what stands in its packets.
    fn evader(&mut self) {
        let host = self.enter("evader", true);
        let driver = self.driver();
        let trick = self.random.below(7);
        let over = if trick == 3 { Transport::Udp } else { self.over(driver) };
        let chan_sip = driver == SipDriver::ChanSip;
        let mut request = self.request(driver, over, host);
        let victim = self.victim();
        (request.maddr, request.received) = match trick {
            3 => (Some(victim), None),
            4 => (None, Some(victim)),
            _ => (None, None),
        };
        "z9hG4bKsame".clone_into(&mut request.branch);
        let mut at = self.random.below(LENGTH / 4);
        for number in 0..3 + self.random.below(8) {
            self.now = BEGIN + i64::try_from(at).unwrap();
            self.next_packet();
            let again = if trick == 5 { 1 + self.random.below(3) } else { 0 };
            // One Call-ID for all, one branch too, or new ones.
            if trick > 1 {
                request.call = self.call();
            }
            let fresh = |maker: &mut Self, request: &mut Request| {
                if trick != 1 || !chan_sip {
                    request.cseq += 1;
                    request.branch = format!("z9hG4bK{:x}", maker.random.number());
                }
            };
            if trick == 2 && chan_sip {
                // It answers OPTIONS to anybody, and repeats the method that stands in CSeq.
                let mut probe = request.clone();
                probe.method = "OPTIONS";
                probe.nonce = Some(self.nonce(driver));
                probe.cseq = 90_000 + u32::try_from(number).unwrap();
                self.ask(&probe, &[200], 0);
                request.cseq_method = *self.random.pick(&["OPTIONS", "ACK", "BYE", "REGISTER"]);
            }
            let foreign = trick == 6;
            fresh(self, &mut request);
            request.nonce = None;
            let given = if foreign { None } else { self.ask(&request, &[401], again) };
            fresh(self, &mut request);
            // An answer that goes elsewhere is not read.
            let given = given.filter(|_| request.maddr.is_none());
            request.nonce = Some(given.unwrap_or_else(|| self.nonce(driver)));
            self.ask(&request, if chan_sip && !foreign { &[403] } else { &[401] }, again);
            request.cseq_method = "REGISTER";
            self.forge_about(host, over, None);
            at += 100 + self.random.below(5000);
        }
        let proven = over != Transport::Udp || (trick != 6 && request.maddr.is_none());
        let truth = self.truth(host);
        truth.offence = true;
        truth.proven |= proven;
    }

    /// A host that does nothing.
    fn victim(&mut self) -> IpAddr {
        let victims = ["192.0.2.66", "192.0.2.6", "2001:db8:66::6", "9.9.9.9"];
        self.random.pick(&victims).parse().unwrap()
    }

    /// Has lines written that name others, or itself.
    fn liar(&mut self) {
        let host = self.enter("liar", true);
        for _ in 0..4 + self.random.below(16) {
            self.next_packet();
            let chosen = self.random.below(self.heard.len());
            let near = self.random.chance(60);
            let jitter = i64::try_from(self.random.below(800)).unwrap() - 300;
            let heard = &self.heard[chosen];
            let at = if near { (heard.at + jitter).max(BEGIN) } else { self.any_time() };
            self.now = at;
            let kind = *self.random.pick(Kind::ALL);
            let over = match driver_of(kind) {
                Some(driver) => self.over(driver),
                None if format!("{kind:?}").starts_with("Iax") => Transport::Udp,
                None => Transport::Tcp,
            };
            self.forge_as(kind, host, over, near.then_some(chosen));
        }
    }

    /// A packet of `host` itself, in a message that holds forged text.
    fn forge_about(&mut self, host: IpAddr, over: Transport, near: Option<usize>) {
        if self.random.chance(40) {
            let kind = *self.random.pick(&Kind::FREE);
            self.forge_as(kind, host, over, near);
        }
    }

    fn forge_as(&mut self, kind: Kind, host: IpAddr, over: Transport, near: Option<usize>) {
        let driver = driver_of(kind).unwrap_or(SipDriver::Pjsip);
        let request = self.request(driver, over, host);
        let (bank, same) = self.bank(kind, host, near);
        let logger = self.logs[0].logger.clone();
        let mut copy = Random::new(self.random.number(), 0);
        let mut forger = Forger::new(&mut copy, &bank, same, &logger);
        let mut linked = Linked { call: None, inner: &mut forger };
        let mut sender = Self::sender(&request);
        if self.random.chance(30) {
            sender.maddr = self.victim();
        }
        self.perform_linked(kind, request, &sender, &mut linked);
    }

    /// Genuine messages about somebody: a host that does nothing, the sender itself, or an office, of whose
    /// registration the port or the Call-ID leaked, or none of them.
    fn bank(
        &mut self,
        kind: Kind,
        own: IpAddr,
        near: Option<usize>,
    ) -> (Bank, std::ops::Range<usize>) {
        let (mut host, mut port, mut call) = (self.victim(), 5060, None);
        if let Some(near) = near {
            let heard = &self.heard[near];
            host = heard.host;
            let leaks = (self.random.chance(70), self.random.chance(50));
            port = if leaks.0 { heard.port } else { port };
            call = leaks.1.then(|| heard.call.clone());
        } else if self.random.chance(15) {
            host = own;
        }
        let about = [
            Kind::PjsipWrongPassword,
            Kind::PjsipNoEndpoint,
            Kind::PjsipGuestCall,
            Kind::SipWrongPassword,
            Kind::SipGuestCall,
            Kind::AmiWrongSecret,
            Kind::PjsipLogin,
            Kind::SipLogin,
            Kind::AmiLogin,
            Kind::Dialplan,
            Kind::IaxStranger,
            Kind::AmiUnknownUserByWeb,
        ];
        let mut kinds: Vec<Kind> = (0..3).map(|_| *self.random.pick(&about)).collect();
        kinds.push(kind);
        let logger = self.logs[self.random.below(self.logs.len())].logger.clone();
        let shape = if self.random.chance(15) { Shape::Json } else { logger.shape };
        let foreign = Logger { shape, stamp: logger.stamp };
        let stamps = ["2020-01-01 00:00:00", "2031-01-01 00:00:00", logger.stamp];
        let foreign = Logger { stamp: stamps[self.random.below(3)], ..foreign };
        let (mut messages, mut lines, mut begin) = (Vec::new(), Vec::new(), 0);
        for kind in kinds {
            begin = messages.len();
            let transports = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Wss];
            let transport = *self.random.pick(&transports);
            let sender = Sender { host, port, transport, spoofed: false, maddr: host, nonce: 0x1a };
            let mut copy = Random::new(self.random.number(), 0);
            let mut plain = Plain(&mut copy);
            let mut linked = Linked { call: call.clone(), inner: &mut plain };
            let (records, _) =
                messages::write(kind, &sender, self.version, self.random, &mut linked);
            for record in records {
                lines.push(foreign.write(&record));
                messages.push(record.message);
            }
        }
        lines.retain(|line| !line.is_empty());
        let end = messages.len();
        (Bank { messages, lines, victim: host.to_string() }, begin..end)
    }

    /// Sends packets in the name of a host that does nothing else, with nonces that it heard of.
    fn spoofer(&mut self) {
        let own = self.enter("spoofer", true);
        let victim: IpAddr = [203, 0, 113, 77].into();
        let driver = self.driver();
        let mut at = self.random.below(LENGTH / 2);
        let mut diverted = self.request(driver, Transport::Udp, own);
        diverted.maddr = self.random.chance(50).then_some(victim);
        for _ in 0..3 + self.random.below(8) {
            self.now = BEGIN + i64::try_from(at).unwrap();
            self.next_packet();
            diverted.cseq += 1;
            diverted.branch = format!("z9hG4bK{:x}", self.random.number());
            let nonce = self.ask(&diverted, &[401], 0);
            let mut request = self.request(driver, Transport::Udp, victim);
            request.branch = format!("z9hG4bK{:x}", self.random.number());
            request.nonce = nonce;
            self.ask(&request, &[401], 0);
            let kind = match driver {
                SipDriver::Pjsip => Kind::PjsipWrongPassword,
                SipDriver::ChanSip => Kind::SipFrom,
            };
            let mut copy = Random::new(self.random.number(), 0);
            let mut plain = Plain(&mut copy);
            let mut linked = Linked { call: Some(request.call.clone()), inner: &mut plain };
            let sender = Sender { spoofed: true, ..Self::sender(&request) };
            self.write(kind, &sender, &mut linked);
            at += 100 + self.random.below(3000);
        }
        self.truth(own).offence = true;
        let truth = self.truth(victim);
        (truth.offence, truth.spoofed) = (true, true);
    }

    fn finish(self) -> Scene {
        let Self { mut scene, mut messages, .. } = self;
        messages.sort_by_key(|message| message.at);
        let mut refused: HashMap<IpAddr, i64> = HashMap::new();
        for message in messages {
            let Message { at, actor, packet, source, flow, bytes, request, refuses } = message;
            let lately = refused.get(&flow.host).is_some_and(|last| at - last < REFUSED_LASTS);
            let heard = request.is_none() || source == Source::Hep || lately;
            if refuses {
                refused.insert(flow.host, at);
            }
            if heard {
                if request == Some(true) {
                    scene.truth.entry(flow.host).or_default().refused.push(at);
                }
                scene.items.push(Item { at, actor, packet, what: What::Heard(flow, bytes) });
            }
        }
        scene.items.sort_by_key(|item| item.at);
        scene.packets += 1;
        scene.cast_shadows();
        scene
    }
}

/// The time of a moment in a scene.
pub fn time(at: i64) -> Time {
    Time::from_millis(at)
}
