//! The demo, with few nodes and small folders.

use std::fs;
use std::path::Path;

use crate::common::{Node, kill, run};
use crate::files::{assert_holds_only, noise, text};

/// Files of a folder as people have them: empty, twice the same, with names that nobody could search
/// for.
fn fill(folder: &Path) {
    let long = format!("{}.txt", "a".repeat(250));
    let names = ["first note.txt", "second note.txt", "empty.txt", "---", "new\nline.txt", &long];
    for name in names {
        fs::write(folder.join(name), if name == "empty.txt" { "" } else { "the same" }).unwrap();
    }
    fs::create_dir(folder.join("below")).unwrap();
    fs::write(folder.join("below/song.ogg"), noise(30, 3_000_000)).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join("broken")).unwrap();
}

#[test]
fn the_demo_does_its_job_with_a_small_folder_and_leaves_nothing() {
    let (source, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(source.path());
    let arguments = ["demo", text(source.path()), "--json", "--nodes", "12"];
    let mut demo = Node::spawn_with_temporary(temporary.path(), &arguments);
    let mut checks = 0;
    let done = loop {
        let event = demo.next().expect("it ends with a line that says so");
        match event["event"].as_str().unwrap() {
            "check" => {
                assert_eq!(event["ok"], true, "{event}");
                checks += 1;
            }
            "done" => break event,
            "error" => panic!("{event}"),
            _ => {}
        }
    };
    assert_eq!((&done["checks"], &done["failed"]), (&checks.into(), &0.into()));
    // Those in the folder, and one that is large enough to come from several nodes.
    assert_eq!(done["files"], 8);
    assert!(done["large_file"]["bytes"].as_u64().unwrap() >= 32 << 20, "{done}");
    assert_eq!(demo.ended(), Some(0));
    assert_holds_only(temporary.path(), &[]);
}

/// At any moment: before its first line, while files are written, while nodes run. A closed terminal
/// stops it too, unless whoever started us (`nohup`) has us outlive it.
#[test]
fn a_demo_that_is_stopped_takes_its_temporary_files_along() {
    let hangup = if hangup_is_ignored() { "-TERM" } else { "-HUP" };
    for (signal, until) in [("-TERM", ""), ("-INT", "step"), ("-INT", "check"), (hangup, "check")] {
        let temporary = tempfile::tempdir().unwrap();
        let arguments = ["demo", "--json", "--nodes", "8"];
        let mut demo = Node::spawn_with_temporary(temporary.path(), &arguments);
        if !until.is_empty() {
            demo.wait_for(until);
        }
        kill(demo.pid(), signal);
        // Before it listened to signals it has written nothing.
        let last = core::iter::from_fn(|| demo.next()).last();
        let status = demo.ended();
        if until.is_empty() && status.is_none() {
            assert_eq!(last, None);
        } else {
            assert_eq!((status, &last.unwrap()["code"]), (Some(1), &"interrupted".into()));
        }
        assert_holds_only(temporary.path(), &[]);
    }
}

/// Whether children of ours start with the signal ignored.
fn hangup_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1)
}

#[test]
fn a_folder_that_the_demo_cannot_take_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (missing, file, empty) =
        (dir.path().join("missing"), dir.path().join("file"), dir.path().join("empty"));
    fs::write(&file, "no folder").unwrap();
    fs::create_dir(&empty).unwrap();
    for (folder, code) in [(&missing, "io"), (&file, "io"), (&empty, "nothing_shared")] {
        let ended = run(&["demo", text(folder), "--json"]);
        let message = ended.failed(2, code)["message"].as_str().unwrap();
        assert!(message.contains(text(folder)), "{message}");
    }
}
