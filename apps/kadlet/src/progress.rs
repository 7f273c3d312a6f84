//! A bar where a person waits; nothing where a program reads.

use core::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// One bar on standard error.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar that counts bytes. Hidden where standard error is no terminal, or for `--json`.
    pub(crate) fn bytes(output: Output, name: &str) -> Self {
        Self::styled(
            output,
            name,
            "{prefix:.bold} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        )
    }

    /// A bar that counts things.
    pub(crate) fn count(output: Output, name: &str, len: u64) -> Self {
        let bar = Self::styled(output, name, "{prefix:.bold} {wide_bar} {pos}/{len} {eta}");
        bar.0.set_length(len);
        bar
    }

    fn styled(output: Output, name: &str, template: &str) -> Self {
        let target = if output.is_json() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// It is known how much there is, and how much of it is there already.
    pub(crate) fn begin(&self, size: u64, there: u64) {
        self.0.set_length(size);
        self.0.set_position(there);
        self.0.reset_eta();
    }

    pub(crate) fn advance(&self, by: u64) {
        self.0.inc(by);
    }

    /// Prints something without tearing the bar.
    pub(crate) fn suspend(&self, print: impl FnOnce()) {
        self.0.suspend(print);
    }

    pub(crate) fn finish(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
