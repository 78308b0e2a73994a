//! A reader that checks what a [`super::publisher::Publisher`] sent: every picture, in order, numbered as it was.

use super::Client;
use crate::wait;
use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use headwater_protocols::flv::{Capabilities, Kind};
use headwater_protocols::rtmp::client::{Event, Goal};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a reader waits for what it is told to wait for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a reader has seen so far.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    pub pictures: u64,
    pub audio_units: u64,
    /// Breaks in the numbers of the pictures of one publisher.
    pub gaps: u64,
    /// Likewise of the audio units.
    pub audio_gaps: u64,
    /// Timestamps of pictures that step back, or more than a second ahead.
    pub time_jumps: u64,
    /// Whether the first picture was an IDR picture.
    pub began_with_key: bool,
    /// Whether metadata, then the configurations came before the first picture or audio unit.
    pub began_with_headers: bool,
    pub metadata: u64,
    pub video_headers: u64,
    pub audio_headers: u64,
    /// Messages of extended codecs.
    pub extended: u64,
    /// The number of the publisher of the last picture.
    pub epoch: u32,
    /// How many times the publisher changed.
    pub epochs: u64,
    /// From asking to the first picture.
    pub first_after: Option<Duration>,
    /// Timestamp of the first picture and of the last.
    pub first_ms: u32,
    pub last_ms: u32,
    /// The server said that the stream is over.
    pub ended: bool,
    pub closed: bool,
    /// What the connection ended with, if it was not in order.
    pub fault: Option<String>,
    number: u64,
    audio_number: u64,
    audio_epoch: u32,
}

/// The publisher's number and the unit's, where a unit carries them.
fn mark(text: &[u8]) -> Option<(u32, u64)> {
    let text = std::str::from_utf8(text.get(..24)?).ok()?;
    Some((u32::from_str_radix(&text[..8], 16).ok()?, u64::from_str_radix(&text[8..], 16).ok()?))
}

impl Seen {
    fn media(&mut self, kind: Kind, timestamp_ms: u32, body: &Bytes, since: Instant) -> Result<()> {
        match (kind, &body[..]) {
            (Kind::Script, _) => self.metadata += 1,
            (Kind::Video, [first, ..]) if first & 0x80 != 0 => self.extended += 1,
            (Kind::Video, [0x17, 0, ..]) => self.video_headers += 1,
            (Kind::Audio, [0xaf, 0, ..]) => self.audio_headers += 1,
            (Kind::Video, [0x17 | 0x27, 1, _, _, _, units @ ..]) => {
                self.picture(timestamp_ms, units, since)?;
            }
            (Kind::Audio, [0xaf, 1, unit @ ..]) => self.audio(unit),
            (Kind::Audio, [first, ..]) if first >> 4 == 9 => self.extended += 1,
            // The end of a sequence.
            (Kind::Video, [0x17, 2, ..]) => {}
            _ => bail!("no message of the publisher: {kind:?} {:02x?}", &body[..body.len().min(16)]),
        }
        Ok(())
    }

    fn begin(&mut self) {
        if self.pictures + self.audio_units == 0 {
            self.began_with_headers = self.metadata > 0 && self.video_headers + self.audio_headers > 0;
        }
    }

    fn picture(&mut self, timestamp_ms: u32, mut units: &[u8], since: Instant) -> Result<()> {
        let mut found = None;
        while let Some((length, rest)) = units.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            ensure!(length > 0 && length <= rest.len(), "a NAL unit of {length} of {} bytes", rest.len());
            if matches!(rest[0] & 0x1f, 1 | 5) {
                found = Some((rest[0] & 0x1f == 5, mark(&rest[1..length])));
            }
            units = &rest[length..];
        }
        let Some((key, Some((epoch, number)))) = found else { bail!("a picture without a number") };
        self.begin();
        if self.pictures == 0 {
            (self.began_with_key, self.epochs) = (key, 1);
            (self.first_after, self.first_ms) = (Some(since.elapsed()), timestamp_ms);
        } else {
            if epoch == self.epoch {
                self.gaps += u64::from(number != self.number + 1);
            } else {
                (self.epochs, self.gaps) = (self.epochs + 1, self.gaps + u64::from(!key));
            }
            self.time_jumps += u64::from(timestamp_ms.wrapping_sub(self.last_ms) > 1000);
        }
        (self.epoch, self.number, self.last_ms) = (epoch, number, timestamp_ms);
        self.pictures += 1;
        Ok(())
    }

    fn audio(&mut self, unit: &[u8]) {
        let Some((epoch, number)) = mark(unit) else { return self.audio_units += 1 };
        self.begin();
        if self.audio_units > 0 && epoch == self.audio_epoch {
            self.audio_gaps += u64::from(number != self.audio_number + 1);
        }
        (self.audio_epoch, self.audio_number) = (epoch, number);
        self.audio_units += 1;
    }

    /// Errors unless every picture and audio unit came, in order.
    ///
    /// # Errors
    /// When one is missing.
    pub fn whole(&self) -> Result<()> {
        ensure!(self.gaps == 0 && self.audio_gaps == 0 && self.time_jumps == 0, "gaps: {self:?}");
        ensure!(self.fault.is_none(), "{:?}", self.fault);
        Ok(())
    }
}

/// Waits until each of them has got `pictures` more than now.
///
/// # Errors
/// As [`Reader::wait`].
pub fn advance_all<'r>(readers: impl IntoIterator<Item = &'r Reader>, pictures: u64) -> Result<()> {
    let targets: Vec<_> =
        readers.into_iter().map(|reader| (reader, reader.seen().pictures + pictures)).collect();
    for (reader, wanted) in targets {
        reader.wait(&format!("{pictures} more pictures"), |seen| seen.pictures >= wanted)?;
    }
    Ok(())
}

/// A reader on a thread of its own, until it is dropped.
pub struct Reader {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Plays, with all codecs there are.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn play(server: SocketAddr, path: &str) -> Result<Reader> {
        Reader::play_as(server, path, Capabilities::all())
    }

    /// Plays as a client that takes these codecs.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn play_as(server: SocketAddr, path: &str, capabilities: Capabilities) -> Result<Reader> {
        let since = Instant::now();
        let client = Client::start(server, path, Goal::Play, capabilities)?;
        Ok(Reader::of(client, since))
    }

    /// Reads on with a client that plays already.
    pub fn of(client: Client, since: Instant) -> Reader {
        let (seen, stop): (Arc<Mutex<Seen>>, Arc<AtomicBool>) = (Arc::default(), Arc::default());
        let (thread_seen, thread_stop) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let fault = run(client, &thread_seen, &thread_stop, since).err();
            let mut seen = thread_seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.closed = !thread_stop.load(Ordering::Relaxed);
            seen.fault = fault.map(|error| format!("{error:#}")).or(seen.fault.take());
        });
        Reader { seen, stop, thread: Some(thread) }
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what was seen is as wanted.
    ///
    /// # Errors
    /// When it is not within 20 s, or the reader has met what is no message of the publisher.
    pub fn wait(&self, what: &str, mut wanted: impl FnMut(&Seen) -> bool) -> Result<Seen> {
        let waited = wait::until(what, PATIENCE, || {
            let seen = self.seen();
            if wanted(&seen) {
                return Ok(Some(seen));
            }
            ensure!(!seen.closed, "the reader was closed: {seen:?}");
            Ok(None)
        });
        waited.map_err(|error| error.context(format!("{:?}", self.seen())))
    }

    /// Waits for `pictures` more pictures.
    ///
    /// # Errors
    /// As [`Reader::wait`].
    pub fn advance(&self, pictures: u64) -> Result<Seen> {
        let wanted = self.seen().pictures + pictures;
        self.wait(&format!("{pictures} more pictures"), |seen| seen.pictures >= wanted)
    }

    /// Waits for `units` more audio units.
    ///
    /// # Errors
    /// As [`Reader::wait`].
    pub fn advance_audio(&self, units: u64) -> Result<Seen> {
        let wanted = self.seen().audio_units + units;
        self.wait(&format!("{units} more audio units"), |seen| seen.audio_units >= wanted)
    }

    /// Ends it; every picture must have come, in order.
    ///
    /// # Errors
    /// When one is missing.
    pub fn finish_whole(mut self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the reader does not panic");
        }
        let seen = self.seen();
        seen.whole()?;
        Ok(seen)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(mut client: Client, seen: &Mutex<Seen>, stop: &AtomicBool, since: Instant) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let Some(event) = client.event(Duration::from_millis(100))? else {
            if client.closed { return Ok(()) } else { continue }
        };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Media { kind, timestamp_ms, payload } => {
                seen.media(kind, timestamp_ms, &payload, since)?;
            }
            Event::Ended => seen.ended = true,
            Event::Closed(_) => return Ok(()),
            _ => {}
        }
    }
    client.stop()
}
