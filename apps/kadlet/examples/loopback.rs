//! Many nodes in one process, over real UDP on loopback: how fast values are put and got.
//!
//! ```sh
//! cargo run --release -p kadlet --example loopback -- 200
//! ```
//!
//! Method: N nodes (the argument) join knowing one of them; 200 values are put from random nodes; then
//! each value is got from a random node, first one after the other, then 32 at once for 20,000
//! gets. A get that does not give the value ends the program. CPU time is that of the process, all
//! nodes together, from /proc.

use core::time::Duration;
use std::time::Instant;

use kadlet::Dht;
use kadlet::core::record::Item;
use kadlet::core::{Id, Rng};
use tokio::task::JoinSet;

const VALUES: usize = 200;
const GETS: usize = 20_000;
const AT_ONCE: usize = 32;

#[expect(clippy::print_stdout, reason = "its result is what it prints")]
fn main() -> Result<(), Box<dyn core::error::Error>> {
    let size: usize = std::env::args().nth(1).map_or(Ok(200), |size| size.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(measure(size))?;
    println!("{report}");
    Ok(())
}

async fn measure(size: usize) -> Result<String, Box<dyn core::error::Error>> {
    let mut rng = Rng::from_seed([1; 32]);
    let started = Instant::now();
    let nodes = network(size).await?;
    let joined = started.elapsed();

    let mut puts = Vec::new();
    let mut keys: Vec<Id> = Vec::new();
    for i in 0..VALUES {
        let from = pick(&nodes, &mut rng)?;
        let started = Instant::now();
        keys.push(from.put(format!("value {i}").as_bytes()).await?.key);
        puts.push(started.elapsed());
    }

    let before = datagrams(&nodes).await?;
    let mut gets = Vec::new();
    for i in 0..GETS / 10 {
        let (from, key) = (pick(&nodes, &mut rng)?, keys[i % keys.len()]);
        let started = Instant::now();
        from.get(key).await?.ok_or("a value is gone")?;
        gets.push(started.elapsed());
    }
    let per_get = (datagrams(&nodes).await? - before) as f64 / gets.len() as f64;

    let (started, cpu) = (Instant::now(), cpu_time());
    let mut tasks: JoinSet<Result<Option<Item>, kadlet::Error>> = JoinSet::new();
    for i in 0..GETS {
        if tasks.len() == AT_ONCE
            && let Some(found) = tasks.join_next().await
        {
            found??.ok_or("a value is gone")?;
        }
        let (from, key) = (pick(&nodes, &mut rng)?.clone(), keys[i % keys.len()]);
        tasks.spawn(async move { from.get(key).await });
    }
    while let Some(found) = tasks.join_next().await {
        found??.ok_or("a value is gone")?;
    }
    let (took, cpu) = (started.elapsed(), cpu_time() - cpu);

    Ok(format!(
        "{size} nodes joined in {joined:.1?}; put p50 {:.2?} p95 {:.2?}; get p50 {:.2?} p95 {:.2?}, \
         {per_get:.1} datagrams; {:.0} gets/s with {AT_ONCE} at once, {:.3} ms CPU a get",
        percentile(&mut puts, 50),
        percentile(&mut puts, 95),
        percentile(&mut gets, 50),
        percentile(&mut gets, 95),
        GETS as f64 / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e3 / GETS as f64,
    ))
}

async fn network(size: usize) -> Result<Vec<Dht>, Box<dyn core::error::Error>> {
    let loopback = "127.0.0.1:0".parse()?;
    let mut nodes: Vec<Dht> = Vec::new();
    while nodes.len() < size {
        let node = Dht::builder().listen(loopback).network("bench").start().await?;
        if let Some(first) = nodes.first() {
            node.bootstrap(&[first.local_addr().into()]).await?;
        }
        nodes.push(node);
    }
    Ok(nodes)
}

fn pick<'a>(nodes: &'a [Dht], rng: &mut Rng) -> Result<&'a Dht, &'static str> {
    let place = rng.below(nodes.len() as u64) as usize;
    nodes.get(place).ok_or("there are no nodes")
}

async fn datagrams(nodes: &[Dht]) -> Result<u64, kadlet::Error> {
    let mut sum = 0;
    for node in nodes {
        sum += node.stats().await?.datagrams_out;
    }
    Ok(sum)
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}

/// User and system time of this process; the unit of /proc is 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which is in parentheses, the 12th and 13th fields.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}
