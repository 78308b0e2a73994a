//! Where lines go: a standard stream, a file that others may rotate, syslog (RFC 3164, as `/dev/log` takes it).
//!
//! All of these run on a thread of their own and may block there. A line that cannot be written is lost; the next one
//! tries again. The first failure and the return are told on standard error, for the log cannot tell it.

use super::line::Line;
use jiff::tz::TimeZone;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tracing::Level;

/// How often a file is looked for under its name, and syslog tried again.
const LOOK: Duration = Duration::from_secs(1);
/// A syslog that takes a line for longer is treated as gone.
const SYSLOG_PATIENCE: Duration = Duration::from_secs(1);

pub(super) enum Sink {
    Stream(Stream),
    File(File),
    Syslog(Syslog),
}

impl Sink {
    pub(super) fn write(&mut self, line: &Line) -> io::Result<()> {
        match self {
            Sink::Stream(stream) => stream.write(line),
            Sink::File(file) => file.write(line),
            Sink::Syslog(syslog) => syslog.write(line),
        }
    }
}

/// Standard output or standard error.
pub(super) struct Stream {
    out: Box<dyn Write + Send>,
    colours: bool,
}

impl Stream {
    pub(super) fn stdout(structured: bool) -> Stream {
        Stream { colours: !structured && io::stdout().is_terminal(), out: Box::new(io::stdout()) }
    }

    pub(super) fn stderr() -> Stream {
        Stream { colours: io::stderr().is_terminal(), out: Box::new(io::stderr()) }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        // In one piece, so that lines of others on the same stream do not get in between.
        let mut text = String::new();
        line.write(&mut text, self.colours);
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// Tells of failures once, not for each line.
#[derive(Default)]
struct Trouble {
    told: bool,
}

impl Trouble {
    fn note<T>(&mut self, destination: &dyn std::fmt::Display, result: &io::Result<T>) {
        match result {
            Err(error) if !self.told => {
                self.told = true;
                // Nobody may be reading this either.
                let _ =
                    writeln!(io::stderr(), "headwater: cannot log to {destination}: {error}; lines are lost");
            }
            Ok(_) if self.told => {
                self.told = false;
                let _ = writeln!(io::stderr(), "headwater: logging to {destination} again");
            }
            _ => {}
        }
    }
}

/// A file that is appended to, and opened again when another one has its name or it was asked for.
pub(super) struct File {
    path: PathBuf,
    file: Option<std::fs::File>,
    looked: Instant,
    look_every: Duration,
    reopen: Arc<AtomicU64>,
    reopened: u64,
    trouble: Trouble,
}

impl File {
    pub(super) fn open(path: &Path, reopen: Arc<AtomicU64>) -> io::Result<File> {
        let reopened = reopen.load(Ordering::Relaxed);
        Ok(File {
            file: Some(append(path)?),
            path: path.to_owned(),
            looked: Instant::now(),
            look_every: LOOK,
            reopen,
            reopened,
            trouble: Trouble::default(),
        })
    }

    /// Looks for the file under its name before every line.
    #[cfg(test)]
    pub(super) fn looking_always(mut self) -> File {
        self.look_every = Duration::ZERO;
        self
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let asked = self.reopen.load(Ordering::Relaxed);
        if asked != self.reopened || self.was_moved() {
            self.reopened = asked;
            self.file = None;
        }
        let mut text = String::new();
        line.write(&mut text, false);
        let result = self.append(&text);
        if result.is_err() {
            self.file = None;
        }
        self.trouble.note(&self.path.display(), &result);
        result
    }

    fn append(&mut self, text: &str) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(append(&self.path)?),
        };
        file.write_all(text.as_bytes())
    }

    /// Whether the name now stands for another file, or none.
    fn was_moved(&mut self) -> bool {
        if self.looked.elapsed() < self.look_every {
            return false;
        }
        self.looked = Instant::now();
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let open = self.file.as_ref().and_then(|file| file.metadata().ok()).map(identity);
        open != std::fs::metadata(&self.path).ok().map(identity)
    }
}

fn append(path: &Path) -> io::Result<std::fs::File> {
    // Without blocking: a named pipe that nobody reads must not hold up whoever opens it.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().append(true).create(true).custom_flags(flags).open(path)
}

/// The system's log, over a datagram or a stream socket.
pub(super) struct Syslog {
    path: PathBuf,
    tag: String,
    socket: Option<Socket>,
    tried: Option<Instant>,
    trouble: Trouble,
}

enum Socket {
    Datagram(UnixDatagram),
    Stream(UnixStream),
}

impl Syslog {
    pub(super) fn new(path: PathBuf, prefix: &str) -> Syslog {
        // A tag ends at the first character that is neither letter nor digit (RFC 3164, 4.1.3); most take these too.
        let tag =
            prefix.chars().filter(|c| c.is_ascii_alphanumeric() || "-_./".contains(*c)).take(32).collect();
        Syslog { path, tag, socket: None, tried: None, trouble: Trouble::default() }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let message = self.message(line);
        // A socket of a syslog that was restarted shows it at the first line only: that one is tried twice.
        let had_socket = self.socket.is_some();
        let mut result = self.send(&message);
        if result.is_err() && had_socket {
            self.tried = None;
            result = self.send(&message);
        }
        self.trouble.note(&self.path.display(), &result);
        result
    }

    /// `<30>Nov 20 20:15:03 headwater[17]: INF …`, facility 3 (daemon).
    fn message(&self, line: &Line) -> String {
        let severity = match line.level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        let time = line.at.to_zoned(TimeZone::system()).strftime("%b %e %H:%M:%S").to_string();
        let (tag, process) = (&self.tag, std::process::id());
        format!("<{}>{time} {tag}[{process}]: {}", 3 * 8 + severity, line.without_time())
    }

    fn send(&mut self, message: &str) -> io::Result<()> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => {
                if self.tried.is_some_and(|tried| tried.elapsed() < LOOK) {
                    return Err(ErrorKind::NotConnected.into());
                }
                self.tried = Some(Instant::now());
                none.insert(connect(&self.path)?)
            }
        };
        let result = match socket {
            Socket::Datagram(socket) => socket.send(message.as_bytes()).map(drop),
            Socket::Stream(socket) => socket.write_all(format!("{message}\n").as_bytes()),
        };
        if result.is_err() {
            // After half a line on a stream, only a new one is in step.
            self.socket = None;
        }
        result
    }
}

fn connect(path: &Path) -> io::Result<Socket> {
    let datagram = UnixDatagram::unbound()?;
    match datagram.connect(path) {
        Ok(()) => {
            datagram.set_write_timeout(Some(SYSLOG_PATIENCE))?;
            Ok(Socket::Datagram(datagram))
        }
        // The socket is of the other kind (EPROTOTYPE).
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PROTOTYPE.raw_os_error()) => {
            let stream = UnixStream::connect(path)?;
            stream.set_write_timeout(Some(SYSLOG_PATIENCE))?;
            Ok(Socket::Stream(stream))
        }
        Err(error) => Err(error),
    }
}
