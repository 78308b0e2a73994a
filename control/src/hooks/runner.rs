//! Runs commands: those that belong to something that lasts (a connection, a path, a reader) until it ends, and those
//! that tell of an end, once.
//!
//! Only so many run at once; more wait, boundedly. At the end of the server all are told to end, and none stays.

use super::command::{Process, Variables, arguments, ending};
use super::counters::{HookCounters, RunningNow, count};
use crate::places::Places;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// Commands that belong to something, at once: each is a process.
const ATTACHED_MAX: usize = 1024;
const ATTACHED_WAITING_MAX: usize = 16_384;
/// Commands that tell of an end, at once.
const ONE_SHOT_MAX: usize = 64;
const ONE_SHOT_WAITING_MAX: usize = 4096;
/// Between the end of a command and its restart, as in MediaMTX.
const RESTART_PAUSE: Duration = Duration::from_secs(5);
/// For all that is left when the server ends, which must take no longer than two seconds, whatever `hookStopTimeout` says.
/// Then the rest is killed.
pub(super) const END_PATIENCE: Duration = Duration::from_millis(1200);

/// A command to run.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// `runOnAvailable`, ….
    pub(super) hook: &'static str,
    /// What it is about, for the log: `path cam`, ….
    pub(super) about: String,
    pub(super) line: String,
    pub(super) restart: bool,
    pub(super) variables: Variables,
    /// `hookStopTimeout`.
    pub(super) patience: Duration,
}

/// A command that belongs to something. Dropped, it is told to end.
#[derive(Debug)]
pub(super) struct Attached {
    _stop: oneshot::Sender<()>,
    /// Closed when the command has ended.
    ended: oneshot::Receiver<()>,
}

/// Starts commands and keeps count of them.
pub(super) struct Runner {
    attached: Arc<Places>,
    one_shots: Arc<Places>,
    restart_pause: Duration,
    end_patience: Duration,
    tasks: JoinSet<()>,
    shutdown: watch::Sender<bool>,
    counters: Arc<HookCounters>,
}

impl Runner {
    pub(super) fn new(counters: Arc<HookCounters>) -> Runner {
        Runner {
            attached: Arc::new(Places::new(ATTACHED_MAX, ATTACHED_WAITING_MAX)),
            one_shots: Arc::new(Places::new(ONE_SHOT_MAX, ONE_SHOT_WAITING_MAX)),
            restart_pause: RESTART_PAUSE,
            end_patience: END_PATIENCE,
            tasks: JoinSet::new(),
            shutdown: watch::Sender::new(false),
            counters,
        }
    }

    #[cfg(test)]
    pub(super) fn set_restart_pause(&mut self, pause: Duration) {
        self.restart_pause = pause;
    }

    /// Runs a command until it is told to end; after `predecessor` has ended, if there is one.
    pub(super) fn attach(&mut self, job: Job, predecessor: Option<Attached>) -> Attached {
        self.reap();
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let (places, counters, pause) =
            (Arc::clone(&self.attached), Arc::clone(&self.counters), self.restart_pause);
        self.tasks.spawn(async move {
            let _end = end;
            if let Some(Attached { _stop, ended }) = predecessor {
                drop(_stop);
                let _ = ended.await;
            }
            run_attached(&job, stopped, &places, pause, &counters).await;
        });
        Attached { _stop: stop, ended }
    }

    /// Runs a command once.
    pub(super) fn once(&mut self, job: Job) {
        self.reap();
        let (places, counters) = (Arc::clone(&self.one_shots), Arc::clone(&self.counters));
        let shutdown = self.shutdown.subscribe();
        self.tasks.spawn(async move { run_once(&job, shutdown, &places, &counters).await });
    }

    /// Waits for all commands to end. Those that belong to something must have been told to.
    pub(super) async fn finish(&mut self, patience: Duration) {
        /// For what was killed to be gone.
        const AFTER_KILL: Duration = Duration::from_secs(2);
        self.shutdown.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // One-shots are given their time before they are told to end, and again to do it.
        let patience = (patience * 2 + AFTER_KILL).min(self.end_patience);
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("{} hooks did not end in time and are cut off", self.tasks.len());
            self.tasks.shutdown().await;
        }
    }

    fn reap(&mut self) {
        while self.tasks.try_join_next().is_some() {}
    }
}

async fn run_attached(
    job: &Job,
    mut stopped: oneshot::Receiver<()>,
    places: &Places,
    pause: Duration,
    counters: &HookCounters,
) {
    let place = tokio::select! {
        biased;
        _ = &mut stopped => return,
        place = places.enter() => place,
    };
    let Some(place) = place else {
        return refuse(job, counters);
    };
    loop {
        if let Some((mut process, started)) = start(job, counters).await {
            let running = RunningNow::new(counters);
            tokio::select! {
                status = process.wait() => job.ended(status, started, counters),
                _ = &mut stopped => return job.stop(&mut process, started, counters).await,
            }
            drop(running);
            if job.restart {
                // What is left of the group would live beside what is started next.
                process.end(job.patience).await;
            } else {
                drop(place);
                tokio::select! {
                    () = process.wait_for_group() => {}
                    _ = &mut stopped => job.stop(&mut process, started, counters).await,
                }
                return;
            }
        } else if !job.restart {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = &mut stopped => return,
        }
    }
}

async fn run_once(job: &Job, mut shutdown: watch::Receiver<bool>, places: &Places, counters: &HookCounters) {
    let Some(place) = places.enter().await else {
        return refuse(job, counters);
    };
    let Some((mut process, started)) = start(job, counters).await else { return };
    let running = RunningNow::new(counters);
    tokio::select! {
        status = process.wait() => job.ended(status, started, counters),
        () = shut_down(&mut shutdown) => {
            match tokio::time::timeout(job.patience, process.wait()).await {
                Ok(status) => job.ended(status, started, counters),
                Err(_) => return job.stop(&mut process, started, counters).await,
            }
        }
    }
    drop(running);
    drop(place);
    tokio::select! {
        () = process.wait_for_group() => {}
        () = shut_down(&mut shutdown) => {
            process.end(job.patience).await;
        }
    }
}

/// Waits for the shutdown; a closed channel is one, too.
async fn shut_down(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|shutdown| *shutdown).await;
}

async fn start(job: &Job, counters: &HookCounters) -> Option<(Process, Instant)> {
    let started = match arguments(&job.line, &job.variables) {
        Ok(arguments) => {
            Process::start(arguments, job.variables.clone()).await.map_err(|error| error.to_string())
        }
        Err(reason) => Err(reason),
    };
    match started {
        Ok(process) => {
            count(&counters.started);
            tracing::info!("hook {} of {} started as process {}", job.hook, job.about, process.id());
            Some((process, Instant::now()))
        }
        Err(reason) => {
            count(&counters.not_started);
            tracing::error!("hook {} of {} cannot be started: {reason}", job.hook, job.about);
            None
        }
    }
}

fn refuse(job: &Job, counters: &HookCounters) {
    count(&counters.overloaded);
    tracing::warn!("hook {} of {} is not run: too many wait already", job.hook, job.about);
}

impl Job {
    fn ended(
        &self,
        status: std::io::Result<std::process::ExitStatus>,
        started: Instant,
        counters: &HookCounters,
    ) {
        let well = status.as_ref().is_ok_and(std::process::ExitStatus::success);
        count(if well { &counters.succeeded } else { &counters.failed });
        let (hook, about, took) = (self.hook, &self.about, seconds(started));
        let how = ending(status);
        if well {
            tracing::info!("hook {hook} of {about} {how} after {took}");
        } else {
            tracing::warn!("hook {hook} of {about} {how} after {took}");
        }
    }

    async fn stop(&self, process: &mut Process, started: Instant, counters: &HookCounters) {
        let (hook, about, took) = (self.hook, &self.about, seconds(started));
        if process.end(self.patience).await {
            count(&counters.killed);
            tracing::warn!(
                "hook {hook} of {about} did not end within {:?} and was killed, after {took}",
                self.patience
            );
        } else {
            tracing::info!("hook {hook} of {about} stopped after {took}");
        }
    }
}

fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}
