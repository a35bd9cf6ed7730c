//! All bans of a node at one time, in blocks: a signed head names the hash of each block, so one signature proves all.

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::keys::{PrivateKey, Purpose};
use super::record::{Position, SignedBan};
use super::sealed::{NotARecord, VERSION, is_sealed, open, seal};
use crate::model::node::NodeName;
use crate::model::public_key::PublicKey;

/// Bans of a block.
pub const BLOCK: usize = 1000;
/// Blocks of a snapshot: 200,000 bans.
pub const MOST_BLOCKS: usize = 200;
/// Bytes of a head: its hashes are most of it.
pub const LONGEST_HEAD: usize = 8 << 10;
/// Bytes of a block.
pub const LONGEST_BLOCK: usize = 256 << 10;

/// The head of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    version: u8,
    /// Whose bans they are.
    pub node: NodeName,
    /// The last record that is contained.
    pub at: Position,
    /// The SHA-256 of each block.
    blocks: Vec<[u8; 32]>,
}

/// A snapshot as the server keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The head with its signature.
    pub head: Vec<u8>,
    /// The blocks.
    pub blocks: Vec<Vec<u8>>,
}

/// Writes a snapshot. Bans beyond what [`MOST_BLOCKS`] hold are left out.
#[must_use]
pub fn write(node: NodeName, at: Position, bans: &[SignedBan], key: &PrivateKey) -> Written {
    let chunks = bans.chunks(BLOCK).take(MOST_BLOCKS);
    let blocks: Vec<_> =
        chunks.map(|chunk| postcard::to_stdvec(chunk).unwrap_or_default()).collect();
    let head =
        Head { version: VERSION, node, at, blocks: blocks.iter().map(|it| hash(it)).collect() };
    Written { head: seal(&head, Purpose::Snapshot, key), blocks }
}

impl Head {
    /// Reads a head; its signature is not checked.
    ///
    /// # Errors
    /// See [`NotARecord`].
    pub fn read(bytes: &[u8]) -> Result<Self, NotARecord> {
        let head: Self = open(bytes, LONGEST_HEAD)?;
        if head.blocks.len() > MOST_BLOCKS { Err(NotARecord::TooLarge) } else { Ok(head) }
    }

    /// Whether the bytes of a head are signed with the key of this public key.
    #[must_use]
    pub fn is_signed(bytes: &[u8], key: &PublicKey) -> bool {
        is_sealed(bytes, Purpose::Snapshot, key)
    }

    /// Returns the number of blocks.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Returns the bans of a block, if it is the one that the head names at this place.
    #[must_use]
    pub fn block(&self, number: usize, bytes: &[u8]) -> Option<Vec<SignedBan>> {
        if bytes.len() > LONGEST_BLOCK || *self.blocks.get(number)? != hash(bytes) {
            return None;
        }
        match postcard::take_from_bytes::<Vec<SignedBan>>(bytes) {
            Ok((bans, [])) if bans.len() <= BLOCK => Some(bans),
            _ => None,
        }
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::record::Host;
    use crate::model::event::Evidence;

    fn bans(number: u32) -> Vec<SignedBan> {
        let ban = |number: u32| SignedBan {
            host: Host::of(
                &format!("{}", std::net::Ipv4Addr::from(0x0a00_0000 + number)).parse().unwrap(),
            ),
            evidence: Evidence::Proven,
            jail: "j".repeat(64),
            rule: "r".repeat(64),
            issued: i64::MAX,
            duration: u64::MAX,
        };
        (0..number).map(ban).collect()
    }

    #[test]
    fn blocks_hold_together_by_the_head() {
        let (key, _) = PrivateKey::generate().unwrap();
        let at = Position { epoch: 3, sequence: 7 };
        let all = bans(2500);
        let Written { head: bytes, blocks } = write("pbx1".parse().unwrap(), at, &all, &key);
        assert!(blocks.iter().all(|block| block.len() <= LONGEST_BLOCK) && blocks.len() == 3);
        let head = Head::read(&bytes).unwrap();
        assert!(Head::is_signed(&bytes, &key.public()) && head.at == at);
        let read: Vec<_> = (0..3).flat_map(|it| head.block(it, &blocks[it]).unwrap()).collect();
        assert_eq!(read, all);
        assert_eq!(head.block(0, &blocks[1]), None);
        assert_eq!(head.block(3, &blocks[0]), None);
        let mut forged = bytes;
        forged[80] ^= 1;
        assert!(!Head::is_signed(&forged, &key.public()));
        assert_eq!(Head::read(&[0; LONGEST_HEAD + 1]), Err(NotARecord::TooLarge));
    }

    #[test]
    fn the_largest_snapshot_fits() {
        let (key, _) = PrivateKey::generate().unwrap();
        let all = bans(u32::try_from(BLOCK * MOST_BLOCKS).unwrap() + 1);
        let node = "n".repeat(63).parse().unwrap();
        let written = write(node, Position { epoch: u64::MAX, sequence: u64::MAX }, &all, &key);
        assert_eq!(Head::read(&written.head).unwrap().blocks(), MOST_BLOCKS);
    }
}
