//! What the parts of the control core share: the engine, the configuration in force, the live world; and how a change of
//! configuration is put in force.
//!
//! Changes are made one after the other. Whatever can fail comes first (settings, certificates, listeners), so that a
//! change that is refused has changed nothing; each part is then given only what the change touches.

use crate::api::reload::ReloadStatus;
use crate::auth::Authority;
use crate::config::{Configuration, Faults, Loaded, Source, digest, read_file};
use crate::engine_settings;
use crate::hooks::HookCounters;
use crate::http::counters::HttpCounters;
use crate::keyring::Keyring;
use crate::logs::Logs;
use crate::media_tls::{self, MediaTls};
use crate::metrics::ReloadCounters;
use crate::persist;
use crate::ports::Ports;
use crate::watch::Watch;
use crate::world::{Happening, World};
use arc_swap::ArcSwap;
use headwater_engine::records::Event;
use headwater_engine::settings::Settings;
use headwater_engine::{Engine, StartError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::{Mutex, MutexGuard, Notify};

/// Events taken before the other tasks of the control core get their turn.
const EVENTS_PER_TURN: usize = 256;

/// The control core. One per process, shared by everything that runs on its thread.
pub(crate) struct Core {
    pub(crate) engine: Engine,
    pub(crate) world: World,
    pub(crate) authority: Arc<Authority>,
    pub(crate) reload: Arc<ArcSwap<ReloadStatus>>,
    pub(crate) http_counters: Vec<Arc<HttpCounters>>,
    pub(crate) hook_counters: Arc<HookCounters>,
    pub(crate) reloads: ReloadCounters,
    pub(crate) logs: Arc<Logs>,
    pub(crate) keyring: Keyring,
    configuration: ArcSwap<Configuration>,
    source: Arc<Source>,
    parts: Mutex<Parts>,
}

/// What a change of configuration works on.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) ports: Ports,
    pub(crate) watch: Option<Watch>,
    /// The configuration file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// Of its content as it was last read or written here.
    pub(crate) digest: Option<u64>,
    /// The configuration as it was last read or written there.
    pub(crate) in_file: Arc<Configuration>,
}

/// Why a change of configuration was refused. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Invalid(#[from] Faults),
    /// The configuration is valid, but a listener cannot be opened, or the file cannot be written.
    #[error("{0}")]
    Failed(String),
}

impl From<StartError> for ChangeError {
    fn from(error: StartError) -> ChangeError {
        ChangeError::Failed(error.to_string())
    }
}

impl Core {
    pub(crate) fn new(
        engine: Engine,
        source: Source,
        configuration: Arc<Configuration>,
        logs: Arc<Logs>,
        keyring: Keyring,
        parts: Parts,
    ) -> Core {
        let authority = Arc::new(Authority::default());
        authority.configure(&configuration);
        let status = ReloadStatus {
            file: parts.file.clone(),
            read: Some(SystemTime::now()),
            ..ReloadStatus::default()
        };
        Core {
            engine,
            world: World::new(),
            authority,
            reload: Arc::new(ArcSwap::from_pointee(status)),
            http_counters: parts.ports.counters().collect(),
            hook_counters: Arc::default(),
            reloads: ReloadCounters::default(),
            logs,
            keyring,
            configuration: ArcSwap::new(configuration),
            source: Arc::new(source),
            parts: Mutex::new(parts),
        }
    }

    /// A core without file and listeners, for tests of the parts that need one.
    #[cfg(test)]
    pub(crate) fn for_tests(engine: Engine, mut configuration: Configuration) -> Core {
        (configuration.global.rtsp, configuration.global.rtmp, configuration.global.hls) =
            (false, false, false);
        let configuration = Arc::new(configuration);
        let parts = Parts {
            settings: Settings::default(),
            ports: Ports::new(),
            watch: None,
            file: None,
            digest: None,
            in_file: Arc::clone(&configuration),
        };
        let source = Source::new(None, std::iter::empty(), &[]);
        Core::new(engine, source, configuration, Arc::new(Logs::for_tests()), Keyring::default(), parts)
    }

    /// The configuration in force.
    pub(crate) fn configuration(&self) -> Arc<Configuration> {
        self.configuration.load_full()
    }

    /// What changes work on; nothing changes while it is held.
    pub(crate) async fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().await
    }

    /// Opens the control ports for the first time.
    ///
    /// # Errors
    /// As for any change.
    pub(crate) async fn open_ports(self: &Arc<Self>) -> Result<(), ChangeError> {
        let configuration = self.configuration();
        let mut parts = self.parts.lock().await;
        let change = parts.ports.prepare(self, &configuration.global).await.map_err(ChangeError::Failed)?;
        parts.ports.commit(change);
        self.keyring.retain(&parts.ports.certificates(media_tls::files(&configuration)));
        Ok(())
    }

    /// Changes the configuration: `edit` makes the new one from the one in force, on another thread, and it is put in
    /// force. With `apiPersist` it is written to the file as well. Once begun a change is carried through, whether or not
    /// somebody still waits for it.
    ///
    /// # Errors
    /// Whatever `edit` returns; a listener that cannot be opened; a file that cannot be written.
    pub(crate) async fn change<F, E>(self: &Arc<Self>, edit: F) -> Result<(), E>
    where
        F: FnOnce(&Configuration) -> Result<Configuration, E> + Send + 'static,
        E: From<ChangeError> + Send + 'static,
    {
        let core = Arc::clone(self);
        let change = tokio::spawn(async move {
            let mut parts = core.parts.lock().await;
            let before = core.configuration();
            let of = Arc::clone(&before);
            let edited = elsewhere(move || edit(&of)).await.map_err(E::from)?;
            core.carry_out(&mut parts, &before, &Arc::new(edited?)).await.map_err(E::from)
        });
        change.await.unwrap_or_else(|error| Err(ChangeError::Failed(error.to_string()).into()))
    }

    /// Puts a change of the API in force, and into the file where that is wanted: there first, since what cannot be kept
    /// is not to be in force either.
    async fn carry_out(
        self: &Arc<Self>,
        parts: &mut Parts,
        before: &Arc<Configuration>,
        after: &Arc<Configuration>,
    ) -> Result<(), ChangeError> {
        if !(after.global.api_persist || before.global.api_persist) {
            return self.put_in_force(parts, after).await;
        }
        let (file, source) = (parts.file.clone(), Arc::clone(&self.source));
        let (of, to) = (Arc::clone(&parts.in_file), Arc::clone(after));
        let written = elsewhere(move || persist::write(file, &source, &of, &to)).await??;
        let Some(written) = written else { return self.put_in_force(parts, after).await };
        let digest_before = parts.digest.replace(digest(written.text.as_bytes()));
        if let Err(error) = self.put_in_force(parts, after).await {
            let undone = elsewhere(move || written.undo()).await?;
            parts.digest = digest_before;
            return Err(match undone {
                Ok(()) => error,
                Err(undo) => ChangeError::Failed(format!("{error}; the file keeps the change: {undo}")),
            });
        }
        parts.file = Some(written.file);
        parts.in_file = Arc::clone(after);
        parts.watch_files(&self.keyring);
        Ok(())
    }

    /// Reads the configuration file again and puts it in force. Once begun it is carried through.
    ///
    /// # Errors
    /// All that is wrong with it; the configuration before stays in force.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<(), ChangeError> {
        let core = Arc::clone(self);
        let reload = tokio::spawn(async move {
            let mut parts = core.parts.lock().await;
            core.read_again(&mut parts).await
        });
        reload.await.unwrap_or_else(|error| Err(ChangeError::Failed(error.to_string())))
    }

    /// The same for a file that has changed, unless it was us who changed it.
    pub(crate) async fn reload_changed(self: &Arc<Self>) -> Result<(), ChangeError> {
        let core = Arc::clone(self);
        let reload = tokio::spawn(async move {
            let mut parts = core.parts.lock().await;
            let refused = core.reload.load().refused.is_some();
            if let (Some(file), Some(known), false) = (parts.file.clone(), parts.digest, refused)
                && let Ok(Ok(text)) = elsewhere(move || read_file(&file)).await
                && digest(&text) == known
            {
                return Ok(());
            }
            core.read_again(&mut parts).await
        });
        reload.await.unwrap_or_else(|error| Err(ChangeError::Failed(error.to_string())))
    }

    async fn read_again(self: &Arc<Self>, parts: &mut Parts) -> Result<(), ChangeError> {
        let (source, known) = (Arc::clone(&self.source), parts.file.clone());
        let loaded = elsewhere(move || source.load_again(known.as_deref())).await;
        let result = match loaded {
            Ok(Ok(loaded)) => self.take_over(parts, loaded).await,
            Ok(Err(faults)) => Err(ChangeError::Invalid(faults)),
            Err(error) => Err(error),
        };
        self.note_reload(parts, &result);
        result
    }

    async fn take_over(self: &Arc<Self>, parts: &mut Parts, loaded: Loaded) -> Result<(), ChangeError> {
        loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let after = Arc::new(loaded.configuration);
        self.put_in_force(parts, &after).await?;
        parts.file = loaded.file;
        parts.digest = loaded.digest;
        parts.in_file = after;
        parts.watch_files(&self.keyring);
        Ok(())
    }

    fn note_reload(&self, parts: &Parts, result: &Result<(), ChangeError>) {
        let mut status = ReloadStatus::clone(&self.reload.load());
        status.read = Some(SystemTime::now());
        status.file = parts.file.clone();
        status.reloads += 1;
        status.refused = None;
        match result {
            Ok(()) => self.reloads.succeeded(),
            Err(_) => self.reloads.failed(),
        }
        if let Err(error) = result {
            status.reloads_refused += 1;
            let faults = error.to_string();
            tracing::error!("the configuration is refused and the one before stays in force:");
            faults.lines().for_each(|fault| tracing::error!("{fault}"));
            status.refused = Some(match error {
                ChangeError::Invalid(faults) => faults.clone(),
                other => Faults::of(other.to_string()),
            });
            self.world.tell(Happening::ConfigurationRefused { faults });
        }
        self.reload.store(Arc::new(status));
    }

    /// Puts a configuration in force.
    async fn put_in_force(
        self: &Arc<Self>,
        parts: &mut Parts,
        after: &Arc<Configuration>,
    ) -> Result<(), ChangeError> {
        let before = self.configuration();
        let differences = before.difference(after);
        if differences.is_empty() {
            // What was given may differ all the same, which a later change or the file will want to know.
            self.configuration.store(Arc::clone(after));
            return Ok(());
        }
        let result = self.put_differences_in_force(parts, &before, after).await;
        let in_force = if result.is_ok() { after } else { &before };
        self.keyring.retain(&parts.ports.certificates(media_tls::files(in_force)));
        result?;
        parts.watch_files(&self.keyring);
        if before.global.shards != after.global.shards {
            tracing::warn!("shards: the number of shards changes only with a restart");
        }
        let keys: Vec<String> = differences.into_iter().map(|change| change.key).collect();
        tracing::info!(changed = %some_of(&keys), "the configuration has changed");
        self.world.tell(Happening::ConfigurationChanged { keys });
        Ok(())
    }

    /// Everything that can fail, and then the rest.
    async fn put_differences_in_force(
        self: &Arc<Self>,
        parts: &mut Parts,
        before: &Arc<Configuration>,
        after: &Arc<Configuration>,
    ) -> Result<(), ChangeError> {
        let settings = self.settings_elsewhere(parts, before, after).await?;
        let change = parts.ports.prepare(self, &after.global).await.map_err(ChangeError::Failed)?;
        let before_listening = self.engine.listening();
        self.apply_logs(after).await?;
        if let Err(error) = self.engine.apply(settings.clone()) {
            // It had those destinations a moment ago.
            let _ = self.apply_logs(before).await;
            return Err(error.into());
        }
        parts.ports.commit(change);
        parts.settings = settings;
        self.configuration.store(Arc::clone(after));
        self.authority.configure(after);
        for listening in self.engine.listening().iter().filter(|now| !before_listening.contains(now)) {
            let (protocol, transport, address) = (listening.protocol, listening.transport, listening.address);
            tracing::info!(protocol, transport, %address, "listening");
        }
        Ok(())
    }

    /// Log destinations may be files, which are opened on another thread.
    async fn apply_logs(&self, configuration: &Arc<Configuration>) -> Result<(), ChangeError> {
        let (logs, configuration) = (Arc::clone(&self.logs), Arc::clone(configuration));
        let applied = elsewhere(move || logs.apply(&configuration.global)).await?;
        applied.map_err(|error| ChangeError::Failed(error.to_string()))
    }

    /// The engine's settings: certificates are read and names resolved on another thread.
    async fn settings_elsewhere(
        self: &Arc<Self>,
        parts: &Parts,
        before: &Arc<Configuration>,
        after: &Arc<Configuration>,
    ) -> Result<Settings, ChangeError> {
        let (core, now) = (Arc::clone(self), parts.settings.clone());
        let (before, after) = (Arc::clone(before), Arc::clone(after));
        let made = elsewhere(move || {
            let tls = MediaTls::read(&core.keyring, &after)?;
            engine_settings::of(&after, &tls, Some((&before, &now)))
        });
        Ok(made.await??)
    }

    /// Takes what the engine tells, for as long as the server runs.
    pub(crate) async fn take_events(self: Arc<Self>, notify: Arc<Notify>) {
        loop {
            notify.notified().await;
            let mut taken = 0;
            while let Some(event) = self.engine.next_event() {
                match event {
                    Event::Question(question) => {
                        let core = Arc::clone(&self);
                        tokio::spawn(async move {
                            let verdict = core.authority.check(question.request).await;
                            core.engine.answer(question.ticket, verdict);
                        });
                    }
                    event => self.world.apply(event),
                }
                taken += 1;
                if taken % EVENTS_PER_TURN == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

impl Parts {
    /// Watches the configuration file and the certificates that are in use.
    pub(crate) fn watch_files(&mut self, keyring: &Keyring) {
        let candidates = || ["headwater.yml", "mediamtx.yml"].map(PathBuf::from).to_vec();
        let mut files = self.file.clone().map_or_else(candidates, |file| vec![file]);
        files.extend(keyring.files());
        if let Some(watch) = &self.watch {
            watch.set_paths(files);
        }
    }
}

/// Runs what may block on another thread.
async fn elsewhere<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Result<T, ChangeError> {
    tokio::task::spawn_blocking(run).await.map_err(|error| ChangeError::Failed(error.to_string()))
}

/// A few names, and how many more there are.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
