//! The known figures of one index.

use super::*;
use crate::classics::NO_CONNECTION;
use crate::content::{By, Class, ContentPlan};
use crate::link::{LinkModel, Rtt};

const MINUTE: Duration = Duration::from_secs(60);

fn network(places: u32, capacity: Capacity) -> Napster {
    let content = Arc::new(Content::new(ContentPlan::new(places), 5));
    let machines: Vec<NodeIndex> = (0..places).map(NodeIndex).collect();
    let link = LinkModel {
        rtt: Rtt::Constant(Duration::from_millis(100)),
        jitter: Duration::ZERO,
        ..LinkModel::default()
    };
    let ground = Ground::new(9, link, &machines);
    Napster::new(capacity, content, ground, (Instant::EPOCH, 1), NodeIndex(u32::MAX))
}

fn ask(network: &mut Napster, query: &Query) -> Answer {
    let number = network.search(query);
    let end = network.now + MINUTE;
    network.run_until(end);
    network.answer(number).clone()
}

fn queries(network: &Napster, class: Class, by: By) -> Vec<Query> {
    network.content.queries(Some(class), by, 30, 1)
}

/// The index knows all: rare or popular, everything is found, after two round trips to the server and
/// one to whoever has it.
#[test]
fn everything_is_found_in_three_round_trips() {
    let mut network = network(500, Capacity::default());
    for class in [Class::Rare, Class::Popular] {
        for query in queries(&network, class, By::Key) {
            let answer = ask(&mut network, &query);
            let first = answer.first.expect("the index knows all").since(answer.asked);
            assert!(first >= Duration::from_millis(300) && first < Duration::from_millis(315));
            assert_eq!(answer.stale, 0);
            let holders = network.content.file(query.file).holders.len();
            assert_eq!(answer.results as usize, holders.min(100));
        }
    }
}

/// Messages of the OpenNap description, counted by hand.
#[test]
fn messages_have_the_documented_sizes() {
    let network = network(100, Capacity::default());
    let name = "generic band - generic song.mp3";
    let shared = format!("\"{name}\" {}-2300000 2300000 128 44100 143", "0".repeat(32));
    assert_eq!(network.shared_bytes(name, 2_300_000), 4 + shared.len() as u64);
    let result = format!("{shared} user77 2147483648 8");
    assert_eq!(network.result_bytes(name, 2_300_000, NodeIndex(77)), 4 + result.len() as u64);
}

/// A search is one message there and at least one back, and two more for the address.
#[test]
fn a_search_costs_four_messages_and_what_its_results_take() {
    let mut network = network(500, Capacity::default());
    for query in queries(&network, Class::Rare, By::Key) {
        assert_eq!(ask(&mut network, &query).cost.messages, 4);
    }
    let query = queries(&network, Class::Popular, By::Key).remove(0);
    let answer = ask(&mut network, &query);
    let full = u64::from(answer.results) * 100 / super::super::SEGMENT;
    assert!((3 + full..=4 + 2 * full).contains(&answer.cost.messages), "{answer:?}");
}

/// What the server bears grows as the number of its users.
#[test]
fn load_and_state_grow_with_the_network() {
    let load = |places: u32| {
        let mut network = network(places, Capacity::default());
        for place in 0..places {
            network.leave(place);
            network.join(place, NodeIndex(places + place));
        }
        network.run_until(Instant::EPOCH + 10 * MINUTE);
        let (bytes, state) = (network.server_load().bytes, network.server_state());
        (bytes as f64, state as f64)
    };
    let (small, large) = (load(500), load(4_000));
    assert!((7.5..8.5).contains(&(large.0 / small.0)), "{}", large.0 / small.0);
    assert!((7.5..8.5).contains(&(large.1 / small.1)), "{}", large.1 / small.1);
}

/// At ten messages a second, whoever asks at once with others waits for them.
#[test]
fn a_slow_server_makes_its_users_wait() {
    let mut network = network(300, Capacity { messages: 10, ..Capacity::default() });
    let asked = queries(&network, Class::Rare, By::Key);
    let numbers: Vec<usize> = asked.iter().map(|query| network.search(query)).collect();
    network.run_until(Instant::EPOCH + MINUTE);
    let waits: Vec<Duration> = numbers
        .iter()
        .filter_map(|number| Some(network.answer(*number).first?.since(Instant::EPOCH)))
        .collect();
    assert_eq!(waits.len(), 30);
    // A search with its results is two or three messages, a request for an address one.
    assert!(waits.iter().max().is_some_and(|wait| wait.as_secs() >= 8), "{waits:?}");
    assert!(network.server_work().as_secs() >= 9);
}

#[test]
fn nothing_is_found_without_the_server() {
    let mut network = network(300, Capacity::default());
    network.stop_server();
    for query in queries(&network, Class::Popular, By::Words) {
        let answer = ask(&mut network, &query);
        assert_eq!((answer.first, answer.results), (None, 0));
    }
}

/// The server names a user who has gone until its connection has been silent for a minute.
#[test]
fn who_has_gone_is_named_for_a_minute() {
    let mut network = network(300, Capacity::default());
    let query = queries(&network, Class::Rare, By::Key).remove(0);
    for place in network.content.file(query.file).holders.clone() {
        network.leave(place);
    }
    let number = network.search(&query);
    network.run_until(Instant::EPOCH + Duration::from_millis(150));
    let answer = network.answer(number);
    assert!(answer.first.is_none() && answer.stale == answer.results && answer.stale > 0);
    let answer = {
        network.run_until(Instant::EPOCH + 2 * MINUTE);
        ask(&mut network, &query)
    };
    assert_eq!((answer.first, answer.results), (None, 0));
}

#[test]
fn a_newcomer_shares_what_its_place_has() {
    let mut network = network(300, Capacity::default());
    let query = queries(&network, Class::Rare, By::Key).remove(0);
    for place in network.content.file(query.file).holders.clone() {
        network.leave(place);
        network.join(place, NodeIndex(300 + place));
    }
    network.run_until(Instant::EPOCH + 2 * MINUTE);
    let answer = ask(&mut network, &query);
    assert!(answer.first.is_some() && answer.stale == 0);
}

/// Each that is named and has left costs a question for its address and a wait, until one is there.
#[test]
fn who_has_gone_is_waited_for() {
    let mut network = network(300, Capacity::default());
    let query = queries(&network, Class::Popular, By::Key).remove(0);
    let holders = network.content.file(query.file).holders.clone();
    let usual = ask(&mut network, &query);
    // Of so many some are named before the one that stays.
    for place in &holders[1..] {
        network.leave(*place);
    }
    let number = network.search(&query);
    let asked = network.now;
    network.run_until(asked + Duration::from_millis(150));
    let named = network.searches[number].untried.iter().position(|host| host.place == holders[0]);
    // One is under way already.
    let in_vain = named.map_or(0, |before| before as u32 + 1);
    network.run_until(asked + 2 * MINUTE);
    let answer = network.answer(number);
    let first = answer.first.expect("one stays").since(asked);
    let expected =
        Duration::from_millis(300) + in_vain * (NO_CONNECTION + Duration::from_millis(100));
    assert!(in_vain > 0 && first >= expected, "{first:?}, {in_vain}");
    assert!(first < expected + Duration::from_millis(15 * (1 + u64::from(in_vain))), "{first:?}");
    assert_eq!(answer.cost.messages, usual.cost.messages + 2 * u64::from(in_vain));
}
