//! "Acknowledged" survives `kill -9` at any moment, under load.

use core::time::Duration;
use std::time::Instant;

use crate::common::{Node, network};
use kadlet::core::{Announcement, Id, Rng};
use kadlet::{Dht, HostPort};
use tokio::task::JoinSet;

/// As often as the design asks for.
const KILLS: usize = 200;
/// Puts under way at once: more than one commit can take, so that batches overlap.
const AT_ONCE: usize = 16;
/// What a node acknowledges in its longest life; in the shortest, nothing. All lives together stay
/// far below what a store has room for (32 MiB, some 40,000 of these records): a full one forgets
/// the heaviest source's records, and rightly so, however fast the disk is.
const LONGEST_LIFE: u32 = 80;
/// The kill comes at most so long after the last of them: anywhere in a commit, which takes about
/// as long.
const LAST_MOMENT: Duration = Duration::from_millis(4);
/// What may be given up in one life before it is acknowledged: ten stalls of everything under way.
const LATE: usize = 10 * AT_ONCE;

/// What a node has acknowledged.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Value(Id),
    Provider(Id, u16),
}

#[test]
fn what_was_acknowledged_survives_two_hundred_kills() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let network = network("durability");
        let dir = tempfile::tempdir().unwrap();
        let data = ["--data", dir.path().to_str().unwrap()];
        let mut rng = Rng::from_seed([30; 32]);
        let mut all = Vec::new();
        let mut last = Vec::new();
        let mut id = None;
        for kill in 0..KILLS {
            let node = Node::start(&network, &data);
            assert_eq!(*id.get_or_insert(node.id.clone()), node.id, "kill {kill}: another id");
            let client = client(&network, &node).await;
            assert_held(&client, &last, kill).await;
            last = load_until_killed(&client, node, &mut rng).await;
            all.extend_from_slice(&last);
            client.shutdown().await;
        }
        assert!(all.len() > KILLS, "only {} records were acknowledged", all.len());
        let node = Node::start(&network, &data);
        let client = client(&network, &node).await;
        assert_held(&client, &all, KILLS).await;
    });
}

/// Somebody who knows the node and nobody else.
async fn client(network: &str, node: &Node) -> Dht {
    let loopback = "127.0.0.1:0".parse().unwrap();
    let client = Dht::builder().listen(loopback).network(network).client().start().await.unwrap();
    let address: HostPort = node.addr.parse().unwrap();
    client.contact(&[address]).await.expect("the node has just said that it listens");
    client
}

/// Stores one thing after the other until the node is gone; what it acknowledged.
async fn load_until_killed(client: &Dht, node: Node, rng: &mut Rng) -> Vec<Kept> {
    let life = rng.below(u64::from(LONGEST_LIFE)) as usize;
    let last_moment = LAST_MOMENT * (rng.next_u32() % 1000) / 1000;
    let mut kept = Vec::new();
    let mut tasks = JoinSet::new();
    let mut late = 0;
    while kept.len() < life {
        keep_busy(client, &mut tasks, rng);
        match tasks.join_next().await.and_then(Result::ok).flatten() {
            Some(stored) => kept.push(stored),
            // A disk that others use as well may need longer than the client waits.
            None => late += 1,
        }
        assert!(late <= LATE, "a node that runs takes what it is given");
    }
    let end = Instant::now() + last_moment;
    while Instant::now() < end {
        keep_busy(client, &mut tasks, rng);
        tokio::select! {
            done = tasks.join_next() => kept.extend(done.and_then(Result::ok).flatten()),
            () = tokio::time::sleep_until(end.into()) => {}
        }
    }
    node.kill();
    // What was acknowledged before the end and not yet looked at counts; the rest never comes.
    tokio::task::yield_now().await;
    while let Some(done) = tasks.try_join_next() {
        kept.extend(done.ok().flatten());
    }
    tasks.abort_all();
    kept
}

fn keep_busy(client: &Dht, tasks: &mut JoinSet<Option<Kept>>, rng: &mut Rng) {
    while tasks.len() < AT_ONCE {
        let (client, what) = (client.clone(), rng.next_u64());
        tasks.spawn(async move { store(&client, what).await });
    }
}

async fn store(client: &Dht, what: u64) -> Option<Kept> {
    if what.is_multiple_of(4) {
        let mut key = [0; 20];
        key.iter_mut().zip(what.to_be_bytes()).for_each(|(to, from)| *to = from);
        let port = 1 + (what >> 8) as u16 % 65_000;
        let mut announcement = Announcement::http(port);
        announcement.renew = false;
        client.announce(Id::new(key), announcement).await.ok()?;
        return Some(Kept::Provider(Id::new(key), port));
    }
    let value: Vec<u8> =
        what.to_be_bytes().into_iter().cycle().take(8 + what as usize % 800).collect();
    Some(Kept::Value(client.put(&value).await.ok()?.key))
}

async fn assert_held(client: &Dht, kept: &[Kept], kill: usize) {
    for part in kept.chunks(AT_ONCE) {
        let mut tasks = JoinSet::new();
        for kept in part.iter().copied() {
            let client = client.clone();
            tasks.spawn(async move { (kept, is_held(&client, kept).await) });
        }
        while let Some(held) = tasks.join_next().await {
            let (kept, held) = held.unwrap();
            if let Err(found) = held {
                panic!("before kill {kill}: {kept:?} was acknowledged, and now: {found}");
            }
        }
    }
}

/// What is found instead, if it is not what was kept.
async fn is_held(client: &Dht, kept: Kept) -> Result<(), String> {
    match kept {
        Kept::Value(key) => match client.get(key).await {
            Ok(Some(item)) if item.key() == key => Ok(()),
            other => Err(format!("{other:?}")),
        },
        Kept::Provider(key, port) => {
            let mut providers = client.providers(key);
            let mut found = Vec::new();
            while let Some(provider) = providers.next().await {
                match provider {
                    Ok(provider) if provider.address.port() == port => return Ok(()),
                    other => found.push(format!("{other:?}")),
                }
            }
            Err(format!("{found:?}, {:?}", providers.summary()))
        }
    }
}
