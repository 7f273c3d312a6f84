//! Laws of a lookup, on random networks with a brute-force oracle.

use proptest::prelude::*;

use super::super::*;
use super::network::{Network, Onlooker, addr, id};
use crate::rng::Rng;

/// The shape of one trial.
#[derive(Clone, Debug)]
struct Trial {
    n: u16,
    seed: u8,
    k: usize,
    alpha: usize,
    paths: usize,
    start: usize,
}

fn trial() -> impl Strategy<Value = Trial> {
    (2_u16..150, any::<u8>(), 1_usize..8, 1_usize..5, 1_usize..5, 1_usize..12)
        .prop_map(|(n, seed, k, alpha, paths, start)| Trial { n, seed, k, alpha, paths, start })
}

impl Trial {
    fn config(&self) -> LookupConfig {
        LookupConfig { k: self.k, alpha: self.alpha, paths: self.paths, ..LookupConfig::default() }
    }

    fn set_up(&self) -> (Network, Lookup, Vec<Contact>, Rng) {
        let mut rng = Rng::from_seed([self.seed; 32]);
        let network = Network::new(self.n, self.k, &mut rng);
        let (target, own) = (Id::random(&mut rng), Id::random(&mut rng));
        let start = network.some(self.start, &mut rng);
        (network, Lookup::new(target, own, Families::V4, self.config()), start, rng)
    }
}

fn is_sorted_without_duplicates(lookup: &Lookup) -> bool {
    let distances: Vec<_> =
        lookup.closest().map(|found| found.contact.id.distance(lookup.target())).collect();
    distances.is_sorted_by(|a, b| a < b)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Exactness: a lookup that misses a live closer node is a failure, whatever its speed.
    #[test]
    fn without_failures_the_true_k_closest_are_found(trial in trial()) {
        let (network, mut lookup, start, mut rng) = trial.set_up();
        let onlooker = Onlooker::watch(&mut lookup, &network, &start, |_| false, &mut rng);
        // Whoever is slow too often is waited for no more.
        prop_assume!(lookup.delays < DELAYS);
        let truth = network.closest(lookup.target(), |_| true);
        let found = lookup.closest().map(|found| found.contact).take(trial.k);
        prop_assert!(found.eq(truth.iter().copied()));
        if trial.paths == 1 {
            prop_assert!(lookup.closest_of(Family::V4).map(|f| f.contact).eq(truth));
        }
        prop_assert!(is_sorted_without_duplicates(&lookup));
        // Somebody is slow at times, and then more are asked: two and a half times as many at most.
        prop_assert!(onlooker.most <= trial.paths * (trial.alpha.max(trial.k) * 5 / 2));
    }

    /// Mistakes 1 and 2, whatever the order of events: at the end the k closest seen and not failed
    /// have all answered, unless so many were dead that who named them looks like a liar, or the lookup
    /// stood still for the slow too often.
    #[test]
    fn at_the_end_the_k_closest_not_failed_have_answered(trial in trial(), dead in 0_u64..10) {
        let trial = Trial { paths: 1, ..trial };
        let (network, mut lookup, start, mut rng) = trial.set_up();
        let is_dead = |contact: &Contact| contact.id.as_bytes()[7] % 10 < dead as u8;
        let onlooker = Onlooker::watch(&mut lookup, &network, &start, is_dead, &mut rng);
        let mut alive: Vec<_> = onlooker.seen.difference(&onlooker.failed).collect();
        alive.sort_by_key(|(id, _)| id.distance(lookup.target()));
        let cut_short = lookup.progress().cut_short;
        prop_assert!(!cut_short || dead > 4);
        let cut_short = cut_short || lookup.delays >= DELAYS;
        for key in alive.iter().take(if cut_short { 0 } else { trial.k }) {
            prop_assert!(onlooker.answered.contains(key), "{key:?} did not answer");
        }
        prop_assert!(lookup.closest().all(|found| !is_dead(&found.contact)));
        prop_assert!(is_sorted_without_duplicates(&lookup));
        prop_assert_eq!(lookup.closest().count(), onlooker.answered.len());
    }

    /// With several paths nobody is asked twice (the onlooker asserts it), and it ends.
    #[test]
    fn disjoint_paths_end_whoever_dies(trial in trial(), dead in 0_u64..10) {
        let (network, mut lookup, start, mut rng) = trial.set_up();
        let is_dead = |contact: &Contact| contact.id.as_bytes()[7] % 10 < dead as u8;
        let onlooker = Onlooker::watch(&mut lookup, &network, &start, is_dead, &mut rng);
        let progress = lookup.progress();
        prop_assert_eq!(progress.asked as usize, onlooker.asked.len());
        prop_assert_eq!(progress.answered as usize, onlooker.answered.len());
        prop_assert_eq!(progress.failed as usize, onlooker.failed.len());
        prop_assert_eq!(progress.in_flight as usize, onlooker.fast.len() + onlooker.slow.len());
    }

    /// Whatever is reported, in whatever order: no panic, sound counts, nobody asked under two ids
    /// or at two addresses within the short timeout, and an end within the questions allowed.
    #[test]
    fn no_order_of_reports_confuses_it(
        seed in any::<u8>(),
        k in 0_usize..5,
        alpha in 0_usize..4,
        paths in 0_usize..20,
        masked in any::<bool>(),
        reports in proptest::collection::vec((0_u8..8, 0_u16..12, 0_u16..12), 0..200),
    ) {
        let mut rng = Rng::from_seed([seed; 32]);
        let config = LookupConfig { k, alpha, paths, questions: 40, ..LookupConfig::default() };
        let mut lookup = Lookup::new(Id::ZERO, id(7), Families::V4, config);
        if masked {
            lookup = lookup.with_mask(Capabilities::STORE);
        }
        let mut held: Vec<Contact> = Vec::new();
        for (what, a, b) in reports {
            let (who, at) = (id(a), addr(b));
            let named: Vec<_> = (0..rng.below(5)).map(|_| {
                let (number, address) = (rng.below(14) as u16, rng.below(14) as u16);
                let capabilities = Capabilities(rng.next_u32());
                Contact { capabilities, ..Contact::new(id(number), addr(address)) }
            }).collect();
            match what {
                0 | 1 => { lookup.answered(who, at, Capabilities(rng.next_u32()), named); }
                2 => { lookup.failed(who, at); }
                3 => { lookup.slow(who, at); }
                4 => lookup.heard(Some((who, at)), named),
                5 => lookup.start(named),
                6 if a == 0 && b == 0 => lookup.widen(who.distance(Id::ZERO)),
                7 => { lookup.silent(who, at); }
                _ => {}
            }
            if what != 6 {
                let waits = (4..7).contains(&what);
                held.retain(|held| (held.id, held.addr()) != (who, at) || waits);
            }
            while let Step::Ask(contact) = lookup.next() {
                prop_assert_ne!(contact.id, id(7));
                prop_assert!(held.iter().all(|held| held.id != contact.id));
                prop_assert!(held.iter().all(|held| held.addr() != contact.addr()));
                held.push(contact);
            }
            let progress = lookup.progress();
            prop_assert_eq!(progress.asked, progress.answered + progress.failed + progress.in_flight);
            prop_assert!(progress.asked <= 40 * 16);
            prop_assert!(is_sorted_without_duplicates(&lookup));
        }
    }

    /// The k closest capable, with honest hints; and all of the k closest were asked on the way.
    #[test]
    fn the_k_closest_capable_are_found(trial in trial(), share in 1_u8..10) {
        let able = |contact: &Contact| contact.id.as_bytes()[9] % 10 < share;
        let mut rng = Rng::from_seed([trial.seed; 32]);
        let mut network = Network::new(trial.n, usize::from(trial.n), &mut rng);
        for node in &mut network.nodes {
            node.capabilities = if able(node) { Capabilities::STORE } else { Capabilities::SIGNAL };
        }
        let target = Id::random(&mut rng);
        let config = LookupConfig { paths: 1, candidates: 200, ..trial.config() };
        let lookup = Lookup::new(target, Id::random(&mut rng), Families::V4, config);
        let mut lookup = lookup.with_mask(Capabilities::STORE);
        let start = network.some(1, &mut rng);
        let onlooker = Onlooker::watch(&mut lookup, &network, &start, |_| false, &mut rng);
        let mut truth = network.closest(target, |_| true);
        truth.truncate(trial.k);
        prop_assert!(truth.iter().all(|node| onlooker.answered.contains(&(node.id, node.addr()))));
        let mut capable = network.closest(target, able);
        capable.truncate(trial.k);
        prop_assert!(lookup.closest_of(Family::V4).map(|found| found.contact).eq(capable));
    }
}
