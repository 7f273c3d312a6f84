//! `cargo xtask mutations`: every rule of the protocol has a test, and that test can fail.
//!
//! `core/tests/rules.txt` names for each rule one change of the code that breaks it and the test
//! that must notice. Each change is made in a copy of the repository, one after the other, and the
//! test run there. A change that no longer fits the code, does not compile or is not noticed is a
//! failure.

use alloc::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::context::Context;
use crate::runner::Stop;

/// A rule, the change that breaks it, and the test that notices.
#[derive(Default)]
struct Mutation {
    rule: String,
    file: String,
    /// Lines as they are, without indentation.
    old: Vec<String>,
    new: Vec<String>,
    /// Arguments of `cargo test --package`.
    test: Vec<String>,
}

/// Runs all mutations, or those whose rule contains the words given.
pub(crate) fn all(cx: &Context) -> Result<(), Stop> {
    let text = read(&cx.root.join("core/tests/rules.txt"))?;
    let wanted = cx.arguments.join(" ");
    let mutations: Vec<_> =
        parse(&text)?.into_iter().filter(|it| it.rule.contains(&wanted)).collect();
    if mutations.is_empty() {
        return Err(Stop::Failed(format!("core/tests/rules.txt has no rule with “{wanted}”")));
    }
    let copy = cx.target.join("mutations/tree");
    copy_tracked(cx, &copy)?;
    let mut unnoticed = 0;
    for mutation in &mutations {
        let verdict = check(cx, &copy, mutation)?;
        println!("{} {}", if verdict.is_none() { "ok  " } else { "FAIL" }, mutation.rule);
        if let Some(why) = verdict {
            println!("     {why}");
            unnoticed += 1;
        }
    }
    println!("{} of {} changes noticed", mutations.len() - unnoticed, mutations.len());
    if unnoticed == 0 { Ok(()) } else { Err(Stop::Failed(format!("{unnoticed} not noticed"))) }
}

/// Makes one change, runs its test, and takes the change back. Says what is wrong, if anything is.
fn check(cx: &Context, copy: &Path, mutation: &Mutation) -> Result<Option<String>, Stop> {
    let path = copy.join(&mutation.file);
    let before = read(&path)?;
    let Some(after) = apply(&before, mutation) else {
        return Ok(Some(format!("its lines are not in {} exactly once", mutation.file)));
    };
    write(&path, &after)?;
    let output = test(cx, copy, mutation);
    write(&path, &before)?;
    let output = output?;
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(match (output.status.success(), said.contains("running 1 test"), said.contains("FAILED")) {
        (false, true, true) => None,
        (true, true, _) => Some("its test passes all the same".into()),
        (_, false, _) if said.contains("running ") => Some("not exactly one test is named".into()),
        _ => Some(format!("it does not compile:\n{}", String::from_utf8_lossy(&output.stderr))),
    })
}

fn test(cx: &Context, copy: &Path, mutation: &Mutation) -> Result<Output, Stop> {
    let mut cargo = cx.cargo(&["test", "--quiet", "--locked", "--package"]);
    let Some((name, package)) = mutation.test.split_last() else {
        return Err(Stop::Failed(format!("“{}” names no test", mutation.rule)));
    };
    cargo.args(package).args(["--", "--exact", name]).current_dir(copy);
    // What a law finds is no regression of ours: it must not be written down.
    cargo.env("PROPTEST_FAILURE_PERSISTENCE", "off").env("CARGO_TERM_COLOR", "never");
    cargo.env("CARGO_TARGET_DIR", cx.target.join("mutations/target"));
    cargo.output().map_err(|why| Stop::Failed(why.to_string()))
}

/// The text with the lines replaced; none unless they are there exactly once.
fn apply(text: &str, mutation: &Mutation) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let is_here = |window: &[&str]| window.iter().zip(&mutation.old).all(|(a, b)| a.trim() == b);
    let mut places =
        lines.windows(mutation.old.len()).enumerate().filter(|(_, window)| is_here(window));
    let (at, _) = places.next()?;
    if places.next().is_some() {
        return None;
    }
    let (head, rest) = lines.split_at_checked(at)?;
    let new = mutation.new.iter().map(String::as_str);
    let tail = rest.iter().skip(mutation.old.len()).copied();
    let mut changed: Vec<&str> = head.iter().copied().chain(new).chain(tail).collect();
    changed.push("");
    Some(changed.join("\n"))
}

fn parse(text: &str) -> Result<Vec<Mutation>, Stop> {
    let mut mutations = Vec::new();
    let mut current = Mutation::default();
    for (number, line) in text.lines().enumerate() {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        match kind {
            "" => {
                if !current.rule.is_empty() {
                    mutations.push(core::mem::take(&mut current));
                }
            }
            "#" => {}
            "rule" => current.rule = rest.into(),
            "file" => current.file = rest.into(),
            "-" => current.old.push(rest.trim().into()),
            "+" => current.new.push(rest.trim().into()),
            "test" => current.test = rest.split_whitespace().map(Into::into).collect(),
            _ => {
                let why = format!("core/tests/rules.txt:{}: what is “{kind}”?", number + 1);
                return Err(Stop::Failed(why));
            }
        }
    }
    if !current.rule.is_empty() {
        mutations.push(current);
    }
    Ok(mutations)
}

/// Brings the copy up to date: files that are as they were keep their times, so that little is
/// built again, and files that are no more go.
fn copy_tracked(cx: &Context, copy: &Path) -> Result<(), Stop> {
    let output = cx.command("git").arg("ls-files").output();
    let output = output.map_err(|why| Stop::Failed(format!("git ls-files: {why}")))?;
    let list = copy.with_extension("txt");
    let (now, before) = (output.stdout, fs::read(&list).unwrap_or_default());
    let (now, before) = (String::from_utf8_lossy(&now), String::from_utf8_lossy(&before));
    let names: BTreeSet<&str> = now.lines().collect();
    for gone in before.lines().filter(|name| !names.contains(name)) {
        // It may never have been there: then there is nothing to do.
        let _ = fs::remove_file(copy.join(gone));
    }
    for name in &names {
        let (from, to): (PathBuf, PathBuf) = (cx.root.join(name), copy.join(name));
        let bytes = fs::read(&from).map_err(|why| failed(&from, &why))?;
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        let made = to.parent().map_or(Ok(()), fs::create_dir_all);
        made.and_then(|()| fs::write(&to, bytes)).map_err(|why| failed(&to, &why))?;
    }
    write(&list, &now)
}

fn read(path: &Path) -> Result<String, Stop> {
    fs::read_to_string(path).map_err(|why| failed(path, &why))
}

fn write(path: &Path, text: &str) -> Result<(), Stop> {
    fs::write(path, text).map_err(|why| failed(path, &why))
}

fn failed(path: &Path, why: &std::io::Error) -> Stop {
    Stop::Failed(format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever changes a line that a rule names finds out now, and not when the changes are next made.
    #[test]
    fn every_rule_fits_the_code() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = fs::read_to_string(root.join("core/tests/rules.txt")).expect("the rules");
        let rules = parse(&text).unwrap_or_default();
        assert!(!rules.is_empty());
        for rule in rules {
            let text = fs::read_to_string(root.join(&rule.file)).expect("a file of a rule");
            assert!(apply(&text, &rule).is_some(), "{}: not once in {}", rule.rule, rule.file);
        }
    }
}
