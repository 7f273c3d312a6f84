//! Many clients of one relay: how long a lookup takes when all look something up at once, and what
//! a client costs the relay.
//!
//! ```sh
//! cargo build --release -p kadlet && cargo run --release -p kadlet --example relay -- 1000
//! ```
//!
//! Method: the relay is the program, a process of its own, with its limits as they are by default
//! and loopback allowed. 100 native nodes run in this process, and N clients (the argument), each a
//! node of the core behind a WebSocket. They join, 50 at a time; then, all at the same moment, each
//! looks up a random id, once with its node in place (`find_node`, whose end has to be a success).
//! Memory is the relay's resident set, before the first client, and at its highest (`VmHWM`).

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::time::Duration;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use kadlet::Dht;
use kadlet::core::{Event, Id, Outcome, Rng};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;

extern crate alloc;

#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/program/relay/client.rs"]
mod client;

use client::Relayed;

const NETWORK: &str = "relay-bench";
const NATIVE: usize = 100;
const JOINING: usize = 50;

type Failure = Box<dyn core::error::Error + Send + Sync>;

#[expect(clippy::print_stdout, reason = "its result is what it prints")]
fn main() -> Result<(), Failure> {
    let clients: usize = std::env::args().nth(1).map_or(Ok(1_000), |count| count.parse())?;
    rlimit::increase_nofile_limit(2 * clients as u64 + 1_000)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("{}", runtime.block_on(measure(clients))?);
    Ok(())
}

/// The relay's process; it ends with us.
struct Relay {
    child: Child,
    address: SocketAddr,
}

impl Relay {
    fn start(clients: usize) -> Result<Self, Failure> {
        let ours = std::env::current_exe()?;
        let folder = ours.parent().and_then(std::path::Path::parent).ok_or("no target folder")?;
        let mut child = Command::new(folder.join("kadlet"))
            .args(["relay", "--json", "--listen", "127.0.0.1:0", "--allow-private"])
            .args(["--max-clients", &clients.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("piped")?).read_line(&mut line)?;
        let listening: serde_json::Value = serde_json::from_str(&line)?;
        let address = listening["addr"].as_str().ok_or("no address")?.parse()?;
        Ok(Self { child, address })
    }

    /// A line of what the system says about its memory, kB.
    fn memory(&self, name: &str) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no line")?;
        Ok(line.trim_matches([':', ' ', '\t']).trim_end_matches(" kB").parse()?)
    }

    /// User and system time; the unit of /proc is 10 ms.
    fn cpu(&self) -> Result<Duration, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit_once(')').ok_or("no name")?.1;
        let times = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = times.filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(10 * ticks))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn measure(clients: usize) -> Result<String, Failure> {
    let native = network().await?;
    let first = native.first().ok_or("no nodes")?.local_addr().to_string();
    let relay = Relay::start(clients)?;
    let before = relay.memory("VmRSS")?;

    let joining = Arc::new(Semaphore::new(JOINING));
    let ready = Arc::new(Barrier::new(clients + 1));
    let done = Arc::new(Barrier::new(clients + 1));
    let mut tasks: JoinSet<Result<Duration, Failure>> = JoinSet::new();
    let started = Instant::now();
    for number in 0..clients {
        let (address, first) = (relay.address, first.clone());
        let (joining, ready, done) = (joining.clone(), ready.clone(), done.clone());
        tasks.spawn(async move {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
            let mut rng = Rng::from_seed(seed);
            let slot = joining.acquire().await?;
            let mut node = Relayed::start(address, NETWORK, random_id(&mut rng), seed).await;
            node.bootstrap(&first);
            node.until(|event| matches!(event, Event::Done { .. }).then_some(())).await;
            drop(slot);
            serve(&mut node, &ready).await;
            let started = Instant::now();
            let now = node.now();
            let lookup = node.node.find_node(now, random_id(&mut rng));
            let outcome = node
                .until(|event| match event {
                    Event::Done { operation, outcome, .. } if operation == lookup => Some(outcome),
                    _ => None,
                })
                .await;
            let took = started.elapsed();
            if outcome != Outcome::Success {
                return Err(format!("a lookup ended with {outcome:?}").into());
            }
            // The others need it still.
            serve(&mut node, &done).await;
            Ok(took)
        });
    }
    ready.wait().await;
    let (joined, idle) = (started.elapsed(), relay.memory("VmRSS")?);
    let (started, cpu) = (Instant::now(), relay.cpu()?);
    done.wait().await;
    let (all, cpu) = (started.elapsed(), relay.cpu()? - cpu);
    let (at_end, highest) = (relay.memory("VmRSS")?, relay.memory("VmHWM")?);
    let mut times = Vec::new();
    while let Some(time) = tasks.join_next().await {
        times.push(time??);
    }
    let percentile = |times: &mut [Duration], percent: usize| {
        times.sort_unstable();
        let time = times.get((times.len() * percent / 100).min(times.len() - 1));
        time.map_or(0, Duration::as_millis)
    };
    let each = |memory: u64| (memory - before) as f64 / clients as f64;
    Ok(format!(
        "{clients} clients joined in {joined:.1?}; one lookup of each at the same moment: p50 {} ms, \
         p95 {} ms, longest {} ms, all in {all:.1?}, {cpu:.1?} CPU of the relay; relay {before} kB \
         empty, {idle} kB with all joined, {at_end} kB at the end, {highest} kB at its highest: \
         {:.1} to {:.1} kB a client",
        percentile(&mut times, 50),
        percentile(&mut times, 95),
        percentile(&mut times, 100),
        each(idle),
        each(highest),
    ))
}

/// Answers others until all are ready.
async fn serve(node: &mut Relayed, ready: &Barrier) {
    tokio::select! {
        () = node.until(|_| None) => {}
        _ = ready.wait() => {}
    }
}

fn random_id(rng: &mut Rng) -> Id {
    let mut id = [0; 20];
    rng.fill(&mut id);
    Id::new(id)
}

async fn network() -> Result<Vec<Dht>, Failure> {
    let mut nodes: Vec<Dht> = Vec::new();
    while nodes.len() < NATIVE {
        let node = Dht::builder().listen("127.0.0.1:0".parse()?).network(NETWORK).start().await?;
        if let Some(first) = nodes.first() {
            node.bootstrap(&[first.local_addr().into()]).await?;
        }
        nodes.push(node);
    }
    Ok(nodes)
}
