//! The oracle: how fast it says that a lookup can be.

use core::time::Duration;

use kadlet_sim::quality::{self, Beside, quantile, sorted};
use kadlet_sim::{LinkModel, Network, Picture, Policy, Tables, Timing};

use crate::{MINUTE, network};

fn millis(timings: &[Timing], of: impl Fn(&Timing) -> Duration) -> Vec<f64> {
    sorted(timings.iter().map(|timing| quality::ms(of(timing))))
}

/// targets.md, "Lookup quality": one round alone takes 2.0 round trips at k = 8 and 2.6 at k = 20.
#[test]
fn one_round_takes_as_long_as_published() {
    let mut net = network(80, 150);
    for (k, trips) in [(8, 2.0), (20, 2.6)] {
        let mut timings = Vec::new();
        for number in 0..400 {
            let (asker, target) = (net.random_live(), net.random_id());
            timings.push(Picture::of(&net).one_round(target, k, asker, number));
        }
        let median = quantile(&millis(&timings, |it| it.complete), 500) / 156.0;
        assert!((median - trips).abs() < 0.15, "{median} round trips at k = {k}");
        assert!(timings.iter().all(|timing| timing.asked as usize == k && timing.exact));
    }
}

/// Brute force, by another way.
#[test]
fn a_picture_names_the_closest() {
    let mut net = network(81, 60);
    for _ in 0..50 {
        let (asker, target) = (net.random_live(), net.random_id());
        let ids = Picture::of(&net).closest(target, 20, asker).into_iter().map(|(id, _)| id);
        assert!(ids.eq(net.closest_live(target, 20, asker)));
    }
}

/// A lookup in a picture takes what the network's own takes: the same nodes, tables and round trips.
#[test]
fn a_lookup_in_a_picture_is_like_the_real_one() {
    let mut net = network(82, 300);
    let (mut real, mut pictured) = (Vec::new(), Vec::new());
    for number in 0..60 {
        let (asker, target) = (net.random_live(), net.random_id());
        let timing = {
            let picture = Picture::of(&net);
            let policy = Policy::adaptive(20, 3, 3, picture.learnt(asker));
            picture.lookup(Tables::Real, &policy, asker, target, number)
        };
        assert!(timing.exact && timing.first.is_some_and(|first| first <= timing.complete));
        pictured.push(timing);
        let sample =
            quality::sample(&mut net, asker, target, &Beside::default()).expect("a lookup ends");
        assert!(sample.exact && sample.found == 20);
        real.push(quality::ms(sample.complete));
    }
    let (real, pictured) =
        (quantile(&sorted(real), 500), quantile(&millis(&pictured, |it| it.complete), 500));
    assert!((real / pictured - 1.0).abs() < 0.1, "{real} ms, in the picture {pictured} ms");
}

/// With a third of the nodes dead the classical policies wait for them, each in its way.
#[test]
fn classical_policies_are_slower_where_contacts_are_dead() {
    let mut net = network(83, 300);
    for _ in 0..100 {
        let victim = net.random_live();
        net.kill(victim);
    }
    *net.link_mut() = LinkModel::lossy();
    let median = |net: &mut Network, policy: Option<Policy>| {
        let mut timings = Vec::new();
        for number in 0..40 {
            let (asker, target) = (net.random_live(), net.random_id());
            let picture = Picture::of(net);
            let own = Policy::adaptive(8, 3, 3, picture.learnt(asker));
            let policy = policy.unwrap_or(own);
            timings.push(picture.lookup(Tables::Real, &policy, asker, target, number));
        }
        quantile(&millis(&timings, |it| it.complete), 500)
    };
    net.run_for(MINUTE / 60);
    let own = median(&mut net, None);
    for policy in [Policy::SERIAL, Policy::TWO_TIMEOUTS, Policy::FIXED, Policy::ROUNDS] {
        let theirs = median(&mut net, Some(policy));
        assert!(theirs > own * 1.2, "{policy:?}: {theirs} ms, ours {own} ms");
    }
}
