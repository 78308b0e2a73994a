//! RTSPS: TLS with a certificate made for the test.

use anyhow::{Context, Result};
use headwater_tests::clients::{Expect, ffmpeg_publish, ffmpeg_read};
use headwater_tests::media::sample;
use headwater_tests::process::Process;
use headwater_tests::rtsp::Connection;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{certificate, wait};
use std::time::Duration;

#[test]
fn ffmpeg_publishes_and_reads_over_tls() -> Result<()> {
    let certificate = Some(certificate("ffmpeg")?);
    let mut server = Server::launch(&Launch { certificate, ..Launch::default() })?;
    let secure = format!("rtsps://{}/secret", server.rtsps.context("RTSPS is not listened on")?);
    let sample = sample("h264_aac");
    let command = ffmpeg_publish(sample, &secure, &["-rtsp_transport", "tcp"])?;
    let mut publisher = Process::spawn("ffmpeg publishes over TLS", command)?;
    server.wait_for_stream("secret").map_err(|error| error.context(publisher.tail()))?;
    let expect = if server.is_peer() { Expect::Original } else { Expect::OriginalFromTheFirst };
    ffmpeg_read(sample, &secure, expect, &["-rtsp_transport", "tcp"]).context("reading over TLS")?;
    ffmpeg_read(sample, &server.url("secret"), expect, &["-rtsp_transport", "tcp"])
        .context("reading in the clear")?;
    publisher.still_runs()?;
    drop(publisher);
    server.stop()
}

#[test]
fn what_is_no_tls_is_closed() -> Result<()> {
    let certificate = Some(certificate("no-tls")?);
    let settings = vec!["readTimeout=1s".into(), "rtspSessionTimeout=2s".into()];
    let server = Server::launch(&Launch { certificate, settings, ..Launch::default() })?;
    let rtsps = server.rtsps.context("RTSPS is not listened on")?;
    let descriptors = server.descriptors()?;
    for bytes in [&b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"[..], &[0; 5000], &[0x16, 3, 1, 0xff, 0xff]] {
        let mut connection = Connection::open(rtsps)?;
        let _ = connection.send(bytes);
        // A TLS alert may come first; it is no RTSP, so only the end counts.
        wait::until("the connection to be closed", Duration::from_secs(5), || {
            Ok((server.descriptors()? <= descriptors).then_some(()))
        })?;
    }
    server.stop()
}
