//! The bookkeeping of what a lookup has heard of.

use core::net::Ipv6Addr;

use super::*;
use crate::rng::Rng;

const BOUND: usize = 8;

/// Whatever becomes of whom, in whichever order: as many are counted as wait, and no more wait
/// than may.
#[test]
fn as_many_are_counted_as_wait() {
    let mut rng = Rng::from_seed([7; 32]);
    let config = LookupConfig { candidates: BOUND, addresses_per_id: 2, ..LookupConfig::default() };
    let mut candidates = Candidates::new(Id::ZERO, &config);
    let mut fullest = 0;
    for _ in 0..20_000 {
        let path = rng.below(3) as PathNumber;
        let index = rng.below(candidates.list.len() as u64 + 1) as usize;
        let address = address(&mut rng);
        match rng.below(12) {
            0 => candidates.remove(index),
            1 => candidates.settle_address(address, None),
            2 => {
                candidates.settle(index, path, Capabilities::NONE);
            }
            3 => candidates.set_state(index, State::Asked(path)),
            4 => candidates.set_state(index, State::Out),
            // Nobody stays barred, or all would be before long.
            5 => candidates.settled.clear(),
            _ => {
                let id = Id::new([rng.below(20) as u8; Id::LEN]);
                let by = rng.below(12) as u8;
                let namer =
                    if by == 0 { UNNAMED } else { candidates.place_of(([10, 1, 0, by], 1).into()) };
                candidates.hear(&Contact::new(id, address), path, 1, namer);
            }
        }
        let sorted = candidates.list.is_sorted_by(|a, b| a.order(b.distance, b.family()).is_le());
        assert!(
            sorted
                && candidates
                    .list
                    .iter()
                    .map(|it| it.distance.high_bits())
                    .eq(candidates.high.iter().copied())
        );
        for group in candidates.groups() {
            for path in 0..3 {
                assert!(group.open(path).count() <= 2, "addresses of an id wait per path");
            }
        }
        for (path, family) in (0..3).flat_map(|path| Family::ALL.map(|family| (path, family))) {
            let waits = |it: &&Candidate| it.waits_for(path) && it.family() == family;
            let wait = candidates.iter().filter(waits).count();
            assert_eq!(candidates.count_waiting(path, family), wait);
            assert!(wait <= BOUND);
            fullest = fullest.max(wait);
        }
    }
    assert_eq!(fullest, BOUND, "the bound was never reached");
}

fn address(rng: &mut Rng) -> SocketAddr {
    let number = rng.below(90) as u8;
    if rng.one_in(2) {
        ([10, 0, 0, number], 1).into()
    } else {
        (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into()), 1).into()
    }
}
