//! A publisher of numbered RTP packets: what a reader gets of it can be checked packet by packet.
//!
//! One H264 track, payload type 96. A picture is [`PACKETS_PER_PICTURE`] packets, each one slice of its own (RFC 6184,
//! single NAL unit mode); every [`PICTURES_PER_GROUP`]th picture is an IDR picture, so that a reader may join there. Behind
//! the NAL header stand the publisher's number and the packet's:
//!
//! ```text
//! | NAL header (1) | epoch (4) | number (8) | filling … |
//! ```

use crate::rtsp::Connection;
use anyhow::{Result, ensure};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const PACKETS_PER_PICTURE: u64 = 4;
pub const PICTURES_PER_GROUP: u64 = 15;
const PICTURE_EVERY: Duration = Duration::from_millis(20);
const CLOCK_RATE: u64 = 90_000;
const PAYLOAD_BYTES: usize = 1000;

/// What the publisher announces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tracks {
    Video,
    /// A second description that no reader of the first could go on with.
    VideoAndAudio,
    /// The video in another codec.
    OtherVideo,
}

impl Tracks {
    pub fn sdp(self) -> String {
        let head = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n";
        let video = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
                     a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LADNoFB+wEQAAAAwBAAAAPA8UKqA==,aM4PyA==; \
                     profile-level-id=42C00C\r\na=control:trackID=0\r\n";
        let other = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\na=control:trackID=0\r\n";
        let audio = "m=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=control:trackID=1\r\n";
        match self {
            Tracks::Video => format!("{head}{video}"),
            Tracks::VideoAndAudio => format!("{head}{video}{audio}"),
            Tracks::OtherVideo => format!("{head}{other}"),
        }
    }

    fn count(self) -> usize {
        if self == Tracks::VideoAndAudio { 2 } else { 1 }
    }
}

/// ANNOUNCE, SETUP of all tracks over TCP, and RECORD.
///
/// # Errors
/// When one of them is refused.
pub fn record(server: SocketAddr, url: &str, tracks: Tracks) -> Result<Connection> {
    let mut connection = Connection::open(server)?;
    connection.ok("ANNOUNCE", url, &[("Content-Type", "application/sdp")], &tracks.sdp())?;
    for track in 0..tracks.count() {
        let transport =
            format!("RTP/AVP/TCP;unicast;interleaved={}-{};mode=record", 2 * track, 2 * track + 1);
        connection.set_up(&format!("{url}/trackID={track}"), &transport)?;
    }
    connection.ok("RECORD", url, &[], "")?;
    Ok(connection)
}

/// The numbered packets of one publisher.
pub struct Packets {
    epoch: u32,
    number: u64,
}

impl Packets {
    pub fn new(epoch: u32) -> Packets {
        Packets { epoch, number: 0 }
    }

    /// The packets of the next picture, without any framing.
    pub fn picture(&mut self) -> Vec<Vec<u8>> {
        let picture = self.number / PACKETS_PER_PICTURE;
        let nal_header: u8 = if picture.is_multiple_of(PICTURES_PER_GROUP) { 0x65 } else { 0x41 };
        let ticks = picture * PICTURE_EVERY.as_millis() as u64 * CLOCK_RATE / 1000;
        (1..=PACKETS_PER_PICTURE)
            .map(|part| {
                let marker = u8::from(part == PACKETS_PER_PICTURE) << 7;
                let mut packet = vec![0x80, 96 | marker];
                packet.extend_from_slice(&(self.number as u16).to_be_bytes());
                packet.extend_from_slice(&(ticks as u32).to_be_bytes());
                packet.extend_from_slice(&(0x5100_0000 | self.epoch).to_be_bytes());
                packet.push(nal_header);
                packet.extend_from_slice(&self.epoch.to_be_bytes());
                packet.extend_from_slice(&self.number.to_be_bytes());
                packet.resize(12 + PAYLOAD_BYTES, 0x5a);
                self.number += 1;
                packet
            })
            .collect()
    }
}

/// A publisher on a thread of its own, until it is dropped or stopped.
pub struct Publisher {
    stop: Arc<AtomicBool>,
    teardown: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Publisher {
    /// Publishes over TCP at 50 pictures (1.6 Mbit) a second; `epoch` numbers the publishers of one test.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn start(server: SocketAddr, url: &str, epoch: u32) -> Result<Publisher> {
        let connection = record(server, url, Tracks::Video)?;
        Ok(Publisher::over(connection, url, epoch, 1))
    }

    /// The same at `times` the rate.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn start_fast(server: SocketAddr, url: &str, epoch: u32, times: u32) -> Result<Publisher> {
        let connection = record(server, url, Tracks::Video)?;
        Ok(Publisher::over(connection, url, epoch, times))
    }

    fn over(mut connection: Connection, url: &str, epoch: u32, times: u32) -> Publisher {
        let (stop, teardown) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let sent = Arc::new(AtomicU64::new(0));
        let (thread_stop, thread_teardown, thread_sent) = (stop.clone(), teardown.clone(), sent.clone());
        let url = url.to_owned();
        let thread = std::thread::spawn(move || {
            let mut packets = Packets::new(epoch);
            pace(times, &thread_stop, || {
                let mut framed = Vec::new();
                for packet in packets.picture() {
                    framed.extend_from_slice(&[b'$', 0]);
                    framed.extend_from_slice(&(packet.len() as u16).to_be_bytes());
                    framed.extend_from_slice(&packet);
                }
                thread_sent.fetch_add(PACKETS_PER_PICTURE, Ordering::Relaxed);
                connection.send(&framed)
            })?;
            if thread_teardown.load(Ordering::Relaxed) {
                connection.ok("TEARDOWN", &url, &[], "")?;
            }
            Ok(())
        });
        Publisher { stop, teardown, sent, thread: Some(thread) }
    }

    /// How many packets it has sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends with a TEARDOWN.
    ///
    /// # Errors
    /// When the connection was lost before, or the TEARDOWN is refused.
    pub fn tear_down(mut self) -> Result<()> {
        self.teardown.store(true, Ordering::Relaxed);
        self.finish()
    }

    /// Ends by closing the connection without a word.
    ///
    /// # Errors
    /// When the connection was lost before.
    pub fn disconnect(mut self) -> Result<()> {
        self.finish()
    }

    /// Waits until the server has thrown this publisher out.
    ///
    /// # Errors
    /// When it goes on for longer than 5 s.
    pub fn wait_until_refused(mut self) -> Result<()> {
        let thread = self.thread.take().expect("it runs until it is ended");
        crate::wait::until_true("the publisher to be refused", Duration::from_secs(5), || {
            thread.is_finished()
        })?;
        let result = thread.join().expect("the publisher does not panic");
        ensure!(result.is_err(), "the publisher ended by itself");
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take() {
            Some(thread) => thread.join().expect("the publisher does not panic"),
            None => Ok(()),
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

/// Calls `picture` once per picture's time, until `stop`.
fn pace(times: u32, stop: &AtomicBool, mut picture: impl FnMut() -> Result<()>) -> Result<()> {
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        picture()?;
        due += PICTURE_EVERY / times;
        // The pace is the stream's own, not a wait for something to happen.
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// Sends the next picture from a UDP socket, for publishers over UDP.
///
/// # Errors
/// When the socket fails.
pub fn send_picture(socket: &UdpSocket, to: SocketAddr, packets: &mut Packets) -> Result<()> {
    for packet in packets.picture() {
        socket.send_to(&packet, to)?;
    }
    Ok(())
}
