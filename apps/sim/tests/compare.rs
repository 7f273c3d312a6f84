//! The three systems side by side, small: a seeded simulation has no noise, so every number is
//! expected exactly.

use core::fmt::Write;

use kadlet_sim::compare::{Answers, Comparison, Group, Row, System, Timeline, Upkeep};
use kadlet_sim::content::{Content, ContentPlan};
use kadlet_sim::snapshot;

fn comparison(size: u32) -> Comparison {
    let mut comparison = Comparison::new(1);
    (comparison.sizes, comparison.timeline) = (vec![size], Timeline::SHORT);
    comparison.queries = 40;
    comparison
}

fn run(comparison: &Comparison, threads: usize) -> Vec<Row> {
    comparison.run(threads, &|_| {}).expect("a network that grows")
}

fn of(rows: &[Row], system: System) -> &Row {
    rows.iter().find(|row| row.system == system).expect("a row of each system")
}

#[test]
fn numbers_and_report_are_as_they_were() {
    let comparison = comparison(120);
    let rows = run(&comparison, 2);
    let mut text = String::new();
    for row in &rows {
        for figure in row.figures() {
            let (system, of) = (row.system.name(), figure.of.unwrap_or(0));
            let (name, value, unit) = (figure.name, figure.value, figure.unit);
            writeln!(text, "{system:9} {name:28} {value:14.3} {unit} of {of}").expect("a string");
        }
    }
    snapshot::check("compare.txt", &text);
    for (name, page) in comparison.report(&rows) {
        if name == "report.md" || name == "misfortune.svg" || name == "query-bytes.svg" {
            snapshot::check(&format!("compare-{name}"), &page);
        }
    }
    let kademlia = of(&rows, System::Kademlia);
    let (napster, gnutella) = (of(&rows, System::Napster), of(&rows, System::Gnutella));
    // What every introduction says: a hundred nodes are few enough for a flood to find nearly all;
    // without its one server Napster finds nothing; and a table that is spread over all needs
    // nobody in particular.
    assert!(gnutella.steady.of(Group::RareKey).success() >= 0.9);
    assert_eq!(napster.one.of(Group::Aftermath).found, 0);
    assert!(kademlia.steady.of(Group::Mixed).success() >= 0.95);
    assert!(kademlia.random.of(Group::Aftermath).success() >= 0.95);
}

#[test]
fn one_seed_one_result_for_any_number_of_threads() {
    let mut comparison = comparison(100);
    comparison.queries = 8;
    let lines = |rows: &[Row]| rows.iter().map(|row| row.json(1)).collect::<Vec<_>>();
    let (one, three) = (run(&comparison, 1), run(&comparison, 3));
    assert_eq!(lines(&one), lines(&three));
    comparison.seed = 2;
    assert_ne!(lines(&one), lines(&run(&comparison, 2)));
}

/// The report says 2.1 to 2.2: the law has 2, and every file at least one copy.
#[test]
fn there_are_as_many_copies_as_the_report_says() {
    let copies = |nodes: u32| {
        let content = Content::new(ContentPlan::new(nodes), 1);
        let all: usize = content.files().iter().map(|file| file.holders.len()).sum();
        all as f64 / f64::from(nodes)
    };
    let (small, large) = (copies(100), copies(100_000));
    assert!(small >= 2.05 && small < large && large < 2.25, "{small} to {large}");
}

/// Whoever stops it early has a report of what there is: no number stands below another system's name,
/// and what is not there yet is drawn nowhere.
#[test]
fn a_report_of_a_part_names_what_is_missing() {
    let none = Answers::default;
    let row = Row {
        system: System::Kademlia,
        nodes: 100,
        steady: none(),
        upkeep: Upkeep::default(),
        unharmed: none(),
        one: none(),
        random: none(),
        best: none(),
        server_busy: None,
    };
    for (name, page) in comparison(100).report(&[row]) {
        assert!(!page.contains("NaN") && !page.contains("inf\""), "{name}: {page}");
        if name == "report.md" {
            let upkeep = "bytes per machine and hour | Napster | Gnutella | Kademlia |\n| ---: | ---: | ---: | ---: |\n| n = 100 | – | – | 0 B |\n";
            assert!(page.contains(upkeep), "{page}");
        }
    }
}
