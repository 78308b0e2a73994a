//! Readers: `play`, `pause`, `receiveAudio` and `receiveVideo`.

use crate::modules::{Rejection, RejectionKind, Request};
use crate::shard::machine::Machine;
use crate::shard::{ConnectionKey, Shard};
use crate::stream::batch::Mask;
use crate::stream::form::Framing;
use crate::stream::reader::Flow;
use crate::stream::{Form, StreamKey};
use headwater_protocols::track::Medium;

impl Shard {
    /// `play` of a stream that is on this shard.
    pub(super) fn begin_playing_rtmp(
        &mut self,
        key: ConnectionKey,
        request: &Request,
        source: StreamKey,
    ) -> Result<(), Rejection> {
        let gone = || Rejection::new(RejectionKind::Unavailable, "the connection is gone");
        let connection = self.state.connections.get(key).ok_or_else(gone)?;
        let Machine::Rtmp(rtmp) = &connection.machine else { return Err(gone()) };
        let capabilities = rtmp.capabilities;
        let (stream, skipped) = self
            .state
            .in_flv(source, Framing::Chunks, capabilities)
            .map_err(|unfit| self.state.unfit(request, &unfit))?;
        let session = self.state.open_reader(key, request, stream, skipped)?;
        // The reply leaves before the first message.
        if let Some(connection) = self.state.connections.get_mut(key)
            && let Machine::Rtmp(rtmp) = &mut connection.machine
        {
            rtmp.server.accept();
        }
        self.transmit(key);
        let greeting = self.state.greeting(stream);
        self.state.start_on_connection(session, greeting);
        self.state.tell_state(session);
        Ok(())
    }

    pub(super) fn pause_reader(&mut self, key: ConnectionKey, paused: bool) {
        let now = self.state.now;
        let Some((stream_key, reader)) = self.state.reader_of(key) else { return };
        let Some(stream) = self.state.streams.get_mut(stream_key) else { return };
        let random_access = stream.log.random_access();
        let Some(reader) = stream.readers.get_mut(reader) else { return };
        if paused {
            reader.flow = Flow::Paused;
            return;
        }
        if reader.flow == Flow::Paused {
            // Whoever paused for a moment only has lost nothing, and gets nothing twice.
            (reader.cursor, reader.flow) = match random_access {
                Some(position) => (position.max(reader.cursor), Flow::Flowing),
                None => (reader.cursor, Flow::Waiting { since: now }),
            };
            reader.catching_up = true;
            self.state.block_if_full_connection(key);
            self.state.go_on_at(stream_key, now);
        }
    }

    /// The reader wants audio, or video, or no more of it.
    pub(super) fn receive(&mut self, key: ConnectionKey, audio: Option<bool>, video: Option<bool>) {
        let now = self.state.now;
        let Some((stream_key, reader)) = self.state.reader_of(key) else { return };
        let Some(stream) = self.state.streams.get_mut(stream_key) else { return };
        debug_assert!(matches!(stream.form, Form::Flv { .. }));
        let tracks = &stream.description.tracks;
        let Some(reader) = stream.readers.get_mut(reader) else { return };
        let wanted = |medium: Medium, before: bool| match medium {
            Medium::Audio => audio.unwrap_or(before),
            Medium::Video => video.unwrap_or(before),
            Medium::Application => before,
        };
        let (mut mask, mut joins) = (Mask::default(), false);
        for (index, track) in tracks.iter().enumerate() {
            if wanted(track.medium, reader.mask.has_track(index)) {
                joins |= track.medium == Medium::Video && !reader.mask.has_track(index);
                mask = mask.with_track(index);
            }
        }
        reader.mask = mask;
        // Pictures that follow those it went without could not be decoded.
        if joins {
            reader.flow = match reader.flow {
                Flow::Flowing => Flow::Waiting { since: now },
                Flow::Blocked => Flow::BlockedWaiting { since: now },
                other => other,
            };
        }
    }
}
