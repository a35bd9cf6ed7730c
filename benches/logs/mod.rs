//! Logs as Asterisk 16 to 22 write them, made up from a seed: the same seed gives the same bytes.
//!
//! For benchmarks and tests alike (`#[path = "…/benches/logs/mod.rs"] mod logs;`). Every function
//! writes as it goes, so a log may be larger than memory; a `Vec<u8>` is a writer too.
#![allow(dead_code, reason = "each user needs some of it")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::indexing_slicing,
    clippy::missing_errors_doc,
    clippy::panic,
    clippy::too_many_lines,
    reason = "what is written is known"
)]

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use jiff::ToSpan as _;
use jiff::civil::{DateTime, date};

/// Hosts that attack in [`attack`] and [`security`].
pub const SOURCES: u32 = 20_000;

/// The address of one of the [`SOURCES`]: each sixteenth has IPv6, and a /64 for itself.
#[must_use]
pub fn source(index: u32) -> IpAddr {
    if index % 16 == 15 {
        let [.., high, low] = index.to_be_bytes();
        let site = u16::from_be_bytes([high, low]);
        Ipv6Addr::new(0x2001, 0xdb8, 0xbad, site, 0, 0, 0, 9).into()
    } else {
        // 198.18.0.0/15 is set aside for benchmarks (RFC 2544).
        Ipv4Addr::from(0xc612_0000 + index * 6).into()
    }
}

/// The host that line `number` of [`numbered`] names.
///
/// # Panics
/// When there is no such host: 10.0.0.0/8 has 2^24 of them.
#[must_use]
pub fn numbered_host(number: u32) -> Ipv4Addr {
    assert!(number < 1 << 24, "10.0.0.0/8 has no host {number}");
    Ipv4Addr::from(0x0a00_0000 + number)
}

/// A `messages` log in which every line is a proven hit, and of a host of its own: so none can be
/// lost, read twice or mixed up without being noticed.
pub fn numbered(numbers: Range<u32>, out: &mut impl Write) -> io::Result<()> {
    let mut log = Log::new(0, 1000, out);
    for number in numbers {
        let (host, port) = (numbered_host(number), 1024 + number % 60_000);
        log.message("NOTICE", "chan_sip.c", format_args!(
            "Registration from '<sip:{number:08}@{PBX}>' failed for '{host}:{port}' - Wrong password"
        ))?;
    }
    Ok(())
}

/// A `full` log of a busy and peaceful day: calls, registrations, debugging. Nobody offends.
pub fn quiet(seed: u64, lines: usize, out: &mut impl Write) -> io::Result<()> {
    let mut log = Log::new(seed, 100, out);
    for _ in 0..lines {
        log.peace()?;
    }
    Ok(())
}

/// A `messages` log under attack: nine lines of ten are refusals, of [`SOURCES`] hosts.
pub fn attack(seed: u64, lines: usize, out: &mut impl Write) -> io::Result<()> {
    attack_counted(seed, lines, out).map(drop)
}

/// The same. Returns how many lines are refusals.
pub fn attack_counted(seed: u64, lines: usize, out: &mut impl Write) -> io::Result<u64> {
    let mut log = Log::new(seed, 500, out);
    let mut refused = 0;
    for _ in 0..lines {
        if log.random.below(10) == 0 {
            log.trouble()?;
        } else {
            log.refusal()?;
            refused += 1;
        }
    }
    Ok(refused)
}

/// A `security` log under attack. Half of its lines say that a challenge was sent, which is what
/// happens to everybody; four of ten that somebody failed; the others that somebody succeeded.
pub fn security(seed: u64, lines: usize, out: &mut impl Write) -> io::Result<()> {
    security_counted(seed, lines, out).map(drop)
}

/// The same. Returns how many lines say that somebody failed.
pub fn security_counted(seed: u64, lines: usize, out: &mut impl Write) -> io::Result<u64> {
    let mut log = Log::new(seed, 500, out);
    for _ in 0..lines {
        log.security_event()?;
    }
    Ok(log.failed)
}

/// The same over so many seconds, with dates that have a year.
pub fn stretched(seed: u64, lines: usize, seconds: u64, out: &mut impl Write) -> io::Result<()> {
    let lines_a_second = (lines as u64 / seconds).max(1) as u32;
    let mut log = Log::new(seed, lines_a_second, out);
    log.step = (seconds / lines as u64).max(1) as i64;
    log.format = "%F %T";
    log.stamp = log.now.strftime(log.format).to_string();
    for _ in 0..lines {
        log.security_event()?;
    }
    Ok(())
}

const PBX: &str = "192.0.2.10";

/// `SplitMix64` (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u32) -> u32 {
        let scaled = (self.next() >> 32) * u64::from(end);
        (scaled >> 32) as u32
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize]
    }
}

/// 32 hexadecimal digits, as a digest has them.
struct Digest(u64, u64);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0, self.1)
    }
}

/// An address with a port, as Asterisk prints them.
struct At(IpAddr, u32);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => write!(f, "{v4}:{}", self.1),
            IpAddr::V6(v6) => write!(f, "[{v6}]:{}", self.1),
        }
    }
}

/// The log that is being written.
struct Log<'a, W> {
    out: &'a mut W,
    random: Random,
    now: DateTime,
    /// `now` in this format.
    stamp: String,
    format: &'static str,
    /// Seconds from a line to one with another date.
    step: i64,
    lines_a_second: u32,
    lines_this_second: u32,
    /// Security events that say that somebody failed.
    failed: u64,
}

impl<'a, W: Write> Log<'a, W> {
    fn new(seed: u64, lines_a_second: u32, out: &'a mut W) -> Self {
        let now = date(2026, 11, 22).at(0, 52, 46, 0);
        // The default of Asterisk.
        let format = "%b %e %T";
        Self {
            out,
            random: Random(seed),
            now,
            stamp: now.strftime(format).to_string(),
            format,
            step: 1,
            lines_a_second,
            lines_this_second: 0,
            failed: 0,
        }
    }

    fn message(&mut self, level: &str, file: &str, text: fmt::Arguments<'_>) -> io::Result<()> {
        self.pass_time();
        let thread = 17_000 + self.random.below(16_000);
        writeln!(self.out, "[{}] {level}[{thread}] {file}: {text}", self.stamp)
    }

    /// A message of a thread that serves a call.
    fn call(&mut self, level: &str, file: &str, text: fmt::Arguments<'_>) -> io::Result<()> {
        self.pass_time();
        let (thread, call) = (17_000 + self.random.below(16_000), self.random.below(0x8000));
        writeln!(self.out, "[{}] {level}[{thread}][C-{call:08x}] {file}: {text}", self.stamp)
    }

    fn pass_time(&mut self) {
        self.lines_this_second += 1;
        if self.lines_this_second > self.lines_a_second {
            self.lines_this_second = 1;
            self.now = self.now.saturating_add(self.step.seconds());
            self.stamp = self.now.strftime(self.format).to_string();
        }
    }

    fn attacker(&mut self) -> (IpAddr, u32) {
        (source(self.random.below(SOURCES)), 1024 + self.random.below(64_000))
    }

    fn phone(&mut self) -> (u32, At) {
        let number = self.random.below(200);
        let host = Ipv4Addr::from(0xc633_6414 + number);
        (1000 + number, At(host.into(), 5060 + self.random.below(2) * 40_000))
    }

    fn digest(&mut self) -> Digest {
        Digest(self.random.next(), self.random.next())
    }

    /// A line of peaceful work.
    fn peace(&mut self) -> io::Result<()> {
        let (phone, at) = self.phone();
        let (other, other_at) = self.phone();
        let (id, other_id) = (self.random.below(0xffff), self.random.below(0xffff));
        let bridge = self.digest();
        match self.random.below(1000) {
            0..140 => self.call("VERBOSE", "pbx.c", format_args!(
                "Executing [{other}@internal:1] NoOp(\"PJSIP/{phone}-{id:08x}\", \"call from {phone} to {other}\") in new stack"
            )),
            140..240 => self.call("VERBOSE", "pbx.c", format_args!(
                "Executing [s@macro-dial:{}] Set(\"PJSIP/{phone}-{id:08x}\", \"CALLERID(num)={phone}\") in new stack",
                1 + id % 40
            )),
            240..290 => self.call("VERBOSE", "pbx.c", format_args!(
                "Executing [{other}@internal:4] Dial(\"PJSIP/{phone}-{id:08x}\", \"PJSIP/{other}/sip:{other}@{other_at},30,tTr\") in new stack"
            )),
            290..320 => self.call("VERBOSE", "app_dial.c", format_args!("Called PJSIP/{other}/sip:{other}@{other_at}")),
            320..350 => self.call("VERBOSE", "app_dial.c", format_args!("PJSIP/{other}-{other_id:08x} is ringing")),
            350..375 => self.call("VERBOSE", "app_dial.c", format_args!(
                "PJSIP/{other}-{other_id:08x} answered PJSIP/{phone}-{id:08x}"
            )),
            375..425 => self.call("VERBOSE", "bridge_channel.c", format_args!(
                "Channel PJSIP/{phone}-{id:08x} joined 'simple_bridge' basic-bridge <{bridge}>"
            )),
            425..475 => self.call("VERBOSE", "bridge_channel.c", format_args!(
                "Channel PJSIP/{phone}-{id:08x} left 'native_rtp' basic-bridge <{bridge}>"
            )),
            475..510 => self.call("VERBOSE", "pbx.c", format_args!(
                "Spawn extension (internal, {other}, 4) exited non-zero on 'PJSIP/{phone}-{id:08x}'"
            )),
            510..530 => self.call("VERBOSE", "res_rtp_asterisk.c", format_args!(
                "0x7f{id:06x}{other_id:04x} -- Strict RTP learning after remote address set to: {at}"
            )),
            530..560 => self.message("VERBOSE", "res_pjsip_registrar.c", format_args!(
                "Added contact 'sip:{phone}@{at}' to AOR '{phone}' with expiration of 3600 seconds"
            )),
            560..575 => self.message("VERBOSE", "res_pjsip_registrar.c", format_args!(
                "Removed contact 'sip:{phone}@{at}' from AOR '{phone}' due to expiration"
            )),
            575..590 => self.message("VERBOSE", "chan_sip.c", format_args!("Registered SIP '{phone}' at {at}")),
            590..600 => self.message("VERBOSE", "res_pjsip/pjsip_configuration.c", format_args!("Endpoint {phone} is now Reachable")),
            600..610 => self.message("VERBOSE", "asterisk.c", format_args!("Remote UNIX connection")),
            610..690 => self.message("DEBUG", "res_pjsip_session.c", format_args!(
                "{phone}: Method is INVITE, Response is 200 OK"
            )),
            690..770 => self.message("DEBUG", "res_pjsip/pjsip_distributor.c", format_args!(
                "Searching for serializer associated with dialog dlg0x7f{id:06x}{other_id:04x} for Request msg REGISTER/cseq={id} (rdata0x7f{other_id:06x}{id:04x})"
            )),
            770..850 => self.message("DEBUG", "res_pjsip_registrar.c", format_args!(
                "Woke up at {}  Interval: 30", 1_795_308_766 + u64::from(id)
            )),
            850..910 => self.call("DEBUG", "channel.c", format_args!(
                "Channel PJSIP/{phone}-{id:08x} setting write format path: alaw -> alaw"
            )),
            910..985 => self.call("DEBUG", "res_rtp_asterisk.c", format_args!(
                "(0x7f{id:06x}{other_id:04x}) RTCP scheduling transmission of report to {at} in {} ms", 4000 + id % 2000
            )),
            985..990 => self.message("NOTICE", "chan_sip.c", format_args!(
                "Peer '{phone}' is now Reachable. ({}ms / 2000ms)", 5 + id % 90
            )),
            990..995 => self.message("NOTICE", "chan_sip.c", format_args!(
                "Peer '{phone}' is now UNREACHABLE!  Last qualify: {}", 5 + id % 90
            )),
            _ => self.call("NOTICE", "res_pjsip_sdp_rtp.c", format_args!(
                "Disconnecting channel 'PJSIP/{phone}-{id:08x}' for lack of audio RTP activity in 30 seconds"
            )),
        }
    }

    /// A line at NOTICE or WARNING that nobody can be blamed for.
    fn trouble(&mut self) -> io::Result<()> {
        let (phone, _) = self.phone();
        let (id, tag) = (self.random.below(0xffff_ffff), self.random.below(0xffff_ffff));
        let name = self.random.below(10_000);
        match self.random.below(6) {
            0 => self.message("NOTICE", "chan_sip.c", format_args!(
                "Peer '{phone}' is now Reachable. ({}ms / 2000ms)", 5 + id % 90
            )),
            1 => self.message("NOTICE", "chan_sip.c", format_args!(
                "Peer '{phone}' is now UNREACHABLE!  Last qualify: {}", 5 + id % 90
            )),
            2 => self.call("NOTICE", "chan_sip.c", format_args!(
                "Failed to authenticate device \"{name}\" <sip:{name}@{PBX}>;tag={tag:08x} for INVITE, code = -1"
            )),
            3 => self.message("WARNING", "chan_sip.c", format_args!(
                "Retransmission timeout reached on transmission {id:08x}{tag:08x} for seqno {} (Critical Response) -- See https://wiki.asterisk.org/wiki/display/AST/SIP+Retransmissions", 1 + tag % 99
            )),
            4 => self.message("WARNING", "acl.c", format_args!("Unable to lookup 'pbx{}.example.net'", id % 9)),
            _ => self.call("WARNING", "app_dial.c", format_args!(
                "Unable to create channel of type 'PJSIP' (cause 20 - Subscriber absent)"
            )),
        }
    }

    /// A line that says whom Asterisk refused.
    fn refusal(&mut self) -> io::Result<()> {
        let (host, port) = self.attacker();
        let at = At(host, port);
        let name =
            self.random.of(&[100, 101, 200, 1000, 1001, 6000, 8000]) + self.random.below(100);
        let call_id = self.random.next();
        let number = 972_599_000_000 + u64::from(self.random.below(1_000_000));
        match self.random.below(100) {
            0..28 => self.message("NOTICE", "res_pjsip/pjsip_distributor.c", format_args!(
                "Request 'REGISTER' from '<sip:{name}@{PBX}>' failed for '{at}' (callid: {call_id}) - No matching endpoint found"
            )),
            28..48 => self.message("NOTICE", "res_pjsip/pjsip_distributor.c", format_args!(
                "Request 'REGISTER' from '<sip:{name}@{PBX}>' failed for '{at}' (callid: {call_id:016x}) - Failed to authenticate"
            )),
            48..54 => self.message("NOTICE", "res_pjsip/pjsip_distributor.c", format_args!(
                "Request 'OPTIONS' from '\"sipvicious\" <sip:100@1.1.1.1>' failed for '{at}' (callid: {call_id}) - No matching endpoint found"
            )),
            54..58 => self.call("NOTICE", "res_pjsip_session.c", format_args!(
                " anonymous: Call (UDP:{at}) to extension '00{number}' rejected because extension not found in context 'public'."
            )),
            58..74 => self.message("NOTICE", "chan_sip.c", format_args!(
                "Registration from '\"{name}\" <sip:{name}@{PBX}>' failed for '{at}' - Wrong password"
            )),
            74..86 => self.message("NOTICE", "chan_sip.c", format_args!(
                "Registration from '<sip:{name}@{PBX}>' failed for '{at}' - Wrong password"
            )),
            86..92 => self.call("NOTICE", "chan_sip.c", format_args!(
                "Call from '' ({at}) to extension '00{number}' rejected because extension not found in context 'public'."
            )),
            92..95 => self.message("NOTICE", "acl.c", format_args!(
                "SIP ACL: Rejecting '{host}' due to a failure to pass ACL '(BASELINE)'"
            )),
            95..98 => self.message("NOTICE", "manager.c", format_args!("{host} failed to authenticate as 'admin'")),
            _ => self.message("WARNING", "chan_iax2.c", format_args!("Host {at} failed to authenticate as trunk{name}")),
        }
    }

    fn security_event(&mut self) -> io::Result<()> {
        let attacker = self.attacker();
        let (phone, At(phone_host, phone_port)) = self.phone();
        let name =
            self.random.of(&[100, 101, 200, 1000, 1001, 6000, 8000]) + self.random.below(100);
        let call_id = self.random.next();
        let session = 0x7fac_0000_0000_u64 + u64::from(self.random.below(0x2000_0000));
        let nonce = self.random.below(u32::MAX);
        let (digest, answer) = (self.digest(), self.digest());
        let epoch = 1_795_308_766 + self.random.below(4000);
        match self.random.below(100) {
            0..28 => self.event("ChallengeSent", "PJSIP", &name, &call_id, attacker, format_args!(
                ",Challenge=\"{epoch}/{digest}\""
            )),
            28..38 => self.event("ChallengeSent", "PJSIP", &"<unknown>", &call_id, attacker, format_args!(",Challenge=\"\"")),
            38..50 => self.event("ChallengeSent", "SIP", &name, &format_args!("0x{session:x}"), attacker, format_args!(
                ",Challenge=\"{nonce:08x}\""
            )),
            50..68 => self.event("ChallengeResponseFailed", "PJSIP", &name, &call_id, attacker, format_args!(
                ",Challenge=\"{epoch}/{digest}\",Response=\"{answer}\",ExpectedResponse=\"\""
            )),
            68..78 => self.event("InvalidPassword", "SIP", &name, &format_args!("0x{session:x}"), attacker, format_args!(
                ",Challenge=\"{nonce:08x}\",ReceivedChallenge=\"{nonce:08x}\",ReceivedHash=\"{answer}\""
            )),
            78..90 => self.event("InvalidAccountID", "PJSIP", &name, &call_id, attacker, format_args!("")),
            90..92 => self.event("FailedACL", "PJSIP", &name, &call_id, attacker, format_args!(
                ",ACLName=\"not_match_endpoint_acl\""
            )),
            _ => self.event("SuccessfulAuth", "PJSIP", &phone, &call_id, (phone_host, phone_port), format_args!(
                ",UsingPassword=\"1\""
            )),
        }
    }

    fn event(
        &mut self,
        event: &str,
        service: &str,
        account: &dyn fmt::Display,
        session: &dyn fmt::Display,
        (host, port): (IpAddr, u32),
        rest: fmt::Arguments<'_>,
    ) -> io::Result<()> {
        self.pass_time();
        let severity = match event {
            "ChallengeSent" | "SuccessfulAuth" => "Informational",
            _ => "Error",
        };
        self.failed += u64::from(severity == "Error");
        let version = if event == "InvalidPassword" { 2 } else { 1 };
        let (family, ours) = match host {
            IpAddr::V4(_) => ("IPV4", PBX),
            IpAddr::V6(_) => ("IPV6", "2001:db8:1::16"),
        };
        let (time, millis) = (self.now.strftime("%FT%T"), self.random.below(1000));
        writeln!(
            self.out,
            "[{}] SECURITY[17988] res_security_log.c: SecurityEvent=\"{event}\",EventTV=\"{time}.{millis:03}+0000\",\
             Severity=\"{severity}\",Service=\"{service}\",EventVersion=\"{version}\",AccountID=\"{account}\",\
             SessionID=\"{session}\",LocalAddress=\"{family}/UDP/{ours}/5060\",\
             RemoteAddress=\"{family}/UDP/{host}/{port}\"{rest}",
            self.stamp
        )
    }
}
