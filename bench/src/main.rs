//! headwater-bench: measures a media server beside its peers and beside the kernel's floor.
//!
//! One invocation starts each contender in turn, pinned to cores of its own, puts the same load on it from another
//! core, checks what readers got, and compares what it used. The map: `options` (command line) → `fanout`, `startup`,
//! `churn` (what is run) → `contender`, `peer` (servers as processes), `load` (publishers and readers), `scenario` (how they
//! talk, a file per protocol), `media` (what is sent, and its checks), `floor` (the sender that does nothing but
//! send), `procfs` (what a server used) → `figures`, `expect`, `report` (what comes out). `sys` has the unsafe parts.
//!
//! Invariants: one thread makes the load and never blocks but in epoll; every phase is bounded in time (`limits`);
//! every process started is ended, with all that it started; a check that fails is an exit code of 1.

mod churn;
mod contender;
mod expect;
mod fanout;
mod figures;
mod floor;
mod limits;
mod load;
mod media;
mod options;
mod peer;
mod procfs;
mod report;
mod scenario;
mod startup;
mod sys;

use std::process::ExitCode;

use clap::Parser as _;

use options::{Command, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match &options.command {
        Command::FloorSender(options) => floor::send(options).map(|()| true),
        Command::Fanout(options) => interruptible(|| fanout::fanout(options)),
        Command::Floor(options) => interruptible(|| fanout::floor(options)),
        Command::Startup(options) => interruptible(|| startup::startup(options)),
        Command::Churn(options) => interruptible(|| churn::churn(options)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("headwater-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn interruptible(run: impl FnOnce() -> anyhow::Result<bool>) -> anyhow::Result<bool> {
    sys::process::watch_interrupts();
    run()
}
