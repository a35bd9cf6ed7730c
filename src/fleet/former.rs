//! What this node has on the server from before, by its own signature.

use std::collections::BTreeSet;

use super::client::Client;
use super::layout;
use super::publisher::record_of;
use super::record::{Operation, Record};
use super::resp::{Commands, Reply};
use super::snapshot::Head;
use crate::model::node::NodeName;
use crate::model::public_key::PublicKey;
use crate::model::subject::Subject;
use crate::model::trouble::Trouble;

/// Entries of the stream that are read together, and how often: the server keeps some 2000.
const ENTRIES: usize = 500;
const ROUNDS: usize = 8;
/// Keys that are asked for together.
const KEYS: usize = 1000;

/// Returns the hosts whose bans were published and are still on the server.
///
/// # Errors
/// When the server cannot be reached, or refuses.
pub fn hosts(
    client: &mut Client,
    node: &NodeName,
    key: &PublicKey,
) -> Result<Vec<Subject>, Trouble> {
    let mut said = in_snapshot(client, node, key)?;
    follow_stream(client, node, key, &mut said)?;
    there(client, node, &said.into_iter().collect::<Vec<_>>())
}

/// Returns those of these hosts whose bans the server has.
///
/// # Errors
/// When the server cannot be reached, or refuses.
pub fn there(
    client: &mut Client,
    node: &NodeName,
    said: &[Subject],
) -> Result<Vec<Subject>, Trouble> {
    let mut there = Vec::new();
    for some in said.chunks(KEYS) {
        let mut commands = Commands::default();
        for host in some {
            commands.add(&[b"EXISTS", &layout::ban(node, host)]);
        }
        let replies = client.ask(&commands)?;
        let kept = some.iter().zip(replies).filter(|(_, reply)| *reply == Reply::Number(1));
        there.extend(kept.map(|(host, _)| *host));
    }
    Ok(there)
}

fn in_snapshot(
    client: &mut Client,
    node: &NodeName,
    key: &PublicKey,
) -> Result<BTreeSet<Subject>, Trouble> {
    let mut said = BTreeSet::new();
    let reply = client.ask_one(&[b"GET", &layout::head(node)])?;
    let own = reply.bytes().filter(|bytes| Head::is_signed(bytes, key));
    let Some(head) = own.and_then(|bytes| Head::read(bytes).ok()) else { return Ok(said) };
    for number in 0..head.blocks() {
        let block = client.ask_one(&[b"GET", &layout::block(node, number)])?;
        let bans = block.bytes().and_then(|bytes| head.block(number, bytes));
        said.extend(bans.into_iter().flatten().filter_map(|ban| ban.host.subject()));
    }
    Ok(said)
}

fn follow_stream(
    client: &mut Client,
    node: &NodeName,
    key: &PublicKey,
    said: &mut BTreeSet<Subject>,
) -> Result<(), Trouble> {
    let (stream, count) = (layout::stream(node), ENTRIES.to_string());
    let mut after = "-".to_owned();
    for _ in 0..ROUNDS {
        let words: [&[u8]; 6] =
            [b"XRANGE", &stream, after.as_bytes(), b"+", b"COUNT", count.as_bytes()];
        let entries = client.ask_one(&words)?.items();
        let own = entries.iter().filter_map(record_of).filter(|it| Record::is_signed(it, key));
        for record in own.filter_map(|bytes| Record::read(bytes).ok()) {
            match record.operation {
                Operation::Ban(ban) => said.extend(ban.host.subject()),
                Operation::Lift(host) => {
                    host.subject().map(|host| said.remove(&host));
                }
                Operation::Heartbeat { .. } | Operation::Unban(_) => {}
            }
            after = format!("({}-{}", record.at.epoch, record.at.sequence);
        }
        if entries.len() < ENTRIES {
            break;
        }
    }
    Ok(())
}
