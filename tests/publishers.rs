//! Publishers that come, go, come back and take over, and what their readers see of it.

use anyhow::{Result, ensure};
use headwater_tests::publisher::{Publisher, Tracks, record};
use headwater_tests::reader::Reader;
use headwater_tests::rtsp::Connection;
use headwater_tests::server::{Launch, Server};
use std::time::{Duration, Instant};

fn readers(server: &Server, path: &str) -> Result<Vec<Reader>> {
    let mut readers = vec![
        Reader::play(server.rtsp, &server.url(path))?,
        Reader::play(server.rtsp, &server.url(path))?,
        Reader::play_udp(server, server.rtsp.ip(), path)?,
    ];
    for reader in &mut readers {
        reader.advance(100)?;
    }
    Ok(readers)
}

/// Readers go on with the publisher numbered `epoch` as if nothing had happened: no break in sequence numbers, no jump in
/// time, the same source.
fn expect_kept(readers: Vec<Reader>, epoch: u32) -> Result<()> {
    for mut reader in readers {
        let source = reader.seen().ssrc;
        reader.wait("packets of the next publisher", |seen| seen.epoch == epoch)?;
        reader.advance(200)?;
        let seen = reader.finish_whole()?;
        ensure!(seen.epochs == 2 && !seen.closed, "{seen:?}");
        ensure!(seen.ssrc == source, "the source changed under the reader: {seen:?}");
        ensure!(seen.time_jumps == 0, "timestamps jumped: {seen:?}");
    }
    Ok(())
}

#[test]
fn a_publisher_that_comes_back_keeps_its_readers() -> Result<()> {
    let mut server = Server::launch(&Launch { shards: Some(2), ..Launch::default() })?;
    let url = server.url("back");
    let first = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("back")?;
    let readers = readers(&server, "back")?;
    first.disconnect()?;
    let second = Publisher::start(server.rtsp, &url, 2)?;
    expect_kept(readers, 2)?;
    second.tear_down()?;
    server.stop()
}

#[test]
fn a_publisher_that_takes_over_keeps_the_readers() -> Result<()> {
    let mut server = Server::launch(&Launch { shards: Some(2), ..Launch::default() })?;
    let url = server.url("over");
    let first = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("over")?;
    let readers = readers(&server, "over")?;
    let second = Publisher::start(server.rtsp, &url, 2)?;
    first.wait_until_refused()?;
    expect_kept(readers, 2)?;
    second.tear_down()?;
    server.stop()
}

#[test]
fn without_override_a_second_publisher_is_refused() -> Result<()> {
    let mut server = Server::launch(&Launch {
        settings: vec!["pathDefaults.overridePublisher=no".into()],
        ..Launch::default()
    })?;
    let url = server.url("taken");
    let first = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("taken")?;
    let mut reader = Reader::play(server.rtsp, &url)?;
    ensure!(record(server.rtsp, &url, Tracks::Video).is_err(), "a second publisher was let in");
    reader.advance(200)?;
    ensure!(reader.finish_whole()?.epochs == 1, "the second publisher's packets reached a reader");
    first.tear_down()?;
    server.stop()
}

#[test]
fn readers_are_closed_when_the_tracks_change() -> Result<()> {
    for tracks in [Tracks::VideoAndAudio, Tracks::OtherVideo] {
        let mut server = Server::launch(&Launch { shards: Some(2), ..Launch::default() })?;
        let url = server.url("changed");
        let first = Publisher::start(server.rtsp, &url, 1)?;
        server.wait_for_stream("changed")?;
        let mut readers = readers(&server, "changed")?;
        first.disconnect()?;
        let _second = record(server.rtsp, &url, tracks)?;
        readers[0].wait("the reader to be closed", |seen| seen.closed)?;
        readers[1].wait("the reader to be closed", |seen| seen.closed)?;
        readers[2].wait("a BYE", |seen| seen.byes > 0)?;
        let mut connection = Connection::open(server.rtsp)?;
        let described = connection.ok("DESCRIBE", &url, &[], "")?;
        let sdp = String::from_utf8(described.body)?;
        let expected = if tracks == Tracks::OtherVideo { "VP8/90000" } else { "m=audio" };
        ensure!(sdp.contains(expected), "the new tracks are not described:\n{sdp}");
        server.stop()?;
    }
    Ok(())
}

#[test]
fn after_the_grace_time_readers_are_closed_and_the_path_is_gone() -> Result<()> {
    let mut server = Server::launch(&Launch {
        settings: vec!["pathDefaults.publisherGrace=1s".into()],
        ..Launch::default()
    })?;
    let url = server.url("gone");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("gone")?;
    let mut readers = readers(&server, "gone")?;
    let left = Instant::now();
    publisher.disconnect()?;
    readers[0].wait("the reader to be closed", |seen| seen.closed)?;
    let lasted = left.elapsed();
    let expected = Duration::from_millis(900)..Duration::from_secs(3);
    ensure!(expected.contains(&lasted), "the grace time of 1 s lasted {lasted:?}");
    readers[2].wait("a BYE", |seen| seen.byes > 0)?;
    let answer = Connection::open(server.rtsp)?.request("DESCRIBE", &url, &[], "")?;
    ensure!(answer.status == 404, "a path without a publisher is answered {}", answer.status);
    for reader in readers {
        reader.finish_whole()?;
    }
    server.stop()
}

#[test]
fn a_publisher_that_falls_silent_is_closed() -> Result<()> {
    let mut server =
        Server::launch(&Launch { settings: vec!["readTimeout=1s".into()], ..Launch::default() })?;
    let url = server.url("silent");
    let mut connection = record(server.rtsp, &url, Tracks::Video)?;
    connection.until_closed(Duration::from_secs(5))?;
    server.still_runs()?;
    server.stop()
}
