//! A publisher of numbered pictures over RTMP: what a reader gets of it can be checked picture by picture.
//!
//! One H.264 track, and if asked for an AAC track with one audio unit per picture. Every [`PICTURES_PER_GROUP`]th picture is
//! an IDR picture. Behind the NAL header stand the publisher's number, as eight, and the picture's, as sixteen hexadecimal
//! digits, so that no start code can arise; then filling.

use super::raw::amf;
use super::{Client, PUBLISH};
use anyhow::Result;
use bytes::{BufMut, Bytes, BytesMut};
use headwater_protocols::amf0::Value;
use headwater_protocols::flv::{Capabilities, Kind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const PICTURES_PER_GROUP: u64 = 25;
pub const PICTURE_EVERY: Duration = Duration::from_millis(20);

/// SPS and PPS of 192x96 pictures, as in [`crate::publisher`].
const SPS: &[u8] =
    b"\x67\x42\xc0\x0c\xda\x05\x07\xec\x04\x40\x00\x00\x03\x00\x40\x00\x00\x0f\x03\xc5\x0a\xa8";
const PPS: &[u8] = b"\x68\xce\x0f\xc8";
/// AAC-LC, 44.1 kHz, two channels (ISO/IEC 14496-3, section 1.6.2.1).
const AUDIO_CONFIG: &[u8] = b"\x12\x10";

/// What is published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tracks {
    Video,
    VideoAndAudio,
    Audio,
}

impl Tracks {
    pub fn has_video(self) -> bool {
        self != Tracks::Audio
    }

    pub fn has_audio(self) -> bool {
        self != Tracks::Video
    }
}

/// How it is published.
#[derive(Clone, Copy)]
pub struct Plan {
    /// The publisher's number.
    pub epoch: u32,
    pub tracks: Tracks,
    /// Whether metadata say which tracks there are, as encoders do; otherwise the server has to wait what comes.
    pub announced: bool,
    /// Timestamp of the first picture.
    pub first_ms: u32,
    pub picture_every: Duration,
    /// Bytes of a picture.
    pub picture_bytes: usize,
}

impl Plan {
    pub fn new(epoch: u32, tracks: Tracks) -> Plan {
        Plan {
            epoch,
            tracks,
            announced: true,
            first_ms: 0,
            picture_every: PICTURE_EVERY,
            picture_bytes: 1000,
        }
    }

    /// Metadata, and sequence headers of all tracks.
    pub fn headers(&self) -> Vec<(Kind, Bytes)> {
        let mut headers = Vec::new();
        if self.announced {
            let codec = |has: bool, id: f64| Value::Number(if has { id } else { 0.0 });
            let metadata = Value::object([
                ("videocodecid", codec(self.tracks.has_video(), 7.0)),
                ("audiocodecid", codec(self.tracks.has_audio(), 10.0)),
            ]);
            headers.push((Kind::Script, amf(&["onMetaData".into(), metadata])));
        }
        if self.tracks.has_video() {
            headers.push((Kind::Video, video_header()));
        }
        if self.tracks.has_audio() {
            headers.push((Kind::Audio, [b"\xaf\x00", AUDIO_CONFIG].concat().into()));
        }
        headers
    }

    /// The media of the picture of that number.
    pub fn picture(&self, number: u64) -> Vec<(Kind, Bytes)> {
        let mut media = Vec::new();
        let mark = format!("{:08x}{number:016x}", self.epoch);
        if self.tracks.has_video() {
            let key = number.is_multiple_of(PICTURES_PER_GROUP);
            let mut body = BytesMut::with_capacity(self.picture_bytes + 64);
            body.put_slice(if key { b"\x17\x01\0\0\0" } else { b"\x27\x01\0\0\0" });
            let filling = self.picture_bytes.saturating_sub(mark.len());
            body.put_u32((1 + mark.len() + filling) as u32);
            body.put_u8(if key { 0x65 } else { 0x41 });
            body.put_slice(mark.as_bytes());
            body.put_bytes(0xAA, filling);
            media.push((Kind::Video, body.freeze()));
        }
        if self.tracks.has_audio() {
            media.push((Kind::Audio, [b"\xaf\x01", mark.as_bytes(), &[0xBB; 40]].concat().into()));
        }
        media
    }

    /// Timestamp of the picture of that number.
    pub fn time_ms(&self, number: u64) -> u32 {
        let passed = PICTURE_EVERY.as_millis() as u64 * number;
        self.first_ms.wrapping_add(passed as u32)
    }
}

/// AVCDecoderConfigurationRecord (ISO/IEC 14496-15, section 5.3.3.1) in its message.
pub fn video_header() -> Bytes {
    let mut body = BytesMut::new();
    body.put_slice(b"\x17\x00\0\0\0\x01");
    body.put_slice(&SPS[1..4]);
    body.put_slice(b"\xff\xe1");
    body.put_u16(SPS.len() as u16);
    body.put_slice(SPS);
    body.put_u8(1);
    body.put_u16(PPS.len() as u16);
    body.put_slice(PPS);
    body.freeze()
}

/// A publisher on a thread of its own.
pub struct Publisher {
    stop: Arc<AtomicBool>,
    orderly: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Publisher {
    /// Publishes without end; returns once the server lets it.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn start(server: SocketAddr, path: &str, plan: Plan) -> Result<Publisher> {
        let client = Client::start(server, path, PUBLISH, Capabilities::all())?;
        let (stop, orderly, sent) = (Arc::default(), Arc::default(), Arc::default());
        let (thread_stop, thread_orderly, thread_sent): (Arc<AtomicBool>, Arc<AtomicBool>, Arc<AtomicU64>) =
            (Arc::clone(&stop), Arc::clone(&orderly), Arc::clone(&sent));
        let thread =
            std::thread::spawn(move || run(client, &plan, &thread_stop, &thread_orderly, &thread_sent));
        Ok(Publisher { stop, orderly, sent, thread: Some(thread) })
    }

    /// Pictures sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends the stream in order (deleteStream).
    ///
    /// # Errors
    /// When it had failed before.
    pub fn finish(mut self) -> Result<()> {
        self.orderly.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Closes the connection without a word.
    ///
    /// # Errors
    /// When it had failed before.
    pub fn disconnect(mut self) -> Result<()> {
        self.join()
    }

    /// Waits until the server has closed the connection.
    ///
    /// # Errors
    /// When it has not within 10 s.
    pub fn wait_until_closed(mut self) -> Result<()> {
        let thread = self.thread.take().expect("it is joined once");
        crate::wait::until_true("the publisher to be closed", super::ANSWER, || thread.is_finished())?;
        let _ = thread.join();
        Ok(())
    }

    fn join(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(Ok(()), |thread| thread.join().expect("the publisher does not panic"))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

fn run(
    mut client: Client,
    plan: &Plan,
    stop: &AtomicBool,
    orderly: &AtomicBool,
    sent: &AtomicU64,
) -> Result<()> {
    for (kind, header) in plan.headers() {
        client.send(kind, plan.first_ms, header)?;
    }
    let started = Instant::now();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        for (kind, body) in plan.picture(number) {
            client.send(kind, plan.time_ms(number), body)?;
        }
        sent.store(number + 1, Ordering::Relaxed);
        // The pace of the stream; what the server says meanwhile is read.
        let due = started + plan.picture_every * (number as u32 + 1);
        while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            if let Some(headwater_protocols::rtmp::client::Event::Closed(error)) = client.event(left)? {
                anyhow::bail!("the server closed: {error:?}");
            }
            anyhow::ensure!(!client.closed, "the server closed");
        }
    }
    if orderly.load(Ordering::Relaxed) { client.stop() } else { Ok(()) }
}
