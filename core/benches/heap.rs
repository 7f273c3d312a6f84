//! How much memory an idle node holds on the heap, counted by the allocator: after joining a
//! network of a million (k = 8) or of ten thousand (k = 20), and two hours in it.
#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

extern crate alloc;

#[expect(dead_code, reason = "shared with another benchmark")]
mod world;

use core::time::Duration;

use kadlet_core::{Family, Node};
use world::World;

fn main() {
    // Asked by `cargo test --benches` to be a test.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    for (nodes, k) in [(1_000_000, 8), (10_000, 20)] {
        let world = World::new(nodes, k);
        let mut node = None;
        let counted = allocation_counter::measure(|| node = Some(idle(&world)));
        let contacts = node.as_ref().map_or(0, |node| node.table(Family::V4).len());
        println!(
            "heap of an idle node, k = {k} of {nodes}: {} B in {} allocations, {contacts} contacts; and {} B itself",
            counted.bytes_current,
            counted.count_current,
            size_of::<Node>(),
        );
    }
}

fn idle(world: &World) -> Node {
    let (mut node, mut now) = world.joined(1);
    let until = now + Duration::from_secs(2 * 3_600);
    world.live(&mut node, &mut now, until);
    node
}
