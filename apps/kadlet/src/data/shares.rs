//! The shares that a state folder keeps, for whoever works with them without a node.

use std::path::Path;

use super::{Data, Kept, STORE, Write};
use crate::error::DataError;

/// The shares kept in a state folder that no node works with: it is this process's until dropped.
#[derive(Debug)]
pub struct KeptShares {
    data: Data,
    shares: Vec<(String, Vec<u8>)>,
    damage: Vec<String>,
}

impl KeptShares {
    /// Opens a folder of this network. Waits for the disk.
    ///
    /// # Errors
    /// There is no state in it, another process works with it, it is another network's, or the
    /// system refuses.
    pub fn open(dir: &Path, network: &str) -> Result<Self, DataError> {
        // Whoever mistypes its name makes no new folder.
        let store = dir.join(STORE);
        if let Err(error) = store.metadata() {
            return Err(DataError::Io { path: store, error });
        }
        let (data, Kept { shares, damage, .. }) = Data::open(dir, network)?;
        Ok(Self { data, shares, damage })
    }

    /// Names of the host's choice with their bytes.
    #[must_use]
    pub fn shares(&self) -> &[(String, Vec<u8>)] {
        &self.shares
    }

    /// What could not be read of the folder, in words for a person.
    #[must_use]
    pub fn damage(&self) -> &[String] {
        &self.damage
    }

    /// Forgets these, all at once; safe when this returns. Waits for the disk.
    ///
    /// # Errors
    /// The folder refuses; nothing is forgotten then.
    pub fn forget(&mut self, keys: &[String]) -> Result<(), DataError> {
        let gone = |key: &String| Write::Share { key: key.clone(), bytes: None };
        let writes: Vec<_> = keys.iter().map(gone).collect();
        let named = |reason| DataError::Store { dir: self.data.dir.clone(), reason };
        self.data.commit(&writes).map_err(named)?;
        self.shares.retain(|(key, _)| !keys.contains(key));
        Ok(())
    }
}
