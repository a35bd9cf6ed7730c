//! Tells people and programs what the guard does: by mail, by webhooks and by commands.
//!
//! A process of its own does that (`asterguard notifier`), because the guard may neither connect to anything nor run
//! programs. What is told, and when, is pure: [`batch`], [`message`], [`payload`], [`schedule`], [`words`].

pub mod batch;
pub mod desk;
pub mod helper;
pub mod message;
pub mod payload;
pub mod protocol;
pub mod queue;
pub mod schedule;
pub mod send;
pub mod words;

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use crate::config::Notifier;
    use crate::config::load::parse;
    use crate::model::event::Evidence;
    use crate::model::guard_event::{BanDetails, EventKind, GuardEvent};
    use crate::model::time::Time;

    /// A notifier of these keys; without any, one that sends mails.
    pub(crate) fn notifier(keys: &str) -> Notifier {
        let keys = if keys.is_empty() { "kind = 'mail'\nto = 'root@localhost'" } else { keys };
        let source = (PathBuf::from("a.toml"), format!("[notify.test]\n{keys}\n"));
        let filters = ["asterisk-sip".to_owned()];
        parse(&[source], &filters).unwrap().notify.into_iter().next().unwrap()
    }

    /// A ban of a host, of which all is known.
    pub(crate) fn ban(host: &str) -> GuardEvent {
        let at = Time::from_secs(1_795_308_766);
        GuardEvent {
            jail: Some("asterisk-guess".to_owned()),
            host: Some(host.to_owned()),
            evidence: Some(Evidence::Proven),
            ban: Some(BanDetails {
                ports: "sip".to_owned(),
                until: Some(Time::from_secs(1_795_308_766 + 3600)),
                attempts: 5,
                rule: Some("asterisk-security/wrong-password".to_owned()),
                accounts: vec!["1000".to_owned(), "1001".to_owned()],
                login: None,
                lines: vec![
                    "[2026-11-22 00:52:46] SECURITY[1] res_security_log.c: SecurityEvent=\"InvalidPassword\"".to_owned(),
                ],
            }),
            ..GuardEvent::new(at, EventKind::Ban, format!("{host} banned"))
        }
    }

    /// An event whose texts are anything.
    pub(crate) fn any_event() -> impl Strategy<Value = GuardEvent> {
        let kind = (0..EventKind::ALL.len()).prop_map(|place| EventKind::ALL[place].0);
        let texts = prop::collection::vec(any::<String>(), 0..5);
        let some = || prop::option::of(any::<String>());
        (any::<i64>(), kind, any::<String>(), some(), some(), some(), texts).prop_map(
            |(at, kind, text, jail, host, account, lines)| {
                let accounts = lines.clone();
                let details = BanDetails { accounts, lines, ..BanDetails::default() };
                GuardEvent {
                    jail,
                    host,
                    account: account.clone(),
                    by: account,
                    ban: Some(details),
                    ..GuardEvent::new(Time::from_millis(at), kind, text)
                }
            },
        )
    }
}
