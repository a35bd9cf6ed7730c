//! AMI: a session that logs in, asks for security events, and notices when the other side is silent.
//!
//! Pure: bytes and times in, bytes and lines out. Times are those of one clock that nobody sets.

use std::fmt::{self, Write as _};
use std::time::Duration;

use md5::{Digest as _, Md5};
use thiserror::Error;

use super::ami::BANNER;
use super::ami_events::{Item, Reader};
use crate::model::time::Time;

/// The time that Asterisk may take to greet, to give a challenge, and to accept a login. (It takes a second to refuse one.)
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The time without a byte after which the session asks whether anybody is there.
pub const QUIET: Duration = Duration::from_secs(30);
/// The time in which that must be answered.
pub const ANSWER: Duration = Duration::from_secs(20);
/// The time without a byte after which what was written before is complete: as for logs.
const REST: Duration = Duration::from_secs(1);
/// Characters of what Asterisk says that are shown.
const SHOWN: usize = 100;

/// A secret, which is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// It cannot be a secret: the protocol has no way to say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("write one line with 1 to 200 printable characters")]
pub struct NoSecret;

impl Secret {
    /// Takes a secret, without the line end that an editor leaves behind it.
    ///
    /// # Errors
    /// See [`NoSecret`].
    pub fn new(text: &str) -> Result<Self, NoSecret> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        let is_right = (1..=200).contains(&text.len()) && !text.chars().any(char::is_control);
        if is_right { Ok(Self(text.to_owned())) } else { Err(NoSecret) }
    }

    /// Returns the secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// How the secret is shown to Asterisk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginWay {
    /// As it is: on a connection that nobody else can read, and whose other end has proven who it is.
    Plain,
    /// As the MD5 sum of a challenge and the secret.
    Challenge,
}

/// Who logs in, and how.
#[derive(Clone, Debug)]
pub struct Login {
    /// The section of manager.conf.
    pub user: String,
    /// Its secret.
    pub secret: Secret,
    /// How it is shown.
    pub way: LoginWay,
}

/// The reason why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// Something else listens there.
    #[error("what answers there is not the manager interface (it says {0:?})")]
    NotAmi(String),
    /// The login was refused.
    #[error("Asterisk refused the login ({0})")]
    Refused(String),
    /// Nothing came for [`PATIENCE`].
    #[error("Asterisk does not answer: {0}")]
    Mute(&'static str),
    /// A session that worked is silent.
    #[error("Asterisk has not answered for {} seconds", (QUIET + ANSWER).as_secs())]
    Silent,
}

/// What a session has for others. The caller takes it out.
#[derive(Debug, Default)]
pub struct Output {
    /// Bytes for Asterisk.
    pub send: Vec<u8>,
    /// Events, as lines of the SECURITY log, each with a line feed.
    pub lines: Vec<u8>,
    /// Events that were not as Asterisk writes them.
    pub tampered: u64,
    /// Events that a sender may have written.
    pub doubtful: u64,
}

/// A session on one connection.
#[derive(Debug)]
pub struct Session {
    login: Login,
    phase: Phase,
    /// When the phase began.
    since: Time,
    /// When something came last, and when that was asked for.
    heard: Time,
    asked: Option<Time>,
    /// Whether an event has come.
    has_events: bool,
    reader: Reader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Banner,
    Challenge,
    Login,
    Following,
}

impl Session {
    /// Begins a session on a connection that was made `now`.
    #[must_use]
    pub fn new(login: Login, now: Time) -> Self {
        let reader = Reader::default();
        let phase = Phase::Banner;
        Self { login, phase, since: now, heard: now, asked: None, has_events: false, reader }
    }

    /// Whether it has logged in, so that events come.
    #[must_use]
    pub fn is_following(&self) -> bool {
        self.phase == Phase::Following
    }

    /// Whether it has logged in, and not even the event of that has come: the user gets no security events.
    #[must_use]
    pub fn is_blind(&self, now: Time) -> bool {
        self.is_following() && !self.has_events && now.since(self.since) >= PATIENCE
    }

    /// Takes bytes that came.
    ///
    /// # Errors
    /// When the session is over.
    pub fn read(&mut self, bytes: &[u8], now: Time, out: &mut Output) -> Result<(), SessionError> {
        self.rest(now);
        self.heard = now;
        self.asked = None;
        let Self { login, phase, since, has_events, reader, .. } = self;
        let mut result = Ok(());
        reader.read(bytes, |item| {
            *has_events |= matches!(item, Item::Event(_));
            if result.is_ok() {
                result = take(login, phase, item, out).map(|is_next| {
                    if is_next {
                        *since = now;
                    }
                });
            }
        });
        result
    }

    /// Lets time pass: at least once a second.
    ///
    /// # Errors
    /// When the session is over.
    pub fn tick(&mut self, now: Time, out: &mut Output) -> Result<(), SessionError> {
        self.rest(now);
        let (is_late, what) = (now.since(self.since) >= PATIENCE, self.phase);
        match (what, self.asked) {
            (Phase::Banner, _) if is_late => Err(SessionError::Mute("it sends no greeting")),
            (Phase::Challenge, _) if is_late => Err(SessionError::Mute("it gives no challenge")),
            (Phase::Login, _) if is_late => {
                Err(SessionError::Mute("it neither accepts nor refuses the login"))
            }
            (Phase::Following, None) if now.since(self.heard) >= QUIET => {
                out.send.extend_from_slice(b"Action: Ping\r\n\r\n");
                self.asked = Some(now);
                Ok(())
            }
            (Phase::Following, Some(asked)) if now.since(asked) >= ANSWER => {
                Err(SessionError::Silent)
            }
            _ => Ok(()),
        }
    }

    fn rest(&mut self, now: Time) {
        if now.since(self.heard) >= REST {
            self.reader.rested();
        }
    }
}

/// Takes what Asterisk says, and returns whether a new phase has begun.
fn take(
    login: &Login,
    phase: &mut Phase,
    item: Item<'_>,
    out: &mut Output,
) -> Result<bool, SessionError> {
    match (*phase, item) {
        (Phase::Banner, Item::Banner(line)) if line.starts_with(BANNER) => match login.way {
            LoginWay::Plain => {
                log_in(&mut out.send, login, &[("Secret", login.secret.reveal())]);
                *phase = Phase::Login;
            }
            LoginWay::Challenge => {
                out.send.extend_from_slice(b"Action: Challenge\r\nAuthType: MD5\r\n\r\n");
                *phase = Phase::Challenge;
            }
        },
        (_, Item::Banner(line)) => return Err(SessionError::NotAmi(shown(line))),
        (Phase::Challenge, Item::Response(message)) => {
            let Some(challenge) = value(message, b"Challenge: ") else {
                return Err(SessionError::Refused(said(message)));
            };
            let mut sum = Md5::new();
            sum.update(challenge);
            sum.update(login.secret.reveal().as_bytes());
            let key = hex(&sum.finalize());
            log_in(&mut out.send, login, &[("AuthType", "MD5"), ("Key", &key)]);
            *phase = Phase::Login;
        }
        (Phase::Login, Item::Response(message)) => {
            if !message.starts_with(b"Response: Success\n") {
                return Err(SessionError::Refused(said(message)));
            }
            *phase = Phase::Following;
        }
        (Phase::Following, Item::Event(line)) => {
            out.lines.extend_from_slice(line);
            out.lines.push(b'\n');
            return Ok(false);
        }
        (Phase::Following, Item::Tampered) => {
            out.tampered += 1;
            return Ok(false);
        }
        (Phase::Following, Item::Doubtful) => {
            out.doubtful += 1;
            return Ok(false);
        }
        // Answers to a ping, and what comes before the login.
        _ => return Ok(false),
    }
    Ok(true)
}

fn log_in(send: &mut Vec<u8>, login: &Login, proof: &[(&str, &str)]) {
    let user = ("Username", login.user.as_str());
    let headers = [("Action", "Login"), user, ("Events", "security")];
    for (name, value) in headers.iter().chain(proof) {
        send.extend([name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    send.extend_from_slice(b"\r\n");
}

/// Returns the value of a header, by its name with colon and space.
fn value<'a>(message: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    message.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name))
}

/// Returns what a response says, for people.
fn said(message: &[u8]) -> String {
    shown(value(message, b"Message: ").unwrap_or(message))
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect()
}

/// Returns the section of manager.conf for a user who gets security events and does nothing else, and logs in from
/// this machine only.
#[must_use]
pub fn stanza(user: &str, secret: &str) -> String {
    format!(
        "\
[{user}]
secret = {secret}
deny = 0.0.0.0/0.0.0.0
permit = 127.0.0.1/255.255.255.255
deny = ::/0
permit = ::1/128
read = security
write =
"
    )
}

/// Returns bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(way: LoginWay) -> Login {
        Login { user: "asterguard".to_owned(), secret: Secret::new("s3cret\n").unwrap(), way }
    }

    fn at(secs: i64) -> Time {
        Time::from_secs(secs)
    }

    const EVENT: &[u8] = b"Event: InvalidPassword\r\nPrivilege: security,all\r\nEventTV: 2026-11-22T10:00:00.659+0100\r\nSeverity: Error\r\nService: AMI\r\nEventVersion: 2\r\nAccountID: boss\r\nSessionID: 0x7f1\r\nLocalAddress: IPV4/TCP/192.0.2.10/5038\r\nRemoteAddress: IPV4/TCP/203.0.113.9/40000\r\nSessionTV: 2026-11-22T10:00:00.600+0100\r\n\r\n";

    /// A session that follows, and what it has sent.
    fn following(way: LoginWay) -> (Session, String) {
        let mut session = Session::new(login(way), at(0));
        let mut out = Output::default();
        session.read(b"Asterisk Call Manager/11.0.0\r\n", at(0), &mut out).unwrap();
        if way == LoginWay::Challenge {
            let answer = b"Response: Success\r\nChallenge: 126484967\r\n\r\n";
            session.read(answer, at(0), &mut out).unwrap();
        }
        assert!(!session.is_following());
        let answer = b"Response: Success\r\nMessage: Authentication accepted\r\n\r\n";
        session.read(answer, at(1), &mut out).unwrap();
        assert!(session.is_following());
        (session, String::from_utf8(out.send).unwrap())
    }

    #[test]
    fn it_logs_in_with_a_challenge_or_in_plain_text() {
        let (_, sent) = following(LoginWay::Challenge);
        // printf 126484967s3cret | md5sum
        let key = "e41cdf43b37f8c19fd3311729372fe3f";
        assert_eq!(
            sent,
            format!(
                "Action: Challenge\r\nAuthType: MD5\r\n\r\nAction: Login\r\nUsername: asterguard\r\nEvents: security\r\nAuthType: MD5\r\nKey: {key}\r\n\r\n"
            )
        );
        let (_, sent) = following(LoginWay::Plain);
        assert_eq!(
            sent,
            "Action: Login\r\nUsername: asterguard\r\nEvents: security\r\nSecret: s3cret\r\n\r\n"
        );
    }

    #[test]
    fn events_become_lines_wherever_they_are_cut() {
        let whole = [EVENT, EVENT].concat();
        let mut lines = Vec::new();
        for cut in 0..=whole.len() {
            let (mut session, _) = following(LoginWay::Plain);
            let mut out = Output::default();
            session.read(&whole[..cut], at(1), &mut out).unwrap();
            session.read(&whole[cut..], at(1), &mut out).unwrap();
            lines.push(String::from_utf8(out.lines).unwrap());
        }
        lines.dedup();
        let line = "[2026-11-22T10:00:00.659+0100] SECURITY[0] res_security_log.c: SecurityEvent=\"InvalidPassword\",EventTV=\"2026-11-22T10:00:00.659+0100\",Severity=\"Error\",Service=\"AMI\",EventVersion=\"2\",AccountID=\"boss\",SessionID=\"0x7f1\",LocalAddress=\"IPV4/TCP/192.0.2.10/5038\",RemoteAddress=\"IPV4/TCP/203.0.113.9/40000\",SessionTV=\"2026-11-22T10:00:00.600+0100\"\n";
        assert_eq!(lines, [line.repeat(2)]);
    }

    #[test]
    fn a_refused_login_says_what_asterisk_says() {
        let mut session = Session::new(login(LoginWay::Plain), at(0));
        let mut out = Output::default();
        session.read(b"Asterisk Call Manager/5.0.5\r\n", at(0), &mut out).unwrap();
        let answer = b"Response: Error\r\nMessage: Authentication failed\r\n\r\n";
        let error = session.read(answer, at(1), &mut out).unwrap_err();
        assert_eq!(error.to_string(), "Asterisk refused the login (Authentication failed)");
        let mut session = Session::new(login(LoginWay::Challenge), at(0));
        session.read(b"Asterisk Call Manager/5.0.5\r\n", at(0), &mut out).unwrap();
        let answer = b"Response: Error\r\nMessage: Must specify AuthType\r\n\r\n";
        session.read(answer, at(1), &mut out).unwrap_err();
    }

    #[test]
    fn another_service_is_told_from_asterisk() {
        let mut session = Session::new(login(LoginWay::Plain), at(0));
        let mut out = Output::default();
        let error = session.read(b"SSH-2.0-OpenSSH\x07\r\n", at(0), &mut out).unwrap_err();
        assert_eq!(error, SessionError::NotAmi("SSH-2.0-OpenSSH ".to_owned()));
        assert_eq!(out.send, b"", "nothing is said to others");
    }

    #[test]
    fn a_server_that_never_answers_is_left() {
        let mut out = Output::default();
        let mut session = Session::new(login(LoginWay::Challenge), at(0));
        session.tick(at(9), &mut out).unwrap();
        session.tick(at(10), &mut out).unwrap_err();
        let mut session = Session::new(login(LoginWay::Challenge), at(0));
        session.read(b"Asterisk Call Manager/5.0.5\r\n", at(9), &mut out).unwrap();
        session.tick(at(18), &mut out).unwrap();
        // Bytes that complete nothing are no answer.
        session.read(b"Response: Succ", at(18), &mut out).unwrap();
        session.tick(at(19), &mut out).unwrap_err();
    }

    #[test]
    fn an_hour_of_silence_is_no_fault_while_pings_are_answered() {
        let (mut session, _) = following(LoginWay::Plain);
        let mut pings = 0;
        for secs in 1..3600 {
            let mut out = Output::default();
            session.tick(at(secs), &mut out).unwrap();
            if !out.send.is_empty() {
                assert_eq!(out.send, b"Action: Ping\r\n\r\n");
                pings += 1;
                let answer = b"Response: Success\r\nPing: Pong\r\nTimestamp: 1.0\r\n\r\n";
                session.read(answer, at(secs), &mut out).unwrap();
                assert_eq!((out.lines.len(), out.tampered), (0, 0));
            }
        }
        assert_eq!(pings, 119);
    }

    #[test]
    fn a_user_without_events_is_noticed() {
        let (mut session, _) = following(LoginWay::Plain);
        assert!(!session.is_blind(at(10)) && session.is_blind(at(11)));
        session.read(EVENT, at(20), &mut Output::default()).unwrap();
        assert!(!session.is_blind(at(99)));
    }

    #[test]
    fn a_session_that_has_died_is_left() {
        let (mut session, _) = following(LoginWay::Plain);
        let mut out = Output::default();
        let mut silent = (2..100).map(|secs| session.tick(at(secs), &mut out));
        assert_eq!(silent.position(|said| said == Err(SessionError::Silent)), Some(49));
        assert_eq!(out.send, b"Action: Ping\r\n\r\n", "it is asked once");
    }

    #[test]
    fn no_secret_is_printed_or_breaks_a_line() {
        assert_eq!(format!("{:?}", login(LoginWay::Plain).secret), "Secret");
        for text in ["", "\n", "a\nb", "a\rAction: Originate", "\0", &"a".repeat(201)] {
            assert_eq!(Secret::new(text), Err(NoSecret), "{text:?}");
        }
        assert_eq!(Secret::new("a b\r\n"), Ok(Secret("a b".to_owned())));
    }
}
