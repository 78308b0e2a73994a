//! Hooks: commands that run, and webhooks that are sent, when something begins or ends.
//!
//! Source: MediaMTX's `runOn…` keys. A command of a beginning (connection, path configured, path available, publisher
//! there, reader) belongs to what began and is told to end with it; then the command of the end runs once. Commands are
//! taken from the configuration in force at the time, and where the entry of a path has left it, the command of the end
//! is the one from the beginning. Should happenings come faster than they are taken, what was missed
//! is found by comparing with the live world, so that no command outlives what it belongs to.

mod command;
mod counters;
mod event;
mod paths;
mod runner;
mod webhook;

#[cfg(test)]
mod tests;

pub(crate) use counters::HookCounters;
pub(crate) use event::Kind;

use crate::config::{Configuration, PathConfiguration};
use crate::core::Core;
use crate::world::{Happening, World};
use command::Variables;
use event::{Event, Subject};
use headwater_engine::records::{Protocol, SessionState};
use runner::{Attached, Job, Runner};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use webhook::{Settings, Webhook};

/// How far the end of the server has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Ending,
    /// Nobody waits any longer.
    Killing,
}

/// The running hooks. Dropped, they are killed, unless the runtime ends before.
pub(crate) struct Hooks {
    phase: watch::Sender<Phase>,
    /// Until its end was seen.
    task: Option<JoinHandle<()>>,
}

impl Hooks {
    /// Starts to listen to the world, and the commands of configured paths. Needs the runtime.
    pub(crate) fn run(core: Arc<Core>) -> Hooks {
        let counters = Arc::clone(&core.hook_counters);
        let (phase, phases) = watch::channel(Phase::Serving);
        let task = tokio::spawn(listen(core, phases, counters));
        Hooks { phase, task: Some(task) }
    }

    /// Begins to end all commands, and to run the commands of the end of whatever still lives: in less than one and a half
    /// seconds, whatever `hookStopTimeout` says.
    pub(crate) fn stop(&self) {
        self.phase.send_replace(Phase::Ending);
    }

    /// Kills at once what has not ended.
    pub(crate) fn kill(&self) {
        self.phase.send_replace(Phase::Killing);
    }

    /// Waits for the end that was begun. May be dropped and called again.
    pub(crate) async fn ended(&mut self) {
        let Some(task) = &mut self.task else { return };
        if task.await.is_err() {
            tracing::error!("the task of the hooks ended by a panic");
        }
        self.task = None;
    }
}

/// Waits for a phase; dropped hooks are in all of them.
async fn come_to(mut phases: watch::Receiver<Phase>, phase: Phase) {
    let _ = phases.wait_for(|now| *now >= phase).await;
}

async fn listen(core: Arc<Core>, phases: watch::Receiver<Phase>, counters: Arc<HookCounters>) {
    let mut happenings = core.world.listen();
    let mut dispatcher = Dispatcher::new(counters);
    dispatcher.configure(core.configuration());
    dispatcher.compare(&core.world);
    loop {
        let next = tokio::select! {
            next = happenings.recv() => next,
            () = come_to(phases.clone(), Phase::Ending) => break,
        };
        dispatcher.configure(core.configuration());
        match next {
            Ok(happening) => dispatcher.handle(&happening),
            Err(RecvError::Lagged(missed)) => dispatcher.catch_up(missed, &mut happenings, &core.world),
            Err(RecvError::Closed) => break,
        }
    }
    while let Ok(happening) = happenings.try_recv() {
        dispatcher.handle(&happening);
    }
    dispatcher.finish(&phases).await;
}

/// Turns happenings into commands and webhooks.
struct Dispatcher {
    configuration: Arc<Configuration>,
    /// What has begun and has something to do when it ends.
    begun: HashMap<Subject, Begun>,
    runner: Runner,
    webhook: Option<Webhook>,
    counters: Arc<HookCounters>,
}

struct Begun {
    event: Event,
    /// The command and whether it restarts, to see whether the configuration changed it.
    command: (String, bool),
    attached: Option<Attached>,
    at_begin: Look,
}

/// What the configuration says of an event.
struct Look {
    /// The name of the entry of the event's path, and its keys.
    entry: Option<(String, Arc<PathConfiguration>)>,
    variables: Variables,
}

impl Look {
    fn keys(&self) -> Option<&PathConfiguration> {
        self.entry.as_ref().map(|(_, keys)| &**keys)
    }
}

impl Dispatcher {
    fn new(counters: Arc<HookCounters>) -> Dispatcher {
        Dispatcher {
            configuration: Arc::default(),
            begun: HashMap::new(),
            runner: Runner::new(Arc::clone(&counters)),
            webhook: None,
            counters,
        }
    }

    /// Takes over a configuration: what runs goes on, except for the commands of configured paths that changed.
    fn configure(&mut self, configuration: Arc<Configuration>) {
        if Arc::ptr_eq(&configuration, &self.configuration) {
            return;
        }
        self.configuration = configuration;
        let settings = Settings::of(&self.configuration.global);
        if settings.as_ref() != self.webhook.as_ref().map(|webhook| &webhook.settings) {
            self.webhook = settings.and_then(|settings| {
                let opened = Webhook::open(settings, &self.counters);
                opened
                    .map_err(|reason| tracing::error!("webhookAddress: {reason}; no webhooks are sent"))
                    .ok()
            });
        }
        self.configure_init();
    }

    fn configure_init(&mut self) {
        let configuration = Arc::clone(&self.configuration);
        let exact = configuration
            .paths
            .iter()
            .filter(|(name, path)| paths::is_exact(name) && !path.effective.run_on_init.is_empty());
        let wanted: HashMap<Arc<str>, (String, bool)> = exact
            .map(|(name, path)| {
                let keys = &path.effective;
                (Arc::from(name.as_str()), (keys.run_on_init.clone(), keys.run_on_init_restart))
            })
            .collect();
        self.begun.retain(|subject, _| match subject {
            Subject::Init(name) => wanted.contains_key(name),
            _ => true,
        });
        for (name, command) in wanted {
            let subject = Subject::Init(Arc::clone(&name));
            let predecessor = match self.begun.remove(&subject) {
                Some(begun) if begun.command == command => {
                    self.begun.insert(subject, begun);
                    continue;
                }
                Some(begun) => begun.attached,
                None => None,
            };
            self.begin_after(Event::of_configured_path(&name), predecessor);
        }
    }

    fn handle(&mut self, happening: &Happening) {
        match happening {
            Happening::ConnectionOpened(view) => {
                Event::of_connection(Kind::Connect, view).into_iter().for_each(|event| self.begin(event));
            }
            Happening::ConnectionClosed { connection, .. } => {
                Event::of_connection(Kind::Disconnect, connection).iter().for_each(|event| self.end(event));
            }
            Happening::PathAvailable { path, source, query } => {
                self.begin(Event::of_path(Kind::Available, path, source.as_ref(), query));
            }
            Happening::PathUnavailable { path, source, query } => {
                self.end(&Event::of_path(Kind::Unavailable, path, source.as_ref(), query));
            }
            Happening::PathOnline { path, source, query } => {
                self.begin(Event::of_path(Kind::Online, path, source.as_ref(), query));
            }
            Happening::PathOffline { path, source, query } => {
                self.end(&Event::of_path(Kind::Offline, path, source.as_ref(), query));
            }
            Happening::SessionStarted(view) if view.state == SessionState::Read => {
                self.begin(Event::of_reader(Kind::Read, view));
            }
            Happening::SessionEnded { session, .. } => {
                let event = Event::of_reader(Kind::Unread, session);
                if session.state == SessionState::Read || self.begun.contains_key(&event.subject) {
                    self.end(&event);
                }
            }
            Happening::SessionStarted(_)
            | Happening::ConfigurationChanged { .. }
            | Happening::ConfigurationRefused { .. } => {}
        }
    }

    fn begin(&mut self, event: Event) {
        self.begin_after(event, None);
    }

    fn begin_after(&mut self, event: Event, predecessor: Option<Attached>) {
        if self.begun.contains_key(&event.subject) {
            return;
        }
        let at_begin = self.look_up(&event);
        let (line, restart) = self.command(event.kind, at_begin.keys());
        self.tell(&event, &at_begin.variables);
        let attached = (!line.is_empty()).then(|| {
            let job = self.job(&event, line.clone(), restart, at_begin.variables.clone());
            self.runner.attach(job, predecessor)
        });
        let told_of_end = |webhook: &Webhook| event.kind.end().is_some_and(|kind| webhook.wants(kind));
        let ends = event.kind.end().is_some_and(|kind| !self.command(kind, at_begin.keys()).0.is_empty());
        // A configured path is kept in any case, so that its end and its changes are seen.
        if attached.is_some()
            || ends
            || event.kind == Kind::Init
            || self.webhook.as_ref().is_some_and(told_of_end)
        {
            let begun = Begun { event, command: (line, restart), attached, at_begin };
            self.begun.insert(begun.event.subject.clone(), begun);
        }
    }

    fn end(&mut self, event: &Event) {
        // Dropped, it tells its command to end.
        let begun = self.begun.remove(&event.subject);
        let look = match begun {
            Some(begun) => self.look_up_end(event, begun.at_begin),
            None => self.look_up(event),
        };
        self.tell(event, &look.variables);
        let (line, _) = self.command(event.kind, look.keys());
        if !line.is_empty() {
            let job = self.job(event, line, false, look.variables);
            self.runner.once(job);
        }
    }

    /// The end belongs to the entry that the beginning belonged to: as that is now, or, if it is gone, as it was.
    fn look_up_end(&self, event: &Event, at_begin: Look) -> Look {
        let now = self.look_up(event);
        let Some((name, keys)) = at_begin.entry else { return now };
        if now.entry.as_ref().is_some_and(|(found, _)| *found == name) {
            return now;
        }
        let keys = self.configuration.paths.get(&name).map_or(keys, |path| Arc::clone(&path.effective));
        let of_event = |known: &(String, String)| event.variables.iter().any(|(name, _)| *name == known.0);
        let mut variables = at_begin.variables;
        variables.retain(|known| !of_event(known));
        variables.extend(event.variables.iter().cloned());
        Look { entry: Some((name, keys)), variables }
    }

    /// Makes up for happenings that were missed. Those that still wait come first: the world is ahead of them, and what
    /// they tell would otherwise be done twice.
    fn catch_up(&mut self, missed: u64, waiting: &mut Receiver<Arc<Happening>>, world: &World) {
        self.counters.happenings_missed.fetch_add(missed, Relaxed);
        tracing::warn!("hooks missed {missed} happenings and compare with the live world");
        while let Ok(happening) = waiting.try_recv() {
            self.handle(&happening);
        }
        self.compare(world);
    }

    /// Ends what is gone and begins what is there, for happenings that were missed.
    fn compare(&mut self, world: &World) {
        let mut there = Vec::new();
        for protocol in Protocol::ALL {
            let connections = world.connections(protocol);
            there.extend(connections.iter().filter_map(|view| Event::of_connection(Kind::Connect, view)));
            let sessions = world.sessions(protocol);
            let readers = sessions.iter().filter(|view| view.state == SessionState::Read);
            there.extend(readers.map(|view| Event::of_reader(Kind::Read, view)));
        }
        for path in world.paths() {
            let source = path.source.as_ref();
            let session = source.and_then(|party| world.session(party.session));
            let query = session.as_ref().map_or("", |session| &session.record.query);
            there.push(Event::of_path(Kind::Available, &path.name, source, query));
            if path.online.is_some() {
                there.push(Event::of_path(Kind::Online, &path.name, source, query));
            }
        }
        let subjects: HashSet<&Subject> = there.iter().map(|event| &event.subject).collect();
        let gone = |event: &Event| event.kind != Kind::Init && !subjects.contains(&event.subject);
        let ends: Vec<Event> = self
            .begun
            .values()
            .filter(|begun| gone(&begun.event))
            .filter_map(|begun| begun.event.end())
            .collect();
        ends.iter().for_each(|event| self.end(event));
        there.into_iter().for_each(|event| self.begin(event));
    }

    /// Ends all that has begun, and waits for it; not for long, and no longer when the time to kill has come.
    async fn finish(mut self, phases: &watch::Receiver<Phase>) {
        let ends: Vec<Event> = self.begun.values().filter_map(|begun| begun.event.end()).collect();
        ends.iter().for_each(|event| self.end(event));
        self.begun.clear();
        let patience = self.configuration.global.hook_stop_timeout.min(runner::END_PATIENCE);
        let hurry = || come_to(phases.clone(), Phase::Killing);
        let webhook = self.webhook.take();
        let webhooks = async {
            if let Some(webhook) = webhook {
                tokio::select! {
                    () = webhook.finish(patience) => {}
                    () = hurry() => {}
                }
            }
        };
        tokio::join!(self.runner.finish(hurry()), webhooks);
    }

    /// The entry of the event's path, and all its variables.
    fn look_up(&self, event: &Event) -> Look {
        let path = event.path.as_deref();
        let found = path.and_then(|path| self.configuration.find_path(path));
        let (entry, groups) =
            found.map(|found| ((found.name.to_owned(), Arc::clone(found.path)), found.groups)).unzip();
        let address = &self.configuration.global.rtsp_address;
        let mut variables = event::of_configuration(address, path, groups.as_deref().unwrap_or_default());
        variables.extend(event.variables.iter().cloned());
        Look { entry, variables }
    }

    /// The command of an event and whether it restarts; empty where there is none.
    fn command(&self, kind: Kind, path: Option<&PathConfiguration>) -> (String, bool) {
        let global = &self.configuration.global;
        let (line, restart) = match (kind, path) {
            (Kind::Connect, _) => (&global.run_on_connect, global.run_on_connect_restart),
            (Kind::Disconnect, _) => (&global.run_on_disconnect, false),
            (_, None) => return (String::new(), false),
            (Kind::Init, Some(path)) => (&path.run_on_init, path.run_on_init_restart),
            (Kind::Available, Some(path)) => (&path.run_on_available, path.run_on_available_restart),
            (Kind::Unavailable, Some(path)) => (&path.run_on_unavailable, false),
            (Kind::Online, Some(path)) => (&path.run_on_online, path.run_on_online_restart),
            (Kind::Offline, Some(path)) => (&path.run_on_offline, false),
            (Kind::Read, Some(path)) => (&path.run_on_read, path.run_on_read_restart),
            (Kind::Unread, Some(path)) => (&path.run_on_unread, false),
        };
        (line.clone(), restart)
    }

    fn job(&self, event: &Event, line: String, restart: bool, variables: Variables) -> Job {
        let patience = self.configuration.global.hook_stop_timeout;
        Job { hook: event.kind.hook(), about: event.about(), line, restart, variables, patience }
    }

    fn tell(&self, event: &Event, variables: &Variables) {
        if let Some(webhook) = &self.webhook {
            webhook.send(event, variables);
        }
    }
}
