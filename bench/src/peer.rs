//! The peers' command lines and configurations: MediaMTX, nginx with its RTMP module, nginx with files, and whatever a
//! shell starts. Each gets ports of its own; what nginx writes lies in a folder that goes with it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::contender::Served;
use crate::scenario::Protocol;

/// Where Debian's libnginx-mod-rtmp is.
const RTMP_MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";
/// The folder of the scripts that build and start peers.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/peers");

/// Free ports of the loopback; RTP is even and RTCP the next. Others may take them in between: then the peer fails to
/// start and says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) rtsp: u16,
    rtp: u16,
    rtcp: u16,
    rtmp: u16,
    http: u16,
}

impl Ports {
    pub(crate) fn free() -> Result<Ports> {
        // Held together, so that they differ.
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listeners = [bind()?, bind()?, bind()?];
        let port = |index: usize| -> Result<u16> { Ok(listeners[index].local_addr()?.port()) };
        let (rtp, rtcp) = free_pair()?;
        Ok(Ports { rtsp: port(0)?, rtp, rtcp, rtmp: port(1)?, http: port(2)? })
    }

    /// Where readers of `protocol` connect.
    pub(crate) fn readers(self, protocol: Protocol) -> SocketAddr {
        let port = match protocol {
            Protocol::RtspTcp | Protocol::RtspUdp => self.rtsp,
            Protocol::Rtmp => self.rtmp,
            Protocol::Flv | Protocol::Hls | Protocol::LlHls => self.http,
        };
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// Where publishers connect.
    pub(crate) fn publishers(self, protocol: Protocol) -> SocketAddr {
        let port = if protocol.framing().is_some() { self.rtsp } else { self.rtmp };
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }
}

/// Two free UDP ports, even and odd.
fn free_pair() -> Result<(u16, u16)> {
    for _ in 0..100 {
        let first = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = first.local_addr()?.port() & !1;
        drop(first);
        let bind = |port: u16| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port));
        if let Some(next) = port.checked_add(1)
            && bind(port).and_then(|_| bind(next)).is_ok()
        {
            return Ok((port, next));
        }
    }
    bail!("no pair of free UDP ports was found")
}

/// A command of the user's, told its ports and what is measured.
pub(crate) fn shell_command(text: &str, ports: Ports, served: Served) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", text]);
    for (name, port) in [
        ("RTSP", ports.rtsp),
        ("RTP", ports.rtp),
        ("RTCP", ports.rtcp),
        ("RTMP", ports.rtmp),
        ("HTTP", ports.http),
    ] {
        command.env(format!("HEADWATER_BENCH_{name}_PORT"), port.to_string());
    }
    command.env("HEADWATER_BENCH_PROTOCOL", served.protocol.as_str());
    command.env("HEADWATER_BENCH_HLS_VARIANT", served.hls_variant.as_str());
    command
}

/// MediaMTX, built first when it is not there: that takes minutes, once.
pub(crate) fn mediamtx_command(ports: Ports, served: Served) -> Result<Command> {
    let built = Command::new(format!("{SCRIPTS}/mediamtx")).output().context("tests/peers/mediamtx")?;
    let words = String::from_utf8_lossy(&built.stderr);
    ensure!(built.status.success(), "MediaMTX cannot be built: {}", words.trim());
    Ok(shell_command(&format!("exec '{SCRIPTS}/mediamtx-for-bench'"), ports, served))
}

/// A folder of the bench's own, removed when dropped.
pub(crate) struct Folder(PathBuf);

impl std::ops::Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A new folder for a peer called `name`, in memory where that is possible.
pub(crate) fn fresh_folder(name: &str) -> Result<Folder> {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = base.join(format!("headwater-bench-{}-{name}", std::process::id()));
    let folder = Folder(folder);
    fs::create_dir_all(root_of(&folder)).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// Where in it the files lie that are served.
pub(crate) fn root_of(folder: &Path) -> PathBuf {
    folder.join("root")
}

/// nginx as an RTMP server, with the module's defaults and the chunk size that most set.
pub(crate) fn nginx_rtmp_command(folder: &Path, ports: Ports, workers: usize) -> Result<Command> {
    ensure!(Path::new(RTMP_MODULE).exists(), "{RTMP_MODULE} is missing (Debian: libnginx-mod-rtmp)");
    let text = format!(
        "load_module {RTMP_MODULE};\n{}\nrtmp {{ server {{ listen 127.0.0.1:{}; chunk_size 4096;\n\
        application bench {{ live on; }} }} }}\n",
        nginx_head(folder, workers),
        ports.rtmp,
    );
    nginx_with(folder, &text)
}

/// nginx as a server of files, set up as Debian has it but for connections that last.
pub(crate) fn nginx_command(folder: &Path, ports: Ports, workers: usize) -> Result<Command> {
    let text = format!(
        "{}\nhttp {{ {}\nserver {{ listen 127.0.0.1:{}; root {}; }} }}\n",
        nginx_head(folder, workers),
        nginx_http(folder),
        ports.http,
        root_of(folder).display(),
    );
    nginx_with(folder, &text)
}

fn nginx_head(folder: &Path, workers: usize) -> String {
    format!(
        "worker_processes {workers}; daemon off; error_log stderr warn; pid {}/pid; worker_rlimit_nofile 65536;\n\
        events {{ worker_connections 16384; }}",
        folder.display()
    )
}

fn nginx_http(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;\n\
        types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; video/mp4 mp4; }}\n\
        client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;\n\
        uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;"
    )
}

fn nginx_with(folder: &Path, text: &str) -> Result<Command> {
    let file = folder.join("nginx.conf");
    fs::write(&file, text).with_context(|| file.display().to_string())?;
    // Debian has it where only the superuser's path leads.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.args(["-c", "exec nginx -e stderr -p \"$1\" -c \"$1/nginx.conf\"", "sh"]).arg(folder);
    command.env("PATH", path);
    Ok(command)
}
