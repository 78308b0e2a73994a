//! Where a control port listens: `:9997`, `host:port` or `unix:///path`, opened with errors that say what to do.
//!
//! A Unix socket that nobody listens on any more is replaced; one that is in use, or a file of another kind, is not.

use super::limits;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tokio::net::{TcpListener, UnixListener};

/// Whoever may open the directory may connect, as with MediaMTX; who may do what is decided by authentication.
const SOCKET_MODE: u32 = 0o755;

/// What the configuration says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    /// An empty host stands for all addresses.
    Tcp {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

/// A control port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {name}: {error}{hint}")]
pub(crate) struct ListenError {
    pub(crate) name: &'static str,
    pub(crate) address: String,
    pub(crate) error: io::Error,
    pub(crate) hint: &'static str,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err("an address of the form unix:///path needs a path".to_owned()),
                path => Ok(Address::Unix(PathBuf::from(path))),
            };
        }
        let invalid =
            || format!("{text:?} is no address; write :9997, host:9997, [::1]:9997 or unix:///path");
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let port = port.parse().map_err(|_| invalid())?;
        let host = match host.strip_prefix('[') {
            Some(host) => host.strip_suffix(']').ok_or_else(invalid)?,
            None if host.contains(':') => return Err(invalid()),
            None => host,
        };
        Ok(Address::Tcp { host: host.to_owned(), port })
    }
}

impl Address {
    pub(crate) fn shares_port_with(&self, other: &Address) -> bool {
        matches!((self, other), (Address::Tcp { port, .. }, Address::Tcp { port: other, .. }) if port == other)
    }

    /// Whether a listener here, where the kernel says that it is, keeps others from listening on `other`.
    fn is_in_the_way_of(&self, other: SocketAddr) -> bool {
        let Address::Tcp { host, port } = self else { return false };
        let Ok(ip) = host.parse::<IpAddr>() else { return false };
        let same = ip.to_canonical() == other.ip().to_canonical();
        *port == other.port() && (same || ip.is_unspecified() || other.ip().is_unspecified())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// An open listening socket.
#[derive(Debug)]
pub(super) enum Bound {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket, removed with the listener unless somebody else has replaced it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: Option<(u64, u64)>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

impl Bound {
    /// With the port that the kernel chose where 0 was asked for.
    pub(super) fn address(&self) -> Address {
        match self {
            Bound::Tcp(_, address) => Address::Tcp { host: address.ip().to_string(), port: address.port() },
            Bound::Unix(_, file) => Address::Unix(file.path.clone()),
        }
    }
}

/// Opens `address` for the control port `name`. Names and files are looked up on another thread. Where one of `closing`
/// is in the way, which are our own listeners that are about to close, both listen until it does.
///
/// # Errors
/// Whatever the system says, with what can be done about it.
pub(super) async fn open(
    name: &'static str,
    address: &Address,
    closing: &[Address],
) -> Result<Bound, ListenError> {
    let opened = match address {
        Address::Tcp { host, port } => open_tcp(host, *port, closing).await,
        Address::Unix(path) => open_unix(path).await,
    };
    opened.map_err(|error| ListenError {
        name,
        address: address.to_string(),
        hint: hint(&error, address),
        error,
    })
}

async fn open_tcp(host: &str, port: u16, closing: &[Address]) -> io::Result<Bound> {
    if host.is_empty() {
        let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        return match listen(everywhere, closing) {
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
                listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), closing)
            }
            opened => opened,
        };
    }
    listen(resolve(host, port).await?, closing)
}

async fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    // Tokio asks the name server on a thread of its own.
    let looked_up = tokio::time::timeout(limits::RESOLVE, tokio::net::lookup_host((host, port))).await;
    let Ok(found) = looked_up else {
        let why = format!("no name server told the address of {host} in {:?}", limits::RESOLVE);
        return Err(io::Error::new(io::ErrorKind::TimedOut, why));
    };
    found?.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"))
}

fn listen(address: SocketAddr, closing: &[Address]) -> io::Result<Bound> {
    let is_ours = closing.iter().any(|ours| ours.is_in_the_way_of(address));
    if address.port() != 0 && !is_ours {
        // With SO_REUSEPORT a second server of the same user would silently share the port.
        drop(bind(address, false)?);
    }
    let socket = bind(address, true)?;
    socket.listen(limits::BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let address = listener.local_addr()?;
    Ok(Bound::Tcp(listener, address))
}

fn bind(address: SocketAddr, share_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share_port)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

async fn open_unix(path: &Path) -> io::Result<Bound> {
    let path = path.to_owned();
    let (listener, file) = tokio::task::spawn_blocking(move || bind_unix(path)).await??;
    Ok(Bound::Unix(UnixListener::from_std(listener)?, file))
}

fn bind_unix(path: PathBuf) -> io::Result<(std::os::unix::net::UnixListener, SocketFile)> {
    remove_stale(&path)?;
    let listener = std::os::unix::net::UnixListener::bind(&path)?;
    listener.set_nonblocking(true)?;
    let identity = identity(&path);
    let file = SocketFile { path, identity };
    std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok((listener, file))
}

/// Removes a socket that nobody listens on.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Ok(_) => {}
        Err(_) => return Ok(()),
    }
    // Whoever listens may be too busy to accept, which is not waited for.
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

fn hint(error: &io::Error, address: &Address) -> &'static str {
    match (error.kind(), address) {
        (io::ErrorKind::AddrInUse, _) => "; another program uses it: stop it or choose another address",
        (io::ErrorKind::PermissionDenied, Address::Tcp { .. }) => {
            "; ports below 1024 need the capability CAP_NET_BIND_SERVICE"
        }
        (io::ErrorKind::PermissionDenied, Address::Unix(_)) => {
            "; the directory must be writable for the user of the server"
        }
        (io::ErrorKind::AddrNotAvailable, _) => "; this machine has no such address",
        (io::ErrorKind::NotFound, Address::Unix(_)) => "; create the directory first",
        (io::ErrorKind::AlreadyExists, _) => "; remove it or choose another path",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        let tcp = |host: &str, port| Ok(Address::Tcp { host: host.to_owned(), port });
        assert_eq!(":9997".parse(), tcp("", 9997));
        assert_eq!("127.0.0.1:0".parse(), tcp("127.0.0.1", 0));
        assert_eq!("[::1]:80".parse(), tcp("::1", 80));
        assert_eq!("localhost:80".parse(), tcp("localhost", 80));
        assert_eq!("unix:///run/x.sock".parse(), Ok(Address::Unix("/run/x.sock".into())));
        assert_eq!("unix://x.sock".parse(), Ok(Address::Unix("x.sock".into())));
        for wrong in ["", "9997", "::1:80", "a:65536", "a:", "[::1:80", "unix://"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_port_in_use_is_named_with_a_hint() {
        let first = open("api", &"127.0.0.1:0".parse().unwrap(), &[]).await.unwrap();
        let error = open("metrics", &first.address(), &[]).await.unwrap_err().to_string();
        assert!(error.starts_with("cannot listen on 127.0.0.1:"), "{error}");
        assert!(error.contains("for metrics") && error.contains("another program"), "{error}");
    }

    #[tokio::test]
    async fn only_a_listener_that_is_about_to_close_is_joined() {
        let narrow = open("api", &"127.0.0.1:0".parse().unwrap(), &[]).await.unwrap();
        let Address::Tcp { port, .. } = narrow.address() else { panic!("TCP") };
        let everywhere: Address = format!(":{port}").parse().unwrap();
        assert_eq!(open("api", &everywhere, &[]).await.unwrap_err().error.kind(), io::ErrorKind::AddrInUse);
        let wide = open("api", &everywhere, &[narrow.address()]).await.unwrap();
        drop(narrow);
        let narrow = format!("127.0.0.1:{port}").parse().unwrap();
        assert!(open("api", &narrow, &[]).await.is_err(), "still taken");
        open("api", &narrow, &[wide.address()]).await.unwrap();

        // Another program does not share.
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = Address::Tcp { host: "127.0.0.1".into(), port: other.local_addr().unwrap().port() };
        for closing in [vec![], vec![taken.clone()]] {
            assert!(open("api", &taken, &closing).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_one_in_use_is_not() {
        let directory = std::env::temp_dir().join(format!("hw-socket-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("api.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let address = Address::Unix(path.clone());
        let bound = open("api", &address, &[]).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, SOCKET_MODE);
        let error = open("api", &address, &[]).await.unwrap_err();
        assert_eq!(error.error.kind(), io::ErrorKind::AddrInUse);
        drop(bound);
        assert!(!path.exists());
        std::fs::write(&path, "precious").unwrap();
        assert!(open("api", &address, &[]).await.unwrap_err().to_string().contains("no socket"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
