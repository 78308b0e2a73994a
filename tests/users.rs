//! Users: who may publish and who may read, asked of real clients.

use anyhow::{Result, ensure};
use headwater_tests::clients::{Expect, ffmpeg_publish, ffmpeg_read};
use headwater_tests::media::sample;
use headwater_tests::process::Process;
use headwater_tests::rtsp::Connection;
use headwater_tests::server::{Launch, Server};
use headwater_tests::wait;
use std::time::Duration;

const TCP: [&str; 2] = ["-rtsp_transport", "tcp"];

#[test]
fn only_users_publish_and_read() -> Result<()> {
    let users = "authInternalUsers=[{user: cam, pass: secret, permissions: [{action: publish}, {action: read}]}, \
                 {user: eve, pass: pass, permissions: [{action: read}]}]";
    let server = Server::launch(&Launch { settings: vec![users.into()], ..Launch::default() })?;
    let sample = sample("h264_aac");
    let as_user = |user: &str| server.url("door").replacen("rtsp://", &format!("rtsp://{user}"), 1);

    for refused in ["", "cam:wrong@", "eve:pass@"] {
        let mut publisher =
            Process::spawn("ffmpeg publishes in vain", ffmpeg_publish(sample, &as_user(refused), &TCP)?)?;
        let status = publisher.wait(Duration::from_secs(20))?;
        ensure!(!status.success(), "{refused:?} could publish");
    }
    let mut publisher =
        Process::spawn("ffmpeg publishes", ffmpeg_publish(sample, &as_user("cam:secret@"), &TCP)?)?;
    wait::until("the stream to be live", Duration::from_secs(20), || {
        publisher.still_runs()?;
        Ok(server.log().contains("publishing").then_some(()))
    })?;
    for refused in ["", "eve:wrong@"] {
        let read = ffmpeg_read(sample, &as_user(refused), Expect::OriginalFromTheFirst, &TCP);
        ensure!(read.is_err(), "{refused:?} could read");
    }
    for allowed in ["eve:pass@", "cam:secret@"] {
        ffmpeg_read(sample, &as_user(allowed), Expect::OriginalFromTheFirst, &TCP)?;
    }
    ensure!(server.counter("authentication_failures")? >= 3, "failures are counted");
    drop(publisher);
    server.stop()
}

#[test]
fn the_challenge_offers_digest_and_basic_with_a_nonce_of_the_connection() -> Result<()> {
    let users = "authInternalUsers=[{user: eve, pass: pass, permissions: [{action: read}]}]";
    let settings = vec![users.into(), "rtspAuthMethods=[basic, digest]".into()];
    let server = Server::launch(&Launch { settings, ..Launch::default() })?;
    let url = server.url("door");
    let challenge = || -> Result<String> {
        let mut connection = Connection::open(server.rtsp)?;
        let response = connection.request("DESCRIBE", &url, &[], "")?;
        ensure!(response.status == 401, "status {}", response.status);
        Ok(response
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("WWW-Authenticate"))
            .map(|(_, value)| value.clone())
            .collect::<Vec<_>>()
            .join("\n"))
    };
    let (first, second) = (challenge()?, challenge()?);
    ensure!(
        first.contains("Digest realm=\"headwater\"") && first.contains("Basic realm=\"headwater\""),
        "{first}"
    );
    ensure!(first != second, "two connections have one nonce");
    server.stop()
}
