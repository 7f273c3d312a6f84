//! Versions live together: today's nodes and nodes of a later version, played by rewriting what a
//! node sends, are one network.

use kadlet_core::wire::native::Native;
use kadlet_core::wire::{Body, Message, Method, Query};
use kadlet_core::{Config, GetQuery, Network as NetworkName, PutOptions, Rejected};
use kadlet_sim::experiment::versions::later_version;
use kadlet_sim::{Network, NodeOptions, SimConfig};

use crate::{K, MINUTE, immutable, quality};

/// A method of a later version.
const NEW_METHOD: u16 = 700;

fn mixed(seed: u64, later_percent: usize) -> Network {
    let mut net = Network::new(SimConfig::with_seed(seed));
    let today = NodeOptions::new(Config::default());
    let mut later = today.clone();
    later.rewrite = Some(later_version);
    for number in 0..100 {
        // Spread evenly: every hundredth step lands on either side of the share.
        let options = if number * 37 % 100 < later_percent { &later } else { &today };
        net.grow_with(1, options).expect("both versions join");
    }
    net.run_for(MINUTE);
    net
}

/// 10, 50 and 90 % of a later version: one network, nothing lost, nobody counted as dead for not
/// understanding (mistake 25), and no message refused as malformed.
#[test]
fn mixed_versions_are_one_network() {
    for later_percent in [10, 50, 90] {
        let mut net = mixed(80 + later_percent as u64, later_percent);
        let quality = quality(&mut net, 20);
        assert!(quality.is_perfect(), "{later_percent} % of a later version: {quality:?}");
        for number in 0..10_u8 {
            let value = immutable(&[number; 300]);
            let (writer, reader) = (net.random_live(), net.random_live());
            let operation = net.command(writer, |node, now| {
                node.put(now, value.clone(), PutOptions::default()).expect("a good value")
            });
            let stored = net.wait(operation).expect("a put ends");
            assert!(stored.totals().stored as usize >= K);
            let operation =
                net.command(reader, |node, now| node.get(now, GetQuery::new(value.key())));
            let report = net.wait(operation).expect("a get ends");
            assert_eq!(report.values().collect::<Vec<_>>(), [&value]);
        }
        // The extra questions were nobody's: what answers them is the only thing refused.
        let refused: Vec<_> = net.counters().rejected.keys().copied().collect();
        assert_eq!(refused, [Rejected::Unsolicited]);
    }
}

/// A method of a later version that names a target is answered like find_node, flagged so; one
/// without a target is answered with an error. Never with silence.
#[test]
fn unknown_methods_are_answered() {
    let mut net = Network::new(SimConfig::with_seed(90));
    let nodes = net.grow(30, &Config::default()).expect("they join");
    let NetworkName::Native(name) = Config::default().network else {
        panic!("the default network is a native one")
    };
    let wire = Native::new(&name);
    let stranger = net.add_listener();
    let (id, target) = (net.random_id(), net.random_id());
    for wanted in [Some(target), None] {
        let mut query = Query::new(Method::Unknown { code: NEW_METHOD, name: b"" });
        query.target = wanted;
        let message = Message::new(b"12345678", id, Body::Query(query));
        let mut datagram = Vec::new();
        wire.encode(&message, None, &mut datagram);
        net.send_from(stranger, nodes[0], datagram);
        net.run_for(crate::SECOND);
        let heard = net.heard(stranger);
        let answers: Vec<_> = heard
            .iter()
            .filter_map(|(_, bytes)| wire.decode(bytes).ok())
            .filter(|message| message.transaction == b"12345678")
            .collect();
        assert_eq!(answers.len(), 1);
        match (&answers[0].body, wanted) {
            (Body::Response(response), Some(_)) => {
                assert!(response.unsupported);
                assert!(response.nodes.iter().next().is_some());
            }
            (Body::Error(_), None) => {}
            (other, _) => panic!("answered with {other:?}"),
        }
    }
}
