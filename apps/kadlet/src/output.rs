//! What a command prints: text for people, or one JSON object a line for programs.

use core::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use kadlet::Attempt;
use serde_json::{Value, json};

use crate::codes::Warning;
use crate::failure::Failure;

/// Where a command's results go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    /// Whether the command goes on when nothing can be written.
    works: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json, works: false }
    }

    /// Of a command that does more than talk, as a node or a fetch does: it goes on when nobody
    /// listens any more or the disk is full, and its exit status says how it ended.
    pub(crate) const fn of_work(self) -> Self {
        Self { works: true, ..self }
    }

    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// One event: the object for programs, the text for people; none if it tells people nothing.
    pub(crate) fn event(self, object: Value, text: impl fmt::Display) {
        if self.json {
            self.print(format_args!("{object}"));
        } else {
            let text = text.to_string();
            if !text.is_empty() {
                self.print(format_args!("{text}"));
            }
        }
    }

    /// Bytes as they are, for people, or an object for programs.
    pub(crate) fn bytes(self, object: Value, bytes: &[u8]) {
        if self.json {
            self.print(format_args!("{object}"));
        } else {
            let mut stdout = io::stdout().lock();
            self.heed(stdout.write_all(bytes).and_then(|()| stdout.flush()));
        }
    }

    /// Something that a person wants to know while waiting, and a program need not.
    pub(crate) fn note(self, text: impl fmt::Display) {
        if !self.json {
            // Standard error that is closed is nobody's loss.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Something that is wrong and does not end the command.
    pub(crate) fn warning(self, code: Warning, message: impl fmt::Display) {
        self.warn(code.name(), message);
    }

    /// A part of what was asked for failed, and the others go on.
    pub(crate) fn partial_failure(self, what: impl fmt::Display, failure: &Failure) {
        self.warn(failure.code.name(), format_args!("{what}: {}", failure.message));
    }

    fn warn(self, code: &str, message: impl fmt::Display) {
        if self.json {
            let message = message.to_string();
            self.print(format_args!(
                "{}",
                json!({"event": "warning", "code": code, "message": message})
            ));
        } else {
            let _ = writeln!(io::stderr(), "warning: {message}");
        }
    }

    /// Why the command ends without success, and the exit status that says so.
    pub(crate) fn failure(self, failure: &Failure) -> ExitCode {
        if self.json {
            let mut object = json!({
                "event": "error",
                "code": failure.code.name(),
                "message": failure.message,
            });
            if let Some(fields) = object.as_object_mut() {
                if !failure.attempts.is_empty() {
                    let attempts = failure.attempts.iter().map(attempt).collect();
                    fields.insert("attempts".to_owned(), attempts);
                }
                if let Some(seq) = failure.seq {
                    fields.insert("seq".to_owned(), seq.into());
                }
            }
            // Heard or not, it ends with the status of its failure.
            self.of_work().print(format_args!("{object}"));
        } else {
            let _ = writeln!(io::stderr(), "error: {}", failure.message);
        }
        ExitCode::from(failure.code.exit_status())
    }

    fn print(self, line: fmt::Arguments<'_>) {
        let mut stdout = io::stdout().lock();
        self.heed(writeln!(stdout, "{line}").and_then(|()| stdout.flush()));
    }

    /// Whoever asked has read enough: `kadlet search … | head -1` is no failure.
    fn heed(self, written: io::Result<()>) {
        match written {
            Err(_) if self.works => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(_) => std::process::exit(2),
            Ok(()) => {}
        }
    }
}

/// What one address answered, for programs.
pub(crate) fn attempt(attempt: &Attempt) -> Value {
    json!({
        "given": attempt.given.to_string(),
        "addr": attempt.address.map(|address| address.to_string()),
        "result": attempt.result.code(),
        "message": attempt.to_string(),
    })
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing into memory does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A time in milliseconds, for programs.
pub(crate) fn millis(time: core::time::Duration) -> Value {
    // Three digits behind the point are microseconds: nothing on a network is finer.
    json!((time.as_secs_f64() * 1_000_000.0).round() / 1_000.0)
}
