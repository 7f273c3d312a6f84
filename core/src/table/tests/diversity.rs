//! One owner of addresses owns neither a bucket nor the table.

use super::*;

#[test]
fn one_prefix_fills_neither_a_bucket_nor_the_table() {
    let mut table = RoutingTable::new(Id::ZERO, config());
    let [a, b, c] = [1, 2, 3].map(|host| public(id(0x80 + host, 0), 7, host));
    assert_eq!(table.verified(at(0), a, None), Admission::Inserted);
    assert_eq!(table.verified(at(0), b, None), Admission::Inserted);
    let in_bucket = Admission::Refused(Refusal::PrefixInBucket);
    assert_eq!(table.verified(at(0), c, None), in_bucket);
    // The place of a stale one of its kind is open to it.
    fail_until_stale(&mut table, a, at(10));
    assert_eq!(table.verified(at(300), c, None), Admission::Inserted);
    assert!(table.get(a.id).is_none());

    let mut table =
        RoutingTable::new(Id::ZERO, TableConfig { per_prefix_in_bucket: 4, ..config() });
    let mut rng = rng(5);
    for n in 0..60_u16 {
        table.verified(
            at(0),
            public(Id::ZERO.random_beside(u32::from(n) % 8, &mut rng), 100 + n, 1),
            None,
        );
    }
    let hosts = (0..60)
        .map(|host| public(Id::ZERO.random_beside(12 + u32::from(host) / 2, &mut rng), 7, host));
    let admitted =
        hosts.filter(|contact| table.verified(at(1), *contact, None) == Admission::Inserted);
    assert_eq!(admitted.count(), 10);
    check(&table);
}

#[test]
fn private_addresses_are_spared_unless_told() {
    for (limit_private, expected) in [(false, 50), (true, 2)] {
        let mut table =
            RoutingTable::new(Id::ZERO, TableConfig { k: 50, limit_private, ..config() });
        for n in 0..50 {
            table.verified(at(0), local(id(1 + n as u8, 1), n), None);
        }
        assert_eq!(table.len(), expected);
    }
}

#[test]
fn a_reply_can_be_diverse() {
    let config = TableConfig { per_prefix_in_bucket: 8, per_prefix_in_table: 100, ..config() };
    let mut table = RoutingTable::new(Id::ZERO, TableConfig { k: 16, ..config });
    for host in 0..8 {
        table.verified(at(0), public(id(0x10 + host, 0), 7, host), None);
    }
    table.verified(at(0), public(id(0xf0, 0), 8, 1), None);
    let reply: Vec<_> = table.closest(Id::ZERO, Filter::default()).diverse(2).collect();
    assert_eq!(reply.iter().map(|c| c.id.as_bytes()[0]).collect::<Vec<_>>(), [0x10, 0x11, 0xf0]);
}
