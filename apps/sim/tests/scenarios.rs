//! Every scenario of the library, as its file says it but at a small size, with exactly expected
//! results.
//!
//! A seeded simulation has no noise. Whoever changes the behaviour writes the files anew with
//! `UPDATE_SNAPSHOTS=1 cargo test -p kadlet-sim --test scenarios` and says in the commit why they
//! are better.

use kadlet_sim::scenario::LIBRARY;
use kadlet_sim::{Scenario, Watch, snapshot};

/// Runs a scenario with the first seed and these settings changed, and compares what comes of it
/// with the file of its name. `least`: what may not be less, whatever the file says.
fn check(name: &str, sets: &[(&str, &str)], least: &[(&str, f64)]) {
    check_as(name, name, sets, least);
}

/// The same in another world than the library's, whose file has a name of its own.
fn check_as(as_name: &str, name: &str, sets: &[(&str, &str)], least: &[(&str, f64)]) {
    let mut scenario = Scenario::named(name).expect("a scenario of the library");
    for (key, value) in sets {
        scenario.set(key, value).expect("a value that the key takes");
    }
    scenario.check().expect("values that go together");
    let watch = Watch::default();
    let figures = scenario.run(1, 1, &watch).expect("it ends");
    assert!(watch.share().is_some(), "whoever follows it is not told how much longer it will be");
    for (figure, least) in least {
        let value = figures.value(figure).expect("a figure of the experiment");
        assert!(value >= *least, "{figure}: {value}");
    }
    snapshot::check(&file(as_name), &figures.to_string());
}

fn file(name: &str) -> String {
    format!("scenario-{name}.txt")
}

/// k = 8 and so many nodes: as small as a network can be in which lookups have somewhere to go.
fn small<'a>(nodes: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("nodes", nodes), ("k", "8")], more].concat()
}

#[test]
fn no_scenario_is_missing_here() {
    for (name, _) in LIBRARY {
        let function = format!("fn {}()", name.replace('-', "_"));
        assert!(include_str!("scenarios.rs").contains(&function), "{function}");
    }
}

#[test]
fn steady() {
    check("steady", &small("100", &[("lookups", "30")]), &[("exact", 1.0)]);
}

#[test]
fn churn() {
    check("churn", &small("80", &[("lookups", "30")]), &[("found", 0.97)]);
}

#[test]
fn lossy() {
    check("lossy", &small("80", &[("lookups", "30")]), &[("found", 0.97)]);
}

#[test]
fn half_dead() {
    let least = [("dead_named", 0.2), ("found", 0.9)];
    check("half-dead", &small("200", &[("lookups", "30")]), &least);
}

#[test]
fn half_dead_behind_nats() {
    let world = [("wire", "mainline"), ("nats", "measured"), ("dead", "20 %"), ("own", "8 %")];
    let sets = small("200", &[&world[..], &[("lookups", "30")]].concat());
    check_as("half-dead-behind-nats", "half-dead", &sets, &[("dead_named", 0.4), ("found", 0.8)]);
}

#[test]
fn partition() {
    check("partition", &small("80", &[("lookups", "30")]), &[("found_2_h_after", 1.0)]);
}

#[test]
fn flash_crowd() {
    let sets = small("60", &[("newcomers", "60"), ("lookups", "30")]);
    check("flash-crowd", &sets, &[("joined", 1.0), ("read", 1.0)]);
}

#[test]
fn offline_and_back() {
    check("offline-and-back", &small("60", &[("lookups", "30")]), &[("found_1_h_after", 1.0)]);
}

#[test]
fn nat() {
    let sets = small("100", &[("lookups", "30"), ("values", "20")]);
    check("nat", &sets, &[("values_read", 1.0)]);
}

#[test]
fn republish() {
    let sets = small("60", &[("values", "30"), ("hours", "8")]);
    check("republish", &sets, &[("alive", 1.0)]);
}

/// Those who come are of both versions too.
#[test]
fn values_outlive_their_publishers_among_two_versions() {
    let sets = small("60", &[("values", "30"), ("hours", "8"), ("later", "50 %")]);
    check_as("republish-mixed-versions", "republish", &sets, &[("alive", 1.0)]);
}

#[test]
fn sybil_random() {
    check("sybil-random", &small("100", &[("keys", "5")]), &[("found", 1.0)]);
}

/// That the values are gone with the defences off is held by `tests/hostile.rs`.
#[test]
fn sybil_targeted() {
    let sets = small("200", &[("keys", "3"), ("readers", "4"), ("hostile", "32")]);
    check("sybil-targeted", &sets, &[]);
}

#[test]
fn poison() {
    check("poison", &small("100", &[("keys", "5")]), &[("found", 1.0), ("provided", 1.0)]);
}

#[test]
fn mixed_versions() {
    check(
        "mixed-versions",
        &small("60", &[("operations", "10"), ("later", "50 %")]),
        &[("exact", 1.0)],
    );
}

#[test]
fn flood() {
    let sets = small("40", &[("sources", "100"), ("per_second", "1000"), ("seconds", "3")]);
    check("flood", &sets, &[]);
}

#[test]
fn steady_with_puts() {
    let sets = small("100", &[("lookups", "1"), ("puts", "30")]);
    let least = [("publish_acknowledged", 1.0), ("publish_covered", 1.0)];
    check_as("steady-with-puts", "steady", &sets, &least);
}

#[test]
fn mainline_keeps_values_too() {
    let sets = small("60", &[("wire", "mainline"), ("lookups", "10")]);
    check_as("partition-mainline", "partition", &sets, &[("values_read_across", 1.0)]);
}
