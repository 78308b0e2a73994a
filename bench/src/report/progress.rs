//! The progress bar, on standard error and only on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::options::LoadOptions;

/// See the module.
pub(crate) struct Progress {
    bar: ProgressBar,
    readers: usize,
    /// Of one turn, in milliseconds; the ramp counts as a second.
    turn: u64,
    turns_done: std::cell::Cell<u64>,
    label: std::cell::RefCell<String>,
}

const RAMP: u64 = 1_000;

impl Progress {
    /// For `contenders` in each round of `options`.
    pub(crate) fn new(options: &LoadOptions, contenders: usize) -> Progress {
        let turn = (options.seconds * 1e3) as u64 + RAMP;
        let bar = ProgressBar::new(turn * (contenders * options.rounds) as u64);
        let style = ProgressStyle::with_template("{spinner} {msg:40} [{wide_bar}] {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        Progress {
            bar,
            readers: options.stream.readers,
            turn,
            turns_done: std::cell::Cell::new(0),
            label: std::cell::RefCell::new(String::new()),
        }
    }

    /// A contender's turn begins.
    pub(crate) fn turn(&self, round: usize, name: &str) {
        if !self.label.borrow().is_empty() {
            self.turns_done.set(self.turns_done.get() + 1);
        }
        *self.label.borrow_mut() = format!("round {} {name}", round + 1);
        self.show(0, "starts");
    }

    /// So many readers play.
    pub(crate) fn ramped(&self, playing: usize) {
        self.show(RAMP * playing as u64 / self.readers.max(1) as u64, &format!("{playing} readers"));
    }

    /// So much of the window is over.
    pub(crate) fn windowed(&self, elapsed: Duration) {
        self.show((RAMP + elapsed.as_millis() as u64).min(self.turn), "window");
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&self, position: u64, what: &str) {
        let position = self.turns_done.get() * self.turn + position;
        // The loop comes here thousands of times a second: only what can be seen is drawn.
        if !self.bar.is_hidden()
            && (position >= self.bar.position() + 100 || position.is_multiple_of(self.turn))
        {
            self.bar.set_position(position);
            self.bar.set_message(format!("{}: {what}", self.label.borrow()));
        }
    }
}
