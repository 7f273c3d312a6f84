//! Runs the blocks of README.md: what a reader would paste must work.
//!
//! Blocks marked `sh` run in the repository's root, `python` in the environment that has the Python
//! package, `js` as a module under Node.js in `bindings-wasm`, where the package's own name is known;
//! `html` is the page of docs/javascript.md, which the package's tests run.
//! `rust` blocks are doctests of kadlet-sim, so that plain `cargo test` runs them too. Blocks marked
//! `text` show output and are not run; a block with any other mark is an error.

use core::time::Duration;
use std::process::Command;

use crate::context::{Context, run_within};
use crate::runner::Stop;

/// The longest block is the demo: 90 s, after a release build on two cores.
const LIMIT: Duration = Duration::from_secs(600);

struct Block {
    line: usize,
    mark: String,
    text: String,
}

/// The step.
pub(crate) fn blocks(cx: &Context) -> Result<(), Stop> {
    let text = std::fs::read_to_string(cx.root.join("README.md"))
        .map_err(|why| Stop::Failed(format!("README.md: {why}")))?;
    for block in parse(&text) {
        let (mut command, options): (_, &[&str]) = match block.mark.as_str() {
            "rust" | "text" | "html" => continue,
            "sh" => (cx.command("bash"), &["-euo", "pipefail", "-c"]),
            "python" => (cx.command(cx.target.join("venv/bin/python")), &["-c"]),
            "js" => {
                cx.needs_node()?;
                let mut node = cx.command("node");
                node.current_dir(cx.root.join("bindings-wasm"));
                (node, &["--input-type=module", "--eval"])
            }
            other => {
                return Err(Stop::Failed(format!(
                    "README.md:{}: a block marked `{other}`: expected sh, rust, python, js, html or text",
                    block.line
                )));
            }
        };
        println!("README.md:{}\n{}", block.line, block.text);
        run_within(command.args(options).arg(&block.text), LIMIT).map_err(|stop| match stop {
            Stop::Failed(why) => Stop::Failed(format!("README.md:{}: {why}", block.line)),
            missing => missing,
        })?;
    }
    Ok(())
}

/// The Python blocks alone, each by a command that takes `-c`.
pub(crate) fn python_blocks(cx: &Context, python: impl Fn() -> Command) -> Result<(), Stop> {
    blocks_of(cx, "python", || {
        let mut command = python();
        command.arg("-c");
        command
    })
}

/// Those with this mark alone, each by a command that takes it as its last argument.
pub(crate) fn blocks_of(
    cx: &Context,
    mark: &str,
    command: impl Fn() -> Command,
) -> Result<(), Stop> {
    let text = std::fs::read_to_string(cx.root.join("README.md"))
        .map_err(|why| Stop::Failed(format!("README.md: {why}")))?;
    let mut ran = 0;
    for block in parse(&text).iter().filter(|block| block.mark == mark) {
        run_within(command().arg(&block.text), LIMIT)?;
        ran += 1;
    }
    println!("{ran} blocks of README.md in {mark} ran with nothing but the package");
    Ok(())
}

fn parse(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (line, content) in text.lines().enumerate() {
        match (content.strip_prefix("```"), &mut open) {
            (Some(mark), None) => {
                open =
                    Some(Block { line: line + 1, mark: mark.trim().into(), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(content);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_with_line_and_mark() {
        let blocks = parse("a\n```sh\necho 1\necho 2\n```\nb\n```text\n1\n```\n");
        assert_eq!(blocks.len(), 2);
        assert_eq!((blocks[0].line, blocks[0].mark.as_str()), (2, "sh"));
        assert_eq!(blocks[0].text, "echo 1\necho 2\n");
        assert_eq!(blocks[1].mark, "text");
    }
}
