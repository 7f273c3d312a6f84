//! Connections of each source, clients or not.

use core::net::IpAddr;

use super::limits::Limits;
use crate::by_source::{BySource, Counted};

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

impl Connections {
    pub(super) fn new(limits: &Limits, proxies: Vec<IpAddr>) -> Self {
        Self { limits: limits.clone(), proxies, by_source: BySource::default() }
    }

    /// Counts a connection, if its source may have one more.
    pub(super) fn enter(&self, ip: IpAddr) -> Option<Counted> {
        let ip = ip.to_canonical();
        if !self.limits.count(ip) || self.proxies.contains(&ip) {
            return Some(Counted::default());
        }
        self.by_source.enter(ip, self.limits.clients_per_source + BESIDES)
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
        let mut held: Vec<_> = (0..3 + BESIDES).filter_map(|_| enter("8.8.8.8")).collect();
        assert_eq!(held.len(), 2 + BESIDES);
        for spared in ["127.0.0.1", "::ffff:192.168.1.1", "9.9.9.9"] {
            held.extend((0..100).filter_map(|_| enter(spared)));
        }
        assert_eq!(held.len(), 2 + BESIDES + 300);
    }
}
