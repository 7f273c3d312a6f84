//! The experiments in a friendly world, each at a small size with exactly expected results.
//!
//! A seeded simulation has no noise. Whoever changes the behaviour writes the files anew with
//! `UPDATE_SNAPSHOTS=1 cargo test -p kadlet-sim --test benign` and says in the commit why they are
//! better.

use core::time::Duration;

use kadlet_core::Config;
use kadlet_sim::experiment::crowd::FlashCrowd;
use kadlet_sim::experiment::figures::Figures;
use kadlet_sim::experiment::half_dead::HalfDead;
use kadlet_sim::experiment::nat::Nats;
use kadlet_sim::experiment::offline::OfflineAndBack;
use kadlet_sim::experiment::partition::Partition;
use kadlet_sim::experiment::republish::Republish;
use kadlet_sim::experiment::setting::Setting;
use kadlet_sim::{LinkModel, Sessions, snapshot};

const HOUR: Duration = Duration::from_secs(3_600);

/// A network of k = 8: as small as a network can be in which lookups have somewhere to go.
fn setting(nodes: usize) -> Setting {
    let mut config = Config::default();
    (config.table.k, config.lookup.k) = (8, 8);
    let mut setting = Setting::new(1, nodes, config);
    setting.lookups = 30;
    setting
}

fn check(name: &str, figures: &Figures) {
    snapshot::check(&format!("benign-{name}.txt"), &figures.to_string());
}

fn value(figures: &Figures, name: &str) -> f64 {
    figures.value(name).expect("a figure of the experiment")
}

#[test]
fn steady() {
    let figures = setting(100).run().expect("it ends");
    assert_eq!(value(&figures, "exact"), 1.0);
    check("steady", &figures);
}

#[test]
fn churn() {
    let mut setting = setting(80);
    setting.sessions = Some(Sessions::MEASURED);
    setting.warm_up = HOUR;
    let figures = setting.run().expect("it ends");
    assert!(value(&figures, "found") > 0.97);
    check("churn", &figures);
}

#[test]
fn lossy() {
    let mut setting = setting(80);
    setting.sim.link = LinkModel::lossy();
    setting.sim.link.loss = 50_000;
    setting.sim.link.reordering = 10_000;
    let figures = setting.run().expect("it ends");
    assert!(value(&figures, "found") > 0.97);
    check("lossy", &figures);
}

#[test]
fn half_dead() {
    let mut setting = setting(200);
    setting.pace = Duration::from_secs(3);
    let figures = HalfDead::new(setting).run().expect("it ends");
    assert!(value(&figures, "dead_named") > 0.2);
    assert!(value(&figures, "found") > 0.9);
    check("half-dead", &figures);
}

#[test]
fn partition() {
    let figures = Partition::new(setting(80)).run().expect("it ends");
    assert_eq!(value(&figures, "found_2_h_after"), 1.0);
    check("partition", &figures);
}

#[test]
fn flash_crowd() {
    let figures = FlashCrowd::new(setting(60)).run().expect("it ends");
    assert_eq!((value(&figures, "joined"), value(&figures, "read")), (1.0, 1.0));
    check("flash-crowd", &figures);
}

#[test]
fn offline_and_back() {
    let figures = OfflineAndBack::new(setting(60)).run().expect("it ends");
    assert_eq!(value(&figures, "found_1_h_after"), 1.0);
    check("offline-and-back", &figures);
}

#[test]
fn nat() {
    let figures = Nats::new(setting(100)).run().expect("it ends");
    assert_eq!(value(&figures, "values_read"), 1.0);
    check("nat", &figures);
}

#[test]
fn republish() {
    let mut setting = setting(60);
    setting.sessions = Some(Sessions::MEASURED);
    let mut republish = Republish::new(setting, 30);
    republish.hours = 8;
    let figures = republish.run().expect("it ends");
    assert_eq!(value(&figures, "alive"), 1.0);
    check("republish", &figures);
}
