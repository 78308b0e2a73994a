//! Who gets what: several shards, instant start, slow and stuck readers beside fast ones.

use anyhow::{Context, Result, ensure};
use headwater_tests::publisher::{PACKETS_PER_PICTURE, PICTURES_PER_GROUP, Publisher};
use headwater_tests::reader::{Reader, Seen, play_over};
use headwater_tests::rtsp::{Connection, Element};
use headwater_tests::server::{Launch, Server};
use headwater_tests::wait;
use socket2::{Domain, Socket, Type};
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A connection whose kernel buffer holds next to nothing, so that the server soon feels that nobody reads.
fn narrow_connection(server: &Server) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(4096)?;
    socket.connect(&server.rtsp.into())?;
    Ok(socket.into())
}

#[test]
fn readers_on_both_shards_get_every_packet() -> Result<()> {
    let mut server = Server::launch(&Launch { shards: Some(2), ..Launch::default() })?;
    let url = server.url("two-shards");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("two-shards")?;
    let mut readers = Vec::new();
    for _ in 0..12 {
        readers.push(Reader::play(server.rtsp, &url)?);
        readers.push(Reader::play_udp(&server, server.rtsp.ip(), "two-shards")?);
    }
    for reader in &mut readers {
        reader.advance(400)?;
    }
    for reader in readers {
        let seen = reader.finish_whole()?;
        ensure!(seen.began_at_random_access, "a reader did not start at a random access point: {seen:?}");
    }
    let crossed = server.counter("mesh_batches_received")?;
    ensure!(crossed > 0, "no batch crossed the mesh: all 24 readers were on the publisher's shard?");
    publisher.tear_down()?;
    server.stop()
}

#[test]
fn a_stuck_reader_is_closed_and_hurts_nobody_else() -> Result<()> {
    let mut server =
        Server::launch(&Launch { settings: vec!["writeTimeout=2s".into()], ..Launch::default() })?;
    let url = server.url("stuck");
    let publisher = Publisher::start_fast(server.rtsp, &url, 1, 5)?;
    server.wait_for_stream("stuck")?;
    let mut fast = vec![
        Reader::play(server.rtsp, &url)?,
        Reader::play(server.rtsp, &url)?,
        Reader::play_udp(&server, server.rtsp.ip(), "stuck")?,
    ];
    for reader in &mut fast {
        reader.advance(100)?;
    }
    let before = server.descriptors()?;
    let stuck = play_over(narrow_connection(&server)?, &url)?;
    wait::until_true("the stuck reader's descriptor", Duration::from_secs(2), || {
        server.descriptors().is_ok_and(|now| now > before)
    })?;
    wait::until_true("the stuck reader to be closed", Duration::from_secs(30), || {
        server.descriptors().is_ok_and(|now| now <= before)
    })?;
    drop(stuck);
    for reader in &mut fast {
        reader.advance(100)?;
    }
    for reader in fast {
        reader.finish_whole()?;
    }
    publisher.tear_down()?;
    server.stop()
}

/// Reads `connection` at a limited rate, and returns once the reader was skipped ahead `skips` times.
fn read_slowly(connection: &mut Connection, skips: u64) -> Result<Seen> {
    let started = Instant::now();
    let mut seen = Seen::default();
    let mut skipped = 0;
    while skipped < skips {
        ensure!(started.elapsed() < Duration::from_secs(60), "was never skipped ahead: {seen:?}");
        // A slow reader is one that takes its time: 200 packets a second of 1,000.
        std::thread::sleep(Duration::from_millis(5));
        match connection.element(Duration::from_secs(5))? {
            Some(Element::Interleaved { channel: 0, payload }) => {
                let gaps = seen.number_gaps;
                seen.rtp(&payload)?;
                if seen.number_gaps > gaps {
                    skipped += 1;
                    let number =
                        u64::from_be_bytes(*payload[17..].first_chunk().context("a packet's number")?);
                    let into_group = number % (PACKETS_PER_PICTURE * PICTURES_PER_GROUP);
                    ensure!(into_group == 0, "skipped to packet {into_group} of a group of pictures");
                }
            }
            Some(Element::Interleaved { .. }) => {}
            other => anyhow::bail!("{other:?} instead of media"),
        }
    }
    Ok(seen)
}

#[test]
fn a_slow_reader_skips_to_random_access_points_beside_a_fast_one() -> Result<()> {
    let mut server = Server::start()?;
    let url = server.url("slow");
    let publisher = Publisher::start_fast(server.rtsp, &url, 1, 5)?;
    server.wait_for_stream("slow")?;
    let mut fast = Reader::play(server.rtsp, &url)?;
    fast.advance(100)?;
    let mut slow = play_over(narrow_connection(&server)?, &url)?;
    read_slowly(&mut slow, 2)?;
    fast.advance(100)?;
    fast.finish_whole()?;
    publisher.tear_down()?;
    server.stop()
}

#[test]
fn a_delivery_window_delays_but_loses_nothing() -> Result<()> {
    let mut server = Server::launch(&Launch {
        settings: vec!["pathDefaults.deliveryWindow=100ms".into()],
        ..Launch::default()
    })?;
    let url = server.url("window");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("window")?;
    let mut readers =
        vec![Reader::play(server.rtsp, &url)?, Reader::play_udp(&server, server.rtsp.ip(), "window")?];
    for reader in &mut readers {
        reader.advance(100)?;
    }
    let (before, sends) = (readers[0].seen().packets, server.counter("egress_sends")?);
    for reader in &mut readers {
        reader.advance(800)?;
    }
    let pictures = (readers[0].seen().packets - before) / PACKETS_PER_PICTURE * readers.len() as u64;
    let sends = server.counter("egress_sends")? - sends;
    // Five pictures fall into a window.
    ensure!(sends * 3 < pictures, "{sends} sends for {pictures} pictures to readers");
    for reader in readers {
        reader.finish_whole()?;
    }
    publisher.tear_down()?;
    server.stop()
}

#[test]
fn the_memory_of_a_stuck_reader_is_bounded() -> Result<()> {
    let mut server =
        Server::launch(&Launch { settings: vec!["writeTimeout=60s".into()], ..Launch::default() })?;
    let url = server.url("bounded");
    let publisher = Publisher::start_fast(server.rtsp, &url, 1, 5)?;
    server.wait_for_stream("bounded")?;
    let mut fast = Reader::play(server.rtsp, &url)?;
    let mut stuck = Vec::new();
    for _ in 0..20 {
        stuck.push(play_over(narrow_connection(&server)?, &url)?);
    }
    fast.advance(3000)?;
    let before = server.resident_bytes()?;
    fast.advance(8000)?;
    let grown = server.resident_bytes()?.saturating_sub(before);
    // 8 MB more of media went by: a queue per reader would have grown by 160 MB.
    ensure!(grown < 8 << 20, "grew by {grown} bytes while 20 readers were stuck");
    fast.finish_whole()?;
    for connection in &stuck {
        connection.stream().set_nonblocking(true)?;
        ensure!(
            connection.stream().read(&mut [0; 1]).is_ok_and(|length| length > 0),
            "a stuck reader was closed early"
        );
    }
    publisher.tear_down()?;
    server.stop()
}
