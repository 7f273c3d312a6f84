//! One servent: its connections, and whom else it knows.

use kadlet_core::Instant;

use crate::classics::Host;

#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) to: Host,
    /// Opened from here: it is replaced if it is lost.
    pub(super) opened: bool,
    /// Whether nothing was heard since the last look.
    pub(super) silent: bool,
    /// Nothing that is sent now arrives before this.
    pub(super) clear: Instant,
}

#[derive(Clone, Default, Debug)]
pub(super) struct Servent {
    pub(super) links: Vec<Link>,
    /// Connections to be opened, and those being opened.
    pub(super) wanted: usize,
    pub(super) opening: usize,
    /// Whether it waits for the host cache.
    pub(super) asking: bool,
    /// Whether it has flooded a PING.
    pub(super) pinged: bool,
    /// Others' addresses; the oldest is overwritten.
    pub(super) cache: Vec<Host>,
    pub(super) oldest: usize,
    /// Bytes sent and received.
    pub(super) traffic: u64,
    /// GUIDs remembered.
    pub(super) descriptors: u64,
}

impl Servent {
    pub(super) fn knows(&self, place: u32) -> bool {
        self.links.iter().any(|link| link.to.place == place)
    }

    pub(super) fn link(&mut self, place: u32) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.to.place == place)
    }

    pub(super) fn opened(&self) -> usize {
        self.links.iter().filter(|link| link.opened).count()
    }

    /// A new connection; one to an earlier machine at the same place is dead.
    pub(super) fn connect(&mut self, to: Host, opened: bool) {
        self.links.retain(|link| link.to.place != to.place);
        self.links.push(Link { to, opened, silent: false, clear: Instant::EPOCH });
    }

    pub(super) fn learn(&mut self, host: Host, limit: usize) {
        if self.cache.len() < limit {
            if !self.cache.contains(&host) {
                self.cache.push(host);
            }
        } else if let Some(oldest) = self.cache.get_mut(self.oldest % limit.max(1)) {
            *oldest = host;
            self.oldest += 1;
        }
    }
}
