//! What systemd is told (`sd_notify(3)`): ready, reloading, stopping, one line of status, and that the server is alive.
//!
//! Datagrams to the socket that `NOTIFY_SOCKET` names. Without it, nothing is sent. A message that cannot be sent is
//! lost: systemd then sees what it would see anyway, a service that does not answer. Also the limit of open files,
//! which the unit sets (`LimitNOFILE=`).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// The way to systemd.
pub(crate) struct Systemd {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Without a sign of life for so long, systemd kills the service and starts it again.
    watchdog: Option<Duration>,
}

impl Systemd {
    /// As the environment says.
    pub(crate) fn from_environment() -> Systemd {
        let variable = |name: &str| std::env::var(name).ok();
        let address = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let watchdog = watchdog(variable("WATCHDOG_USEC").as_deref(), variable("WATCHDOG_PID").as_deref());
        Systemd::to(address.as_ref().map(|name| name.as_bytes()), watchdog)
    }

    /// To the socket of that name; `@` begins an abstract one.
    fn to(name: Option<&[u8]>, watchdog: Option<Duration>) -> Systemd {
        let open = |name: &[u8]| {
            let address = match name.strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name)?,
                None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
            };
            let socket = UnixDatagram::unbound()?;
            // The control core's thread never waits, not for systemd either.
            socket.set_nonblocking(true)?;
            Ok::<_, std::io::Error>((socket, address))
        };
        let socket = name.and_then(|name| match open(name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!("cannot tell systemd anything: {error}; check NOTIFY_SOCKET");
                None
            }
        });
        Systemd { watchdog: watchdog.filter(|_| socket.is_some()), socket }
    }

    /// All listeners are open.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// A new configuration is being read; [`Systemd::ready`] ends it.
    pub(crate) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// The line that `systemctl status` shows.
    pub(crate) fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", one_line(status)));
    }

    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// Tells systemd that the server is alive for as long as `alive` says so, twice in each of its intervals. Returns
    /// at once where systemd does not ask for it, else never.
    pub(crate) async fn watch(&self, alive: impl Fn() -> bool) {
        let Some(patience) = self.watchdog else { return };
        let mut turns = interval(patience / 2);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut was_alive = true;
        loop {
            turns.tick().await;
            let is_alive = alive();
            if is_alive {
                self.send("WATCHDOG=1");
            }
            if was_alive && !is_alive {
                tracing::error!(
                    seconds = patience.as_secs_f64(),
                    "a shard has stopped turning: systemd is no longer told that the server is alive and will \
                     restart it; please report this with the output of /debug/pprof/tasks"
                );
            } else if is_alive && !was_alive {
                tracing::warn!("all shards are turning again; systemd is told that the server is alive");
            }
            was_alive = is_alive;
        }
    }

    fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(message.as_bytes(), address)
        {
            tracing::debug!("systemd was not told: {error}");
        }
    }
}

/// A line end would begin another assignment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The interval that systemd gave this process, if it is meant.
fn watchdog(microseconds: Option<&str>, process: Option<&str>) -> Option<Duration> {
    let microseconds: u64 = microseconds?.parse().ok().filter(|given| *given > 0)?;
    let ours = process.is_none_or(|process| process.parse() == Ok(std::process::id()));
    ours.then(|| Duration::from_micros(microseconds))
}

/// How many files this process may have open now, and how far it could raise that.
pub(crate) fn open_files() -> (u64, u64) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{Systemd, open_files, watchdog};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixDatagram;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    fn receive(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).expect("a message within the timeout");
        String::from_utf8(buffer[..length].to_vec()).expect("a text")
    }

    fn listen(folder: &tempfile::TempDir, watchdog: Option<Duration>) -> (UnixDatagram, Systemd) {
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("bound");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
        (socket, Systemd::to(Some(path.as_os_str().as_bytes()), watchdog))
    }

    #[test]
    fn the_life_of_a_service() {
        let folder = tempfile::tempdir().expect("a folder");
        let (socket, systemd) = listen(&folder, None);
        systemd.ready("3 listeners\nWATCHDOG=1");
        assert_eq!(receive(&socket), "READY=1\nSTATUS=3 listeners WATCHDOG=1");
        systemd.reloading();
        let reloading = receive(&socket);
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("the time");
        assert!(time.parse::<u64>().is_ok_and(|time| time > 0), "{time}");
        systemd.status("12 paths");
        systemd.stopping();
        assert_eq!((receive(&socket).as_str(), receive(&socket).as_str()), ("STATUS=12 paths", "STOPPING=1"));
    }

    #[test]
    fn without_systemd_nothing_happens() {
        let systemd = Systemd::to(None, Some(Duration::from_secs(1)));
        systemd.ready("x");
        assert!(systemd.watchdog.is_none());
        // A socket that nobody listens on.
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nobody");
        Systemd::to(Some(path.as_os_str().as_bytes()), None).stopping();
    }

    #[test]
    fn signs_of_life_stop_with_the_shards() {
        let folder = tempfile::tempdir().expect("a folder");
        let (socket, systemd) = listen(&folder, Some(Duration::from_millis(10)));
        let alive = AtomicBool::new(true);
        let asked = tokio::sync::Notify::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let ask = || {
                asked.notify_one();
                alive.load(Ordering::Relaxed)
            };
            let test = async {
                asked.notified().await;
                assert_eq!(receive(&socket), "WATCHDOG=1");
                alive.store(false, Ordering::Relaxed);
                // What was sent before the change; then only questions, no signs.
                for _ in 0..3 {
                    asked.notified().await;
                }
                socket.set_nonblocking(true).expect("set");
                while socket.recv(&mut [0; 16]).is_ok() {}
                for _ in 0..3 {
                    asked.notified().await;
                }
                assert!(socket.recv(&mut [0; 16]).is_err());
                alive.store(true, Ordering::Relaxed);
                for _ in 0..3 {
                    asked.notified().await;
                }
                assert!(socket.recv(&mut [0; 16]).is_ok());
            };
            tokio::select! {
                () = systemd.watch(ask) => panic!("it never ends"),
                () = test => {}
            }
        });
    }

    #[test]
    fn the_watchdog_is_for_the_process_that_is_named() {
        let ours = std::process::id().to_string();
        assert_eq!(watchdog(Some("3000000"), Some(&ours)), Some(Duration::from_secs(3)));
        assert_eq!(watchdog(Some("3000000"), None), Some(Duration::from_secs(3)));
        for (given, process) in [(None, None), (Some("0"), None), (Some("x"), None), (Some("1"), Some("0"))] {
            assert_eq!(watchdog(given, process), None);
        }
    }

    #[test]
    fn the_limit_of_open_files_is_known() {
        let (soft, hard) = open_files();
        assert!(soft > 0 && soft <= hard);
    }
}
