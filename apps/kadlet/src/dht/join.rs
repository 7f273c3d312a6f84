//! Joining a network: by addresses, by contacts from earlier, by the local network.

use core::net::SocketAddr;
use core::time::Duration;

use kadlet_core::{Event, Family, Health, Path, PeerFailure};

use super::Dht;
use crate::driver::Command;
use crate::error::{BootstrapError, Error};
use crate::operation::Summary;
use crate::resolve::{Attempt, AttemptResult, HostPort};

/// A network that was joined.
#[derive(Clone, PartialEq, Debug)]
pub struct Joined {
    /// Each address that was tried, with what it answered.
    pub attempts: Vec<Attempt>,
    /// How many contacts the node has now, both families together.
    pub contacts: usize,
}

/// Joining.
impl Dht {
    /// Joins the network by these addresses: asks each, looks up the own id and then the farther
    /// parts of the space, so that others learn of us.
    ///
    /// # Errors
    /// None of them is a node of our network; the error says of each why.
    pub async fn bootstrap(&self, addresses: &[HostPort]) -> Result<Joined, BootstrapError> {
        self.join(addresses, false).await
    }

    /// Asks these addresses for contacts, and no more: enough for a client that has one question.
    ///
    /// # Errors
    /// As for [`bootstrap`](Self::bootstrap).
    pub async fn contact(&self, addresses: &[HostPort]) -> Result<Joined, BootstrapError> {
        self.join(addresses, true).await
    }

    /// Joins again from the contacts the node has, such as those it was restored with.
    ///
    /// # Errors
    /// It has none, or none of them answers.
    pub async fn rejoin(&self) -> Result<Summary, Error> {
        let operation = self.start(false, |node, now| Ok(node.bootstrap(now, &[])));
        let summary = operation.finish(drop).await?;
        Error::of(summary.outcome).map_or(Ok(summary), Err)
    }

    async fn join(&self, given: &[HostPort], hasty: bool) -> Result<Joined, BootstrapError> {
        let mut attempts = self.resolve(given).await;
        let paths: Vec<Path> = attempts.iter().filter_map(|(_, path)| *path).collect();
        if !paths.is_empty() {
            let mut operation = self.start(true, move |node, now| Ok(node.bootstrap(now, &paths)));
            while let Some(Ok(event)) = operation.next().await {
                let (path, result) = match event {
                    Event::Answered { peer, rtt, .. } => match peer.id {
                        Some(id) => (peer.path, AttemptResult::Answered { id, rtt }),
                        None => continue,
                    },
                    Event::Failed { peer, reason, .. } => {
                        (peer.path, AttemptResult::Failed(reason))
                    }
                    _ => continue,
                };
                for (attempt, asked) in &mut attempts {
                    let silent = AttemptResult::Failed(PeerFailure::Timeout);
                    if *asked == Some(path)
                        // A late answer still counts.
                        && (attempt.result == AttemptResult::Unanswered || attempt.result == silent)
                    {
                        attempt.result = result.clone();
                    }
                }
                let open =
                    |(attempt, _): &(Attempt, _)| attempt.result == AttemptResult::Unanswered;
                if hasty && !attempts.iter().any(open) {
                    break;
                }
            }
        }
        let attempts: Vec<Attempt> = attempts.into_iter().map(|(attempt, _)| attempt).collect();
        if attempts.iter().any(Attempt::is_ok) {
            let contacts = self.health().await.map_or(0, |health| contacts_of(&health));
            Ok(Joined { attempts, contacts })
        } else {
            Err(BootstrapError { attempts })
        }
    }

    /// The addresses behind what was given, each with the path to it, if there is one.
    async fn resolve(&self, given: &[HostPort]) -> Vec<(Attempt, Option<Path>)> {
        let mut attempts = Vec::new();
        for name in given {
            let attempt = |address, result| Attempt { given: name.clone(), address, result };
            match name.resolve().await {
                Ok(addresses) => {
                    for address in addresses {
                        let path = self.path_to(address);
                        let result = match path {
                            Some(_) => AttemptResult::Unanswered,
                            None => AttemptResult::OutOfReach,
                        };
                        attempts.push((attempt(Some(address), result), path));
                    }
                }
                Err(reason) => {
                    attempts.push((attempt(None, AttemptResult::Unresolved(reason)), None));
                }
            }
        }
        attempts
    }

    pub(super) fn path_to(&self, remote: SocketAddr) -> Option<Path> {
        self.shared
            .links
            .iter()
            .find(|(_, bound)| {
                Family::of(bound) == Family::of(&remote)
                    && (!bound.ip().is_loopback() || remote.ip().is_loopback())
            })
            .map(|(link, _)| Path { link: *link, remote })
    }

    /// Looks for nodes in the local network, at most for `patience`. How many have answered since
    /// the node was started.
    pub async fn discover(&self, patience: Duration) -> usize {
        if !self.shared.has_lan || self.commands.send(Command::AskLan).is_err() {
            return 0;
        }
        let mut found = self.lan_found.clone();
        let heard = found.wait_for(|found| *found > 0);
        let _ = tokio::time::timeout(patience, heard).await;
        *self.lan_found.borrow()
    }
}

/// Contacts of both families.
pub(crate) fn contacts_of(health: &Health) -> usize {
    health.contacts.iter().map(|(_, contacts)| contacts).sum()
}
