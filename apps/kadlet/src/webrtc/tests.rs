//! Two ends without sockets: what one gives is handed to the other, and time stands still.

use super::*;
use crate::Content;
use kadlet_core::content::{HashList, HashListBuilder};
use serde_json::Value;

const LONGEST: usize = 1232;

fn id(number: u8) -> Id {
    Id::new([number; 20])
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, number], 4000))
}

fn path(number: u8) -> Path {
    Path { link: LinkId(0), remote: address(number) }
}

fn contact(number: u8) -> Contact {
    Contact { path: path(number), ..Contact::new(id(number), address(number)) }
}

fn channels(number: u8) -> Channels {
    Channels::new(id(number), true, LONGEST, [(LinkId(0), address(number))].into_iter())
}

/// Hands packets and signals to and fro until both are silent; datagrams that came for the second.
fn settle(ends: &mut [Channels; 2], now: Instant) -> Vec<Vec<u8>> {
    settle_with(ends, now, &|_| {})
}

/// The same, with a first end that `is` something else after each signal that it gets.
fn settle_with(ends: &mut [Channels; 2], now: Instant, is: &dyn Fn(&mut Channels)) -> Vec<Vec<u8>> {
    settle_where(ends, now, is, &|_, _| true)
}

/// The same, where not every packet of an end arrives.
fn settle_where(
    ends: &mut [Channels; 2],
    now: Instant,
    is: &dyn Fn(&mut Channels),
    arrives: &dyn Fn(usize, &[u8]) -> bool,
) -> Vec<Vec<u8>> {
    let mut heard = Vec::new();
    for _ in 0..100_000 {
        let mut silent = true;
        for from in [0, 1] {
            let to = 1 - from;
            ends[from].poll(&mut Context::from_waker(Waker::noop()), now);
            while let Some(out) = ends[from].next() {
                silent = false;
                let number = u8::try_from(from).expect("two") + 1;
                match out {
                    Out::Transmit(transmit) if transmit.path != path(3 - number) => {}
                    Out::Transmit(transmit) if !arrives(from, &transmit.payload) => {}
                    Out::Transmit(transmit) => {
                        ends[to].takes(LinkId(0), address(number), &transmit.payload, now);
                    }
                    Out::Signal { at, payload, .. } => {
                        assert_eq!(at, path(3 - number));
                        ends[to].signalled(contact(number), &payload, now);
                        is(&mut ends[0]);
                    }
                    Out::Datagram(_, datagram) if from == 1 => heard.push(datagram),
                    Out::Datagram(..) => {}
                }
            }
        }
        if silent {
            return heard;
        }
    }
    panic!("they do not come to rest");
}

/// Two ends with a channel, and the time by then.
fn linked() -> ([Channels; 2], Instant) {
    let mut ends = [channels(1), channels(2)];
    let mut now = Instant::now();
    let (done, _wait) = oneshot::channel();
    ends[0].wish(Wish::Dial(id(2), path(2), done), now);
    for _ in 0..1_000 {
        settle(&mut ends, now);
        if ends.iter().all(|end| end.open.len() == 1) {
            return (ends, now);
        }
        now += Duration::from_millis(10);
    }
    panic!("no channel comes about");
}

#[test]
fn a_datagram_is_one_message_and_a_longer_one_is_none() {
    let (mut ends, now) = linked();
    for length in [1, 100, LONGEST, LONGEST + 1] {
        let sent = Transmit { path: path(2), payload: vec![0xfe; length] };
        assert!(ends[0].send(&sent));
    }
    let heard: Vec<usize> = settle(&mut ends, now).iter().map(Vec::len).collect();
    assert_eq!(heard, [1, 100, LONGEST]);
    // For others there is no channel.
    assert!(!ends[0].send(&Transmit { path: path(3), payload: vec![0xfe] }));
}

#[test]
fn a_peer_that_opens_ten_thousand_channels_is_cut_off() {
    let (mut ends, mut now) = linked();
    let mut opened = 0;
    while opened < 10_000
        && let Some(peer) = ends[0].peers.values_mut().next()
    {
        peer.open_another();
        opened += 1;
        settle(&mut ends, now);
        now += Duration::from_millis(10);
    }
    // The ninth that was not agreed; one more may be on its way.
    assert!((9..=12).contains(&opened), "{opened}");
    assert!(ends[1].peers.is_empty() && ends[1].open.is_empty());
    assert!(!ends[1].send(&Transmit { path: path(1), payload: vec![0xfe] }));
}

#[test]
fn a_peer_that_sends_what_is_no_message_is_cut_off() {
    let (mut ends, now) = linked();
    let peer = ends[0].at(address(2)).expect("linked");
    peer.send_piece(&[9, 0, 0, 0, 0]);
    settle(&mut ends, now);
    assert!(ends[1].peers.is_empty());
}

/// Two ends of which the first shows this instead of the second one's password; half a minute
/// later. Datagrams that the first sent all the while, and how many of them were handed up.
/// What it asks for is not answered.
fn linked_showing(shown: Option<&str>) -> ([Channels; 2], u32, usize) {
    let mut ends = [channels(1), channels(2)];
    let mut now = Instant::now();
    let (done, _wait) = oneshot::channel();
    ends[0].wish(Wish::Dial(id(2), path(2), done), now);
    let (to, mut frames) = mpsc::unbounded_channel();
    let (mut sent, mut heard) = (0, 0);
    for _ in 0..3_000 {
        let heard_now = settle_with(&mut ends, now, &|first| {
            for peer in first.peers.values_mut().filter(|peer| peer.told.is_some()) {
                peer.told = shown.map(str::to_owned);
            }
        });
        heard += heard_now.len();
        now += Duration::from_millis(10);
        // The first has seen what it asked for, and takes the channel for open.
        sent += u32::from(ends[0].send(&Transmit { path: path(2), payload: vec![0xfe] }));
        if sent == 1 {
            let (to, remote, path) = (to.clone(), address(2), "/blake3/".to_owned());
            ends[0].wish(Wish::Ask { remote, path, range: None, room: 99, to }, now);
        }
    }
    assert!(frames.try_recv().is_err());
    (ends, sent, heard)
}

#[test]
fn who_does_not_show_our_password_gets_no_channel() {
    for shown in [None, Some(""), Some("pppppppppppppppppppppp")] {
        let (ends, sent, heard) = linked_showing(shown);
        assert!(shown.is_some() || sent > 100, "{sent}");
        assert_eq!(heard, 0, "{shown:?}");
        let stats = ends[1].stats;
        assert_eq!((stats.accepted, stats.opened, stats.failed), (1, 0, 1), "{shown:?}");
        assert!(ends.iter().all(|end| end.peers.is_empty() && end.open.is_empty()));
    }
}

#[test]
fn a_password_may_be_shown_twice_and_another_one_closes() {
    let (mut ends, now) = linked();
    let peer = ends[0].at(address(2)).expect("linked");
    let right = pieces::proof(peer.told.as_ref().expect("the answer is there"));
    peer.send_piece(&right);
    settle(&mut ends, now);
    assert!(ends[1].send(&Transmit { path: path(1), payload: vec![0xfe] }));
    ends[0].at(address(2)).expect("linked").send_piece(&pieces::proof("another"));
    settle(&mut ends, now);
    assert!(ends[1].peers.is_empty() && ends[1].open.is_empty());
}

/// Zeros.
struct Zeros(HashList);

impl Content for Zeros {
    fn list(&self) -> &HashList {
        &self.0
    }

    fn read(&self, range: Range<u64>) -> std::io::Result<Vec<u8>> {
        Ok(vec![0; usize::try_from(range.end - range.start).expect("a piece")])
    }
}

#[tokio::test]
async fn who_takes_nothing_of_its_answers_loses_the_places() {
    const SIZE: usize = 4 << 20;
    let mut builder = HashListBuilder::new();
    builder.update(&vec![0; SIZE]);
    let content = Arc::new(Zeros(builder.finish()));
    let path_of_it = format!("/blake3/{}", content.0.id());
    for takes in [true, false] {
        let (mut ends, mut now) = linked();
        let shelves = Arc::new(Shelves::of(Arc::<Zeros>::clone(&content)));
        let all = shelves.places();
        ends[1].wish(Wish::Serve(Arc::clone(&shelves)), now);
        let (to, mut frames) = mpsc::unbounded_channel();
        let room = SIZE as u64;
        let ask = Wish::Ask {
            remote: address(2),
            path: path_of_it.clone(),
            range: Some(0..room),
            room,
            to,
        };
        ends[0].wish(ask, now);
        // Checks of the way arrive (RFC 7983), and nothing else of the second one's.
        let arrives = |from: usize, packet: &[u8]| {
            takes || from == 0 || matches!(packet.first(), Some(0..=3))
        };
        let mut taken = 0;
        let begun = now;
        // Reading takes real time, in which the clock of the two stands still until it is through.
        for _ in 0..1_000_000 {
            if taken == SIZE || ends[1].open.is_empty() {
                break;
            }
            settle_where(&mut ends, now, &|_| {}, &arrives);
            while let Ok(frame) = frames.try_recv() {
                if let Frame::Data(bytes) = frame {
                    taken += bytes.len();
                }
            }
            let stalls = ends[1].peers.values().all(Peer::is_stalled);
            if takes || stalls {
                now += Duration::from_millis(10);
            }
            tokio::task::yield_now().await;
        }
        let took = now - begun;
        assert_eq!((taken == SIZE, ends[1].open.len()), (takes, usize::from(takes)));
        assert!(takes || (30..60).contains(&took.as_secs()), "{took:?}");
        assert!(takes || shelves.places() == all);
        // Who asks for nothing is not held against it.
        let end = now + Duration::from_secs(40);
        while takes && now < end {
            settle(&mut ends, now);
            now += Duration::from_millis(10);
        }
        assert_eq!((ends[1].open.len(), shelves.places()), (usize::from(takes), all));
    }
}

/// Goes on until `done`, and checks that the first end's datagrams take a channel at the second
/// all the while.
fn go_on(
    ends: &mut [Channels; 2],
    now: &mut Instant,
    done: impl Fn(&mut [Channels; 2], Instant) -> bool,
) {
    for _ in 0..3_000 {
        settle(ends, *now);
        assert!(ends[1].send(&Transmit { path: path(1), payload: vec![0xfe] }));
        if done(ends, *now) {
            return;
        }
        *now += Duration::from_millis(10);
    }
    panic!("it never comes to that");
}

#[test]
fn an_open_channel_stays_until_the_one_that_was_offered_is_open() {
    let (mut ends, mut now) = linked();
    now += OFFER_EVERY;
    let first = ends[1].open[&path(1)];
    // A stranger offers in the name of the first, to where that one is, which knows nothing of it.
    let made_up = String::from_utf8(offer(7)).expect("ASCII").replace(" 5000 ", " 4000 ");
    ends[1].signalled(contact(1), made_up.as_bytes(), now);
    assert_eq!((ends[1].stats.accepted, ends[1].peers.len()), (2, 2));
    go_on(&mut ends, &mut now, |ends, _| ends[1].stats.failed == 1);
    assert_eq!((ends[0].stats.refused, ends[1].open[&path(1)]), (1, first));
    assert!(ends[0].send(&Transmit { path: path(2), payload: vec![0xfe] }));
    assert_eq!(settle(&mut ends, now).len(), 1);
    // The first has lost its channel, and offers itself.
    ends[0] = channels(1);
    let (done, mut wait) = oneshot::channel();
    ends[0].wish(Wish::Dial(id(2), path(2), done), now);
    go_on(&mut ends, &mut now, |ends, _| ends[1].open[&path(1)] != first);
    go_on(&mut ends, &mut now, |ends, _| ends[0].open.len() == 1);
    assert_eq!((ends[1].stats.opened, ends[1].peers.len(), ends[1].open.len()), (2, 1, 1));
    assert_eq!(wait.try_recv(), Ok(true));
    // What the older one had to say at its end disturbs nobody.
    let end = now + Duration::from_secs(20);
    go_on(&mut ends, &mut now, |_, now| now > end);
    assert!(ends[0].send(&Transmit { path: path(2), payload: vec![0xfe] }));
    assert_eq!(settle(&mut ends, now).len(), 1);
}

/// Ids are free: who is elsewhere under the same takes nothing away.
#[test]
fn a_channel_stays_when_its_id_comes_from_another_address() {
    let (mut ends, now) = linked();
    let first = ends[1].open[&path(1)];
    let mut other =
        ends[1].connect(id(1), path(3), String::new(), false, now).expect("there is a link");
    other.open = true;
    let number = ends[1].next;
    ends[1].add(other);
    ends[1].began(number, path(3));
    assert_eq!(ends[1].open, BTreeMap::from([(path(1), first), (path(3), number)]));
    assert!(ends[0].send(&Transmit { path: path(2), payload: vec![0xfe] }));
    assert_eq!(settle(&mut ends, now).len(), 1);
    // And who is looked for at one address is not said to be there for being at another.
    let (done, mut wait) = oneshot::channel();
    ends[1].wish(Wish::Dial(id(1), path(5), done), now);
    assert_eq!((ends[1].stats.offered, wait.try_recv().is_err()), (1, true));
}

#[test]
fn an_offer_that_may_take_a_channel_s_place_needs_no_other_but_one_among_the_attempts() {
    let (mut ends, mut now) = linked();
    now += OFFER_EVERY;
    let first = ends[1].open[&path(1)];
    for number in 2..=u8::try_from(OTHERS_DIALS).expect("few") + 1 {
        ends[1].signalled(contact(number + 1), &offer(u64::from(number)), now);
    }
    assert_eq!(ends[1].stats.accepted, 1 + OTHERS_DIALS as u64);
    ends[1].signalled(contact(1), &offer(7), now);
    assert_eq!((ends[1].stats.refused, ends[1].open[&path(1)]), (1, first));
    // As many channels as there may be, the first one among them.
    let (mut ends, mut now) = linked();
    now += OFFER_EVERY;
    for number in 10..9 + u8::try_from(MAX_CHANNELS).expect("few") {
        let other = contact(number);
        let session = String::new();
        let mut peer = ends[1].connect(other.id, other.path, session, false, now).expect("a link");
        peer.open = true;
        ends[1].add(peer);
    }
    ends[1].signalled(contact(3), &offer(7), now);
    assert_eq!((ends[1].stats.accepted, ends[1].stats.refused), (1, 1));
    ends[1].signalled(contact(1), &offer(7), now);
    assert_eq!((ends[1].stats.accepted, ends[1].stats.refused), (2, 1));
}

fn signal(kind: &str, session: &str) -> Vec<u8> {
    let (pwd, fingerprint) = ("p".repeat(22), "0".repeat(64));
    let setup = if kind == "offer" { "actpass" } else { "active" };
    let text = format!(
        "kadlet-rtc.2 {kind} {session}\nice abcd {pwd}\nfingerprint {fingerprint}\n\
         setup {setup}\nhost 127.0.0.1 5000 1"
    );
    text.into_bytes()
}

fn offer(session: u64) -> Vec<u8> {
    signal("offer", &format!("{session:016x}"))
}

/// What the page's side is tested with as well.
#[test]
fn attempts_are_made_and_taken_as_the_vectors_say() {
    let all: Value =
        serde_json::from_str(include_str!("../../../../docs/webrtc.json")).expect("JSON");
    for scenario in all["attempts"].as_array().expect("a list") {
        attempt(scenario);
    }
}

fn attempt(scenario: &Value) {
    let number = |of: &Value| u8::try_from(of.as_u64().expect("a number")).expect("a byte");
    let mut ours = channels(number(&scenario["own"]));
    let epoch = Instant::now();
    // The sessions of what was said last, by us and by the peers.
    let mut said: BTreeMap<(u8, Kind), String> = BTreeMap::new();
    let mut theirs: BTreeMap<u8, String> = BTreeMap::new();
    let mut waits = Vec::new();
    for (at, step) in scenario["steps"].as_array().expect("a list").iter().enumerate() {
        let why = format!("{}, step {at}", scenario["why"]);
        let (what, peer) = (step["do"].as_str().expect("text"), number(&step["peer"]));
        let now = epoch + Duration::from_millis(step["at"].as_u64().expect("a number"));
        let mut cx = Context::from_waker(Waker::noop());
        ours.poll(&mut cx, now);
        let before = ours.stats;
        match what {
            "dial" => {
                let (done, wait) = oneshot::channel();
                waits.push(wait);
                ours.wish(Wish::Dial(id(peer), path(peer), done), now);
            }
            "offer" => {
                let session = format!("{at:016x}");
                ours.signalled(contact(peer), &signal("offer", &session), now);
                theirs.insert(peer, session);
            }
            "answer" => {
                let session = match step["to"].as_str() {
                    Some("ours") => said[&(peer, Kind::Offer)].clone(),
                    Some("theirs") => theirs[&peer].clone(),
                    _ => "f".repeat(16),
                };
                ours.signalled(contact(peer), &signal("answer", &session), now);
            }
            _ => {
                let kind = if step["what"] == "offer" { Kind::Offer } else { Kind::Answer };
                ours.unheard(id(peer), &said[&(peer, kind)]);
            }
        }
        ours.poll(&mut cx, now);
        while let Some(out) = ours.next() {
            if let Out::Signal { to, session, payload, .. } = out {
                let kind = Description::decode(&payload).expect("ours").kind;
                said.insert((to.as_bytes()[0], kind), session);
            }
        }
        let taken = u64::from(step["taken"] == true);
        let offered = ours.stats.offered - before.offered;
        let accepted = ours.stats.accepted - before.accepted;
        let refused = ours.stats.refused - before.refused;
        let failed = ours.stats.failed - before.failed;
        let expected = match what {
            "dial" => (taken, 0, 0, 0),
            "offer" => (0, taken, 1 - taken, 0),
            "answer" => (0, 0, 1 - taken, 0),
            _ => (0, 0, 0, taken),
        };
        assert_eq!((offered, accepted, refused, failed), expected, "{why}");
    }
}

#[test]
fn offers_that_lead_nowhere_find_few_places_and_lose_them() {
    let mut ours = channels(1);
    let mut now = Instant::now();
    for round in 1..=8 {
        for number in 2..60 {
            ours.signalled(contact(number), &offer(u64::from(number)), now);
            // At once again is too soon.
            ours.signalled(contact(number), &offer(u64::from(number)), now);
        }
        let all = round * OTHERS_DIALS as u64;
        assert_eq!((ours.peers.len(), ours.stats.accepted), (OTHERS_DIALS, all));
        now += Duration::from_secs(16);
        ours.poll(&mut Context::from_waker(Waker::noop()), now);
        assert_eq!((ours.peers.len(), ours.stats.failed), (0, all));
    }
    // Who does not hold channels takes no offer at all.
    let mut closed = channels(1);
    closed.accepts = false;
    closed.signalled(contact(2), &offer(1), now);
    assert_eq!((closed.stats.accepted, closed.stats.refused), (0, 1));
}

#[test]
fn others_leave_half_of_the_attempts_to_us() {
    let mut ours = channels(200);
    let now = Instant::now();
    for number in 2..60 {
        ours.signalled(contact(number), &offer(u64::from(number)), now);
    }
    let mut waits = Vec::new();
    for number in 100..110 {
        let (done, wait) = oneshot::channel();
        ours.wish(Wish::Dial(id(number), path(number), done), now);
        waits.push(wait);
    }
    let made = (ours.stats.accepted, ours.stats.offered);
    assert_eq!(made, (OTHERS_DIALS as u64, (DIALS - OTHERS_DIALS) as u64));
    // One of them dials as well, and its offer stands.
    ours.signalled(contact(100), &offer(100), now);
    assert_eq!((ours.stats.accepted, ours.peers.len()), (OTHERS_DIALS as u64 + 1, DIALS));
}

/// Ids are free.
#[test]
fn many_ids_of_one_address_find_few_places() {
    let at = |third: u8, last: u8| SocketAddr::from(([8, 8, third, last], 4000));
    let own = SocketAddr::from(([9, 9, 9, 9], 4000));
    let mut ours = Channels::new(id(200), true, LONGEST, [(LinkId(0), own)].into_iter());
    let now = Instant::now();
    // Attempts come about as soon as they are made.
    for (first, accepted) in [(1, 2), (11, 4), (21, 4)] {
        for number in first..first + 10 {
            ours.signalled(Contact::new(id(number), at(8, number)), &offer(1), now);
        }
        assert_eq!(ours.stats.accepted, accepted);
        ours.peers.values_mut().for_each(|peer| peer.open = true);
    }
    ours.signalled(Contact::new(id(100), at(9, 1)), &offer(1), now);
    assert_eq!(ours.stats.accepted, 5, "another address");
    let (done, _wait) = oneshot::channel();
    ours.wish(Wish::Dial(id(101), Path::direct(at(8, 101)), done), now);
    assert_eq!(ours.stats.offered, 1, "we dial whom we like");
}

#[test]
fn both_dial_and_the_offer_of_the_lower_id_stands() {
    let mut ends = [channels(1), channels(2)];
    let mut now = Instant::now();
    let mut waits = Vec::new();
    for (from, to) in [(0, 2), (1, 1)] {
        let (done, wait) = oneshot::channel();
        ends[from].wish(Wish::Dial(id(to), path(to), done), now);
        waits.push(wait);
    }
    for _ in 0..1_000 {
        settle(&mut ends, now);
        if ends.iter().all(|end| end.open.len() == 1) {
            break;
        }
        now += Duration::from_millis(10);
    }
    assert!(waits.iter_mut().all(|wait| wait.try_recv() == Ok(true)));
    assert_eq!((ends[0].stats.refused, ends[1].stats.accepted), (1, 1));
    assert!(ends[0].at(address(2)).expect("open").offered);
    assert!(!ends[1].at(address(1)).expect("open").offered);
}

#[test]
fn what_is_no_packet_of_a_channel_is_the_network_s() {
    let (mut ends, now) = linked();
    for (first, takes) in [(0xfe, false), (b'd', false), (4, false), (19, false), (64, false)] {
        assert_eq!(ends[1].takes(LinkId(0), address(1), &[first; 40], now), takes);
    }
    // Without a channel nothing is.
    assert!(!channels(3).takes(LinkId(0), address(1), &[0; 20], now));
}
