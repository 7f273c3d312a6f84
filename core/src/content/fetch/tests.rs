use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use super::*;
use world::{MIB, Manners, Peer, World, addr, file, list_of};

mod crowds;
mod world;

const FAST: u64 = 20 << 20;

fn honest() -> Peer {
    Peer::new(Manners::Honest, FAST, 20)
}

fn with(manners: Manners) -> Peer {
    Peer::new(manners, FAST, 20)
}

fn manners() -> impl Strategy<Value = Manners> {
    prop_oneof![
        Just(Manners::Honest),
        Just(Manners::Silent),
        (0..4_u32).prop_map(Manners::Vanishing),
        (0..4_u32).prop_map(Manners::Fading),
        Just(Manners::NotFound),
        Just(Manners::WrongList),
        Just(Manners::JoinedList),
        Just(Manners::WrongSize),
        (0..4_u32).prop_map(Manners::WrongPieces),
        Just(Manners::ShortPieces),
    ]
}

fn peer() -> impl Strategy<Value = Peer> {
    (manners(), 14..26_u32, 1..300_u64)
        .prop_map(|(manners, rate, latency)| Peer::new(manners, 1 << rate, latency))
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(MIB - 1),
        Just(MIB),
        Just(MIB + 1),
        Just(2 * MIB),
        Just(6 * MIB),
        (0..12 * MIB),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// One honest provider is enough, whatever the others are; nobody honest is called a liar, and
    /// no liar gets a wrong byte in or a second chance.
    #[test]
    fn one_honest_provider_is_enough(
        size in size(),
        size_known: bool,
        mut peers in prop::collection::vec(peer(), 0..10),
        at in any::<prop::sample::Index>(),
    ) {
        let content = file(size);
        peers.insert(at.index(peers.len() + 1), Peer::new(Manners::Honest, 1 << 20, 80));
        let mut world = World::new(content, size_known.then_some(size as u64), peers);
        world.find_all();
        world.run();
        prop_assert!(world.is_done(), "{:?}", world.events.last());
        prop_assert_eq!(world.output(), content);
        // 10 providers fail 4 times each, silent for 8 s, and 12 MiB pass a line of 1 MiB/s.
        prop_assert!(world.now < Instant::from_secs(400), "{:?}", world.now);
        for (who, peer) in &world.peers {
            prop_assert!(peer.rejected <= 1, "{who} lied twice");
            let reason = world.fetch.rejected().find(|(other, _)| other == who);
            let lied = reason.is_some_and(|(_, reason)| reason.is_lie());
            prop_assert!(!lied || peer.manners.is_lying(), "{who} {peer:?} {reason:?}");
        }
        for event in &world.events {
            if let FetchEvent::PieceVerified { provider, index } = event {
                let manners = world.peers[provider].manners;
                let start = *index as usize * MIB;
                let end = size.min(start + MIB);
                prop_assert_eq!(&world.written[index], &content[start..end], "{:?}", manners);
                prop_assert!(manners != Manners::ShortPieces && manners != Manners::WrongPieces(0));
            }
        }
    }

    /// Without anybody honest it ends too, and says why of everyone.
    #[test]
    fn without_anybody_honest_it_fails(bad in prop::collection::vec(peer(), 0..8)) {
        let bad: Vec<_> = bad
            .into_iter()
            .filter(|peer| peer.manners.is_lying() || peer.manners == Manners::Silent)
            .filter(|peer| !matches!(peer.manners, Manners::WrongPieces(1..)))
            .collect();
        let (count, size) = (bad.len(), 4 * MIB);
        let mut world = World::new(file(size), Some(size as u64), bad);
        world.find_all();
        world.run();
        let Some(FetchEvent::Failed { providers }) = world.events.last() else {
            return Err(TestCaseError::fail("no failure"));
        };
        prop_assert_eq!(providers.len(), count);
        prop_assert!(world.written.is_empty());
    }

    /// Only what is missing is asked for.
    #[test]
    fn a_resumed_fetch_asks_for_what_is_missing(
        had in prop::collection::btree_set(0..9_u32, 0..9),
        peers in prop::collection::vec(peer(), 0..3),
    ) {
        let content = file(8 * MIB + 5);
        let list = list_of(content);
        let mut have = Bitmap::new(list.pieces());
        had.iter().for_each(|index| assert!(have.insert(*index)));
        let config = FetchConfig::default();
        let fetch = Fetch::resume(config.clone(), list.clone(), have).expect("a fair set");
        let peers = peers.into_iter().chain([honest()]).collect();
        let mut world = World::around(config, fetch, content, list, peers);
        world.find_all();
        world.run();
        prop_assert!(world.is_done());
        prop_assert_eq!(world.written.len(), 9 - had.len());
        for (_, want) in &world.asked {
            let Want::Piece { index, .. } = want else {
                return Err(TestCaseError::fail("asked for a list it had"));
            };
            prop_assert!(!had.contains(index));
        }
        let note = world.fetch.resume_note().expect("a note");
        prop_assert!(note.have.is_full());
    }

    /// Whatever a host says in whatever order, nothing panics and no wrong byte is accepted.
    #[test]
    fn a_confused_host_does_no_harm(
        steps in prop::collection::vec((0..9_u8, 0..20_u64, 0..3_u8, 0..20_000_u64), 0..200),
    ) {
        let content = file(3 * MIB + 1);
        let list = list_of(content);
        let config = FetchConfig { known: 8, ..FetchConfig::default() };
        let mut fetch = Fetch::new(config, list.id(), None).expect("a fair size");
        let mut now = Instant::EPOCH;
        for (what, id, which, millis) in steps {
            now = Instant::from_millis(millis); // backwards too
            let request = RequestId(id);
            match what {
                0 | 1 => drop(fetch.provider_found(now, addr(id as u8), Id::ZERO)),
                2 => fetch.progressed(now, request, millis << 20),
                3 => {
                    let right = list.encode();
                    let bytes = if which == 0 { &right[1..] } else { &right };
                    let _ = fetch.list_received(now, request, bytes);
                }
                4 | 5 => {
                    let index = usize::from(which);
                    let bytes = &content[index * MIB..(index + 1) * MIB];
                    let right = fetch.verifier(request).is_some_and(|v| v.index() == index as u32);
                    let verdict = fetch.piece_received(now, request, bytes);
                    prop_assert!(right || verdict != Verdict::Accepted);
                }
                6 => fetch.request_failed(now, request, RequestFailure::Busy),
                7 => fetch.handle_timeout(now),
                _ => drop(fetch.piece_on_disk(now, u32::from(which))),
            }
            prop_assert!(fetch.have().count() <= 4);
        }
        while fetch.poll_request().is_some() || fetch.poll_event().is_some() {}
        fetch.handle_timeout(now);
    }
}

/// The same calls give the same answers.
#[test]
fn the_same_calls_give_the_same_answers() {
    let run = || {
        let peers =
            vec![with(Manners::WrongPieces(1)), honest(), with(Manners::Fading(2)), honest()];
        let mut world = World::new(file(10 * MIB), None, peers);
        world.find_all();
        world.run();
        (world.now, world.asked, world.events)
    };
    assert_eq!(run(), run());
}

#[test]
fn an_empty_file_needs_nobody() {
    for size in [None, Some(0)] {
        let fetch = Fetch::new(FetchConfig::default(), ContentId::of(b""), size);
        let mut fetch = fetch.expect("a fair size");
        assert_eq!(fetch.poll_event(), Some(FetchEvent::Done));
        assert!(fetch.is_over() && fetch.poll_timeout().is_none());
        assert!(!fetch.provider_found(Instant::EPOCH, addr(1), Id::ZERO));
    }
}

#[test]
fn sizes_and_sets_that_do_not_fit_are_refused() {
    let config = FetchConfig { max_size: 10, ..FetchConfig::default() };
    let id = ContentId::of(b"x");
    let error = Fetch::new(config, id, Some(11)).err();
    assert_eq!(error, Some(FetchError::TooLarge { size: 11, limit: 10 }));
    let error = Fetch::resume(FetchConfig::default(), list_of(file(9)), Bitmap::new(2)).err();
    assert_eq!(error, Some(FetchError::WrongBitmap { expected: 1, found: 2 }));
}

/// A list that was shortened by joining two pieces has the right root. Its giver cannot prove it,
/// and the honest provider that is found later is not blamed for pieces that do not match it.
#[test]
fn a_joined_list_is_found_out_before_anybody_is_blamed() {
    let mut world = World::new(file(4 * MIB), None, vec![with(Manners::JoinedList), honest()]);
    world.find_all();
    world.run();
    assert!(world.is_done());
    assert_eq!(world.rejection(1), Some(Rejection::WrongPiece { index: 2 }));
    assert_eq!(world.rejection(2), None);
}

/// The link's size is insisted on: who says otherwise is dropped, and is not called a liar.
#[test]
fn a_size_other_than_the_links_is_named() {
    let claimed = 3 * PIECE_LEN;
    // With the smallest, the list is longer than the host may read.
    for expected in [claimed + 7, claimed - 1, 1] {
        let mut world = World::new(file(3 * MIB), Some(expected), vec![honest(), honest()]);
        world.find_all();
        world.run();
        let reason = Rejection::WrongSize { expected, claimed };
        assert!(!reason.is_lie());
        let failed = FetchEvent::Failed { providers: vec![(addr(1), reason), (addr(2), reason)] };
        assert_eq!(world.events.last(), Some(&failed));
    }
    let config = FetchConfig { max_size: claimed - 1, ..FetchConfig::default() };
    let mut world = World::with(config, file(3 * MIB), None, vec![honest()]);
    world.find_all();
    world.run();
    let reason = Rejection::TooLarge { size: claimed, limit: claimed - 1 };
    assert_eq!(world.rejection(1), Some(reason));
    assert!(!reason.is_lie());
}

#[test]
fn nobody_at_all_is_a_failure_only_once_nobody_will_come() {
    let mut fetch = Fetch::new(FetchConfig::default(), ContentId::of(b"x"), None).expect("fair");
    fetch.handle_timeout(Instant::from_secs(1000));
    assert_eq!((fetch.poll_event(), fetch.poll_timeout()), (None, None));
    fetch.no_more_providers(Instant::from_secs(1000));
    assert_eq!(fetch.poll_event(), Some(FetchEvent::Failed { providers: vec![] }));
}

/// A liar costs one piece: it has one request in flight until a piece of it was verified.
#[test]
fn a_liar_is_dropped_at_its_first_piece() {
    let mut world = World::new(file(12 * MIB), None, vec![honest(), with(Manners::WrongPieces(0))]);
    world.find_all();
    while world.rejection(2).is_none() {
        assert!(world.step());
    }
    assert!(!world.fetch.is_over());
    assert!(!world.fetch.provider_found(world.now, addr(2), Id::ZERO), "it is not taken back");
    world.run();
    assert!(world.is_done());
    let liar = &world.peers[&addr(2)];
    assert_eq!((liar.sent, liar.rejected), (1, 1));
    assert!(matches!(world.rejection(2), Some(Rejection::WrongPiece { .. })));
}

/// The same when it was trusted with several: those in flight go to others.
#[test]
fn the_other_pieces_of_a_late_liar_go_to_others() {
    let config = FetchConfig::default();
    let peers = vec![with(Manners::WrongPieces(5)), Peer::new(Manners::Honest, 1 << 20, 20)];
    let mut world = World::with(config, file(16 * MIB), None, peers);
    world.find_all();
    world.run();
    assert!(world.is_done());
    assert_eq!(world.output(), file(16 * MIB));
    assert_eq!(world.peers[&addr(1)].rejected, 1);
    assert!(world.peers[&addr(1)].sent > 6, "several were in flight");
}

/// Work is shared by what each line carries.
#[test]
fn every_line_is_used() {
    let (count, size) = (4, 32 * MIB);
    let peers = vec![Peer::new(Manners::Honest, 4 << 20, 50); count];
    let mut world = World::new(file(size), Some(size as u64), peers);
    world.find_all();
    world.run();
    assert!(world.is_done());
    // 32 MiB over 16 MiB/s are 2 s; the proof of the list costs a piece and two round trips.
    assert!(world.now < Instant::from_millis(3_200), "{:?}", world.now);
    for peer in world.peers.values() {
        assert!((5..=13).contains(&peer.sent), "{}", peer.sent);
    }
}

/// Requests ahead hide the round trip: the window follows the measured rate.
#[test]
fn a_long_line_is_kept_full() {
    let size = 32 * MIB;
    let run = |per_provider| {
        let config = FetchConfig { in_flight_per_provider: per_provider, ..FetchConfig::default() };
        let peer = Peer::new(Manners::Honest, 8 << 20, 300);
        let mut world = World::with(config, file(size), Some(size as u64), vec![peer]);
        world.find_all();
        world.run();
        assert!(world.is_done());
        assert_eq!(world.most.0, per_provider as usize);
        world.now
    };
    assert!(run(4) < Instant::from_secs(6), "{:?}", run(4));
    assert!(run(1) > Instant::from_secs(13), "{:?}", run(1));
}

/// The end is not left to the slowest: its pieces are asked of the fastest too.
#[test]
fn the_last_pieces_come_from_the_fastest() {
    let size = 12 * MIB;
    let run = |copies| {
        let config = FetchConfig { copies, ..FetchConfig::default() };
        let peers = vec![honest(), Peer::new(Manners::Honest, 50 << 10, 20)];
        let mut world = World::with(config, file(size), Some(size as u64), peers);
        world.find_all();
        world.run();
        assert!(world.is_done());
        assert_eq!(world.output(), file(size));
        assert_eq!(world.fetch.rejected().count(), 0, "slow is not wrong");
        world.now
    };
    assert!(run(2) < Instant::from_secs(2), "{:?}", run(2));
    assert!(run(1) > Instant::from_secs(15), "{:?}", run(1));
}

/// Who falls silent is found out after the stall timeout at the latest, others go on meanwhile.
#[test]
fn the_pieces_of_the_silent_go_to_others() {
    let peers = vec![honest(), with(Manners::Fading(3)), with(Manners::Silent)];
    let mut world = World::new(file(30 * MIB), None, peers);
    world.find_all();
    world.run();
    assert!(world.is_done());
    assert!(world.now < Instant::from_secs(4), "{:?}", world.now);
}

/// A trickle is not progress: below the minimum rate a request fails though bytes come.
#[test]
fn a_trickle_does_not_hold_a_piece_for_ever() {
    let stall_timeout = Duration::from_secs(200);
    let config = FetchConfig { failures: 1, stall_timeout, ..FetchConfig::default() };
    let peers = vec![Peer::new(Manners::Honest, 1 << 10, 20)];
    let mut world = World::with(config, file(2 * MIB), None, peers);
    world.find_all();
    world.run();
    let slow = Rejection::Failing(RequestFailure::TooSlow);
    assert_eq!(world.rejection(1), Some(slow));
    // The list, then 200 s and the 256 s that 1 MiB takes at 4 KiB/s.
    assert!(world.now < Instant::from_secs(458), "{:?}", world.now);
}

/// Nor the list, and nothing can be fetched before that is there: two rounds of eight are over when
/// eight seconds each have passed.
#[test]
fn a_trickle_does_not_hold_the_list() {
    let mut peers = vec![Peer::new(Manners::Honest, 64, 20); 16];
    peers.push(honest());
    let mut world = World::new(file(2 * MIB), None, peers);
    world.find_all();
    world.run();
    assert!(world.is_done());
    assert!(world.now < Instant::from_secs(30), "{:?}", world.now);
}

/// Nor do many that are just fast enough, one after the other: who has not been asked yet has a place
/// after ten seconds.
#[test]
fn the_slow_do_not_hold_the_list() {
    let mut peers = vec![Peer::new(Manners::Honest, 5 << 10, 20); 16];
    peers.push(honest());
    let mut world = World::new(file(2 * MIB), None, peers);
    world.find_all();
    world.run();
    assert!(world.is_done());
    assert!(world.now < Instant::from_secs(40), "{:?}", world.now);
    // With nobody else they have all the time they need.
    let slow = vec![Peer::new(Manners::Honest, 5 << 10, 20); 9];
    let mut world = World::new(file(MIB), None, slow);
    world.find_all();
    world.run();
    assert!(world.is_done());
}

/// Our own line is gone for a while: everybody fails, and nobody is dropped who has given something.
#[test]
fn an_outage_does_not_end_a_fetch() {
    let mut world =
        World::new(file(20 * MIB), None, vec![Peer::new(Manners::Honest, MIB as u64, 20); 2]);
    world.outage = Instant::from_secs(4)..Instant::from_secs(40);
    world.find_all();
    world.run();
    assert!(world.is_done());
    assert_eq!(world.fetch.rejected().count(), 0);
    assert!(world.now < Instant::from_secs(90), "{:?}", world.now);
    // One that is gone for good is given up in the end.
    let mut world = World::new(file(4 * MIB), None, vec![with(Manners::Vanishing(2))]);
    world.find_all();
    world.run();
    assert!(matches!(world.events.last(), Some(FetchEvent::Failed { .. })));
    assert!(world.now < Instant::from_secs(120), "{:?}", world.now);
}

/// Addresses that lead nowhere, as many as one likes to name, keep nobody out.
#[test]
fn who_only_failed_makes_room() {
    let config = FetchConfig { known: 4, ..FetchConfig::default() };
    let mut fetch = Fetch::new(config, ContentId::of(b"x"), None).expect("fair");
    for n in 1..=4 {
        assert!(fetch.provider_found(Instant::EPOCH, addr(n), Id::ZERO));
        let request = fetch.poll_request().expect("a request");
        let failure = if n < 4 { RequestFailure::NotFound } else { continue };
        fetch.request_failed(Instant::EPOCH, request.id, failure);
    }
    for n in 5..=7 {
        assert!(fetch.provider_found(Instant::EPOCH, addr(n), Id::ZERO));
    }
    assert!(!fetch.provider_found(Instant::EPOCH, addr(8), Id::ZERO), "four are asked or wait");
}

/// Slow providers that hold every place give way to a fast one.
#[test]
fn the_slow_do_not_keep_the_fast_out() {
    let config = FetchConfig { in_flight: 4, ..FetchConfig::default() };
    let mut peers = vec![Peer::new(Manners::Honest, 30 << 10, 20); 8];
    peers.push(honest());
    let content = file(20 * MIB);
    let list = list_of(content);
    let fetch = Fetch::resume(config.clone(), list.clone(), Bitmap::new(20)).expect("a fair set");
    let mut world = World::around(config, fetch, content, list, peers);
    world.find_all();
    world.run();
    assert!(world.is_done());
    // The slow ones alone would take 680 s for it, 4 of 20 pieces 35 s each.
    assert!(world.now < Instant::from_secs(12), "{:?}", world.now);
}

/// One that names a hundred dead addresses before anybody else has answered holds up nobody.
#[test]
fn a_long_list_of_the_dead_comes_after_what_others_name() {
    let mut peers = vec![with(Manners::Silent); 100];
    peers.push(honest());
    let mut world = World::new(file(2 * MIB), None, peers);
    let addrs: Vec<_> = world.peers.keys().copied().collect();
    let (holder, liar) = (Id::new([1; 20]), Id::new([2; 20]));
    for (index, addr) in addrs.into_iter().enumerate() {
        let namer = if index < 100 { liar } else { holder };
        assert!(world.fetch.provider_found(world.now, addr, namer));
    }
    world.fetch.no_more_providers(world.now);
    world.run();
    assert!(world.is_done());
    assert!(world.now < Instant::from_secs(3), "{:?}", world.now);
    // Nor does it help to name the others too, so that they come last.
    let mut fetch = Fetch::new(FetchConfig::default(), ContentId::of(b"x"), None).expect("fair");
    for n in 1..=100 {
        assert!(fetch.provider_found(Instant::EPOCH, addr(n), liar));
    }
    assert!(!fetch.provider_found(Instant::EPOCH, addr(100), holder), "it is no news");
    assert_eq!(fetch.poll_request().map(|request| request.provider), Some(addr(1)));
    fetch.handle_timeout(Instant::from_secs(1));
    assert_eq!(fetch.poll_request().map(|request| request.provider), Some(addr(100)));
}

/// Slow providers that hold every place, and give pieces, do not keep out one who waits for a place.
#[test]
fn a_slow_provider_gives_its_place_away() {
    let config = FetchConfig { providers: 4, ..FetchConfig::default() };
    let mut peers = vec![Peer::new(Manners::Honest, 100 << 10, 20); 4];
    // Dead ones that wait before it do not take the other places too.
    peers.extend([with(Manners::Silent), with(Manners::Silent), honest()]);
    let mut world = World::with(config, file(40 * MIB), None, peers);
    world.find_all();
    while world.fetch.list().is_none() {
        assert!(world.step());
    }
    let proven = world.now;
    world.run();
    assert!(world.is_done());
    // Four at 100 KiB/s would take 100 s for it.
    assert!(world.now.since(proven) < Duration::from_secs(40), "{:?}", world.now);
    let asked = |n| world.asked.iter().filter(|(who, _)| *who == addr(n)).count();
    assert_eq!((asked(5), asked(6)), (1, 1));
}

/// Two that serve fast, and then let the last pieces trickle so that they are never silent, hold nobody
/// up for longer than it takes to tell.
#[test]
fn the_last_piece_is_not_held_by_two_that_let_it_trickle() {
    let slow = || Peer::new(Manners::Honest, 2 << 20, 20);
    let stalling = || Peer::new(Manners::Stalling(5), FAST, 20);
    let mut world = World::new(file(16 * MIB), None, vec![stalling(), stalling(), slow(), slow()]);
    world.find_all();
    world.run();
    assert!(world.is_done());
    // 264 s are what the slowest rate that is borne leaves them for a piece.
    assert!(world.now < Instant::from_secs(30), "{:?}", world.now);
}

/// Providers that need longer for their first bytes than it takes to look for others do not displace
/// each other for ever.
#[test]
fn the_slow_alone_get_it_done() {
    let config = FetchConfig { in_flight: 2, ..FetchConfig::default() };
    let peers = vec![Peer::new(Manners::Honest, 30 << 10, 2_000); 6];
    let content = file(8 * MIB);
    let list = list_of(content);
    let fetch = Fetch::resume(config.clone(), list.clone(), Bitmap::new(8)).expect("a fair set");
    let mut world = World::around(config, fetch, content, list, peers);
    world.find_all();
    world.run();
    assert!(world.is_done());
    assert!(world.now < Instant::from_secs(200), "{:?}", world.now);
}

/// A provider that never answers for the list does not hold the fetch up: others are asked.
#[test]
fn a_silent_first_provider_costs_a_second() {
    let peers = vec![with(Manners::Silent), with(Manners::Silent), honest()];
    let mut world = World::new(file(2 * MIB), None, peers);
    world.find_all();
    world.run();
    assert!(world.is_done());
    assert!(world.now < Instant::from_millis(2_500), "{:?}", world.now);
}

/// A failing provider is asked again, later each time, and dropped after so many failures.
#[test]
fn who_fails_is_asked_ever_later_and_then_no_more() {
    let config = FetchConfig::default();
    let mut fetch = Fetch::new(config, ContentId::of(b"x"), None).expect("fair");
    fetch.provider_found(Instant::EPOCH, addr(1), Id::ZERO);
    let mut times = vec![];
    let mut now = Instant::EPOCH;
    loop {
        if let Some(request) = fetch.poll_request() {
            times.push(now.as_secs());
            fetch.request_failed(now, request.id, RequestFailure::Busy);
        }
        let Some(next) = fetch.poll_timeout() else {
            break;
        };
        now = next;
        fetch.handle_timeout(now);
    }
    assert_eq!(times, [0, 1, 3, 7]);
    let reason = Rejection::Failing(RequestFailure::Busy);
    assert_eq!(
        fetch.poll_event(),
        Some(FetchEvent::ProviderRejected { provider: addr(1), reason })
    );
    assert!(fetch.poll_event().is_none() && !fetch.is_over(), "others may come");
}

/// Bytes alone buy no trust: several requests at a time are for who gave a verified piece, until it
/// fails.
#[test]
fn one_request_at_a_time_until_a_piece_is_verified_and_after_a_failure() {
    let content = file(8 * MIB);
    let fetch = Fetch::resume(FetchConfig::default(), list_of(content), Bitmap::new(8));
    let mut fetch = fetch.expect("a fair set");
    fetch.provider_found(Instant::EPOCH, addr(1), Id::ZERO);
    let first = fetch.poll_request().expect("a request").id;
    let now = Instant::from_millis(300);
    fetch.progressed(now, first, 100 << 20);
    assert_eq!(fetch.poll_request(), None, "a rate it claims by sending anything");
    assert_eq!(fetch.piece_received(now, first, &content[..MIB]), Verdict::Accepted);
    let requests: Vec<_> = core::iter::from_fn(|| fetch.poll_request()).collect();
    assert_eq!(requests.len(), 4);
    for request in requests {
        fetch.request_failed(now, request.id, RequestFailure::Disconnected);
    }
    assert_eq!(fetch.providers()[0].failures, 1, "a broken line counts once");
    let later = fetch.poll_timeout().expect("the end of its rest");
    assert_eq!((fetch.poll_request(), later), (None, now + Duration::from_secs(1)));
    fetch.handle_timeout(later);
    assert!(fetch.poll_request().is_some() && fetch.poll_request().is_none());
}

/// More providers than places: those that wait come in as others fail, at their first failure.
#[test]
fn who_waits_takes_the_place_of_who_fails() {
    let config = FetchConfig { providers: 2, known: 6, ..FetchConfig::default() };
    let mut peers = vec![with(Manners::Silent); 5];
    peers.push(honest());
    let mut world = World::with(config, file(MIB), None, peers);
    world.find_all();
    assert!(!world.fetch.provider_found(world.now, addr(99), Id::ZERO), "no more than `known`");
    world.run();
    assert!(world.is_done());
    assert!(world.now < Instant::from_secs(30), "{:?}", world.now);
}

/// The host can find pieces on its disk after the fetch began.
#[test]
fn pieces_on_disk_are_not_fetched() {
    let mut world = World::new(file(6 * MIB), None, vec![honest()]);
    world.find_all();
    assert!(!world.fetch.piece_on_disk(world.now, 1), "there is no list yet");
    while world.fetch.list().is_none() {
        assert!(world.step());
    }
    for index in 0..4 {
        assert!(world.fetch.piece_on_disk(world.now, index));
        assert!(!world.fetch.piece_on_disk(world.now, index));
    }
    assert!(!world.fetch.piece_on_disk(world.now, 6));
    world.run();
    assert!(world.is_done());
    assert_eq!(world.written.keys().copied().collect::<Vec<_>>(), [4, 5]);
}

/// A piece may be checked while it arrives, by the verifier of its own request alone.
#[test]
fn a_piece_is_checked_while_it_arrives() {
    let content = file(2 * MIB);
    let list = list_of(content);
    let mut fetch =
        Fetch::resume(FetchConfig::default(), list, Bitmap::new(2)).expect("a fair set");
    let now = Instant::EPOCH;
    fetch.provider_found(now, addr(1), Id::ZERO);
    fetch.provider_found(now, addr(2), Id::ZERO);
    let (first, second) = (fetch.poll_request(), fetch.poll_request());
    let (first, second) = (first.expect("one request each").id, second.expect("a request").id);
    let mut verifier = fetch.verifier(first).expect("a piece");
    content[..MIB].chunks(100_000).for_each(|part| {
        verifier.update(part);
        fetch.progressed(now, first, part.len() as u64);
    });
    assert_eq!(fetch.piece_checked(now, second, &verifier), Verdict::Unwanted);
    assert_eq!(fetch.piece_checked(now, first, &verifier), Verdict::Accepted);
    assert_eq!(fetch.piece_checked(now, first, &verifier), Verdict::Unwanted);
    assert_eq!(fetch.have().count(), 1);
}
