//! `kadlet-sim` as it is typed: what it says, writes and refuses.

#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kadlet-sim"))
        .args(arguments)
        .output()
        .expect("the program runs")
}

/// What it says when something is wrong with what was typed.
fn refused(arguments: &[&str]) -> String {
    let output = sim(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{arguments:?} ran something");
    String::from_utf8(output.stderr).unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = sim(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("sim-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It lies among the build's files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

const SMALL: &str = "kind = \"lookups\"\nabout = \"A few nodes.\"\nnodes = 20\nk = 8\nlookups = 4\nwarm_up = \"10 s\"\n";

#[test]
fn the_library_is_listed_and_shown() {
    let list = printed(&["list"]);
    for name in ["steady", "churn", "half-dead", "partition", "sybil-targeted"] {
        assert!(list.lines().any(|line| line.starts_with(name)), "{list}");
    }
    assert!(printed(&["show", "churn"]).contains("sessions = \"weibull\""));
    assert!(printed(&["keys"]).contains("round_trip = 156 ms"));
}

/// docs/simulator.md names every key with what it takes and what it is without.
#[test]
fn the_keys_are_documented() {
    let text = include_str!("../../../../docs/simulator.md");
    for key in kadlet_sim::scenario::KEYS {
        let row = format!("| `{}` | {} | {} | {} |", key.name, key.takes, key.default, key.about);
        assert!(text.contains(&row), "docs/simulator.md has no row {row}");
    }
}

#[test]
fn a_sweep_leaves_rows_summary_report_and_plots_and_threads_change_none() {
    let folder = Folder::new("sweep");
    let file = folder.file("few.toml", SMALL);
    let read = |out: &str, name: &str| fs::read_to_string(folder.0.join(out).join(name)).unwrap();
    for (out, threads) in [("one", "1"), ("three", "3")] {
        let dir = folder.0.join(out);
        let sets = ["--set", "alpha=1,3", "--set", "lookups=4"];
        let arguments =
            [&["run", &file], &sets[..], &["--seeds", "2", "--threads", threads, "--out"]];
        let arguments = arguments.concat();
        printed(&[&arguments[..], &[dir.to_str().unwrap()]].concat());
    }
    let csv = read("one", "runs.csv");
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0][..4], ["scenario", "seed", "alpha", "lookups"]);
    let begins: Vec<_> = rows[1..].iter().map(|row| row[..3].join(",")).collect();
    assert_eq!(begins, ["few,1,1", "few,2,1", "few,1,3", "few,2,3"]);
    assert_eq!(read("one", "runs.jsonl").lines().count(), 4);
    let report = read("one", "report.md");
    for expected in [
        "# few",
        "A few nodes.",
        "--set alpha=1,3 --set lookups=4 --seeds 2",
        "## alpha = 1",
        "| alpha | 1, 3 |",
        "| lookups | 4 |",
        "![",
        "| nodes | 20 |",
    ] {
        assert!(report.contains(expected), "{expected} is not in {report}");
    }
    let mut files: Vec<_> = fs::read_dir(folder.0.join("one"))
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert!(
        files.iter().any(|name| name == "latency.svg")
            && files.iter().any(|name| name == "time.svg"),
        "{files:?}"
    );
    for name in &files {
        assert_eq!(
            read("one", name),
            read("three", name),
            "{name} depends on the number of threads"
        );
    }
}

#[test]
fn rows_are_printed_as_json() {
    let folder = Folder::new("json");
    let file = folder.file("few.toml", SMALL);
    let out = printed(&["run", &file, "--json", "--seed", "7"]);
    assert!(
        out.starts_with("{\"scenario\":\"few\",\"seed\":7,\"settings\":{},\"figures\":[{"),
        "{out}"
    );
    assert_eq!(out.lines().count(), 1);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_nothing_is_run() {
    let folder = Folder::new("wrong");
    let file = |name: &str, text: &str| folder.file(name, text);
    let loss = file("loss.toml", &format!("{SMALL}loss = \"150 %\"\n"));
    let unknown = file("unknown.toml", &format!("{SMALL}los = \"2 %\"\n"));
    let unit = file("unit.toml", &format!("{SMALL}round_trip = \"156 bananas\"\n"));
    let none = file("none.toml", "kind = \"lookups\"\nnodes = 0\n");
    let broken = file("broken.toml", "kind = \"lookups\nnodes = 3");
    let missing = folder.0.join("missing.toml");
    let under_a_file = Path::new(&loss).join("out");
    for (arguments, expected) in [
        (vec!["run", "chrun"], "chrun: no scenario has this name; did you mean churn?"),
        (vec!["run", missing.to_str().unwrap()], "missing.toml cannot be read: No such file"),
        (
            vec!["run", &loss],
            "loss.toml, line 7: loss: expected a share from \"0 %\" to \"100 %\", not `150 %`",
        ),
        (vec!["run", &unknown], "unknown.toml, line 7: no key is called los; did you mean loss?"),
        (vec!["run", &unit], "unit.toml, line 7: round_trip: expected a time like"),
        (vec!["run", &none], "none.toml, line 2: nodes: expected a whole number from 2"),
        (vec!["run", &broken], "broken.toml, line 1: not TOML"),
        (
            vec!["run", "sybil-random", "--set", "hostile_share=100 %"],
            "hostile_share is 1000, but of 1000 nodes at most 979 can be",
        ),
        (vec!["run", "steady", "--set", "pace=60 s,1 min"], "1 min is there twice"),
        (
            vec!["run", "steady", "--set", "alhpa=3"],
            "--set alhpa=3: no key is called alhpa; did you mean alpha?",
        ),
        (
            vec!["run", "steady", "--set", "alpha=three"],
            "--set alpha=three: alpha: expected a whole number",
        ),
        (vec!["run", "steady", "--set", "alpha"], "--set alpha: expected KEY=VALUE"),
        (vec!["run", "steady", "--set", "alpha=1", "--set", "alpha=2"], "alpha is set twice"),
        (vec!["run", "steady", "--seeds", "0"], "--seeds 0: at least one seed"),
        (vec!["run", "steady", "--threads", "0"], "--threads 0: at least one thread"),
        (vec!["run", "steady", "--out", under_a_file.to_str().unwrap()], "cannot be written"),
        (vec!["run", "steady", "--set", "nodes=5000000", "--threads", "1"], "of memory and"),
    ] {
        let said = refused(&arguments);
        assert!(
            said.starts_with("kadlet-sim: ") && said.contains(expected),
            "{arguments:?}: {said}"
        );
    }
}

/// Ends a program as Ctrl-C does as soon as it has said something; what else it says.
#[cfg(unix)]
fn stop_when(arguments: &[&str], said: impl Fn(&str) -> bool) -> Vec<String> {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new(env!("CARGO_BIN_EXE_kadlet-sim"))
        .args(arguments)
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| said(&line.unwrap())));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    rest
}

/// Ctrl-C ends what runs and writes what has ended.
#[cfg(unix)]
#[test]
fn ctrl_c_writes_what_is_there() {
    let folder = Folder::new("stop");
    let file = folder.file("few.toml", SMALL);
    let out = folder.0.join("out");
    let to = out.to_str().unwrap();
    let arguments = ["run", &file, "--seeds", "1000000", "--threads", "1", "--out", to];
    // Its progress says that some have ended.
    let ended = |line: &str| !line.starts_with("0 of") && line.contains(" of 1000000 runs");
    let said = stop_when(&arguments, ended);
    let last = said.last().unwrap();
    assert!(
        last.contains("stopped after") && last.contains("the runs that had ended are in"),
        "{last}"
    );
    let rows = fs::read_to_string(out.join("runs.csv")).unwrap();
    assert!(rows.lines().count() > 1);
}

/// What lies in the folder is not lost for a run that was stopped before it had anything.
#[cfg(unix)]
#[test]
fn ctrl_c_before_the_first_end_leaves_an_older_report() {
    let folder = Folder::new("early");
    let file = folder.file("few.toml", SMALL);
    let out = folder.0.join("out");
    let to = out.to_str().unwrap();
    printed(&["run", &file, "--out", to]);
    let before = fs::read_to_string(out.join("runs.csv")).unwrap();
    // A day of a thousand nodes.
    let arguments = ["run", "republish", "--threads", "1", "--out", to];
    let said = stop_when(&arguments, |line| line.starts_with("0 of 1 runs"));
    assert!(said.last().unwrap().contains("nothing was written"), "{said:?}");
    assert_eq!(fs::read_to_string(out.join("runs.csv")).unwrap(), before);
}

/// The comparison writes each part when it ends, and says how far the longest are.
#[cfg(unix)]
#[test]
fn a_comparison_can_be_followed_and_stopped() {
    let folder = Folder::new("compare");
    let out = folder.0.join("out");
    let arguments = ["compare", "--sizes", "100,3000", "--out", out.to_str().unwrap()];
    let said = stop_when(&arguments, |line| line.contains("; about "));
    let last = said.last().unwrap();
    assert!(last.contains("stopped: "), "{last}");
    let said = stop_when(&arguments, |line| line.ends_with("begins: Gnutella with 100 nodes"));
    assert!(said.last().unwrap().contains("what had been measured is in"), "{said:?}");
    let report = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(report.contains("n = 100 machines"), "{report}");
}
