//! The server over its life: start, thousands of connections, an orderly end.

use anyhow::{Context, Result, ensure};
use headwater_tests::process::Process;
use headwater_tests::publisher::{Publisher, Tracks, record};
use headwater_tests::reader::{Reader, play_over, set_up_udp};
use headwater_tests::rtsp::{Connection, Element};
use headwater_tests::server::Server;
use headwater_tests::{binary, wait};
use socket2::SockRef;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

const CYCLES: u32 = 10_000;
const WORKERS: u32 = 4;

/// One connection of the kind that `number` says.
fn cycle(server: &Server, url: &str, number: u32) -> Result<()> {
    let wait_for_media = |connection: &mut Connection| {
        wait::until("media", Duration::from_secs(5), || {
            let element = connection.element(Duration::from_secs(1))?;
            Ok(matches!(element, Some(Element::Interleaved { .. })).then_some(()))
        })
    };
    match number % 8 {
        0 => drop(TcpStream::connect(server.rtsp)?),
        1 => {
            Connection::open(server.rtsp)?.ok("OPTIONS", url, &[], "")?;
        }
        2 => {
            Connection::open(server.rtsp)?.send(b"DESCRIBE rtsp://half/a/request RTSP/1.0\r\nCSeq: 1\r\n")?;
        }
        3 => {
            let mut connection = play_over(TcpStream::connect(server.rtsp)?, url)?;
            wait_for_media(&mut connection)?;
        }
        4 => {
            let mut connection = play_over(TcpStream::connect(server.rtsp)?, url)?;
            wait_for_media(&mut connection)?;
            // Close with a reset instead of a FIN.
            SockRef::from(connection.stream()).set_linger(Some(Duration::ZERO))?;
        }
        5 => {
            let mut connection = play_over(TcpStream::connect(server.rtsp)?, url)?;
            connection.ok("TEARDOWN", url, &[], "")?;
        }
        6 => {
            let (mut connection, _sockets) = set_up_udp(server, server.rtsp.ip(), "cycles")?;
            connection.ok("PLAY", url, &[], "")?;
            connection.ok("TEARDOWN", url, &[], "")?;
        }
        _ => {
            let own = server.url(&format!("publisher-{number}"));
            record(server.rtsp, &own, Tracks::Video)?.ok("TEARDOWN", &own, &[], "")?;
        }
    }
    Ok(())
}

fn cycles(server: &Server, url: &str, numbers: std::ops::Range<u32>) -> Result<()> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let mut mine = numbers.clone().skip(worker as usize).step_by(WORKERS as usize);
                scope.spawn(move || {
                    mine.try_for_each(|number| {
                        cycle(server, url, number)
                            .with_context(|| format!("cycle {number}, kind {}", number % 8))
                    })
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })
}

#[test]
fn ten_thousand_connections_leave_nothing_behind() -> Result<()> {
    let mut server = Server::start()?;
    let url = server.url("cycles");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("cycles")?;
    let mut reader = Reader::play(server.rtsp, &url)?;
    reader.advance(100)?;
    let descriptors = server.descriptors()?;
    let settled = |server: &Server| {
        let limit = Duration::from_secs(10);
        wait::until_true("descriptors to be closed", limit, || {
            server.descriptors().is_ok_and(|now| now <= descriptors)
        })
        .with_context(|| format!("{descriptors} descriptors before, {:?} now", server.descriptors()))
    };
    cycles(&server, &url, 0..2_000)?;
    settled(&server)?;
    let resident = server.resident_bytes()?;
    cycles(&server, &url, 2_000..2_000 + CYCLES)?;
    settled(&server)?;
    let grown = server.resident_bytes()?.saturating_sub(resident);
    // 10,000 leaks of 200 bytes would be 2 MB; the allocator's own unrest is below that.
    ensure!(grown < 2 << 20, "grew by {grown} bytes over {CYCLES} connections");
    reader.advance(100)?;
    reader.finish_whole()?;
    publisher.tear_down()?;
    server.stop()
}

#[test]
fn an_orderly_end_tells_everyone() -> Result<()> {
    let mut server = Server::start()?;
    let url = server.url("end");
    let _publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("end")?;
    let mut over_tcp = Reader::play(server.rtsp, &url)?;
    let mut over_udp = Reader::play_udp(&server, server.rtsp.ip(), "end")?;
    let mut idle = Connection::open(server.rtsp)?;
    let mut half = Connection::open(server.rtsp)?;
    half.send(b"OPTIONS * RT")?;
    over_tcp.advance(100)?;
    over_udp.advance(100)?;
    server.terminate()?;
    over_tcp.wait("the connection to be closed", |seen| seen.closed)?;
    over_udp.wait("a BYE", |seen| seen.byes > 0)?;
    idle.until_closed(Duration::from_secs(2))?;
    half.until_closed(Duration::from_secs(2))?;
    over_tcp.finish_whole()?;
    over_udp.finish_whole()?;
    server.stop()
}

#[test]
fn an_end_without_anyone_connected_is_orderly_too() -> Result<()> {
    Server::start()?.stop()
}

#[test]
fn two_servers_do_not_share_a_port() -> Result<()> {
    let first = Server::start()?;
    let mut command = Command::new(binary()?);
    let taken = first.rtsp.to_string();
    let rtsp = format!("rtspAddress={taken}");
    for setting in [&rtsp, "rtpAddress=127.0.0.1:0", "rtcpAddress=127.0.0.1:0", "rtmp=no", "hls=no"] {
        command.args(["--set", setting]);
    }
    let mut second = Process::spawn("a second headwater", command)?;
    let status = second.wait(Duration::from_secs(5))?;
    ensure!(!status.success(), "a second server started on a port that was taken");
    let said = second.stdout() + &second.stderr();
    ensure!(said.contains(&taken), "the error does not name the address {taken}:\n{said}");
    first.stop()
}
