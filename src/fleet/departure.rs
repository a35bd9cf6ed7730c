//! Removes what a node has on the server.

use super::client::Client;
use super::keys::PrivateKey;
use super::layout;
use super::resp::{Commands, Reply};
use super::snapshot::Head;
use crate::config::Fleet;
use crate::model::trouble::Trouble;

/// Removes the snapshot of a node, the bans in it, and the stream; returns how many keys. Bans that are not in the snapshot
/// end by themselves.
///
/// # Errors
/// When the server cannot be reached, or refuses.
pub fn remove(fleet: &Fleet) -> Result<i64, Trouble> {
    let key = PrivateKey::read_file(&fleet.key)?;
    let mut client = Client::connect(fleet)?;
    let node = &fleet.node;
    let reply = client.ask_one(&[b"GET", &layout::head(node)])?;
    let own = |bytes: &&[u8]| Head::is_signed(bytes, &key.public());
    let head = reply.bytes().filter(own).and_then(|bytes| Head::read(bytes).ok());
    let mut removed = 0;
    for number in 0..head.as_ref().map_or(0, Head::blocks) {
        let name = layout::block(node, number);
        let block = client.ask_one(&[b"GET", &name])?;
        let bans = block.bytes().and_then(|bytes| head.as_ref()?.block(number, bytes));
        let hosts = bans.into_iter().flatten().filter_map(|ban| ban.host.subject());
        let mut names: Vec<_> = hosts.map(|host| layout::ban(node, &host)).collect();
        names.push(name);
        removed += delete(&mut client, &names)?;
    }
    removed += delete(&mut client, &[layout::head(node), layout::stream(node)])?;
    Ok(removed)
}

fn delete(client: &mut Client, names: &[Vec<u8>]) -> Result<i64, Trouble> {
    let mut commands = Commands::default();
    for name in names {
        commands.add(&[b"DEL", name]);
    }
    let mut removed = 0;
    for reply in client.ask(&commands)? {
        match reply {
            Reply::Number(number) => removed += number,
            Reply::Error(refusal) => return Err(client.refused(&refusal)),
            _ => {}
        }
    }
    Ok(removed)
}
