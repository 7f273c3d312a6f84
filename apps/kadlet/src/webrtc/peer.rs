//! One connection to one peer: made by an offer and an answer, two channels, and its end.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::task::Context;
use core::time::Duration;
use std::time::Instant;

use kadlet_core::{Id, Path};
use str0m::channel::{ChannelConfig, ChannelData, ChannelId, Reliability};
use str0m::config::Fingerprint;
use str0m::net::{Protocol, Transmit};
use str0m::{Candidate, Event, IceConnectionState, IceCreds, Input, Output, Rtc, RtcConfig};

use super::crypto;
use super::pieces::{self, Pieces, Room};
use super::sdp::{self, Description, Host, Kind, Setup};
use crate::files::channel::Shelves;

/// An attempt that has not come to a channel by then has failed: two signals may each wait for a
/// timeout.
const DIALLING: Duration = Duration::from_secs(15);

/// Who takes nothing of its answers for so long has gone, and others wait for the places.
const STALLED: Duration = Duration::from_secs(30);

/// Datagrams are dropped while so many bytes wait in the channels: they would come too late.
const BACKLOG: usize = 512 << 10;

/// The longest message that is taken, bytes: nobody here sends more than a quarter of it.
const LONGEST: u32 = 64 << 10;

/// Channels that a peer may open beside ours before its connection is closed.
const STRAY: u32 = 8;

/// The channel of datagrams, and that of files: agreed beforehand.
const DATAGRAMS: u16 = 0;
const PIECES: u16 = 1;

/// What a connection has to say.
pub(super) enum Said {
    /// A packet to be sent.
    Transmit(Transmit),
    /// A datagram of the network.
    Datagram(Vec<u8>),
    /// The channel is there, and the peer where it says it is.
    Opened,
}

/// One peer.
pub(super) struct Peer {
    pub(super) id: Id,
    /// Where it is in the network: datagrams for this address take the channel.
    pub(super) path: Path,
    pub(super) session: String,
    /// Whether we made the offer.
    pub(super) offered: bool,
    pub(super) open: bool,
    /// Whether it ever was open.
    pub(super) opened: bool,
    /// The password of the peer's half of the exchange, once that is there.
    pub(super) told: Option<String>,
    /// It is closed; what it still has to say is a farewell.
    pub(super) over: bool,
    pub(super) pieces: Pieces,
    rtc: Rtc,
    datagrams: ChannelId,
    ordered: ChannelId,
    /// Whether the channel of datagrams would take some.
    ready: bool,
    /// Where we are reached, and as what the outside sees that.
    local: SocketAddr,
    outside: Option<SocketAddr>,
    /// When the attempt has failed.
    limit: Instant,
    /// When str0m wants to be called.
    wake: Instant,
    stray: u32,
    /// Since when the peer takes nothing of what waits for it.
    stalled: Option<Instant>,
}

impl Peer {
    /// A connection over the link by which the peer is known, which is reached at the first address
    /// and seen from outside as the second.
    pub(super) fn new(
        id: Id,
        path: Path,
        session: String,
        offered: bool,
        (local, outside): (SocketAddr, Option<SocketAddr>),
        now: Instant,
    ) -> Self {
        let mut rtc = RtcConfig::new()
            .set_crypto_provider(crypto::provider())
            .set_sctp_max_buffered_amount(BACKLOG)
            .set_sctp_max_message_size(LONGEST)
            .build(now);
        let outside = outside.filter(|outside| *outside != local);
        let reflexive = |outside| Candidate::server_reflexive(outside, local, Protocol::Udp).ok();
        let host = Candidate::host(local, Protocol::Udp).ok();
        for candidate in host.into_iter().chain(outside.and_then(reflexive)) {
            rtc.add_local_candidate(candidate);
        }
        let mut api = rtc.direct_api();
        api.set_ice_controlling(offered);
        let datagrams = api.create_data_channel(ChannelConfig {
            label: "datagrams".to_owned(),
            ordered: false,
            reliability: Reliability::MaxRetransmits { retransmits: 0 },
            negotiated: Some(DATAGRAMS),
            protocol: String::new(),
        });
        let ordered = api.create_data_channel(ChannelConfig {
            label: "pieces".to_owned(),
            negotiated: Some(PIECES),
            ..ChannelConfig::default()
        });
        Self {
            id,
            path,
            session,
            offered,
            open: false,
            opened: false,
            told: None,
            over: false,
            pieces: Pieces::default(),
            rtc,
            datagrams,
            ordered,
            ready: false,
            local,
            outside,
            limit: now + DIALLING,
            wake: now,
            stray: 0,
            stalled: None,
        }
    }

    /// What we have to tell the peer: our half of the exchange.
    pub(super) fn describe(&mut self, kind: Kind) -> Description {
        let api = self.rtc.direct_api();
        let IceCreds { ufrag, pass } = api.local_ice_credentials();
        let mut fingerprint = [0; 32];
        for (to, from) in fingerprint.iter_mut().zip(&api.local_dtls_fingerprint().bytes) {
            *to = *from;
        }
        let candidate = |address: SocketAddr, reflexive, priority| sdp::Candidate {
            reflexive,
            host: Host::Ip(address.ip()),
            port: address.port(),
            priority,
        };
        // The highest of their kind (RFC 8445, section 5.1.2). Below 1024 is no port for a peer.
        let candidates = core::iter::once(candidate(self.local, false, 2_130_706_431))
            .chain(self.outside.map(|outside| candidate(outside, true, 1_694_498_815)))
            .filter(|it| it.port >= 1024)
            .collect();
        Description {
            kind,
            session: self.session.clone(),
            ufrag,
            pwd: pass,
            fingerprint,
            setup: if kind == Kind::Offer { Setup::ActPass } else { Setup::Active },
            candidates,
        }
    }

    /// Takes the peer's half of the exchange. Whoever offered waits for the other to begin, unless
    /// that one wants to be waited for.
    pub(super) fn listen(&mut self, said: &Description) {
        self.told = Some(said.pwd.clone());
        for (address, candidate) in said.permitted(self.path.remote) {
            // Written anew, of nothing but what was read.
            let kind = if candidate.reflexive { "srflx" } else { "host" };
            let (ip, port, priority) = (address.ip(), address.port(), candidate.priority);
            let mut line = format!("candidate:1 1 udp {priority} {ip} {port} typ {kind}");
            if candidate.reflexive {
                line += " raddr 0.0.0.0 rport 9";
            }
            if let Ok(candidate) = Candidate::from_sdp_string(&line) {
                self.rtc.add_remote_candidate(candidate);
            }
        }
        let active = said.setup != Setup::Active;
        let mut api = self.rtc.direct_api();
        api.set_remote_ice_credentials(IceCreds {
            ufrag: said.ufrag.clone(),
            pass: said.pwd.clone(),
        });
        api.set_remote_fingerprint(Fingerprint {
            hash_func: "sha-256".to_owned(),
            bytes: said.fingerprint.to_vec(),
        });
        if api.start_dtls(active).is_err() {
            return self.abandon();
        }
        api.start_sctp(active);
    }

    /// Whether a packet is of this connection.
    pub(super) fn accepts(&self, input: &Input<'_>) -> bool {
        self.rtc.accepts(input)
    }

    /// Time has come, if it has.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if !self.over && self.limit().is_some_and(|limit| now >= limit) {
            self.close();
        }
        if now >= self.wake {
            self.input(Input::Timeout(now));
        }
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        if self.rtc.handle_input(input).is_err() {
            self.abandon();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted.
    pub(super) fn deadline(&self) -> Instant {
        let limit = self.limit().filter(|_| !self.over);
        limit.map_or(self.wake, |limit| limit.min(self.wake))
    }

    #[cfg(test)]
    pub(super) const fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }

    /// When the attempt has failed, or the peer has gone without a word.
    fn limit(&self) -> Option<Instant> {
        if self.open { self.stalled.map(|since| since + STALLED) } else { Some(self.limit) }
    }

    /// Everything that the connection has to say now.
    pub(super) fn poll(&mut self) -> Vec<Said> {
        let mut out = Vec::new();
        while self.rtc.is_alive() {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.wake = at;
                    return out;
                }
                Ok(Output::Transmit(transmit)) => out.push(Said::Transmit(transmit)),
                Ok(Output::Event(event)) => self.event(event, &mut out),
                Err(_) => self.abandon(),
            }
        }
        self.over = true;
        out
    }

    fn event(&mut self, event: Event, out: &mut Vec<Said>) {
        match event {
            Event::ChannelOpen(id, _) if id == self.datagrams => {
                self.ready = true;
                self.open_if_proven(out);
            }
            Event::ChannelOpen(id, _) if id == self.ordered => self.prove(),
            Event::ChannelOpen(id, _) => self.strayed(id),
            Event::ChannelData(ChannelData { id, binary: true, data }) if id == self.datagrams => {
                // Before the proof it could come from anywhere.
                out.extend(self.open.then_some(Said::Datagram(data)));
            }
            Event::ChannelData(ChannelData { id, binary: true, data }) if id == self.ordered => {
                let IceCreds { pass, .. } = self.rtc.direct_api().local_ice_credentials();
                if !self.pieces.came(&data, &pass) {
                    return self.close();
                }
                self.open_if_proven(out);
            }
            Event::ChannelData(ChannelData { id, .. }) => self.strayed(id),
            Event::ChannelClose(id) if id == self.datagrams || id == self.ordered => self.close(),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => self.close(),
            Event::Closed => self.over = true,
            _ => {}
        }
    }

    /// Shows the peer that we receive what is sent to our address: the password that it sent there
    /// and told nobody else.
    fn prove(&mut self) {
        let Some(password) = &self.told else { return };
        let channel = self.rtc.channel(self.ordered);
        let shown = channel.map(|mut channel| channel.write(true, &pieces::proof(password)));
        if !matches!(shown, Some(Ok(true))) {
            self.close();
        }
    }

    /// Who has shown our password receives what is sent to its address: from here on the channel
    /// stands for that address.
    fn open_if_proven(&mut self, out: &mut Vec<Said>) {
        if self.ready && self.pieces.proven && !self.open && !self.over {
            self.open = true;
            self.opened = true;
            out.push(Said::Opened);
        }
    }

    /// A channel that was not agreed, or what is none of ours to read.
    fn strayed(&mut self, id: ChannelId) {
        self.stray += 1;
        if self.stray > STRAY {
            return self.close();
        }
        if id != self.datagrams && id != self.ordered {
            self.rtc.direct_api().close_data_channel(id);
        }
    }

    /// Whether the channel took the datagram or dropped it; false: there is no channel.
    pub(super) fn send(&mut self, datagram: &[u8]) -> bool {
        if !self.open || self.over {
            return false;
        }
        // One that finds no room is lost, as it would be on the way.
        let channel = self.rtc.channel(self.datagrams);
        channel.is_some_and(|mut channel| channel.write(true, datagram).is_ok())
    }

    /// Looks at what was asked, and sends what waits on the channel of files, as far as there is
    /// room.
    pub(super) fn pump(
        &mut self,
        shelves: Option<&Arc<Shelves>>,
        cx: &mut Context<'_>,
        now: Instant,
    ) {
        if !self.open || self.over {
            return;
        }
        self.pieces.answer(shelves);
        let Some(mut channel) = self.rtc.channel(self.ordered) else { return };
        match self.pieces.pump(cx, &mut channel) {
            Ok(Room::Enough) => self.stalled = None,
            Ok(Room::Some) => self.stalled = Some(now),
            Ok(Room::None) => self.stalled = self.stalled.or(Some(now)),
            Err(_) => self.close(),
        }
    }

    /// Says farewell. What was asked and answered is over at once.
    pub(super) fn close(&mut self) {
        self.over = true;
        self.open = false;
        self.pieces.close();
        if self.rtc.close().is_err() {
            self.rtc.disconnect();
        }
    }

    /// What str0m cannot go on with.
    fn abandon(&mut self) {
        self.over = true;
        self.open = false;
        self.pieces.close();
        self.rtc.disconnect();
    }
}

#[cfg(test)]
impl Peer {
    /// What no peer of ours does.
    pub(super) fn open_another(&mut self) {
        self.rtc.direct_api().create_data_channel(ChannelConfig::default());
    }

    /// Sends these bytes on the channel of files.
    pub(super) fn send_piece(&mut self, bytes: &[u8]) {
        let mut channel = self.rtc.channel(self.ordered).expect("open");
        assert!(channel.write(true, bytes).expect("open"));
    }
}
