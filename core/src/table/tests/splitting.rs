//! Which buckets split, and how far.

use super::*;

/// Mistake 14: all buckets splitting.
#[test]
fn far_buckets_do_not_split_at_b_1() {
    let table = crowd(TableConfig { b: 1, ..config() }, 2_000);
    let depths: Vec<_> = table.buckets().map(|bucket| bucket.depth()).collect();
    let far: Vec<_> = depths.iter().rev().take(4).copied().collect();
    assert_eq!(far, [1, 2, 3, 4], "{depths:?}");
}

/// The accelerated rule (section 4.2): each hop gains b bits.
#[test]
fn far_buckets_split_to_multiples_of_b() {
    for b in 2..5 {
        let table = crowd(TableConfig { b, ..config() }, 2_000);
        let far = table.buckets().filter(|bucket| !bucket.covers(table.own().with_flipped(1)));
        let far = far.filter(|bucket| !bucket.covers(table.own()));
        let half = far.filter(|bucket| bucket.first().bit(0) != table.own().bit(0));
        let half: Vec<_> = half.map(|bucket| (bucket.depth(), bucket.contacts().len())).collect();
        assert_eq!(half, vec![(b, K); 1 << (b - 1)]);
    }
}

/// Mistake 26: the depth is chosen by whoever chooses ids.
#[test]
fn the_depth_is_capped() {
    for max_depth in [0, 5, 64, 200] {
        let mut table = RoutingTable::new(Id::ZERO, TableConfig { max_depth, ..config() });
        for n in 0..64_u16 {
            // All of them share at least 144 bits with us.
            let mut bytes = [0; 20];
            bytes[18..].copy_from_slice(&(n + 1).to_be_bytes());
            table.verified(at(0), local(Id::new(bytes), n), None);
            check(&table);
        }
        assert_eq!(table.len(), K);
        assert_eq!(table.buckets().map(|b| b.depth()).max(), Some(max_depth.min(64)));
        assert_eq!(table.closest(Id::ZERO, Filter::default()).count(), K);
    }
}

/// Ids can be minted next to ours: the relaxed rule has an end.
#[test]
fn the_neighbourhood_is_capped() {
    let mut table = RoutingTable::new(Id::ZERO, config());
    let mut rng = rng(3);
    for n in 0..500 {
        // None on our side, so that the far half stays in the neighbourhood.
        table.verified(at(0), local(Id::ZERO.random_beside(0, &mut rng), n), None);
    }
    let most = table.config().neighbourhood * K;
    assert!((most..2 * most).contains(&table.len()), "{} contacts", table.len());
}

/// A table whose subtree nearer than a bucket is only stale must keep that bucket's live ones too.
#[test]
fn stale_contacts_make_no_neighbourhood() {
    let mut table = with_full_far_half();
    let near: Vec<_> = table.iter().map(|entry| entry.contact).filter(|c| !c.id.bit(0)).collect();
    for contact in near.into_iter().skip(1) {
        let (_, failure) = fail_until_stale(&mut table, contact, at(200));
        assert_eq!(failure, Failure::Stale);
    }
    assert_eq!(table.verified(at(500), local(id(0xff, 0), 99), None), Admission::Inserted);
}
