//! Lookups without a node around them: one step, and whole lookups in a network of 1,000.
//!
//! Who answers what is computed beforehand, so that the lookup alone is measured. `step` is one
//! answer with 20 contacts and the questions that follow from it, in the middle of a lookup.

extern crate alloc;

use alloc::collections::VecDeque;
use core::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use kadlet_core::config::LookupConfig;
use kadlet_core::{Capabilities, Contact, Families, Id, Lookup, Rng, Step};

const NODES: u16 = 1_000;
const K: usize = 20;

/// Nodes with ideal tables (of each bucket 20 at most), and their answers about one target.
struct Network {
    target: Id,
    nodes: Vec<Contact>,
    /// By the number of the node, which is the port of its address.
    answers: Vec<Vec<Contact>>,
}

impl Network {
    fn new(rng: &mut Rng) -> Self {
        let target = Id::random(rng);
        let mut nodes: Vec<_> = (0..NODES)
            .map(|n| Contact::new(Id::random(rng), ([127, 0, 0, 1], n + 1).into()))
            .collect();
        let answers = nodes.iter().map(|own| {
            let mut sizes = [0; 160];
            let mut known = nodes.clone();
            known.retain(|other| {
                let Some(bucket) = own.id.distance(other.id).bucket() else { return false };
                sizes[bucket as usize] += 1;
                sizes[bucket as usize] <= K
            });
            known.sort_by_key(|other| other.id.distance(target));
            known.truncate(K);
            known
        });
        let answers = answers.collect();
        rng.shuffle(&mut nodes);
        Self { target, nodes, answers }
    }

    fn lookup(&self, paths: usize) -> Lookup {
        let mut config = LookupConfig::default();
        config.paths = paths;
        let mut lookup = Lookup::new(self.target, Id::ZERO, Families::V4, config);
        lookup.start(self.nodes.iter().take(K).copied());
        lookup
    }

    fn answer(&self, lookup: &mut Lookup, asked: &Contact) {
        let closer = self.answers.get(usize::from(asked.addr().port()) - 1);
        let closer = closer.into_iter().flatten().copied();
        lookup.answered(asked.id, asked.addr(), Capabilities::NONE, closer);
    }

    /// Answers `answers` questions, in the order they were asked; who is in flight then.
    fn run(&self, lookup: &mut Lookup, answers: usize) -> VecDeque<Contact> {
        let mut in_flight = VecDeque::new();
        for _ in 0..answers {
            while let Step::Ask(contact) = lookup.next() {
                in_flight.push_back(contact);
            }
            let Some(contact) = in_flight.pop_front() else { break };
            self.answer(lookup, &contact);
        }
        in_flight
    }
}

fn lookups(c: &mut Criterion) {
    let network = Network::new(&mut Rng::from_seed([1; 32]));
    let mut group = c.benchmark_group("lookup");

    let mut midway = network.lookup(1);
    let in_flight = network.run(&mut midway, 8);
    let next = in_flight.front().copied().expect("a lookup takes more than eight answers");
    group.bench_function("step", |b| {
        b.iter_batched_ref(
            || midway.clone(),
            |lookup| {
                network.answer(lookup, black_box(&next));
                while let Step::Ask(contact) = lookup.next() {
                    black_box(contact);
                }
            },
            BatchSize::SmallInput,
        );
    });

    for paths in [1, 3] {
        group.bench_function(format!("whole, {paths} paths, 1,000 nodes"), |b| {
            b.iter(|| {
                let mut lookup = network.lookup(paths);
                network.run(&mut lookup, usize::MAX);
                assert!(lookup.is_done());
                lookup.progress().asked
            });
        });
    }
    group.finish();
}

criterion_group!(benches, lookups);
criterion_main!(benches);
