//! One query handled: bytes in, the answer's bytes out, the table told, the limits kept.
//!
//! The node joined a network of a million (k = 8) or of ten thousand (k = 20). 4,096 others ask it,
//! one after the other, each with a cookie, so that it gets the whole answer.

extern crate alloc;

mod world;

use core::hint::black_box;
use core::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use kadlet_core::{Id, Instant, Node, Path, Rng};
use world::World;

const ASKERS: usize = 4_096;
/// 20,000 questions a second: of each asker five, which is what limits allow.
const SPACING: Duration = Duration::from_micros(50);

/// The answer to a question.
fn ask(node: &mut Node, now: Instant, path: Path, question: &[u8]) -> Vec<u8> {
    node.handle_datagram(now, path, question).expect("a question");
    node.poll_transmit().expect("an answer").payload
}

fn queries(c: &mut Criterion) {
    let mut group = c.benchmark_group("node");
    for (nodes, k) in [(1_000_000, 8), (10_000, 20)] {
        let world = World::new(nodes, k);
        let (mut node, mut now) = world.joined(1);
        let until = now + Duration::from_secs(3_600);
        world.live(&mut node, &mut now, until);
        while node.poll_transmit().is_some() {}
        let mut rng = Rng::from_seed([2; 32]);
        let questions: Vec<_> = (0..ASKERS)
            .map(|index| {
                let (target, path) = (Id::random(&mut rng), Path::direct(world.node(index).1));
                let first = ask(&mut node, now, path, &world.question(index, target, None));
                let cookie = world.cookie_in(&first);
                (path, world.question(index, target, cookie))
            })
            .collect();
        let mut questions = questions.iter().cycle();
        group.bench_function(format!("find_node handled, k = {k}"), |b| {
            b.iter(|| {
                let (path, question) = questions.next().expect("a cycle");
                now = now + SPACING;
                black_box(ask(&mut node, now, *path, question))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, queries);
criterion_main!(benches);
