//! Connections of each source, clients or not: places are few, and opening one costs nothing.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use kadlet_core::Prefix;

use super::limits::Limits;

/// Connections of one source beyond its clients. 64: ten pages being loaded, each over six.
const BESIDES: usize = 64;

/// How many connections each source has.
#[derive(Debug)]
pub(super) struct Connections {
    limits: Limits,
    /// They speak for everybody.
    proxies: Vec<IpAddr>,
    by_source: BySource,
}

type BySource = Arc<Mutex<BTreeMap<Prefix, usize>>>;

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Counted(Option<(BySource, Prefix)>);

impl Connections {
    pub(super) fn new(limits: &Limits, proxies: Vec<IpAddr>) -> Self {
        Self { limits: limits.clone(), proxies, by_source: BySource::default() }
    }

    /// Counts a connection, if its source may have one more.
    pub(super) fn enter(&self, ip: IpAddr) -> Option<Counted> {
        let ip = ip.to_canonical();
        if !self.limits.count(ip) || self.proxies.contains(&ip) {
            return Some(Counted(None));
        }
        let prefix = Prefix::of(ip);
        let mut all = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(prefix).or_default();
        if *count >= self.limits.clients_per_source + BESIDES {
            return None;
        }
        *count += 1;
        Some(Counted(Some((Arc::clone(&self.by_source), prefix))))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some((by_source, prefix)) = self.0.take() else { return };
        let mut all = by_source.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                all.remove(&prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_so_many_connections_at_once() {
        let limits = Limits { clients_per_source: 2, ..Limits::default() };
        let proxy = "9.9.9.9".parse().expect("an address");
        let connections = Connections::new(&limits, vec![proxy]);
        let enter = |ip: &str| connections.enter(ip.parse().expect("an address"));
        let mut held: Vec<_> = (0..2 + BESIDES).filter_map(|_| enter("8.8.8.8")).collect();
        assert_eq!(held.len(), 2 + BESIDES);
        assert!(enter("8.8.8.9").is_none() && enter("::ffff:8.8.8.9").is_none());
        assert!(enter("8.8.9.8").is_some(), "another source");
        held.pop();
        held.extend(enter("8.8.8.9"));
        assert!(held.len() == 2 + BESIDES && enter("8.8.8.8").is_none());
        for spared in ["127.0.0.1", "192.168.1.1", "9.9.9.9"] {
            held.extend((0..100).filter_map(|_| enter(spared)));
        }
        assert_eq!(held.len(), 2 + BESIDES + 300);
        drop(held);
        assert!(connections.by_source.lock().expect("not poisoned").is_empty());
    }
}
