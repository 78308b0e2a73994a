//! A reader that checks what a [`crate::publisher::Publisher`] sent: every packet, in order, numbered as it was.

use crate::publisher::PICTURES_PER_GROUP;
use crate::rtsp::{Connection, Element};
use crate::server::{Server, even_udp_pair};
use crate::wait;
use anyhow::{Context, Result, bail, ensure};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a reader has seen so far.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    pub packets: u64,
    /// Breaks in the RTP sequence numbers.
    pub sequence_gaps: u64,
    /// Breaks in the numbers of the packets of one publisher: packets that were lost, doubled or out of order.
    pub number_gaps: u64,
    /// Whether the first packet of all began an IDR picture.
    pub began_at_random_access: bool,
    /// The number of the publisher of the last packet.
    pub epoch: u32,
    /// How many times the publisher changed.
    pub epochs: u64,
    /// RTCP sender reports.
    pub sender_reports: u64,
    /// RTCP BYE packets.
    pub byes: u64,
    /// The synchronisation source of the last packet.
    pub ssrc: u32,
    /// Breaks in the RTP timestamps: backwards, or more than a second ahead.
    pub time_jumps: u64,
    /// Requests that the server sent, such as TEARDOWN.
    pub requests: Vec<String>,
    /// The server closed the connection.
    pub closed: bool,
    sequence: u16,
    number: u64,
    ticks: u32,
}

impl Seen {
    /// Notes one RTP packet.
    ///
    /// # Errors
    /// When it is none of the publisher's.
    pub fn rtp(&mut self, packet: &[u8]) -> Result<()> {
        ensure!(
            packet.len() >= 25 && packet[0] == 0x80,
            "no packet of the publisher: {} bytes",
            packet.len()
        );
        let field =
            |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let (ticks, ssrc, epoch) = (field(4), field(8), field(13));
        let number = u64::from(field(17)) << 32 | u64::from(field(21));
        if self.packets == 0 {
            self.began_at_random_access = packet[12] & 0x1f == 5;
            self.epochs = 1;
        } else {
            self.sequence_gaps += u64::from(sequence != self.sequence.wrapping_add(1));
            if epoch == self.epoch {
                self.number_gaps += u64::from(number != self.number + 1);
            } else {
                self.epochs += 1;
            }
            self.time_jumps += u64::from(ticks.wrapping_sub(self.ticks) > 90_000);
        }
        self.packets += 1;
        (self.sequence, self.number, self.ticks, self.ssrc, self.epoch) =
            (sequence, number, ticks, ssrc, epoch);
        Ok(())
    }

    /// Notes one compound RTCP packet.
    pub fn rtcp(&mut self, mut compound: &[u8]) {
        while let Some(&[_, kind, high, low]) = compound.first_chunk::<4>() {
            self.sender_reports += u64::from(kind == 200);
            self.byes += u64::from(kind == 203);
            let length = 4 * (1 + usize::from(u16::from_be_bytes([high, low])));
            compound = compound.get(length..).unwrap_or_default();
        }
    }

    /// Errors unless every packet came, in order.
    ///
    /// # Errors
    /// When one is missing.
    pub fn whole(&self) -> Result<()> {
        ensure!(self.sequence_gaps == 0 && self.number_gaps == 0, "gaps: {self:?}");
        Ok(())
    }
}

/// Sets up and plays `url` over a prepared TCP connection.
///
/// # Errors
/// When the server refuses.
pub fn play_over(stream: TcpStream, url: &str) -> Result<Connection> {
    let mut connection = Connection::over(stream);
    connection.ok("DESCRIBE", url, &[("Accept", "application/sdp")], "")?;
    connection.set_up(&format!("{url}/trackID=0"), "RTP/AVP/TCP;unicast;interleaved=0-1")?;
    connection.ok("PLAY", url, &[("Range", "npt=0.000-")], "")?;
    Ok(connection)
}

/// DESCRIBE and SETUP of the one track over UDP, to two fresh sockets on the address that the server sees.
///
/// # Errors
/// When the server refuses, or answers with other ports than it listens on.
pub fn set_up_udp(
    server: &Server,
    asked: IpAddr,
    path: &str,
) -> Result<(Connection, (UdpSocket, UdpSocket))> {
    let url = server.url_at(asked, path);
    let mut connection = Connection::open(SocketAddr::new(asked, server.rtsp.port()))?;
    connection.ok("DESCRIBE", &url, &[("Accept", "application/sdp")], "")?;
    let sockets = even_udp_pair(connection.stream().local_addr()?.ip())?;
    let port = sockets.0.local_addr()?.port();
    let transport = format!("RTP/AVP;unicast;client_port={port}-{}", port + 1);
    let answer = connection.set_up(&format!("{url}/trackID=0"), &transport)?;
    let wanted = format!("server_port={}-{}", server.rtp.port(), server.rtcp.port());
    let transport = answer.header("Transport").unwrap_or_default();
    ensure!(transport.contains(&wanted), "{transport:?} does not say {wanted}");
    Ok((connection, sockets))
}

/// A reader on a thread of its own, until it is dropped.
pub struct Reader {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Reader {
    /// Reads over TCP.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn play(server: SocketAddr, url: &str) -> Result<Reader> {
        let mut connection = play_over(TcpStream::connect(server)?, url)?;
        Ok(Reader::run(move |seen, stop| {
            while !stop.load(Ordering::Relaxed) {
                match connection.element(Duration::from_millis(50))? {
                    Some(Element::Interleaved { channel: 0, payload }) => lock(seen).rtp(&payload)?,
                    Some(Element::Interleaved { channel: 1, payload }) => lock(seen).rtcp(&payload),
                    Some(Element::Interleaved { channel, .. }) => bail!("media on channel {channel}"),
                    Some(Element::Request(line)) => lock(seen).requests.push(line),
                    Some(Element::Response(response)) => {
                        bail!("an answer without a request: {}", response.status)
                    }
                    Some(Element::End) => {
                        lock(seen).closed = true;
                        break;
                    }
                    None => {}
                }
            }
            Ok(())
        }))
    }

    /// Reads over UDP what must come from the addresses `from` (RTP, RTCP). `connection` has set up the session to the ports
    /// of the two sockets, and is kept open.
    pub fn receive(
        connection: Option<Connection>,
        (rtp, rtcp): (UdpSocket, UdpSocket),
        from: (SocketAddr, SocketAddr),
    ) -> Reader {
        Reader::run(move |seen, stop| {
            let _kept = connection;
            rtp.set_read_timeout(Some(Duration::from_millis(20)))?;
            rtcp.set_nonblocking(true)?;
            let mut packet = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                if let Ok((length, source)) = rtp.recv_from(&mut packet) {
                    ensure!(source == from.0, "RTP comes from {source}, not from {}", from.0);
                    lock(seen).rtp(&packet[..length])?;
                }
                while let Ok((length, source)) = rtcp.recv_from(&mut packet) {
                    ensure!(source == from.1, "RTCP comes from {source}, not from {}", from.1);
                    lock(seen).rtcp(&packet[..length]);
                }
            }
            Ok(())
        })
    }

    /// Sets up and plays over UDP, as a client that asks `asked` (one of the server's addresses).
    ///
    /// # Errors
    /// When the server refuses, or answers with other ports than it listens on.
    pub fn play_udp(server: &Server, asked: IpAddr, path: &str) -> Result<Reader> {
        let (connection, sockets) = set_up_udp(server, asked, path)?;
        let mut connection = connection;
        connection.ok("PLAY", &server.url_at(asked, path), &[], "")?;
        let from = (SocketAddr::new(asked, server.rtp.port()), SocketAddr::new(asked, server.rtcp.port()));
        Ok(Reader::receive(Some(connection), sockets, from))
    }

    fn run(body: impl FnOnce(&Mutex<Seen>, &AtomicBool) -> Result<()> + Send + 'static) -> Reader {
        let (seen, stop) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (thread_seen, thread_stop) = (seen.clone(), stop.clone());
        let thread = std::thread::spawn(move || body(&thread_seen, &thread_stop));
        Reader { seen, stop, thread: Some(thread) }
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// Waits until what it has seen satisfies `enough`.
    ///
    /// # Errors
    /// After 10 s, or when the reader itself failed.
    pub fn wait(&mut self, what: &str, mut enough: impl FnMut(&Seen) -> bool) -> Result<Seen> {
        let waited = wait::until(what, Duration::from_secs(10), || {
            let seen = self.seen();
            if enough(&seen) {
                return Ok(Some(seen));
            }
            if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
                self.end()?;
                bail!("the reader has ended: {:?}", self.seen());
            }
            Ok(None)
        });
        waited.with_context(|| format!("{:?}", self.seen()))
    }

    /// Waits for `packets` more packets, a whole group of pictures at least.
    ///
    /// # Errors
    /// As [`Reader::wait`].
    pub fn advance(&mut self, packets: u64) -> Result<Seen> {
        let before = self.seen().packets;
        let more = packets.max(PICTURES_PER_GROUP);
        self.wait("more packets", |seen| seen.packets >= before + more)
    }

    fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(Ok(()), |thread| thread.join().expect("the reader does not panic"))
    }

    /// Stops it, and wants every packet to have come in order.
    ///
    /// # Errors
    /// When one is missing, or the reader itself failed.
    pub fn finish_whole(mut self) -> Result<Seen> {
        self.end()?;
        let seen = self.seen();
        seen.whole()?;
        Ok(seen)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
