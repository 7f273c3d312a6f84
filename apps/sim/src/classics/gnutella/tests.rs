//! The known figures of flooding.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::*;
use crate::content::{By, Class, ContentPlan};
use crate::link::{LinkModel, Rtt};

const MINUTE: Duration = Duration::from_secs(60);

fn machines(places: u32) -> Vec<NodeIndex> {
    (0..places).map(NodeIndex).collect()
}

fn content(places: u32) -> Arc<Content> {
    Arc::new(Content::new(ContentPlan::new(places), 5))
}

/// All links take the same time: a question comes to everybody over a shortest way.
fn even_links() -> LinkModel {
    LinkModel {
        rtt: Rtt::Constant(Duration::from_millis(100)),
        jitter: Duration::ZERO,
        ..LinkModel::default()
    }
}

/// Everybody has `degree` connections, and questions live for `ttl` hops.
fn regular(places: u32, degree: u32, ttl: u8) -> (Gnutella, Vec<(u32, u32)>) {
    let edges = random_regular(places, degree, &mut content::rng(3, 1));
    let ground = Ground::new(9, even_links(), &machines(places));
    let config = GnutellaConfig { ttl, ..GnutellaConfig::default() };
    let content = content(places);
    let network = Gnutella::with_graph(config, content, ground, Instant::EPOCH, (&edges, 1));
    (network, edges)
}

fn ask(network: &mut Gnutella, query: &Query) -> Answer {
    let number = network.search(query);
    // Seven ways there and seven back.
    let end = network.now + Duration::from_secs(15);
    network.run_until(end);
    assert!(network.is_quiet());
    network.answer(number).clone()
}

fn rare(network: &Gnutella, stream: u64) -> Query {
    network.content.queries(Some(Class::Rare), By::Key, 1, stream).remove(0)
}

/// Places within so many hops, by brute force, the first left out.
fn within(edges: &[(u32, u32)], places: u32, from: u32, hops: u32) -> u32 {
    let mut far = vec![u32::MAX; places as usize];
    far[from as usize] = 0;
    let mut queue = VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        for (a, b) in edges {
            let next = if *a == at { *b } else { *a };
            if (*a == at || *b == at) && far[next as usize] == u32::MAX {
                far[next as usize] = far[at as usize] + 1;
                queue.push_back(next);
            }
        }
    }
    far.iter().filter(|far| (1..=hops).contains(*far)).count() as u32
}

/// d·((d-1)^TTL - 1)/(d - 2): the servents in reach if no two ways met.
fn tree_bound(degree: u32, ttl: u8) -> u32 {
    degree * ((degree - 1).pow(ttl.into()) - 1) / (degree - 2)
}

#[test]
fn reach_is_what_the_graph_has_and_below_the_tree_bound() {
    for (degree, ttl) in [(3, 1), (3, 4), (3, 7), (4, 2), (4, 5), (5, 3)] {
        let (mut network, edges) = regular(1_000, degree, ttl);
        for stream in 0..3 {
            let query = rare(&network, stream);
            let answer = ask(&mut network, &query);
            let truth = within(&edges, 1_000, query.asker, ttl.into());
            assert_eq!(answer.reached, truth, "degree {degree}, TTL {ttl}");
            assert!(answer.reached <= tree_bound(degree, ttl));
        }
    }
}

/// Where the tree is much smaller than the network, hardly two ways meet.
#[test]
fn a_short_flood_in_a_large_network_is_a_tree() {
    let (mut network, _) = regular(3_000, 4, 3);
    let reached: Vec<u32> = (0..5)
        .map(|stream| {
            let query = rare(&network, stream);
            ask(&mut network, &query).reached
        })
        .collect();
    assert_eq!(tree_bound(4, 3), 52);
    assert!(reached.iter().all(|reached| (47..=52).contains(reached)), "{reached:?}");
}

/// With enough hops everybody is reached. Each but the asker sends to all neighbours but one, so
/// n·d - n + 1 copies are sent, of which n - 1 were needed.
#[test]
fn a_long_flood_reaches_all_and_most_of_it_is_for_nothing() {
    let (n, d) = (500, 4);
    let (mut network, _) = regular(n, d, 20);
    let query = rare(&network, 1);
    let answer = ask(&mut network, &query);
    assert_eq!(answer.reached, n - 1);
    assert_eq!(answer.duplicates, (n * d - n + 1) - (n - 1));
    // What came back went over as many hops.
    let questions = u64::from(answer.reached + answer.duplicates);
    assert!((1..=8 * 2).contains(&(answer.cost.messages - questions)));
}

/// A question of 23 + 2 + text + 1 bytes in a segment with 40 more, once for each copy; the hit is
/// 23 + 11 + (8 + name + 2) + 16 long.
#[test]
fn traffic_is_copies_times_their_size() {
    let (mut network, _) = regular(100, 3, 7);
    let query = rare(&network, 2);
    let answer = ask(&mut network, &query);
    let name = network.content.file(query.file).name.len() as u64;
    let copies = u64::from(answer.reached + answer.duplicates);
    let hops = answer.cost.messages - copies;
    assert!(hops > 0, "nothing was found");
    let expected = copies * (23 + 2 + name + 1 + 40) + hops * (23 + 11 + 8 + name + 2 + 16 + 40);
    assert_eq!(answer.cost.bytes, expected);
    // And a round trip to connect.
    let last = answer.last.map(|last| last + Duration::from_millis(100));
    assert_eq!(answer.first, last.filter(|_| answer.results == 1).or(answer.first));
}

/// Whoever is three hops away answers over three hops: six ways of 50 ms, and two to connect.
#[test]
fn answers_take_the_way_back() {
    let edges = [(0, 1), (1, 2), (2, 3)];
    let content = content(100);
    let query = content.queries(Some(Class::Popular), By::Key, 1, 1).remove(0);
    // Nobody else is connected, and only one of those asked has it.
    let holder = content.file(query.file).holders[0];
    let others: Vec<u32> = (0..100)
        .filter(|p| *p != query.asker && !content.file(query.file).holders.contains(p))
        .take(2)
        .collect();
    let place = [query.asker, others[0], others[1], holder];
    let edges = edges.map(|(a, b): (usize, usize)| (place[a], place[b]));
    let ground = Ground::new(9, even_links(), &machines(100));
    let config = GnutellaConfig { cache: 0, ..GnutellaConfig::default() };
    let mut network = Gnutella::with_graph(config, content, ground, Instant::EPOCH, (&edges, 1));
    let answer = ask(&mut network, &query);
    let first = answer.first.expect("three hops are within reach");
    assert_eq!(first.since(answer.asked), Duration::from_millis(400));
    assert_eq!((answer.results, answer.reached, answer.duplicates), (1, 3, 0));
    assert_eq!(answer.cost.messages, 6);
}

/// With times as they are on the internet a question may come over a longer way first, and then
/// ends earlier: never more are reached than the graph has.
#[test]
fn uneven_links_reach_fewer() {
    let edges = random_regular(2_000, 3, &mut content::rng(3, 2));
    let ground = Ground::new(9, LinkModel::default(), &machines(2_000));
    let config = GnutellaConfig::default();
    let content = content(2_000);
    let mut network = Gnutella::with_graph(config, content, ground, Instant::EPOCH, (&edges, 1));
    let query = rare(&network, 1);
    let answer = ask(&mut network, &query);
    let most = within(&edges, 2_000, query.asker, 7);
    assert!(answer.reached < most, "{} of {most}", answer.reached);
    assert!(answer.reached > most / 2, "{} of {most}", answer.reached);
}

/// The horizon: what one node in a thousand has is found in a small network and missed in a large.
#[test]
fn rare_content_is_beyond_the_horizon_of_a_large_network() {
    let found = |places| {
        let ground = Ground::new(9, even_links(), &machines(places));
        let config = GnutellaConfig::default();
        let mut network = Gnutella::new(config, content(places), ground, Instant::EPOCH, 4);
        let queries = network.content.queries(Some(Class::Rare), By::Key, 40, 1);
        queries.iter().filter(|query| ask(&mut network, query).first.is_some()).count()
    };
    assert!(found(200) >= 36, "{} of 40", found(200));
    let far = found(20_000);
    assert!((4..=24).contains(&far), "{far} of 40");
}

/// As measured: 3.4 connections on average; with the power law a few have very many.
#[test]
fn degrees_are_as_measured() {
    for (degree, most) in [(Degree::MEASURED, 4..14), (Degree::POWER_LAW, 30..80)] {
        let ground = Ground::new(9, even_links(), &machines(5_000));
        let config = GnutellaConfig { degree, ..GnutellaConfig::default() };
        let network = Gnutella::new(config, content(5_000), ground, Instant::EPOCH, 4);
        let mean = network.degrees().sum::<usize>() as f64 / 5_000.0;
        assert!((3.3..3.6).contains(&mean), "{degree:?}: {mean}");
        let highest = network.degrees().max().unwrap_or(0);
        assert!(most.contains(&highest), "{degree:?}: {highest}");
    }
}

/// A third goes at once; within some minutes those who stayed have as many connections as before,
/// and reach each other.
#[test]
fn connections_are_repaired() {
    let ground = Ground::new(9, LinkModel::default(), &machines(300));
    let config = GnutellaConfig { ttl: 20, ..GnutellaConfig::default() };
    let mut network = Gnutella::new(config, content(300), ground, Instant::EPOCH, 4);
    for place in 200..300 {
        network.leave(place);
    }
    network.run_until(Instant::EPOCH + 5 * MINUTE);
    let mean = network.degrees().sum::<usize>() as f64 / 200.0;
    assert!((3.1..3.6).contains(&mean), "{mean}");
    let mut query = rare(&network, 1);
    query.asker = 7;
    assert_eq!(ask(&mut network, &query).reached, 199);
}

/// A newcomer that knows three addresses connects, floods one PING and learns addresses from PONGs.
#[test]
fn a_newcomer_finds_its_place() {
    let ground = Ground::new(9, LinkModel::default(), &machines(300));
    let mut network =
        Gnutella::new(GnutellaConfig::default(), content(300), ground, Instant::EPOCH, 4);
    network.leave(17);
    network.reset();
    network.join(17, NodeIndex(300), &[1, 2, 3]);
    network.run_until(Instant::EPOCH + Duration::from_secs(20));
    let servent = &network.servents[17];
    assert!(servent.opened() == servent.wanted && servent.pinged);
    assert_eq!(servent.cache.len(), network.config.cache);
    // A PONG of each of some two hundred in reach comes back over several hops.
    let upkeep = network.upkeep();
    assert!((1_000..4_000).contains(&upkeep.messages), "{upkeep:?}");
    assert!(network.is_quiet());
}

/// What a machine bore counts when it has left, and not to whoever comes into its place.
#[test]
fn the_busiest_is_one_machine() {
    let (mut network, _) = regular(100, 3, 7);
    let query = rare(&network, 2);
    ask(&mut network, &query);
    let most = network.busiest();
    let place = network.traffic().position(|traffic| traffic == most).expect("a place") as u32;
    network.leave(place);
    network.join(place, NodeIndex(100), &[(place + 1) % 100]);
    assert!(network.traffic().all(|traffic| traffic <= most));
    assert_eq!(network.busiest(), most);
    network.reset();
    assert_eq!(network.busiest(), 0);
}

#[test]
fn one_seed_one_run() {
    let run = || {
        let ground = Ground::new(9, LinkModel::lossy(), &machines(200));
        let mut network =
            Gnutella::new(GnutellaConfig::default(), content(200), ground, Instant::EPOCH, 4);
        network.leave(3);
        network.join(3, NodeIndex(200), &[4, 5, 6]);
        let query = rare(&network, 1);
        (ask(&mut network, &query), network.upkeep(), network.traffic().collect::<Vec<_>>())
    };
    assert_eq!(run(), run());
}
