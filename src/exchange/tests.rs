//! Tests of what exchanges prove, in the words of SIP.

use proptest::prelude::*;

use super::*;

const PBX: &str = "203.0.113.22";
const HOST: &str = "198.51.100.7";

/// A world of one PBX, whose messages are written as Asterisk writes them.
struct World {
    exchanges: Exchanges,
    now: Time,
    flow: Flow,
    seen: Vec<Observation>,
}

#[derive(Clone)]
struct Asks<'a> {
    method: &'a str,
    call: &'a str,
    cseq: u32,
    cseq_method: &'a str,
    branch: &'a str,
    nonce: Option<&'a str>,
    response: &'a str,
    via: &'a str,
}

fn register(call: &str, cseq: u32) -> Asks<'_> {
    Asks {
        method: "REGISTER",
        call,
        cseq,
        cseq_method: "REGISTER",
        branch: "z9hG4bK1",
        nonce: None,
        response: "r",
        via: "",
    }
}

impl<'a> Asks<'a> {
    fn with(self, nonce: &'a str, response: &'a str) -> Self {
        Self { nonce: Some(nonce), response, ..self }
    }

    fn of(self, method: &'a str) -> Self {
        Self { method, cseq_method: method, ..self }
    }
}

impl World {
    fn new(carrier: Carrier) -> Self {
        let flow = Flow {
            host: HOST.parse().unwrap(),
            host_port: 5071,
            port: 5060,
            carrier,
            source: Source::Hep,
            driver: Some(SipDriver::Pjsip),
            doubted: false,
        };
        Self {
            exchanges: Exchanges::default(),
            now: Time::from_secs(1_800_000_000),
            flow,
            seen: Vec::new(),
        }
    }

    fn from(&mut self, host: &str) -> &mut Self {
        self.flow.host = host.parse().unwrap();
        self
    }

    fn asks(&mut self, asks: &Asks) -> &mut Self {
        let Asks { method, call, cseq, cseq_method, branch, nonce, response, via } = asks;
        let host = self.flow.host;
        let credentials = nonce.map_or(String::new(), |nonce| {
            format!(
                "Authorization: Digest username=\"1000\",realm=\"asterisk\",nonce=\"{nonce}\",response=\"{response}\"\r\n"
            )
        });
        let head = format!(
            "{method} sip:{PBX} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:5061;branch={branch};rport{via}\r\nFrom: <sip:1000@{PBX}>;tag=a\r\nTo: <sip:1000@{PBX}>\r\nCall-ID: {call}\r\nCSeq: {cseq} {cseq_method}\r\n{credentials}Content-Length: 0\r\n\r\n"
        );
        assert!(
            self.exchanges.message(&self.flow, head.as_bytes(), self.now, &mut self.seen).is_some()
        );
        self
    }

    fn answers(&mut self, status: u16, nonce: Option<&str>, asks: &Asks) -> &mut Self {
        self.answers_with(status, nonce, "", asks)
    }

    fn answers_with(
        &mut self,
        status: u16,
        nonce: Option<&str>,
        more: &str,
        asks: &Asks,
    ) -> &mut Self {
        let Asks { call, cseq, cseq_method, branch, via, .. } = asks;
        let host = self.flow.host;
        let via = if via.is_empty() { format!(";received={host}") } else { (*via).to_owned() };
        let challenge = nonce.map_or(String::new(), |nonce| {
            format!("WWW-Authenticate: Digest realm=\"asterisk\",nonce=\"{nonce}\"{more},algorithm=MD5\r\n")
        });
        let head = format!(
            "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP {host}:5061;rport=5061{via};branch={branch}\r\nCall-ID: {call}\r\nFrom: <sip:1000@{PBX}>;tag=a\r\nTo: <sip:1000@{PBX}>;tag=b\r\nCSeq: {cseq} {cseq_method}\r\n{challenge}Content-Length:  0\r\n\r\n"
        );
        assert!(
            self.exchanges.message(&self.flow, head.as_bytes(), self.now, &mut self.seen).is_some()
        );
        self
    }

    fn passes(&mut self, millis: u64) -> &mut Self {
        self.now = self.now.plus(Duration::from_millis(millis));
        self.exchanges.tick(self.now, &mut self.seen);
        self
    }

    fn take(&mut self) -> Vec<(Outcome, Evidence)> {
        self.seen.drain(..).map(|seen| (seen.exchange.outcome, seen.evidence)).collect()
    }

    /// A try with a password: challenge, credentials, refusal.
    fn guess(&mut self, call: &str, n: u32) -> &mut Self {
        let (old, new) = (format!("n{n}"), format!("m{n}"));
        let first = register(call, 2 * n);
        let second = register(call, 2 * n + 1).with(&old, "wrong");
        self.asks(&first).answers(401, Some(&old), &first);
        self.asks(&second).answers(401, Some(&new), &second)
    }
}

const REFUSED: Outcome = Outcome::CredentialsRefused;
const UNANSWERED: Outcome = Outcome::ChallengeUnanswered;

#[test]
fn refused_credentials_are_one_attempt_each() {
    for carrier in [Carrier::Datagram, Carrier::Stream] {
        let mut world = World::new(carrier);
        world.guess("a", 1).guess("a", 2).guess("b", 3);
        assert_eq!(world.take(), [(REFUSED, Evidence::Proven); 3], "{carrier:?}");
        world.passes(5000).passes(40_000);
        // The challenge that came with the last refusal is no further offence.
        assert_eq!(world.take(), []);
        assert_eq!(world.exchanges.known(), 0);
    }
}

#[test]
fn credentials_for_a_nonce_sent_elsewhere_are_unverified() {
    let mut world = World::new(Carrier::Datagram);
    let first = register("a", 1);
    world.from("198.51.100.99").asks(&first).answers(401, Some("n"), &first);
    // The nonce went to .99; whoever sends as .7 cannot have seen it there.
    let forged = register("b", 2).with("n", "x");
    world.from(HOST).asks(&forged).answers(401, Some("m"), &forged);
    assert_eq!(world.take(), [(REFUSED, Evidence::Unverified)]);
    // One that is too old proves nothing either.
    world.passes(33_000);
    world.take();
    let late = register("c", 3).with("m", "x");
    world.asks(&late).answers(401, Some("o"), &late);
    assert_eq!(world.take(), [(REFUSED, Evidence::Unverified)]);
}

#[test]
fn phones_log_in_without_an_offence() {
    let mut world = World::new(Carrier::Stream);
    for n in 0..50 {
        let (call, nonce) = (format!("c{n}"), format!("n{n}"));
        let first = register(&call, 1);
        let second = register(&call, 2).with(&nonce, "right");
        world.asks(&first).answers(401, Some(&nonce), &first).passes(300);
        world.asks(&second).answers(200, None, &second);
        // Again with the nonce of before, which is too old by now.
        let cached = register(&call, 3).with(&nonce, "right again");
        world.passes(2000).asks(&cached).answers_with(401, Some("new"), ",stale=true", &cached);
        let third = register(&call, 4).with("new", "right");
        world.asks(&third).answers(200, None, &third);
    }
    world.passes(5000);
    assert_eq!(world.take(), vec![(Outcome::Login, Evidence::Proven); 100]);
}

#[test]
fn an_office_that_restarts_counts_for_nothing() {
    for carrier in [Carrier::Datagram, Carrier::Stream] {
        let mut world = World::new(carrier);
        for phone in 0..50 {
            let call = format!("r{phone}");
            // The nonce is of before the restart: the password is right, but it is stale.
            let cached = register(&call, 1).with("of yesterday", "right");
            let second = register(&call, 2).with("n", "right");
            world.asks(&cached).answers_with(401, Some("n"), ",stale=true", &cached).passes(10);
            world.asks(&second).answers(200, None, &second);
            for blf in 0..20 {
                let call = format!("s{phone}-{blf}");
                let first = register(&call, 1).of("SUBSCRIBE");
                let second = register(&call, 2).of("SUBSCRIBE").with("n", "right");
                world.asks(&first).answers(401, Some("n"), &first).passes(1);
                // Some of those that are watched are no more.
                world.asks(&second).answers([200, 404, 489][blf % 3], None, &second);
            }
            // And from now on each minute, with the nonce that it has.
            let again = register(&call, 3).with("n", "right");
            world.asks(&again).answers(200, None, &again);
        }
        world.passes(60_000);
        let seen = world.take();
        assert!(seen.iter().all(|(outcome, _)| *outcome == Outcome::Login), "{seen:?}");
        assert_eq!(seen.len(), 100);
    }
}

#[test]
fn a_challenge_counts_when_nothing_comes_of_it() {
    let mut world = World::new(Carrier::Datagram);
    let ask = register("a", 1);
    world.asks(&ask).answers(401, Some("n"), &ask).passes(3999);
    assert_eq!(world.take(), []);
    world.passes(1);
    assert_eq!(world.take(), [(UNANSWERED, Evidence::Unverified)]);
    world.passes(4000).passes(4000).passes(60_000);
    assert_eq!(world.take(), []);
    // One that was answered in time does not, whatever became of that.
    let second = register("b", 2).with("n2", "x");
    let first = register("b", 1);
    world.asks(&first).answers(401, Some("n2"), &first).passes(3000).asks(&second).passes(9000);
    assert_eq!(world.take(), []);
}

#[test]
fn messages_sent_again_count_once() {
    let mut world = World::new(Carrier::Datagram);
    let first = register("a", 1);
    let second = register("a", 2).with("n", "wrong");
    world.asks(&first).asks(&first).answers(401, Some("n"), &first).answers(401, Some("n"), &first);
    world.asks(&second).asks(&second);
    for nonce in ["m", "m", "other, as chan_sip has it"] {
        world.answers(401, Some(nonce), &second);
    }
    // The answer to the first request that was sent again comes late.
    world.answers(401, Some("late"), &first).passes(5000);
    assert_eq!(world.take(), [(REFUSED, Evidence::Proven)]);
}

#[test]
fn one_branch_for_many_guesses_hides_none() {
    let mut world = World::new(Carrier::Datagram);
    let first = register("a", 1);
    world.asks(&first).answers(401, Some("n0"), &first);
    for n in 0..400 {
        let (before, next, response) = (format!("n{n}"), format!("n{}", n + 1), format!("r{n}"));
        let guess = register("a", 1).with(&before, &response);
        world.asks(&guess).answers(401, Some(&next), &guess);
    }
    assert_eq!(world.take().len(), 400);
}

#[test]
fn a_method_in_cseq_forges_no_login_and_no_excuse() {
    let mut world = World::new(Carrier::Datagram);
    for n in 1..=20 {
        world.guess("a", n);
        // chan_sip answers OPTIONS to anybody and repeats the CSeq.
        let options = Asks { method: "OPTIONS", ..register("a", 1000 + n) };
        let options = options.with("n1", "x");
        world.asks(&options).answers(200, None, &options);
    }
    assert_eq!(world.take(), vec![(REFUSED, Evidence::Proven); 20]);
    // A CANCEL that claims to be the REGISTER.
    let guess = register("b", 1).with("n1", "x");
    let cancel = Asks { method: "CANCEL", ..register("b", 1) };
    world.asks(&guess).asks(&cancel).answers(200, None, &guess).answers(401, Some("z"), &guess);
    assert!(world.take().iter().all(|(outcome, _)| *outcome != Outcome::Login));
}

#[test]
fn diverted_answers_never_name_where_they_go() {
    let victim: IpAddr = "192.0.2.66".parse().unwrap();
    let mut world = World::new(Carrier::Datagram);
    for n in 0..20 {
        let ask = Asks { via: ";received=198.51.100.7;maddr=192.0.2.66", ..register("a", n) };
        world.from(HOST).asks(&ask);
        world.from("192.0.2.66").answers(401, Some("n"), &ask);
        let ask = Asks { via: ";maddr=192.0.2.66", ..register("b", n) };
        world.from("192.0.2.66").answers(401, Some("n"), &ask);
    }
    world.passes(5000);
    assert!(world.seen.iter().all(|seen| seen.host != victim));
    assert!(world.seen.iter().all(|seen| seen.evidence == Evidence::Unverified));
    assert!(!world.seen.is_empty());
}

#[test]
fn a_nonce_that_was_diverted_proves_nothing() {
    let victim = "192.0.2.66";
    let mut world = World::new(Carrier::Datagram);
    // The same nonce goes to the attacker, and by `maddr` to the victim.
    let own = register("a", 1);
    world.asks(&own).answers(401, Some("n"), &own);
    let ask = Asks { via: ";received=198.51.100.7;maddr=192.0.2.66", ..register("b", 1) };
    world.asks(&ask).from(victim).answers(401, Some("n"), &ask);
    // Now it can be forged in the victim's name.
    for n in 1..10 {
        let guess = register("c", n).with("n", "wrong");
        world.from(victim).asks(&guess).answers(401, Some("m"), &guess);
    }
    let proven = world.seen.iter().filter(|seen| seen.evidence == Evidence::Proven);
    assert_eq!(proven.count(), 0, "{:?}", world.seen);
}

#[test]
fn connections_answer_whoever_is_at_their_end() {
    let mut world = World::new(Carrier::Stream);
    for n in 1..10 {
        let ask = Asks { via: ";received=192.0.2.66", ..register("a", n) };
        world.answers(401, Some("n"), &ask);
    }
    world.passes(5000);
    assert_eq!(world.take(), []);
}

#[test]
fn a_request_that_was_cut_off_may_have_had_credentials() {
    let mut world = World::new(Carrier::Datagram);
    for n in 1..=6 {
        // A first fragment, without the header that matters.
        let guess = register("a", n);
        let head = format!(
            "REGISTER sip:{PBX} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:5061;branch=z9hG4bK1;rport\r\nCall-ID: a\r\nCSeq: {n} REGISTER\r\nX: y"
        );
        let read =
            world.exchanges.message(&world.flow, head.as_bytes(), world.now, &mut world.seen);
        assert!(read.is_some());
        let nonce = format!("n{n}");
        world.answers(401, Some(&nonce), &guess).passes(100);
    }
    assert_eq!(world.take(), [(REFUSED, Evidence::Unverified); 5]);
}

#[test]
fn who_was_let_in_is_not_refused_by_others() {
    let mut world = World::new(Carrier::Stream);
    let call = register("a", 1).of("INVITE").with("n", "right");
    world.asks(&call).answers(100, None, &call).answers(180, None, &call).answers(403, None, &call);
    assert_eq!(world.take(), []);
    // A phone that dials a wrong number is no guest.
    let call = register("b", 1).of("INVITE").with("n", "right");
    world.asks(&call).answers(404, None, &call);
    assert_eq!(world.take(), []);
    for status in [403, 404, 484] {
        let guest = register("c", u32::from(status)).of("INVITE");
        world.asks(&guest).answers(status, None, &guest);
        assert_eq!(world.take(), [(Outcome::RefusedOutright, Evidence::Proven)]);
    }
}

#[test]
fn pings_are_probes_and_guesses_by_options_count() {
    let mut world = World::new(Carrier::Datagram);
    for n in 0..100 {
        let ping = register("a", n).of("OPTIONS");
        world.asks(&ping).answers(if n % 2 == 0 { 401 } else { 404 }, Some("n"), &ping);
        world.passes(1000);
    }
    assert_eq!(world.take(), [(Outcome::Probed, Evidence::Unverified); 100]);
    let there = register("c", 1).of("OPTIONS");
    world.asks(&there).answers(200, None, &there);
    assert_eq!(world.take(), []);
    let guess = register("b", 2).of("OPTIONS").with("n", "wrong");
    world.asks(&guess).answers(401, Some("m"), &guess);
    assert_eq!(world.take(), [(REFUSED, Evidence::Proven)]);
}

#[test]
fn answers_alone_are_paired() {
    let mut world = World::new(Carrier::Stream);
    for n in 1..=4 {
        let nonce = format!("n{n}");
        world.answers(401, Some(&nonce), &register("a", n)).passes(100);
    }
    // The first was the challenge.
    assert_eq!(world.take(), [(REFUSED, Evidence::Proven); 3]);
    world.answers(200, None, &register("a", 5)).passes(100);
    assert_eq!(world.take(), [], "a login is not known without its request");
    world.answers(401, Some("m1"), &register("a", 6)).passes(1000);
    world.answers(200, None, &register("a", 7)).passes(9000);
    assert_eq!(world.take(), []);
    world.flow.driver = Some(SipDriver::ChanSip);
    world.answers(401, Some("m2"), &register("b", 1)).answers(403, None, &register("b", 2));
    assert_eq!(world.take(), [(REFUSED, Evidence::Proven)]);
    // A message that is lost may have been a success.
    world.answers(401, Some("m3"), &register("c", 1));
    world.exchanges.forgive();
    world.passes(5000);
    assert_eq!(world.take(), []);
}

/// A phone for which there is no place gets 403, though its password is right.
#[test]
fn chan_pjsip_says_forbidden_to_no_wrong_password() {
    let mut world = World::new(Carrier::Stream);
    for seen in [true, false] {
        let (first, second) = (register("a", 1), register("a", 2).with("n", "right"));
        if seen {
            world.asks(&first);
        }
        world.answers(401, Some("n"), &first);
        if seen {
            world.asks(&second);
        }
        world.answers(403, None, &second).passes(9000);
        assert_eq!(world.take(), []);
        world.passes(60_000);
    }
}

/// `chan_sip` 1.6 says "Trying" to every REGISTER.
#[test]
fn a_provisional_answer_to_a_register_lets_nobody_in() {
    let mut world = World::new(Carrier::Stream);
    world.flow.driver = Some(SipDriver::ChanSip);
    let guess = register("a", 1).with("n", "wrong");
    world.asks(&guess).answers(100, None, &guess).answers(403, None, &guess);
    assert_eq!(world.take(), [(REFUSED, Evidence::Proven)]);
}

#[test]
fn floods_are_bounded_and_push_out_no_connection() {
    let mut world = World::new(Carrier::Stream);
    let first = register("a", 1);
    world.asks(&first).answers(401, Some("n"), &first);
    world.flow.carrier = Carrier::Datagram;
    for n in 0..200_000_u32 {
        world.flow.host = std::net::Ipv4Addr::from_bits((10 << 24) + n).into();
        let ask = register("x", n);
        world.answers(401, Some("n"), &ask);
    }
    assert!(world.exchanges.known() <= 2 * (REQUESTS + CALLS) + 2);
    assert!(world.exchanges.dropped() > 0);
    world.from(HOST).flow.carrier = Carrier::Stream;
    let second = register("a", 2).with("n", "wrong");
    world.asks(&second).answers(401, Some("m"), &second);
    assert_eq!(world.take(), [(REFUSED, Evidence::Proven)]);
}

proptest! {
    /// A stranger may write anything into a request: only the stranger is named, there is no login that
    /// the PBX did not give, and no guess goes uncounted.
    #[test]
    fn strangers_name_only_themselves(
        junk in proptest::collection::vec(any::<u8>(), 0..200),
        statuses in proptest::collection::vec(prop::sample::select(vec![401_u16, 403, 404, 407, 484]), 1..20),
    ) {
        let mut world = World::new(Carrier::Datagram);
        world.flow.driver = Some(SipDriver::ChanSip);
        for (n, status) in (0..).zip(&statuses) {
            let _ = world.exchanges.message(&world.flow, &junk, world.now, &mut world.seen);
            let ask = register("a", n).with("n", "wrong");
            world.asks(&ask).answers(*status, Some("n"), &ask);
        }
        let refused = statuses.iter().filter(|status| matches!(status, 401 | 403 | 407)).count();
        let host: IpAddr = HOST.parse().unwrap();
        prop_assert!(world.seen.iter().all(|seen| seen.host == host && seen.exchange.outcome != Outcome::Login));
        let counted = world.seen.iter().filter(|seen| seen.exchange.outcome == REFUSED).count();
        prop_assert_eq!(counted, refused);
    }
}
