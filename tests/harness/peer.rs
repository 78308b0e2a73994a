//! MediaMTX beside Headwater, with its control ports, for tests that compare the answers of both.

use crate::process::Process;
use crate::server::even_udp_pair;
use crate::{http, wait, workspace};
use anyhow::{Result, ensure};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::Duration;

/// A running MediaMTX with RTSP, its API and its metrics. It is killed when this is dropped.
pub struct Mediamtx {
    pub process: Process,
    pub rtsp: SocketAddr,
    pub api: SocketAddr,
    pub metrics: SocketAddr,
}

impl Mediamtx {
    /// Starts it with what `more` adds to its configuration. It knows no port 0: free ports are looked up, and may in
    /// theory be taken meanwhile.
    ///
    /// # Errors
    /// When it cannot be built, or does not listen within 10 s.
    pub fn start(more: &str) -> Result<Mediamtx> {
        let built = Command::new(crate::root().join("tests/peers/mediamtx")).output()?;
        ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let free = || -> Result<SocketAddr> { Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?) };
        let (rtsp, api, metrics) = (free()?, free()?, free()?);
        let rtp = even_udp_pair(rtsp.ip())?.0.local_addr()?;
        let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
        let configuration = workspace().join(format!("mediamtx-{}.yml", rtsp.port()));
        let off = ["rtmp", "hls", "webrtc", "srt", "moq"].map(|name| format!("{name}: no\n")).concat();
        std::fs::write(
            &configuration,
            format!(
                "{off}rtspAddress: '{rtsp}'\nrtpAddress: '{rtp}'\nrtcpAddress: '{rtcp}'\nrtspTransports: [udp, tcp]\n\
                 api: yes\napiAddress: '{api}'\nmetrics: yes\nmetricsAddress: '{metrics}'\n{more}\
                 paths:\n  all_others:\n"
            ),
        )?;
        let mut command = Command::new(String::from_utf8(built.stdout)?.trim());
        command.arg(configuration);
        let mut process = Process::spawn("mediamtx", command)?;
        wait::until("MediaMTX to listen", Duration::from_secs(10), || {
            process.still_runs()?;
            let up = process.stdout().contains("[RTSP] started with") && http::get(api, "/v3/info").is_ok();
            Ok(up.then_some(()))
        })?;
        Ok(Mediamtx { process, rtsp, api, metrics })
    }
}
