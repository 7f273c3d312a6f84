//! What a table does with contacts of an earlier run, or under another id.

use super::*;

#[test]
fn restored_contacts_serve_us_and_are_pinged_before_they_are_handed_on() {
    let table = crowd(config(), 100);
    let saved: Vec<_> = table.export(at(120)).collect();
    assert!(saved.iter().all(|saved| saved.age == Duration::from_secs(120)));
    let mut restored = RoutingTable::new(table.own(), config());
    restored.restore(at(0), Duration::from_secs(60), saved.iter().copied());
    assert_eq!(restored.len(), table.len());
    let target = id(9, 9);
    let ours = restored.closest(target, Filter::default().or_doubtful());
    assert!(ours.eq(table.closest(target, Filter::default())));
    assert_eq!(restored.closest(target, Filter::default()).next(), None);
    assert_eq!(restored.export(at(0)).map(|saved| saved.age).max(), Some(Duration::from_secs(180)));
    // Every other is dead: the first failure is enough for its place.
    let mut alive = 0;
    while let Some(contact) = restored.next_ping(at(0)) {
        if contact.id.bit(100) {
            restored.failed(at(0), contact.id, contact.addr());
        } else {
            assert_eq!(restored.verified(at(0), contact, None), Admission::Updated);
            alive += 1;
        }
        check(&restored);
    }
    assert_eq!(restored.closest(target, Filter::default()).count(), alive);
    assert!((1..table.len()).contains(&alive));
    assert_eq!(restored.export(at(0)).count(), alive, "who failed at once is not worth saving");
}

#[test]
fn a_restored_contact_gives_way_at_its_first_failure() {
    let mut table = RoutingTable::new(Id::ZERO, config());
    table.restore(at(0), Duration::ZERO, with_full_far_half().export(at(200)));
    let dead = table.get(id(0x81, 0)).expect("restored").contact;
    let newcomer = local(id(0x99, 0), 60);
    assert_eq!(table.verified(at(1), newcomer, None), Admission::Replacement);
    assert_eq!(table.failed(at(2), dead.id, dead.addr()), Failure::Replaced(newcomer));
    assert!(table.get(dead.id).is_none());
}

#[test]
fn a_new_own_id_keeps_the_contacts_and_sorts_them_anew() {
    let mut table = crowd(config(), 300);
    let before: BTreeSet<_> = table.iter().map(|entry| entry.contact.id).collect();
    let own = Id::random(&mut rng(77));
    table.set_own(at(50), own);
    check(&table);
    assert_eq!(table.own(), own);
    assert!(table.iter().all(|entry| entry.seen == at(0) && entry.live));
    let nearest = before.iter().min_by_key(|id| own.distance(**id)).expect("contacts");
    assert!(table.get(*nearest).is_some());
    assert!(table.buckets().last().is_some_and(|far| far.contacts().len() == K));
    assert_ne!(own.distance(*nearest), Distance::ZERO);
}
