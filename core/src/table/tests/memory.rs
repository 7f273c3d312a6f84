//! What a table costs.

use super::*;

/// targets.md allows a whole idle node 16 kB with k = 8 among a million, 32 kB with k = 20 among
/// ten thousand. This is more than idle: everybody has been met, and all replacement caches are
/// full.
#[test]
fn an_idle_table_is_small() {
    for (k, nodes, limit) in [(8, 1_000_000_u32, 15_500), (20, 10_000, 24_000)] {
        let mut rng = rng(1);
        let own = Id::random(&mut rng);
        let mut table = RoutingTable::new(own, TableConfig { k, ..TableConfig::default() });
        for n in 0..nodes {
            let addr = SocketAddr::from((n.reverse_bits().to_be_bytes(), 4000));
            table.verified(at(0), Contact::new(Id::random(&mut rng), addr), None);
        }
        let contacts = table.buckets.iter().map(|bucket| bucket.contacts.capacity());
        let waiting = table.buckets.iter().map(|bucket| bucket.replacements.capacity());
        let packed = contacts.chain(waiting).sum::<usize>() + table.candidates.capacity();
        let heap = packed * size_of::<Packed>()
            + table.buckets.capacity() * size_of::<Bucket>()
            + table.addresses.heap();
        assert!(heap <= limit, "{heap} bytes for {} contacts", table.len());
    }
}
