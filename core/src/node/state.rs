//! A node's state as bytes: id, contacts, and the records it keeps for others.
//!
//! Versioned and checked: four bytes of magic, a version, a postcard body, the network it belongs to
//! (eight bytes, which the first programs did not write), and the first eight bytes of the BLAKE3
//! hash of all that. Times are ages, for the next run's clock starts elsewhere;
//! how long the node was down is told to [`Node::restore`]. What the node published itself is not
//! in it: its host knows what it shares, and whether it still does.

use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Node;
use crate::config::Config;
use crate::contact::{Capabilities, Contact, Family, LinkId, Path, is_usable};
use crate::id::Id;
use crate::store::BadRecord;
use crate::table::SavedContact;
use crate::time::Instant;

const MAGIC: [u8; 4] = *b"KDLS";
const VERSION: u16 = 1;
const CHECK: usize = 8;

/// Contacts read back at most: more than any table holds.
const MAX_CONTACTS: usize = 16_384;

#[derive(Serialize, Deserialize)]
struct Body {
    ids: [[u8; Id::LEN]; 2],
    /// On a public network it begins as a client again, until it is shown to be reached.
    public: bool,
    contacts: Vec<SavedEntry>,
    records: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct SavedEntry {
    id: [u8; Id::LEN],
    address: SocketAddr,
    link: u16,
    capabilities: u32,
    age_secs: u64,
    rtt_micros: Option<u64>,
}

/// Why bytes are no state of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StateError {
    /// They do not begin like one.
    NotState,
    /// They were written by a later version of this program, which this one cannot read.
    Newer {
        /// Their version.
        version: u16,
    },
    /// They have been changed or cut since they were written.
    Damaged,
    /// A node of another network wrote them. Its records are nobody's business here, and its
    /// contacts would not answer.
    OtherNetwork,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotState => f.write_str("this is no state of a node"),
            Self::Newer { version } => write!(
                f,
                "this state has version {version}, and this program reads up to {VERSION}: \
                 a newer program wrote it"
            ),
            Self::Damaged => f.write_str("this state is damaged: it was changed or cut"),
            Self::OtherNetwork => f.write_str(
                "this state is a node's of another network: join that one, or keep this node's \
                 state elsewhere",
            ),
        }
    }
}

impl core::error::Error for StateError {}

impl Node {
    /// Everything worth keeping over a restart, as bytes for [`Node::restore`].
    #[must_use]
    pub fn export_state(&self, now: Instant) -> Vec<u8> {
        let now = self.now.max(now);
        let contacts = Family::ALL
            .into_iter()
            .flat_map(|family| self.table(family).export(now))
            .map(|saved| SavedEntry {
                id: *saved.contact.id.as_bytes(),
                address: saved.contact.addr(),
                link: saved.contact.path.link.0,
                capabilities: saved.contact.capabilities.0,
                age_secs: saved.age.as_secs(),
                rtt_micros: saved.rtt.and_then(|rtt| u64::try_from(rtt.as_micros()).ok()),
            })
            .collect();
        let body = Body {
            ids: self.ids.map(|id| *id.as_bytes()),
            public: self.reach.is_public(),
            contacts,
            records: self.store.export(now),
        };
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        // Serialising into memory cannot fail; were it to, what is written would not be restored.
        bytes.extend_from_slice(&postcard::to_allocvec(&body).unwrap_or_default());
        bytes.extend_from_slice(&self.wire.network());
        let check = blake3::hash(&bytes);
        bytes.extend_from_slice(check.as_bytes().get(..CHECK).unwrap_or_default());
        bytes
    }

    /// The node that [`Node::export_state`] wrote down, `elapsed` after it was written. The seed is
    /// a fresh one: a seed is never used twice.
    ///
    /// Restored contacts are asked, but not handed on before they have answered.
    ///
    /// # Errors
    /// The bytes are no state, damaged, of a later version, or of another network.
    pub fn restore(
        config: Config,
        state: &[u8],
        seed: [u8; 32],
        now: Instant,
        elapsed: Duration,
    ) -> Result<Self, StateError> {
        let (body, network) = read(state)?;
        let [v4, v6] = body.ids.map(Id::new);
        let mut node = Self::new(config, v4, seed, now);
        if network.is_some_and(|network| network != node.wire.network()) {
            return Err(StateError::OtherNetwork);
        }
        node.ids = [v4, v6];
        if body.public {
            node.reach.on_public_network();
        }
        let [_, table] = &mut node.tables;
        table.set_own(now, v6);
        for family in Family::ALL {
            let saved = body
                .contacts
                .iter()
                .take(MAX_CONTACTS)
                .filter(|entry| is_usable(entry.address) && Family::of(&entry.address) == family)
                .map(|entry| SavedContact {
                    contact: Contact {
                        id: Id::new(entry.id),
                        path: Path { link: LinkId(entry.link), remote: entry.address },
                        capabilities: Capabilities(entry.capabilities),
                    },
                    age: Duration::from_secs(entry.age_secs),
                    rtt: entry.rtt_micros.map(Duration::from_micros),
                });
            node.table_mut(family).restore(now, elapsed, saved);
        }
        let imported = node.store.import(now, elapsed, &body.records);
        imported.map_err(|newer| StateError::Newer { version: newer.0.into() })?;
        Ok(node)
    }

    /// Gives back one record of [`StoreChange::Stored`](crate::StoreChange), `elapsed` after it was
    /// written down.
    ///
    /// # Errors
    /// Says why it is not kept; it can be dropped.
    pub fn restore_record(
        &mut self,
        now: Instant,
        bytes: &[u8],
        elapsed: Duration,
    ) -> Result<(), BadRecord> {
        let now = self.advance(now);
        self.store.import_record(now, elapsed, bytes)
    }
}

/// The body, and the network if it is said.
fn read(state: &[u8]) -> Result<(Body, Option<[u8; 8]>), StateError> {
    let rest = state.strip_prefix(&MAGIC).ok_or(StateError::NotState)?;
    let (version, rest) = rest.split_first_chunk().ok_or(StateError::Damaged)?;
    let version = u16::from_le_bytes(*version);
    if version > VERSION {
        return Err(StateError::Newer { version });
    }
    let cut = rest.len().checked_sub(CHECK).ok_or(StateError::Damaged)?;
    let (body, check) = rest.split_at(cut);
    let written = state.get(..state.len() - CHECK).unwrap_or_default();
    if !blake3::hash(written).as_bytes().starts_with(check) {
        return Err(StateError::Damaged);
    }
    let (body, rest) = postcard::take_from_bytes(body).map_err(|_| StateError::Damaged)?;
    Ok((body, rest.first_chunk().copied()))
}
