//! A configuration file that changes while the server runs, in the ways that editors, scripts and Kubernetes change files;
//! and what the server says of it.

use crate::server::{Launch, Server};
use crate::{wait, web as http, workspace};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The usual ports, and the API and the metrics, on ports that the system chooses.
pub const ADDRESSES: &str = "\
rtspAddress: 127.0.0.1:0
rtpAddress: 127.0.0.1:0
rtcpAddress: 127.0.0.1:0
api: yes
apiAddress: 127.0.0.1:0
metrics: yes
metricsAddress: 127.0.0.1:0
rtmpAddress: 127.0.0.1:0
hlsAddress: 127.0.0.1:0
";

/// How long the server may take to notice a file.
const NOTICE: Duration = Duration::from_secs(5);

/// A file in a folder of its own.
pub struct ConfigFile {
    path: PathBuf,
}

impl ConfigFile {
    /// # Errors
    /// When it cannot be written.
    pub fn new(text: &str) -> Result<ConfigFile> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = workspace().join("configurations").join(format!("{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let file = ConfigFile { path: folder.join("headwater.yml") };
        file.rewrite(text)?;
        Ok(file)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn folder(&self) -> &Path {
        self.path.parent().expect("it lies in a folder")
    }

    /// # Errors
    /// When it is gone.
    pub fn text(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.path)?)
    }

    /// Writes it in place, as `echo >` does.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn rewrite(&self, text: &str) -> Result<()> {
        fs::write(&self.path, text).with_context(|| self.path.display().to_string())
    }

    /// Writes another file and gives it this one's name, as editors do.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn replace(&self, text: &str) -> Result<()> {
        let other = self.path.with_extension("new");
        fs::write(&other, text)?;
        Ok(fs::rename(other, &self.path)?)
    }

    /// A server with this file, which says where is listened.
    ///
    /// # Errors
    /// When it does not start.
    pub fn launch(&self) -> Result<Server> {
        Server::launch(&self.how())
    }

    /// How [`ConfigFile::launch`] starts it.
    pub fn how(&self) -> Launch {
        Launch {
            file: Some(self.path.clone()),
            addresses_in_file: true,
            control: vec!["api", "metrics"],
            ..Launch::default()
        }
    }

    /// Rewrites it, and waits until the server has taken the change.
    ///
    /// # Errors
    /// When the server does not take it within 5 s, or refuses it.
    pub fn change(&self, server: &Server, text: &str) -> Result<()> {
        let before = Taken::of(server);
        self.rewrite(text)?;
        before.accepted_since(server)
    }
}

/// How many changes the log tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    pub changes: usize,
    pub refused: usize,
}

impl Taken {
    pub fn of(server: &Server) -> Taken {
        let log = server.log();
        let count = |text: &str| log.matches(text).count();
        Taken {
            changes: count("the configuration has changed"),
            refused: count("the configuration is refused"),
        }
    }

    /// # Errors
    /// When there is no change beyond these within 5 s, or one is refused.
    pub fn accepted_since(self, server: &Server) -> Result<()> {
        wait::until("the server to take the change", NOTICE, || {
            let now = Taken::of(server);
            ensure!(now.refused == self.refused, "the change was refused:\n{}", server.log());
            Ok((now.changes > self.changes).then_some(()))
        })
    }

    /// # Errors
    /// When none beyond these is refused within 5 s, or one is accepted.
    pub fn refused_since(self, server: &Server) -> Result<()> {
        wait::until("the server to refuse the change", NOTICE, || {
            let now = Taken::of(server);
            ensure!(now.changes == self.changes, "the change was accepted");
            Ok((now.refused > self.refused).then_some(()))
        })
    }
}

/// A call of the API that must be answered 200, and its JSON (null where there is none).
///
/// # Errors
/// When it is not.
pub fn api(server: &Server, method: &str, path: &str, body: &str) -> Result<Value> {
    let answer = http::request(server.control["api"], method, path, &[], body)?;
    ensure!(answer.status == 200, "{method} {path}: {} {}", answer.status, answer.text());
    if answer.body.is_empty() { Ok(Value::Null) } else { answer.json() }
}

/// A metric's value, by its name with labels as they are served; `None` when it is not there.
///
/// # Errors
/// When the metrics cannot be read.
pub fn metric(server: &Server, name: &str) -> Result<Option<f64>> {
    let text = http::get(server.control["metrics"], "/metrics")?.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|value| value.trim().parse().context("a metric's value")).transpose()
}
