//! The floor's process: it sends each picture (each message, each tag) to each reader with one call and does nothing else. What it uses
//! is what the kernel takes for the delivery itself, which no server on plain sockets can undercut.
//!
//! Each reader connects over TCP and says a line: `PATH` for TCP, where that connection then carries the media,
//! or `PATH PORT` for UDP. With the last reader the pace starts; a signal ends it.

mod fault;
mod units;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use socket2::SockAddr;

use self::fault::Fault;
use crate::limits;
use crate::media::pace::{Pace, Rate};
use crate::media::pictures::Pictures;
use crate::media::{Framing, Media, Shape};
use crate::options::FloorSenderOptions;
use crate::sys::net;

/// Where one reader gets its media.
enum Destination {
    Tcp(TcpStream),
    Udp(SockAddr, #[expect(dead_code, reason = "held open, as an RTSP connection would be")] TcpStream),
}

/// Runs until a signal ends the process.
pub(crate) fn send(options: &FloorSenderOptions) -> Result<()> {
    let stream = &options.stream;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening  floor  tcp  {}", listener.local_addr()?)?;
    stdout.flush()?;

    let mut readers: Vec<Vec<Destination>> = (0..stream.paths).map(|_| Vec::new()).collect();
    for _ in 0..stream.readers {
        let (path, destination) = greet(&listener, stream.protocol.datagrams())?;
        readers.get_mut(path).context("a reader of an unknown path")?.push(destination);
    }
    match (stream.media()?, stream.protocol.framing()) {
        (Media::Pictures(shape), Some(framing)) => send_pictures(options, shape, framing, &mut readers),
        (Media::Units(shape), None) => units::send(options, shape, &mut readers),
        _ => bail!("packets have a framing, and units have none"),
    }
}

/// Sends pictures in RTP packets.
fn send_pictures(
    options: &FloorSenderOptions,
    shape: Shape,
    framing: Framing,
    readers: &mut [Vec<Destination>],
) -> Result<()> {
    let stream = &options.stream;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut pictures: Vec<Pictures> =
        (0..stream.paths).map(|path| Pictures::new(path as u16, shape, framing)).collect();
    let mut pace = Pace::new(Instant::now(), Rate::per_second(stream.fps), stream.paths as u32);
    let fault = Fault::from_environment()?;
    // Pictures per call: more than one with a window.
    let window = (options.window_ms * u64::from(stream.fps) / 1_000).max(1) as usize;
    let mut held: Vec<Vec<Vec<u8>>> = vec![Vec::new(); stream.paths];
    let mut count = 0_u64;
    loop {
        let now = Instant::now();
        let Some((path, _)) = pace.take(now) else {
            std::thread::sleep(pace.due().saturating_duration_since(now));
            continue;
        };
        pictures[path].prepare();
        let sent_at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
        let bytes = pictures[path].stamped(sent_at);
        count += 1;
        if window > 1 {
            held[path].push(bytes.to_vec());
            if held[path].len() == window {
                deliver_held(&socket, shape, framing, &mut readers[path], &mut held[path])?;
            }
            continue;
        }
        match fault.filter(|_| count.is_multiple_of(fault::EVERY)) {
            Some(fault) => {
                let bytes = fault.apply(shape, framing, bytes, &mut readers[path]);
                deliver(&socket, shape, fault.readers(&mut readers[path]), &bytes)?;
            }
            None => deliver(&socket, shape, &mut readers[path], bytes)?,
        }
    }
}

/// Accepts one reader and hears its line.
fn greet(listener: &TcpListener, datagrams: bool) -> Result<(usize, Destination)> {
    let (connection, peer) = listener.accept()?;
    connection.set_read_timeout(Some(limits::CONNECT_TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(&connection).read_line(&mut line).context("a reader said nothing")?;
    let mut words = line.split_whitespace();
    let path: usize = words.next().context("a reader named no path")?.parse()?;
    let destination = match datagrams {
        true => {
            let port: u16 = words.next().context("a UDP reader named no port")?.parse()?;
            Destination::Udp(SocketAddr::new(peer.ip(), port).into(), connection)
        }
        false => {
            connection.set_nodelay(true)?;
            connection.set_nonblocking(true)?;
            Destination::Tcp(connection)
        }
    };
    Ok((path, destination))
}

/// Several pictures to each of `readers`: over TCP in one call, over UDP in one each, since a segmented send may
/// only have its last segment shorter.
fn deliver_held(
    socket: &UdpSocket,
    shape: Shape,
    framing: Framing,
    readers: &mut [Destination],
    held: &mut Vec<Vec<u8>>,
) -> Result<()> {
    match framing {
        Framing::Interleaved { .. } => deliver(socket, shape, readers, &held.concat())?,
        Framing::Datagrams => {
            for reader in readers {
                for bytes in held.iter() {
                    deliver(socket, shape, std::slice::from_mut(reader), bytes)?;
                }
            }
        }
    }
    held.clear();
    Ok(())
}

fn deliver_tcp(connection: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    let sent = connection.write(bytes).context("a reader of the floor does not keep up, or is gone")?;
    ensure!(sent == bytes.len(), "a reader of the floor does not keep up: {sent} of {}", bytes.len());
    Ok(())
}

/// One picture to each of `readers`. A reader that does not keep up ends the floor: it would no longer be the same
/// work.
fn deliver(socket: &UdpSocket, shape: Shape, readers: &mut [Destination], bytes: &[u8]) -> Result<()> {
    let segment = shape.packet_bytes;
    let call_bytes = limits::SEGMENTS_MAX.min(limits::DATAGRAMS_BYTES_MAX / segment) * segment;
    for reader in readers {
        match reader {
            Destination::Tcp(connection) => deliver_tcp(connection, bytes)?,
            Destination::Udp(address, _) => {
                for part in bytes.chunks(call_bytes) {
                    let sent = net::send_segmented(socket.as_raw_fd(), part, segment as u16, Some(address));
                    let sent = sent.context("a segmented send")?;
                    ensure!(sent == part.len(), "only {sent} of {} bytes were sent", part.len());
                }
            }
        }
    }
    Ok(())
}
