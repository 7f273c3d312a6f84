use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::contact::LinkId;
use crate::rng::Rng;

const PEER: Id = Id::new([1; 20]);

fn path(n: u8) -> Path {
    Path::direct(([127, 0, 0, n], 6881).into())
}

fn rng() -> Rng {
    Rng::from_seed([5; 32])
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Polls at each timeout until nothing is outstanding; what it said, and when (in ms).
fn run_out(requests: &mut Requests<u8>) -> Vec<(u64, &'static str, u8)> {
    let mut said = Vec::new();
    while let Some(due) = requests.poll_timeout() {
        let at = due.as_micros() / 1000;
        assert!(requests.poll(due - Duration::from_micros(1)).is_none(), "too early");
        said.push(match requests.poll(due).expect("due") {
            Expired::Slow(request) => (at, "slow", request.purpose),
            Expired::Silent(request) => (at, "silent", request.purpose),
            Expired::Dead(request) => (at, "dead", request.purpose),
        });
    }
    said
}

/// `n` answers, each after `round_trip`.
fn measure(requests: &mut Requests<u8>, at: Instant, round_trip: Duration, n: u32) {
    let mut rng = rng();
    for _ in 0..n {
        let id = requests.start(at, path(1), None, 0, &mut rng).expect("room");
        requests.answer(at + round_trip, id, path(1), PEER).expect("a match");
    }
}

/// `n` requests at `at` that nobody answers, until they are dead.
fn silence(requests: &mut Requests<u8>, at: Instant, n: u8) {
    let mut rng = Rng::from_seed([9; 32]);
    for purpose in 0..n {
        requests.start(at, path(2), None, purpose, &mut rng).expect("room");
    }
    run_out(requests);
}

/// Mistake 21: a response accepted from another address.
#[test]
fn an_answer_from_elsewhere_leaves_the_request_waiting() {
    let mut requests = Requests::new(RequestConfig::default());
    let now = Instant::from_secs(1);
    let id = requests.start(now, path(1), Some(PEER), 7, &mut rng()).expect("room");
    let other_link = Path { link: LinkId(1), ..path(1) };
    let other_port = Path::direct(([127, 0, 0, 1], 6882).into());
    for wrong in [path(2), other_link, other_port] {
        assert_eq!(requests.answer(now, id, wrong, PEER), Err(Mismatch::WrongPath));
    }
    assert_eq!(requests.answer(now, id ^ 1, path(1), PEER), Err(Mismatch::Unknown));
    let later = now + millis(10);
    let answered = requests.answer(later, id, path(1), PEER).expect("a match");
    assert_eq!((answered.request.purpose, answered.round_trip), (7, millis(10)));
    assert_eq!(requests.answer(later, id, path(1), PEER), Err(Mismatch::Unknown), "once");
    assert_eq!(requests.poll_timeout(), None);
}

/// Only who was expected is verified by an answer; a stale contact shows itself at once.
#[test]
fn an_answer_under_another_id_ends_the_request() {
    let mut requests = Requests::new(RequestConfig::default());
    let now = Instant::from_secs(1);
    let id = requests.start(now, path(1), Some(PEER), 7, &mut rng()).expect("room");
    let wrong = requests.answer(now, id, path(1), Id::ZERO);
    assert!(matches!(wrong, Err(Mismatch::WrongId(request)) if request.purpose == 7));
    assert!(requests.is_empty());
    let id = requests.start(now, path(1), None, 8, &mut rng()).expect("room");
    assert!(requests.answer(now, id, path(1), Id::ZERO).is_ok(), "whoever sits there");
}

/// Mistake 21: guessable transaction ids.
#[test]
fn transaction_ids_are_random_of_the_length_asked_for_and_unique() {
    for bytes in [8, 4, 2, 1] {
        let config = RequestConfig { transaction_bytes: bytes, ..RequestConfig::default() };
        let mut requests = Requests::new(config);
        let mut rng = rng();
        let ids: alloc::collections::BTreeSet<_> = core::iter::from_fn(|| {
            requests.start(Instant::EPOCH, path(1), None, (), &mut rng).ok()
        })
        .collect();
        assert_eq!(ids.len(), if bytes == 1 { 128 } else { 4096 });
        let bits = 8 * u32::from(bytes);
        assert!(ids.iter().all(|id| id.checked_shr(bits).unwrap_or(0) == 0));
        // Each bit is set in half of them, to six standard deviations.
        for bit in 0..bits {
            let set = ids.iter().filter(|id| *id >> bit & 1 == 1).count() as i64;
            let n = ids.len() as i64;
            assert!((2 * set - n).pow(2) < 36 * n, "bit {bit}: {set} of {n}");
        }
    }
}

#[test]
fn no_more_wait_than_allowed() {
    let config = RequestConfig { outstanding: 2, ..RequestConfig::default() };
    let mut requests = Requests::new(config);
    let mut rng = rng();
    let mut start =
        |requests: &mut Requests<u8>, n| requests.start(Instant::EPOCH, path(1), None, n, &mut rng);
    assert!(start(&mut requests, 1).is_ok());
    assert!(start(&mut requests, 2).is_ok());
    assert_eq!(start(&mut requests, 3), Err(3));
    assert_eq!(requests.cancel(|purpose| *purpose == 1), 1);
    assert!(start(&mut requests, 3).is_ok());
    assert_eq!(requests.len(), 2);
}

/// Mistake 13: one constant 15 s timeout.
#[test]
fn a_request_is_slow_once_and_then_dead() {
    let mut requests = Requests::new(RequestConfig::default());
    let mut rng = rng();
    for (at, purpose) in [(0, 1), (100, 2)] {
        requests.start(Instant::from_millis(at), path(1), None, purpose, &mut rng).expect("room");
    }
    let both = |at, purpose| [(at, "silent", purpose), (at, "dead", purpose)];
    let expected = [[(500, "slow", 1), (600, "slow", 2)], both(5_000, 1), both(5_100, 2)];
    assert_eq!(run_out(&mut requests), expected.concat());
}

/// Mistake 13: late answers dropped.
#[test]
fn a_late_answer_counts_until_the_hard_timeout() {
    let mut requests = Requests::new(RequestConfig::default());
    let mut rng = rng();
    let now = Instant::EPOCH;
    let late = requests.start(now, path(1), None, 1, &mut rng).expect("room");
    let too_late = requests.start(now, path(1), None, 2, &mut rng).expect("room");
    let after = now + millis(4_999);
    while requests.poll(after).is_some() {}
    assert!(requests.answer(after, late, path(1), PEER).expect("a match").was_slow);
    run_out(&mut requests);
    assert_eq!(requests.answer(after, too_late, path(1), PEER), Err(Mismatch::Unknown));
}

/// Rule: the short timeout comes from the measured round trips, late ones included.
#[test]
fn timeouts_follow_what_was_measured() {
    let mut requests = Requests::new(RequestConfig::default());
    let timeouts = |requests: &Requests<u8>| {
        let Timeouts { short, silent, hard } = requests.timeouts();
        [short, silent, hard].map(|timeout| timeout.as_millis() as u64)
    };
    let now = Instant::EPOCH;
    measure(&mut requests, now, millis(800), 3);
    assert_eq!(timeouts(&requests), [500, 5_000, 5_000], "three are too few to be believed");
    measure(&mut requests, now, millis(800), 12);
    let [short, silent, hard] = timeouts(&requests);
    assert!(
        short == 500 && (3_200..3_700).contains(&hard),
        "fifteen, the hard one: {short} {hard}"
    );
    assert_eq!(silent, hard, "nobody has died");
    measure(&mut requests, now, millis(800), 1);
    let [short, silent, hard] = timeouts(&requests);
    assert!((1_000..1_150).contains(&short) && (3_200..3_700).contains(&hard), "{short} {hard}");
    assert_eq!(silent, hard);
    measure(&mut requests, now, Duration::from_micros(300), 2_000);
    assert_eq!(timeouts(&requests), [50, 1_000, 1_000], "not below their floors");
    measure(&mut requests, now, Duration::from_secs(9), 2_000);
    assert_eq!(timeouts(&requests), [1_500, 10_000, 10_000], "not above their ceilings");
}

/// Silence means death where others have died, and a slow answer where nobody has.
#[test]
fn nobody_waits_long_for_the_silent_where_contacts_die() {
    let mut requests = Requests::new(RequestConfig::default());
    let now = Instant::from_secs(10);
    measure(&mut requests, now, millis(100), 400);
    let silent = |requests: &Requests<u8>| requests.timeouts().silent.as_millis();
    assert_eq!(silent(&requests), requests.timeouts().hard.as_millis());
    silence(&mut requests, now, 4);
    assert_eq!(silent(&requests), 1_000, "less than one in a hundred");
    silence(&mut requests, now, 1);
    assert!((250..290).contains(&silent(&requests)), "{}", silent(&requests));
    let later = Instant::from_secs(20);
    requests.start(later, path(1), None, 0, &mut rng()).expect("room");
    let said = run_out(&mut requests);
    assert!(said[1].1 == "silent" && said[1].0 < 20_290 && said[2] == (21_000, "dead", 0));
    measure(&mut requests, now, millis(100), 2_000);
    assert_eq!(silent(&requests), 1_000, "and that was long ago");
}

/// The first requests are sent before anything was measured; what is measured meanwhile shortens the
/// time for which a joining node waits for the dead among them.
#[test]
fn the_hard_timeout_follows_what_was_measured_since() {
    let mut requests = Requests::new(RequestConfig { repeats: 0, ..RequestConfig::default() });
    let now = Instant::EPOCH;
    requests.start(now, path(2), None, 9, &mut rng()).expect("room");
    measure(&mut requests, now, millis(20), 4);
    let slow = requests.poll_timeout().expect("it waits");
    assert_eq!(slow, now + millis(500));
    assert!(matches!(requests.poll(slow), Some(Expired::Slow(_))));
    assert_eq!(requests.poll_timeout(), Some(now + millis(1_000)));
}

/// Mistake 12: when everything times out, it is we who are offline.
#[test]
fn ten_silent_requests_in_a_row_mean_that_we_are_offline() {
    let mut requests = Requests::new(RequestConfig::default());
    silence(&mut requests, Instant::from_secs(10), 9);
    assert!(!requests.is_offline());
    silence(&mut requests, Instant::from_secs(20), 1);
    assert!(requests.is_offline());
    measure(&mut requests, Instant::from_secs(40), millis(50), 1);
    assert_eq!((requests.silent_streak(), requests.is_offline()), (0, false));
}

/// Mistake 12, the reverse: the dead contacts of a lookup expire together, long after the living
/// answered, and nobody is offline.
#[test]
fn what_was_sent_before_the_last_answer_proves_nothing() {
    let mut requests = Requests::new(RequestConfig::default());
    let mut rng = rng();
    let now = Instant::from_secs(10);
    for purpose in 0..30 {
        requests.start(now, path(2), None, purpose, &mut rng).expect("room");
    }
    measure(&mut requests, now + millis(1), millis(50), 1);
    run_out(&mut requests);
    assert_eq!(requests.silent_streak(), 0);
}

/// A forger who guesses no transaction id does not hide that we are offline.
#[test]
fn only_a_matching_answer_is_a_sign_of_life() {
    let mut requests = Requests::new(RequestConfig::default());
    silence(&mut requests, Instant::from_secs(10), 12);
    let now = Instant::from_secs(20);
    let id = requests.start(now, path(1), None, 0, &mut rng()).expect("room");
    assert!(requests.answer(now, id, path(3), PEER).is_err());
    assert!(requests.answer(now, id ^ 1, path(1), PEER).is_err());
    assert!(requests.is_offline());
}

/// Mistake 30, the core's half: what the host was told of one path ends that path's requests only.
#[test]
fn a_path_that_failed_ends_its_requests_at_once() {
    let mut requests = Requests::new(RequestConfig::default());
    let mut rng = rng();
    let now = Instant::from_secs(1);
    for n in 1..3 {
        requests.start(now, path(n), None, n, &mut rng).expect("room");
    }
    requests.path_failed(now + millis(3), path(2));
    let expected =
        [(1_003, "dead", 2), (1_500, "slow", 1), (6_000, "silent", 1), (6_000, "dead", 1)];
    assert_eq!(run_out(&mut requests), expected);
    // With our own network gone every send is refused: ten in a row and it is we who are offline.
    assert_eq!(requests.silent_streak(), 2);
}

/// A lost datagram is no dead contact: asked again, under another id, before the hard timeout.
#[test]
fn a_silent_request_is_repeated_and_stays_one_request() {
    let mut requests = Requests::new(RequestConfig::default());
    let mut rng = rng();
    let now = Instant::from_secs(1);
    let first = requests.start(now, path(1), Some(PEER), 7, &mut rng).expect("room");
    assert_eq!(requests.repeat(now, first, &mut rng), None, "not silent yet");
    let slow = now + millis(500);
    assert!(matches!(requests.poll(slow), Some(Expired::Slow(_))));
    let second = requests.repeat(slow, first, &mut rng).expect("silent");
    assert_eq!(requests.repeat(slow, first, &mut rng), None, "silent again first");
    assert_eq!(requests.poll_timeout(), Some(slow + millis(250)));
    assert!(matches!(requests.poll(slow + millis(250)), Some(Expired::Slow(r)) if r.purpose == 7));
    let third = requests.repeat(slow + millis(250), first, &mut rng).expect("silent again");
    assert!(first != second && second != third && first != third);
    assert_eq!(requests.len(), 1);
    // The second is answered: its own round trip counts, and the others are over with it.
    let at = slow + millis(620);
    let answered = requests.answer(at, second, path(1), PEER).expect("a match");
    assert_eq!((answered.request.transaction, answered.round_trip), (first, millis(620)));
    assert!(answered.was_slow);
    for late in [first, second, third] {
        assert_eq!(requests.answer(at, late, path(1), PEER), Err(Mismatch::Unknown));
    }
    assert_eq!((requests.is_empty(), requests.poll_timeout()), (true, None));
}

/// Repeating changes nothing about when a silent contact is given up, and counts one silence.
#[test]
fn a_repeated_request_dies_once_and_in_time() {
    let mut requests = Requests::new(RequestConfig::default());
    let mut rng = rng();
    let now = Instant::from_secs(1);
    let first = requests.start(now, path(1), Some(PEER), 7, &mut rng).expect("room");
    let (mut slow, mut silent, mut dead) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(due) = requests.poll_timeout() {
        match requests.poll(due).expect("due") {
            Expired::Slow(request) => {
                slow.push(due);
                requests.repeat(due, request.transaction, &mut rng);
            }
            Expired::Silent(_) => silent.push(due),
            Expired::Dead(_) => dead.push(due),
        }
    }
    // Half of the short timeout for each repetition but the last.
    assert_eq!(slow, [500, 750, 1_000, 1_500].map(|ms| now + millis(ms)));
    assert_eq!((silent, dead), ([now + millis(5_000)].into(), [now + millis(5_000)].into()));
    assert_eq!(requests.silent_streak(), 1);
    assert_eq!(requests.answer(now + millis(5_001), first, path(1), PEER), Err(Mismatch::Unknown));
}

/// The obvious way to keep requests, as an oracle.
#[derive(Default)]
struct Model(Vec<(Request<u8>, u8, Instant)>);

impl Model {
    /// What is due by `now`, the earliest first.
    fn due(&mut self, now: Instant) -> Option<(u8, u64)> {
        let due = self.0.iter().map(|(request, _, at)| (*at, request.transaction));
        let (at, transaction) = due.min().filter(|(at, _)| *at <= now)?;
        let i = self.0.iter().position(|(request, ..)| request.transaction == transaction)?;
        let (request, passed, deadline) = &mut self.0[i];
        assert_eq!(*deadline, at);
        *passed += 1;
        let passed = *passed;
        match passed {
            1 | 2 => *deadline = request.sent + millis(300),
            _ => drop(self.0.remove(i)),
        }
        Some((passed, transaction))
    }
}

proptest! {
    /// Every request ends exactly once: answered, ended by a wrong id, dead or cancelled.
    #[test]
    fn it_does_what_a_list_would(
        steps in proptest::collection::vec((0_u8..6, 0_u8..4, 0_usize..6, 0_u64..90), 0..200),
    ) {
        let config = RequestConfig {
            outstanding: 5,
            short_initial: millis(100),
            hard_initial: millis(300),
            hard_min: millis(300),
            samples: u32::MAX,
            hard_samples: u32::MAX,
            ..RequestConfig::default()
        };
        let mut requests = Requests::new(config);
        let mut model = Model::default();
        let (mut rng, mut now) = (rng(), Instant::EPOCH);
        for (what, n, pick, pause) in steps {
            now = now + millis(pause);
            let picked = model.0.get(pick).map(|(request, ..)| *request);
            match what {
                0 | 1 => match requests.start(now, path(n), Some(PEER), n, &mut rng) {
                    Ok(transaction) => {
                        let request = *requests.request(transaction).expect("just started");
                        model.0.push((request, 0, now + millis(100)));
                    }
                    Err(purpose) => prop_assert!(purpose == n && model.0.len() == 5),
                },
                2 => if let Some(request) = picked {
                    let sender = if n == 0 { Id::ZERO } else { PEER };
                    let from = if n == 1 { path(200) } else { request.path };
                    let answer = requests.answer(now, request.transaction, from, sender);
                    match (n, answer) {
                        (0, Err(Mismatch::WrongId(ended))) => prop_assert_eq!(ended, request),
                        (1, Err(Mismatch::WrongPath)) => {}
                        (2.., Ok(answered)) => prop_assert_eq!(answered.request, request),
                        other => prop_assert!(false, "{other:?}"),
                    }
                    if n != 1 {
                        model.0.remove(pick);
                    }
                },
                3 => {
                    let before = model.0.len();
                    model.0.retain(|(request, ..)| request.purpose != n);
                    prop_assert_eq!(requests.cancel(|p| *p == n), before - model.0.len());
                }
                _ => loop {
                    let polled = requests.poll(now).map(|expired| match expired {
                        Expired::Slow(request) => (1, request.transaction),
                        Expired::Silent(request) => (2, request.transaction),
                        Expired::Dead(request) => (3, request.transaction),
                    });
                    prop_assert_eq!(polled, model.due(now));
                    if polled.is_none() {
                        break;
                    }
                },
            }
            prop_assert_eq!(requests.len(), model.0.len());
            prop_assert_eq!(requests.poll_timeout(), model.0.iter().map(|(_, _, at)| *at).min());
        }
    }
}
