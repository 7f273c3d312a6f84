//! What follows from right bytes, wrong bytes and no bytes: for the list, the file, and whoever sent
//! them.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::super::{Bitmap, HashList};
use super::schedule::TRIAL;
use super::{Fetch, FetchEvent, Rejection, RequestFailure, Task};
use crate::contact::{PackedAddr, Scope};

/// Whoever gave a right piece so short a time ago is not dropped because it is not reached: a line that
/// is gone for a moment, ours above all, makes everybody fail at once and would leave nobody. Who is
/// reached and breaks off, again and again, has the piece no more.
const OUTAGE: Duration = Duration::from_secs(60);

/// After so many wrong answers from ports of one machine none of its others is asked: ports cost nothing.
const LIES: usize = 3;

impl Fetch {
    /// Takes `list` for the true one.
    pub(super) fn adopt(&mut self, list: HashList) {
        self.have = Bitmap::new(list.pieces());
        self.claimed = self.have.clone();
        self.list = Some(list);
        self.next_exchange = self.now + TRIAL;
    }

    /// A list that hashes to the id came from `addr`: its last piece decides.
    pub(super) fn try_list(&mut self, addr: SocketAddr, list: HashList) {
        let Some(last) = list.pieces().checked_sub(1) else {
            // No piece, so no doubt: the id is that of the empty file.
            self.prove(addr, list);
            return self.finish_if_full();
        };
        if let Some(provider) = self.providers.get_mut(&addr) {
            provider.candidate = Some(list);
            self.start(addr, Task::Proof(last));
        }
    }

    /// `list` from `addr` is true; all other trials end without blame.
    pub(super) fn prove(&mut self, addr: SocketAddr, list: HashList) {
        let (size, pieces) = (list.size(), list.pieces());
        self.adopt(list);
        self.cancel_where(|_| true);
        for provider in self.providers.values_mut() {
            provider.candidate = None;
        }
        self.events.push_back(FetchEvent::ListVerified { provider: addr, size, pieces });
    }

    pub(super) fn piece_is_right(&mut self, addr: SocketAddr, index: u32) {
        let Some(provider) = self.providers.get_mut(&addr) else {
            return;
        };
        provider.delivered(self.now);
        if let Some(list) = provider.candidate.take() {
            self.prove(addr, list);
        }
        self.claimed.insert(index);
        if self.have.insert(index) {
            self.events.push_back(FetchEvent::PieceVerified { provider: addr, index });
        }
        self.cancel_where(|flight| flight.task == Task::Piece(index));
        self.finish_if_full();
    }

    pub(super) fn finish_if_full(&mut self) {
        if !self.over && self.list.is_some() && self.have.is_full() {
            self.over = true;
            self.cancel_where(|_| true);
            self.events.push_back(FetchEvent::Done);
        }
    }

    pub(super) fn fail_provider(&mut self, addr: SocketAddr, failure: RequestFailure) {
        let Some(provider) = self.providers.get_mut(&addr) else {
            return;
        };
        provider.failed(self.now, &self.config);
        // While others wait for a place, one failure is enough, unless it has shown its worth.
        let shown = provider.verified > 0;
        let is_away = matches!(
            failure,
            RequestFailure::Unreachable | RequestFailure::Silent | RequestFailure::Busy
        );
        let lately = shown && is_away && self.now.since(provider.last_verified) < OUTAGE;
        let patient = shown || self.waiting.is_empty();
        let keep = lately || patient && provider.failures < self.config.failures;
        if failure == RequestFailure::NotFound {
            self.drop_provider(addr, Rejection::NotFound);
        } else if !keep {
            self.drop_provider(addr, Rejection::Failing(failure));
        }
    }

    /// Whether a machine on the internet lied at as many of its ports as may.
    pub(super) fn is_liars(&self, addr: SocketAddr) -> bool {
        let lies =
            self.dropped.iter().filter(|(it, why)| why.is_lie() && is_one_machine(**it, addr));
        lies.take(LIES).count() == LIES
    }

    fn let_go(&mut self, provider: SocketAddr) {
        self.cancel_where(|flight| flight.provider == provider);
        self.providers.remove(&provider);
    }

    pub(super) fn drop_provider(&mut self, provider: SocketAddr, reason: Rejection) {
        self.let_go(provider);
        self.dropped.insert(provider, reason);
        if reason.is_lie() && self.is_liars(provider) {
            self.waiting.retain(|(it, _)| !is_one_machine(*it, provider));
            let others =
                self.providers.iter().filter(|(_, of)| of.verified == 0).map(|(it, _)| *it);
            let others: Vec<_> = others.filter(|it| is_one_machine(*it, provider)).collect();
            others.into_iter().for_each(|other| self.let_go(other));
        }
        self.events.push_back(FetchEvent::ProviderRejected { provider, reason });
    }
}

/// Whether both are ports of one machine on the internet. In an office or at home many share an address
/// and its owner is no stranger.
fn is_one_machine(one: SocketAddr, other: SocketAddr) -> bool {
    let machine = |addr| PackedAddr::from(addr).machine();
    Scope::of(one.ip()) == Some(Scope::Public) && machine(one) == machine(other)
}
