//! Runs commands: those that belong to something that lasts (a connection, a path, a reader) until it ends, and those
//! that tell of an end, once.
//!
//! Only so many run at once; more wait, boundedly. At the end of the server all are told to end, and none stays.

use super::command::{Process, Variables, arguments, ending};
use super::counters::{HookCounters, RunningNow, count};
use crate::places::Places;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
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
/// When the server ends, which takes less than two seconds whatever `hookStopTimeout` says, commands that tell of an end
/// have this time before they are told to end …
const ONE_SHOT_TIME: Duration = Duration::from_millis(500);
/// … and whoever is left after this is killed.
pub(super) const END_PATIENCE: Duration = Duration::from_secs(1);
/// For what was killed to be gone.
const AFTER_KILL: Duration = Duration::from_millis(300);

/// When the end of the server tells commands to end, and kills them.
#[derive(Clone, Copy, Debug)]
struct Deadlines {
    one_shots_told: Instant,
    all_killed: Instant,
}

/// `None` until the server ends.
type Shutdown = watch::Receiver<Option<Deadlines>>;

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
    tasks: JoinSet<()>,
    shutdown: watch::Sender<Option<Deadlines>>,
    counters: Arc<HookCounters>,
}

impl Runner {
    pub(super) fn new(counters: Arc<HookCounters>) -> Runner {
        Runner {
            attached: Arc::new(Places::new(ATTACHED_MAX, ATTACHED_WAITING_MAX)),
            one_shots: Arc::new(Places::new(ONE_SHOT_MAX, ONE_SHOT_WAITING_MAX)),
            restart_pause: RESTART_PAUSE,
            tasks: JoinSet::new(),
            shutdown: watch::Sender::new(None),
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
        let shutdown = self.shutdown.subscribe();
        self.tasks.spawn(async move {
            let _end = end;
            if let Some(Attached { _stop, ended }) = predecessor {
                drop(_stop);
                let _ = ended.await;
            }
            run_attached(&job, (stopped, shutdown), &places, pause, &counters).await;
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

    /// Waits for all commands to end. Those that belong to something must have been told to. All are killed when time is
    /// up, or as soon as `hurry` ends.
    pub(super) async fn finish(&mut self, hurry: impl Future<Output = ()>) {
        let not_run = self.counters.overloaded.load(Relaxed);
        let now = Instant::now();
        let deadlines = Deadlines { one_shots_told: now + ONE_SHOT_TIME, all_killed: now + END_PATIENCE };
        self.shutdown.send_replace(Some(deadlines));
        let (tasks, shutdown) = (&mut self.tasks, &self.shutdown);
        let hurried = async {
            hurry.await;
            let now = Instant::now();
            shutdown.send_replace(Some(Deadlines { one_shots_told: now, all_killed: now }));
            tokio::time::sleep(AFTER_KILL).await;
        };
        let over = tokio::select! {
            () = async { while tasks.join_next().await.is_some() {} } => false,
            () = tokio::time::sleep(END_PATIENCE + AFTER_KILL) => true,
            () = hurried => true,
        };
        let not_run = self.counters.overloaded.load(Relaxed) - not_run;
        if not_run > 0 {
            tracing::warn!("{not_run} hooks of the end are not run: the end of the server leaves no time");
        }
        if over && !self.tasks.is_empty() {
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
    (mut stopped, mut shutdown): (oneshot::Receiver<()>, Shutdown),
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
                _ = &mut stopped => return job.stop(&mut process, started, &mut shutdown, counters).await,
            }
            drop(running);
            if job.restart {
                // What is left of the group would live beside what is started next.
                process.end(job.patience_over(&mut shutdown)).await;
            } else {
                drop(place);
                tokio::select! {
                    () = process.wait_for_group() => {}
                    _ = &mut stopped => job.stop(&mut process, started, &mut shutdown, counters).await,
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

async fn run_once(job: &Job, mut shutdown: Shutdown, places: &Places, counters: &HookCounters) {
    let place = tokio::select! {
        place = places.enter() => place,
        () = one_shots_told(&mut shutdown) => return count(&counters.overloaded),
    };
    let Some(place) = place else {
        return refuse(job, counters);
    };
    let Some((mut process, started)) = start(job, counters).await else { return };
    let running = RunningNow::new(counters);
    tokio::select! {
        status = process.wait() => job.ended(status, started, counters),
        () = one_shots_told(&mut shutdown) => {
            return job.stop(&mut process, started, &mut shutdown, counters).await;
        }
    }
    drop(running);
    drop(place);
    tokio::select! {
        () = process.wait_for_group() => {}
        () = shut_down(&mut shutdown) => {
            process.end(job.patience_over(&mut shutdown)).await;
        }
    }
}

/// Waits for the shutdown; a closed channel is one, too.
async fn shut_down(shutdown: &mut Shutdown) {
    let _ = shutdown.wait_for(Option::is_some).await;
}

/// Waits until the end of the server leaves no more time to commands that tell of an end.
async fn one_shots_told(shutdown: &mut Shutdown) {
    shut_down(shutdown).await;
    deadline(shutdown, |deadlines| deadlines.map_or_else(Instant::now, |known| known.one_shots_told)).await;
}

/// Waits for a time that may come nearer.
async fn deadline(shutdown: &mut Shutdown, of: impl Fn(Option<Deadlines>) -> Instant) {
    loop {
        let until = of(*shutdown.borrow_and_update());
        tokio::select! {
            () = tokio::time::sleep_until(until.into()) => return,
            Ok(()) = shutdown.changed() => {}
        }
    }
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

    async fn stop(
        &self,
        process: &mut Process,
        started: Instant,
        shutdown: &mut Shutdown,
        counters: &HookCounters,
    ) {
        let (hook, about, took) = (self.hook, &self.about, seconds(started));
        let told = Instant::now();
        if process.end(self.patience_over(shutdown)).await {
            count(&counters.killed);
            let waited = seconds(told);
            tracing::warn!("hook {hook} of {about} did not end within {waited} and was killed, after {took}");
        } else {
            tracing::info!("hook {hook} of {about} stopped after {took}");
        }
    }

    /// Waits as long as a command has from when it is told to end, at the end of the server no longer than that allows.
    async fn patience_over(&self, shutdown: &mut Shutdown) {
        let own = Instant::now() + self.patience;
        deadline(shutdown, |deadlines| deadlines.map_or(own, |known| own.min(known.all_killed))).await;
    }
}

fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}
