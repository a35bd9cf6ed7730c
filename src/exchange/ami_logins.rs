//! AMI: logins that our PBX refused, and connections on which nobody logs in.
//!
//! A connection counts from its banner on, until somebody has logged in: nothing that is said on it later is looked at.
//! One whose beginning was not seen, or of which anything is missing, counts as one on which somebody has.

use std::time::Duration;

use super::Observation;
use super::connections::{self, Connections};
use crate::model::exchange::{Outcome, Protocol};
use crate::model::time::Time;
use crate::services::ami::{BANNER, Message, Reader};
use crate::sip::packet::Flow;
use crate::sip::sequence::{Segment, Sequence};

/// Connections that are followed, about 250 bytes each: 1 MiB in all.
pub const CONNECTIONS: usize = 4096;
/// The time in which somebody who connects may log in: as Asterisk has it (`authtimeout`).
pub const LOGIN: Duration = Duration::from_secs(30);

/// The connections on which nobody has logged in yet.
#[derive(Debug)]
pub(super) struct AmiLogins {
    connections: Connections<Connection>,
    /// Banners that were seen.
    banners: u64,
}

#[derive(Debug)]
struct Connection {
    sequence: Sequence,
    reader: Reader,
    since: Time,
    state: State,
    was_challenged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing came of it yet.
    Open,
    /// Something was refused, or the time for a login is over.
    Counted,
    /// Somebody logged in, or may have.
    LetIn,
}

impl Default for AmiLogins {
    fn default() -> Self {
        Self { connections: Connections::new(CONNECTIONS), banners: 0 }
    }
}

impl Connection {
    fn at(segment: &Segment, now: Time) -> Self {
        Self {
            sequence: Sequence::at(segment),
            reader: Reader::default(),
            since: now,
            state: State::Open,
            was_challenged: false,
        }
    }

    /// Whether a segment is the beginning of another connection between the same ends.
    fn is_over(&self, segment: &Segment) -> bool {
        let begins = segment.bytes.starts_with(BANNER) || BANNER.starts_with(segment.bytes);
        self.state != State::LetIn && begins && self.sequence.is_elsewhere(segment)
    }

    fn judge(&mut self, message: Message) -> Option<Outcome> {
        let outcome = match message {
            Message::Accepted => {
                self.state = State::LetIn;
                return None;
            }
            Message::Refused => Outcome::CredentialsRefused,
            Message::Challenge if !self.was_challenged => {
                self.was_challenged = true;
                return None;
            }
            Message::Challenge | Message::Error => Outcome::RefusedOutright,
            Message::Banner | Message::Other => return None,
        };
        self.state = State::Counted;
        Some(outcome)
    }
}

impl AmiLogins {
    /// Takes up a segment that we sent.
    pub fn answered(
        &mut self,
        flow: Flow,
        segment: &Segment,
        now: Time,
        out: &mut Vec<Observation>,
    ) {
        if segment.whole == 0 {
            return;
        }
        let connection = self.connections.entry(flow, now, || Connection::at(segment, now));
        if connection.is_over(segment) {
            *connection = Connection::at(segment, now);
        }
        if connection.state == State::LetIn {
            return;
        }
        let Some(fresh) = connection.sequence.take(segment) else { return };
        if fresh.lost {
            connection.state = State::LetIn;
            return;
        }
        let mut reader = std::mem::take(&mut connection.reader);
        reader.read(fresh.bytes, |message| {
            self.banners += u64::from(message == Message::Banner);
            let outcome = connection.judge(message);
            out.extend(outcome.map(|outcome| observation(&flow, outcome, now)));
            connection.state != State::LetIn
        });
        if reader.is_alien() || fresh.uncopied > 0 {
            connection.state = State::LetIn;
        }
        connection.reader = reader;
    }

    /// Lets time pass: connections on which nobody has logged in count now.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Observation>) {
        for (flow, connection) in self.connections.all() {
            if connection.state == State::Open && now.since(connection.since) >= LOGIN {
                connection.state = State::Counted;
                out.push(observation(flow, Outcome::NeverLoggedIn, now));
            }
        }
        self.connections.tick(now);
    }

    /// Takes all connections for such on which somebody may have logged in: packets were not seen.
    pub fn forgive(&mut self) {
        self.connections.all().for_each(|(_, connection)| connection.state = State::LetIn);
    }

    /// Returns the number of banners that were seen.
    pub fn banners(&self) -> u64 {
        self.banners
    }
}

fn observation(flow: &Flow, outcome: Outcome, now: Time) -> Observation {
    connections::observation(flow, Protocol::Ami, outcome, 0, now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HELLO: &str = "Asterisk Call Manager/11.0.0\r\n";
    const REFUSED: &str = "Response: Error\r\nMessage: Authentication failed\r\n\r\n";
    const DENIED: &str = "Response: Error\r\nMessage: Permission denied\r\n\r\n";
    const ACCEPTED: &str = "Response: Success\r\nMessage: Authentication accepted\r\n\r\n";
    const CHALLENGE: &str = "Response: Success\r\nChallenge: 1\r\n\r\n";

    #[derive(Default)]
    struct Lab {
        logins: AmiLogins,
        seconds: i64,
        seen: Vec<Observation>,
    }

    impl Lab {
        fn now(&self) -> Time {
            Time::from_secs(1_800_000_000 + self.seconds)
        }

        fn hears(&mut self, port: u16, sequence: u32, text: &str) {
            let host = "198.51.100.7".parse().unwrap();
            let flow = Flow { from: ("192.0.2.1".parse().unwrap(), 5038), to: (host, port) };
            let bytes = text.as_bytes();
            let (now, whole) = (self.now(), bytes.len());
            self.logins.answered(flow, &Segment { sequence, bytes, whole }, now, &mut self.seen);
        }

        /// Hears all of it, cut into segments of these sizes.
        fn talk(&mut self, port: u16, mut sequence: u32, text: &str, sizes: &[usize]) {
            let (mut rest, mut sizes) = (text, sizes.iter().cycle());
            while !rest.is_empty() {
                let (part, more) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                self.hears(port, sequence, part);
                sequence = sequence.wrapping_add(u32::try_from(part.len()).unwrap());
                rest = more;
            }
        }

        fn outcomes(&mut self) -> Vec<Outcome> {
            let now = self.now();
            self.logins.tick(now, &mut self.seen);
            self.seen.drain(..).map(|seen| seen.exchange.outcome).collect()
        }
    }

    #[test]
    fn refused_logins_count_until_somebody_has_logged_in() {
        let mut lab = Lab::default();
        let text =
            [HELLO, REFUSED, DENIED, CHALLENGE, CHALLENGE, ACCEPTED, REFUSED, DENIED].concat();
        lab.talk(1, u32::MAX - 60, &text, &[88]);
        let (refused, denied) = (Outcome::CredentialsRefused, Outcome::RefusedOutright);
        assert_eq!(lab.outcomes(), [refused, denied, denied]);
        lab.seconds = 40;
        assert_eq!(lab.outcomes(), []);
    }

    #[test]
    fn a_connection_without_a_login_counts_once() {
        let mut lab = Lab::default();
        lab.talk(1, 5, HELLO, &[7]);
        lab.talk(2, 5, &[HELLO, CHALLENGE].concat(), &[99]);
        lab.talk(3, 5, &[HELLO, REFUSED].concat(), &[99]);
        lab.talk(4, 5, &[HELLO, ACCEPTED].concat(), &[99]);
        lab.talk(5, 5, "220 mail ESMTP\r\n", &[99]);
        assert_eq!(lab.outcomes(), [Outcome::CredentialsRefused]);
        lab.seconds = 29;
        assert_eq!(lab.outcomes(), []);
        lab.seconds = 30;
        assert_eq!(lab.outcomes(), [Outcome::NeverLoggedIn; 2]);
        lab.seconds = 90;
        assert_eq!(lab.outcomes(), []);
    }

    #[test]
    fn what_is_not_seen_whole_is_let_in() {
        let mut lab = Lab::default();
        lab.talk(1, 5, &[REFUSED, REFUSED].concat(), &[99]);
        lab.talk(2, 5, HELLO, &[99]);
        lab.talk(2, 500, REFUSED, &[99]);
        lab.talk(3, 5, HELLO, &[99]);
        lab.logins.forgive();
        lab.talk(3, 5 + u32::try_from(HELLO.len()).unwrap(), REFUSED, &[99]);
        lab.seconds = 99;
        assert_eq!(lab.outcomes(), []);
    }

    #[test]
    fn one_port_again_and_again_is_another_connection() {
        let mut lab = Lab::default();
        let text = [HELLO, REFUSED].concat();
        for connection in 0..5 {
            // The last segment comes twice.
            lab.talk(1, 9000 * connection, &text, &[HELLO.len()]);
            lab.hears(1, 9000 * connection, HELLO);
            lab.hears(1, 9000 * connection + u32::try_from(HELLO.len()).unwrap(), REFUSED);
        }
        assert_eq!(lab.outcomes(), [Outcome::CredentialsRefused; 5]);
    }

    proptest! {
        #[test]
        fn any_segments_give_the_same(sizes in prop::collection::vec(1_usize..99, 1..9)) {
            let mut lab = Lab::default();
            let text = [HELLO, DENIED, CHALLENGE, REFUSED, ACCEPTED, REFUSED].concat();
            lab.talk(1, u32::MAX - 60, &text, &sizes);
            prop_assert_eq!(lab.outcomes(), [Outcome::RefusedOutright, Outcome::CredentialsRefused]);
        }

        #[test]
        fn any_bytes_in_any_order_do_no_harm(
            segments in prop::collection::vec((1_u16..9999, any::<u32>(), "\\PC{0,40}"), 0..60),
        ) {
            let mut lab = Lab::default();
            for (port, sequence, text) in segments {
                lab.hears(port, sequence % 300, &text);
                lab.hears(port, sequence % 300, HELLO);
            }
            prop_assert!(lab.logins.connections.len() <= CONNECTIONS);
        }
    }
}
