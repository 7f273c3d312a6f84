//! What holds after any sequence of calls, and against brute force.

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Verified(Contact),
    Heard(Contact),
    Failed(Contact),
    FailUntilStale(Contact),
    Remove(Id),
    Frozen(bool),
    SetOwn(Id),
    Restore(Contact),
    Ping(bool),
    Refresh,
    Wait(u64),
}

/// Ids crowd around zero, so that tables get deep; few addresses, so that they meet again.
fn some_id() -> impl Strategy<Value = Id> {
    (0_u32..12, 0_u8..6, any::<bool>()).prop_map(|(prefix, seed, last)| {
        let id = Id::ZERO.random_beside(prefix, &mut rng(seed));
        // Ids that differ only where no key of 64 bits sees it.
        if last { id.with_flipped(159) } else { id }
    })
}

fn some_contact() -> impl Strategy<Value = Contact> {
    (some_id(), any::<bool>(), 0_u16..40, 1_u8..4).prop_map(|(id, own_machine, n, host)| {
        if own_machine { local(id, n) } else { public(id, n / 4, host) }
    })
}

fn some_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => some_contact().prop_map(Op::Verified),
        3 => some_contact().prop_map(Op::Heard),
        3 => some_contact().prop_map(Op::Failed),
        2 => some_contact().prop_map(Op::FailUntilStale),
        1 => some_id().prop_map(Op::Remove),
        1 => any::<bool>().prop_map(Op::Frozen),
        1 => some_id().prop_map(Op::SetOwn),
        1 => some_contact().prop_map(Op::Restore),
        3 => any::<bool>().prop_map(Op::Ping),
        1 => Just(Op::Refresh),
        2 => (0_u64..100).prop_map(Op::Wait),
        1 => (0_u64..100_000).prop_map(Op::Wait),
    ]
}

fn apply(table: &mut RoutingTable, now: &mut Instant, op: Op) {
    let known = |table: &RoutingTable, id| table.get(id).map(|entry| entry.contact);
    match op {
        Op::Verified(contact) => {
            let admission = table.verified(*now, contact, None);
            let inside = matches!(admission, Admission::Inserted | Admission::Updated);
            if inside {
                assert_eq!(known(table, contact.id), Some(contact));
            }
        }
        Op::Heard(contact) => {
            let before = known(table, contact.id);
            table.heard(*now, contact.id, contact.path);
            assert_eq!(known(table, contact.id), before, "unsolicited traffic changes no contact");
        }
        Op::Failed(contact) => {
            table.failed(*now, contact.id, contact.addr());
        }
        Op::FailUntilStale(contact) => {
            let contact = known(table, contact.id).unwrap_or(contact);
            for n in 0..5 {
                table.failed(*now, contact.id, contact.addr());
                *now = *now + Duration::from_secs((15 << n) + 1);
            }
        }
        Op::Remove(id) => {
            assert_eq!(table.get(id).is_some(), table.remove(*now, id));
        }
        Op::Frozen(frozen) => table.set_frozen(frozen),
        Op::SetOwn(id) => table.set_own(*now, id),
        Op::Restore(contact) => {
            let saved = SavedContact { contact, age: Duration::from_secs(60), rtt: None };
            table.restore(*now, Duration::ZERO, [saved]);
        }
        Op::Ping(answers) => {
            let pinged = pings(table, *now);
            let buckets: BTreeSet<_> = pinged.iter().map(|c| table.locate(c.id)).collect();
            assert_eq!(buckets.len(), pinged.len(), "one ping a bucket");
            for contact in pinged {
                if answers {
                    table.verified(*now, contact, None);
                } else {
                    table.failed(*now, contact.id, contact.addr());
                }
            }
        }
        Op::Refresh => {
            if let Some(id) = table.next_refresh(*now, &mut rng(0)) {
                table.touched(*now, id);
            }
        }
        Op::Wait(secs) => *now = *now + Duration::from_secs(secs),
    }
}

proptest! {
    #[test]
    fn any_sequence_of_calls_keeps_the_invariants(
        ops in prop::collection::vec(some_op(), 1..200),
        b in 1_u32..4,
        max_depth in prop::sample::select(&[3, 64][..]),
        limit_private in any::<bool>(),
    ) {
        let config = TableConfig { k: 2, b, max_depth, limit_private, ..config() };
        let (mut table, mut now) = (RoutingTable::new(Id::ZERO, config), at(0));
        for op in ops {
            apply(&mut table, &mut now, op);
            check(&table);
        }
    }

    /// Whatever happened before: who answers every ping comes to rest, and nobody is pinged twice.
    #[test]
    fn pinging_comes_to_rest(
        ops in prop::collection::vec(some_op(), 1..200),
        answers in any::<bool>(),
    ) {
        let (mut table, mut now) = (RoutingTable::new(Id::ZERO, config()), at(0));
        for op in ops {
            apply(&mut table, &mut now, op);
        }
        now = now + Duration::from_secs(40_000);
        let mut pinged = BTreeSet::new();
        while let Some(contact) = table.next_ping(now) {
            prop_assert!(pinged.insert((contact.id, contact.path)), "{contact:?} twice");
            if answers {
                table.verified(now, contact, None);
            } else {
                table.failed(now, contact.id, contact.addr());
            }
        }
        prop_assert!(table.ping_at.is_none_or(|at| at > now));
    }

    /// Mistakes 5 and 8: distances compared wrongly, replies from one bucket only, fewer than k
    /// though k are known, the asker or unverified contacts among them.
    #[test]
    fn the_closest_are_those_of_brute_force(
        ops in prop::collection::vec(some_op(), 1..200),
        target in prop_oneof![some_id(), any::<[u8; 20]>().prop_map(Id::new)],
        asker in some_id(),
        doubtful in any::<bool>(),
    ) {
        let (mut table, mut now) = (RoutingTable::new(Id::ZERO, config()), at(0));
        for op in ops {
            apply(&mut table, &mut now, op);
        }
        let mut expected: Vec<_> = table.iter().filter(|entry| entry.live || doubtful).collect();
        expected.retain(|entry| entry.contact.id != asker);
        expected.sort_by_key(|entry| entry.contact.id.distance(target));
        let filter = Filter { doubtful, ..Filter::answering(asker) };
        let closest: Vec<_> = table.closest(target, filter).collect();
        let mut filled = [local(asker, 0); 7];
        let count = table.closest(target, filter).fill(&mut filled);
        prop_assert_eq!(count, closest.len().min(7));
        prop_assert_eq!(&filled[..count], &closest[..count]);
        prop_assert_eq!(closest, expected.iter().map(|entry| entry.contact).collect::<Vec<_>>());
    }

    #[test]
    fn capable_contacts_are_found_through_incapable_ones(seed in any::<u8>(), n in 1_u16..300) {
        let mut rng = rng(seed);
        let mut table = RoutingTable::new(Id::random(&mut rng), config());
        for i in 0..n {
            let mut contact = local(Id::random(&mut rng), i);
            contact.capabilities = Capabilities(rng.next_u32() & 3);
            table.verified(at(0), contact, None);
        }
        let target = Id::random(&mut rng);
        let filter = Filter::default().capable(Capabilities::STORE);
        let mut expected: Vec<_> = table.iter().map(|entry| entry.contact).collect();
        expected.retain(|contact| contact.capabilities.include(Capabilities::STORE));
        expected.sort_by_key(|contact| contact.id.distance(target));
        prop_assert_eq!(table.closest(target, filter).collect::<Vec<_>>(), expected);
    }

    /// Mistake 14: the neighbourhood of the own id not complete. The trees are unbalanced: `skew`
    /// of the bits of each id agree with ours more often than not.
    #[test]
    fn the_neighbourhood_is_complete(
        seed in any::<u8>(),
        n in 1_u16..200,
        skew in 0_u32..8,
        b in 1_u32..4,
    ) {
        let mut rng = rng(seed);
        let own = Id::random(&mut rng);
        let config = TableConfig { b, neighbourhood: 1000, ..config() };
        let mut table = RoutingTable::new(own, config);
        let mut offered = Vec::new();
        for i in 0..n {
            let shared = (0..skew).take_while(|_| rng.one_in(2)).count() as u32;
            let id = own.random_within(shared, &mut rng);
            table.verified(at(0), local(id, i), None);
            offered.push(id);
        }
        offered.sort_by_key(|id| own.distance(*id));
        // The smallest subtree with k nodes is as wide as the k-th closest is far away.
        let depth = offered.get(K - 1).map_or(0, |id| own.common_prefix(*id));
        let near = offered.iter().take_while(|id| own.common_prefix(**id) >= depth);
        let lost = near.copied().find(|id| table.get(*id).is_none());
        prop_assert_eq!(lost, None);
    }

    /// Mistake 7: a refresh id outside its bucket's range.
    #[test]
    fn refreshes_fall_into_every_bucket_once_an_interval(seed in any::<u8>(), b in 1_u32..4) {
        let mut rng = rng(seed);
        let config = TableConfig { b, ..config() };
        let mut table = RoutingTable::new(Id::random(&mut rng), config);
        for i in 0..300 {
            table.verified(at(0), local(Id::random(&mut rng), i), None);
        }
        let mut refreshed = vec![0; table.buckets.len()];
        for secs in 0..4_000 {
            while let Some(id) = table.next_refresh(at(secs), &mut rng) {
                let hit = table.buckets().position(|bucket| bucket.covers(id)).expect("a bucket");
                prop_assert_eq!(table.buckets[hit].refreshed, at(secs), "the overdue bucket's id");
                refreshed[hit] += 1;
            }
        }
        prop_assert!(refreshed.iter().all(|times| *times == 1), "{refreshed:?}");
    }
}
