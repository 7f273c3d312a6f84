//! Lookups a second of one thread, all the nodes that are asked included, in a network of so many
//! nodes: what `tools/bench/browser/speed.mjs` holds a page against.

use std::time::Instant;

use kadlet_core::Config;
use kadlet_sim::{Network, SimConfig};

const ROUNDS: usize = 7;
const LOOKUPS: usize = 200;

#[expect(clippy::print_stdout, reason = "a program says what it measured")]
fn main() -> Result<(), Box<dyn core::error::Error>> {
    let nodes = std::env::args().nth(1).map_or(Ok(200), |text| text.parse())?;
    let mut net = Network::new(SimConfig::with_seed(1));
    net.grow(nodes, &Config::default())?;
    let mut rates = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..LOOKUPS {
            let (asker, target) = (net.random_live(), net.random_id());
            let lookup = net.command(asker, |node, now| node.find_node(now, target));
            net.wait(lookup)?;
        }
        rates.push(LOOKUPS as f64 / start.elapsed().as_secs_f64());
    }
    rates.sort_unstable_by(f64::total_cmp);
    println!("{{\"nodes\":{nodes},\"lookups_per_second\":{:.1}}}", rates[ROUNDS / 2]);
    Ok(())
}
