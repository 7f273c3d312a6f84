//! The estimate of a network's memory, held against what the allocator counts.

use core::time::Duration;

use kadlet_core::{Config, Role};
use kadlet_sim::{AddressPlan, Network, SimConfig, estimate_memory};

/// Not less than was counted, and not twice as much: the estimate is there to refuse what would
/// not fit, and nothing that would.
#[test]
fn the_estimate_is_somewhat_too_much() {
    for (nodes, k, addresses) in [
        (150, 20, AddressPlan::Private),
        (500, 8, AddressPlan::Private),
        (300, 20, AddressPlan::Public),
    ] {
        let mut settings = Config::default();
        (settings.table.k, settings.lookup.k) = (k, k);
        // On a public network a node would first find out whether it is reached.
        settings.role = Role::Server;
        let mut net = None;
        let counted = allocation_counter::measure(|| {
            let mut config = SimConfig::with_seed(70);
            config.addresses = addresses;
            let mut grown = Network::new(config);
            grown.grow(nodes, &settings).expect("all nodes join");
            grown.run_for(Duration::from_secs(300));
            net = Some(grown);
        });
        let counted = u64::try_from(counted.bytes_current).expect("memory is held");
        // The program itself is not in what is counted.
        let none = estimate_memory(0, &settings, addresses);
        let estimate = estimate_memory(nodes, &settings, addresses) - none;
        assert!(
            counted < estimate && estimate < 2 * counted,
            "{nodes} nodes, k = {k}: {counted} B, estimated {estimate} B"
        );
        drop(net);
    }
}
