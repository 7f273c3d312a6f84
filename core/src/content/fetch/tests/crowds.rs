//! Many addresses of few owners.

use core::net::SocketAddr;

use super::*;
use crate::content::fetch::Want;
use crate::content::{ContentId, HashListBuilder};
use crate::{Id, Instant};

fn machine(n: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([20, n, n, n], port))
}

/// Whom another names has room, however many one names.
#[test]
fn one_namer_does_not_fill_a_fetch() {
    let now = Instant::from_secs(1);
    let mut fetch = Fetch::new(FetchConfig::default(), ContentId::of(b"x"), None).expect("fair");
    for port in 1..=2_000 {
        fetch.provider_found(now, machine(1, port), Id::new([1; 20]));
    }
    assert!(fetch.provider_found(now, machine(2, 1), Id::new([2; 20])));
    assert!(!fetch.provider_found(now, machine(1, 3_000), Id::new([1; 20])));
}

/// Each port of a machine would be another provider, with another piece for it to give wrong.
#[test]
fn a_machine_lies_a_few_times_only() {
    let content = file(3 * MIB);
    let mut builder = HashListBuilder::new();
    builder.update(content);
    let list = builder.finish();
    let mut now = Instant::from_secs(1);
    let mut fetch = Fetch::new(FetchConfig::default(), list.id(), None).expect("fair");
    for port in 1..=1_000 {
        fetch.provider_found(now, machine(1, port), Id::new([1; 20]));
    }
    let mut lies = 0;
    while let Some(due) = fetch.poll_timeout().filter(|_| lies < 100) {
        while let Some(request) = fetch.poll_request() {
            match request.want {
                Want::HashList { .. } => {
                    let _ = fetch.list_received(now, request.id, &list.encode());
                }
                Want::Piece { range, .. } => {
                    lies += 1;
                    let wrong = vec![0; (range.end - range.start) as usize];
                    let _ = fetch.piece_received(now, request.id, &wrong);
                }
            }
        }
        now = now.max(due) + Duration::from_millis(1);
        fetch.handle_timeout(now);
    }
    assert!((1..20).contains(&lies), "{lies} lies of one machine");
    assert!(!fetch.provider_found(now, machine(1, 2_000), Id::new([2; 20])));
    assert!(fetch.provider_found(now, machine(2, 1), Id::new([2; 20])));
}
