//! Removes what a node has on the server.

use super::client::Client;
use super::former;
use super::keys::PrivateKey;
use super::layout;
use super::resp::{Commands, Reply};
use super::snapshot::Head;
use crate::config::Fleet;
use crate::model::trouble::Trouble;

/// Removes the bans, the snapshot and the stream of a node; returns how many keys.
///
/// # Errors
/// When the server cannot be reached, or refuses.
pub fn remove(fleet: &Fleet) -> Result<i64, Trouble> {
    let key = PrivateKey::read_file(&fleet.key)?;
    let mut client = Client::connect(fleet)?;
    let node = &fleet.node;
    let hosts = former::hosts(&mut client, node, &key.public())?;
    let head = client.ask_one(&[b"GET", &layout::head(node)])?;
    let blocks = head.bytes().and_then(|bytes| Head::read(bytes).ok()).map_or(0, |it| it.blocks());
    let mut names: Vec<_> = hosts.iter().map(|host| layout::ban(node, host)).collect();
    names.extend((0..blocks).map(|number| layout::block(node, number)));
    let mut removed = delete(&mut client, &names)?;
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
