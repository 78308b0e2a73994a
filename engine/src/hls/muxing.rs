//! One path's HLS muxer: made when the first player asks (or when the path becomes live, with `hlsAlwaysRemux`), fed with
//! every batch of units, closed when nobody has asked for a while.

use super::ask::{Outcome, Reply};
use super::directory::Directory;
use crate::limits;
use crate::records::{self, Event};
use crate::settings::{Hls, HlsVariant};
use crate::shard::State;
use crate::stream::{Batch, Form, StreamId, StreamKey};
use bytes::Bytes;
use headwater_protocols::hls::{Config, Muxer, Position, Request, Response, Variant};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A request that waits for what the muxer makes next.
struct Waiter {
    /// `None`: until the first playlist can be served.
    position: Option<Position>,
    request: Request,
    suffix: Box<str>,
    reply: Reply,
    since: Instant,
}

pub(crate) struct Muxing {
    muxer: Muxer,
    /// The stream of units it is fed with.
    pub(crate) units: StreamKey,
    pub(crate) record: Arc<records::Muxer>,
    last_request: Instant,
    waiters: Vec<Waiter>,
    /// Segments and parts of many pieces, each as one: a send takes only so many pieces.
    joined: VecDeque<(Request, Bytes)>,
    /// Where its files are kept too.
    directory: Option<Directory>,
}

impl Muxing {
    /// Answers a request, or has it wait.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        request: Request,
        suffix: Box<str>,
        reply: Reply,
    ) -> Option<Outcome> {
        self.last_request = now;
        self.record.last_request_ms.set(wall_clock().as_millis() as u64);
        let position = match self.respond(&request, &suffix) {
            Ok(response) => return Some(self.outcome(response)),
            Err(position) => position,
        };
        if self.waiters.len() >= limits::HLS_WAITERS_MAX {
            return Some(Outcome::TimedOut);
        }
        self.waiters.push(Waiter { position, request, suffix, reply, since: now });
        None
    }

    /// The answer, or what to wait for.
    fn respond(&mut self, request: &Request, suffix: &str) -> Result<Response, Option<Position>> {
        if matches!(request, Request::Multivariant) && !self.muxer.is_playable() {
            return Err(None);
        }
        match self.muxer.respond(request, suffix) {
            Response::Wait(position) => Err(Some(position)),
            Response::Ready { body, content_type, cacheability }
                if matches!(request, Request::Segment { .. } | Request::Part { .. })
                    && body.pieces.len() > JOINED_PIECES =>
            {
                let body = self.join(*request, &body.pieces, body.bytes).into();
                Ok(Response::Ready { body, content_type, cacheability })
            }
            response => Ok(response),
        }
    }

    fn join(&mut self, request: Request, pieces: &[Bytes], bytes: usize) -> Bytes {
        if let Some((_, joined)) = self.joined.iter().find(|(known, _)| *known == request) {
            return joined.clone();
        }
        let mut joined = Vec::with_capacity(bytes);
        pieces.iter().for_each(|piece| joined.extend_from_slice(piece));
        let joined = Bytes::from(joined);
        self.joined.push_back((request, joined.clone()));
        if self.joined.len() > limits::HLS_JOINED_MAX {
            self.joined.pop_front();
        }
        joined
    }

    fn outcome(&self, response: Response) -> Outcome {
        Outcome::Answered { response, muxer: Arc::clone(&self.record) }
    }

    /// Feeds a batch. Returns the requests that can be answered now.
    fn feed(&mut self, batch: &Batch) -> Vec<(Reply, Outcome)> {
        let now = wall_clock();
        let mut segment = false;
        for (track, unit) in batch.units() {
            match self.muxer.unit(now, *track, unit) {
                Ok(progress) => segment |= progress.segment,
                Err(error) => {
                    self.record.outbound_frames_discarded.add(1);
                    tracing::debug!(path = %self.record.path, track, "unit not muxed: {error}");
                }
            }
        }
        if let (true, Some(directory)) = (segment, &mut self.directory) {
            directory.update(&self.muxer);
        }
        self.answer()
    }

    /// The requests that can be answered now, with their answers.
    fn answer(&mut self) -> Vec<(Reply, Outcome)> {
        let mut answered = Vec::new();
        for mut waiter in std::mem::take(&mut self.waiters) {
            let due = match &waiter.position {
                Some(position) => self.muxer.reached(position),
                None => self.muxer.is_playable(),
            };
            if due {
                match self.respond(&waiter.request, &waiter.suffix) {
                    Ok(response) => {
                        answered.push((waiter.reply, self.outcome(response)));
                        continue;
                    }
                    Err(position) => waiter.position = position,
                }
            }
            self.waiters.push(waiter);
        }
        answered
    }

    /// The requests that have waited too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Reply> {
        let late = |waiter: &Waiter| now.saturating_duration_since(waiter.since) >= limits::HLS_WAIT;
        let replies = self.waiters.iter().filter(|waiter| late(waiter)).map(|waiter| waiter.reply).collect();
        self.waiters.retain(|waiter| !late(waiter));
        replies
    }
}

/// Up to this many pieces are sent as they are.
const JOINED_PIECES: usize = 8;

fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn config(settings: &Hls) -> Config {
    Config {
        variant: match settings.variant {
            HlsVariant::MpegTs => Variant::MpegTs,
            HlsVariant::Fmp4 => Variant::Fmp4,
            HlsVariant::LowLatency => Variant::LowLatency,
        },
        segment_count: settings.segment_count,
        segment_duration: settings.segment_duration,
        part_duration: settings.part_duration,
        segment_bytes_max: settings.segment_bytes_max,
    }
}

fn variant_name(variant: HlsVariant) -> &'static str {
    match variant {
        HlsVariant::MpegTs => "mpegts",
        HlsVariant::Fmp4 => "fmp4",
        HlsVariant::LowLatency => "lowLatency",
    }
}

impl State {
    /// Makes the muxer of a stream that is at home here, if there is none.
    pub(super) fn muxing(&mut self, stream: StreamId) -> Result<(), Box<str>> {
        if self.muxings.contains_key(&stream) {
            return Ok(());
        }
        if self.is_closing() {
            return Err("the server is shutting down".into());
        }
        let gone = || Box::from("the stream is gone");
        let source = self.streams_by_id.get(&stream).copied().ok_or_else(gone)?;
        if self.streams.get_mut(source).is_none_or(|stream| stream.home().is_none()) {
            return Err(gone());
        }
        let units = self.in_form(source, Form::Units).map_err(|unfit| unfit.reason)?;
        let settings = Arc::clone(&self.settings);
        let found = self.streams.get_mut(units).ok_or_else(gone)?;
        let seed = u64::from_ne_bytes(crate::rtsp::random_bytes());
        let (muxer, skipped) =
            Muxer::new(config(&settings.http.hls), &found.known(), seed).map_err(|error| {
                self.counters.readers_unfit.add(1);
                Box::from(error.to_string().as_str())
            })?;
        let record = Arc::new(records::Muxer {
            stream: stream.0,
            path: Arc::clone(&found.path),
            created: SystemTime::now(),
            variant: variant_name(settings.http.hls.variant),
            last_request_ms: crate::counters::Counter::of(wall_clock().as_millis() as u64),
            outbound_bytes: crate::counters::Counter::default(),
            outbound_frames_discarded: crate::counters::Counter::default(),
            skipped: skipped.into_boxed_slice(),
        });
        for skipped in &record.skipped {
            self.counters.tracks_skipped.add(1);
            let codec = found.description.tracks.get(skipped.track).map(|track| track.codec.to_string());
            tracing::warn!(
                path = %record.path,
                "HLS muxer: skipping track {} ({}): {}",
                skipped.track + 1,
                codec.unwrap_or_default(),
                skipped.reason
            );
        }
        tracing::info!(path = %record.path, variant = record.variant, "HLS muxer opened");
        found.is_muxed = true;
        let directory = settings
            .http
            .hls
            .directory
            .as_deref()
            .and_then(|root| Directory::open(&self.segment_writer, root, &found.path, &self.counters));
        let from = found.log.random_access().unwrap_or_else(|| found.log.start());
        let backlog: Vec<Arc<Batch>> = found.log.from(from).map(Arc::clone).collect();
        let mut muxing = Muxing {
            muxer,
            units,
            record: Arc::clone(&record),
            last_request: self.now,
            waiters: Vec::new(),
            joined: VecDeque::new(),
            directory,
        };
        for batch in backlog {
            muxing.feed(&batch);
        }
        self.muxings.insert(stream, Box::new(muxing));
        self.counters.muxers_opened.add(1);
        self.tell(Event::MuxerOpened(record));
        Ok(())
    }

    /// Feeds the muxer of a stream.
    pub(crate) fn mux(&mut self, stream: StreamId, batch: &Batch) {
        let Some(muxing) = self.muxings.get_mut(&stream) else { return };
        for (reply, outcome) in muxing.feed(batch) {
            self.reply(reply, outcome);
        }
    }

    /// A new publisher of the same tracks feeds the stream.
    pub(crate) fn interrupt_muxer(&mut self, stream: StreamId) {
        if let Some(muxing) = self.muxings.get_mut(&stream) {
            muxing.muxer.discontinuity();
        }
    }

    /// Closes the muxer of a stream, if there is one; who waits for it is told.
    pub(crate) fn close_muxer(&mut self, stream: StreamId, reason: &str) {
        let Some(muxing) = self.muxings.remove(&stream) else { return };
        if let Some(units) = self.streams.get_mut(muxing.units) {
            units.is_muxed = false;
        }
        for waiter in muxing.waiters {
            self.reply(waiter.reply, Outcome::Gone { reason: reason.into() });
        }
        tracing::info!(path = %muxing.record.path, "HLS muxer closed: {reason}");
        self.tell(Event::MuxerClosed { stream: stream.0 });
    }

    /// Opens muxers that are to run always, and closes those that nobody asks.
    pub(crate) fn check_muxers(&mut self) {
        let now = self.now;
        let settings = Arc::clone(&self.settings);
        let hls = &settings.http.hls;
        let listens = settings.http.address.is_some() && !self.is_closing();
        if hls.always_remux && listens {
            let live: Vec<StreamId> = self
                .streams
                .values_mut()
                .filter_map(|stream| {
                    let id = stream.id;
                    let live = stream.home().is_some_and(|home| home.publisher.is_some());
                    (live && !stream.is_unmuxable).then_some(id)
                })
                .filter(|id| !self.muxings.contains_key(id))
                .collect();
            for id in live {
                if let Err(reason) = self.muxing(id)
                    && let Some(stream) = self.stream_by_id(id)
                {
                    stream.is_unmuxable = true;
                    tracing::warn!(path = %stream.path, "cannot be muxed to HLS: {reason}");
                }
            }
            return;
        }
        let idle = |muxing: &Muxing| {
            muxing.waiters.is_empty()
                && now.saturating_duration_since(muxing.last_request) >= hls.muxer_close_after
        };
        let closing: Vec<StreamId> =
            self.muxings.iter().filter(|(_, muxing)| idle(muxing)).map(|(id, _)| *id).collect();
        for id in closing {
            self.close_muxer(id, "nobody asks for it");
        }
    }

    /// Closes all muxers, as after a change of their settings.
    pub(crate) fn close_muxers(&mut self, reason: &str) {
        let all: Vec<StreamId> = self.muxings.keys().copied().collect();
        for id in all {
            self.close_muxer(id, reason);
        }
    }
}
