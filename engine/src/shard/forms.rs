//! The forms of a shard's streams: made when the first reader wants one, fed with every batch, dropped when nobody wants
//! them any more.

use super::State;
use crate::limits;
use crate::stream::form::{self, Unfit};
use crate::stream::log::Log;
use crate::stream::{Batch, Form, FormSide, Maker, Side, Stream, StreamKey};
use headwater_protocols::track::Skipped;
use std::collections::HashSet;
use std::sync::Arc;

impl State {
    /// Appends a batch to a stream's log, and to those of its forms what it becomes there.
    pub(crate) fn append(&mut self, key: StreamKey, batch: &Arc<Batch>) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.push(Arc::clone(batch), &self.counters);
        let (read, formed) = (!stream.readers.is_empty(), stream.forms.len());
        let muxed = stream.is_muxed.then_some(stream.id);
        if read {
            self.mark_dirty(key);
        }
        if let Some(id) = muxed {
            self.mux(id, batch);
        }
        for index in 0..formed {
            let Some(form) = self.streams.get(key).and_then(|stream| stream.forms.get(index)).copied() else {
                return;
            };
            let counters = Arc::clone(&self.counters);
            let made = self
                .streams
                .get_mut(form)
                .and_then(Stream::form_side)
                .and_then(|side| side.maker.take(batch, &counters));
            if let Some(made) = made {
                self.append(form, &made);
            }
        }
    }

    /// The stream of this shard that has `source` in another form; makes it if need be.
    ///
    /// # Errors
    /// No track fits the form, or there are too many forms.
    pub(crate) fn in_form(&mut self, source: StreamKey, form: Form) -> Result<StreamKey, Unfit> {
        let gone = || Unfit { reason: "the stream is gone".into() };
        let stream = self.streams.get(source).ok_or_else(gone)?;
        if stream.form == form {
            return Ok(source);
        }
        // Whatever is not published is made of units, and they of RTP.
        let of = match (form, stream.form) {
            (Form::RtpSmall { .. }, _) => self.in_form(source, Form::Rtp)?,
            (Form::Units, _) | (_, Form::Units) => source,
            _ => self.in_form(source, Form::Units)?,
        };
        let found = self.streams.get(of).ok_or_else(gone)?;
        let made = found.forms.iter().find(|key| self.streams.get(**key).is_some_and(|s| s.form == form));
        if let Some(made) = made {
            return Ok(*made);
        }
        if found.forms.len() >= limits::FORMS_PER_STREAM_MAX {
            return Err(Unfit { reason: "the path has its maximum of forms on this shard".into() });
        }
        let (maker, _) = Maker::new(form, &found.description, &found.known())?;
        Ok(self.add_form(of, form, maker))
    }

    fn add_form(&mut self, of: StreamKey, form: Form, mut maker: Maker) -> StreamKey {
        let source = &self.streams[of];
        let reports = source.reports().to_vec();
        for (track, report) in reports.iter().enumerate() {
            report.iter().for_each(|report| maker.report(track, report));
        }
        let (record, description) = (Arc::clone(&source.record), Arc::clone(&source.description));
        let window = source.window;
        // From the random access point on: what is before it could not be decoded.
        let from = source.log.random_access().unwrap_or_else(|| source.log.start());
        let backlog: Vec<Arc<Batch>> = source.log.from(from).map(Arc::clone).collect();
        let side = Side::Form(FormSide { of, maker, idle_since: None });
        let log = Log::new(self.settings.bounds.stream_log_bytes);
        let mut stream = Stream::new(record, description, form, side, log, window, self.now);
        if form.is_rtp() {
            stream.take_reports(&reports);
        }
        let key = self.streams.insert(stream);
        self.counters.forms_opened.add(1);
        for batch in backlog {
            let counters = Arc::clone(&self.counters);
            let made = self.streams[key].form_side().and_then(|side| side.maker.take(&batch, &counters));
            if let Some(made) = made {
                self.append(key, &made);
            }
        }
        self.streams[of].forms.push(key);
        key
    }

    /// The stream of `source` for an FLV client of such capabilities, and the tracks it has to do without.
    ///
    /// # Errors
    /// As [`State::in_form`].
    pub(crate) fn in_flv(
        &mut self,
        source: StreamKey,
        framing: form::Framing,
        capabilities: headwater_protocols::flv::Capabilities,
    ) -> Result<(StreamKey, Vec<Skipped>), Unfit> {
        let units = self.in_form(source, Form::Units)?;
        let known = self.streams.get(units).map(Stream::known).unwrap_or_default();
        let (form, skipped) = form::flv_form(&known, framing, capabilities)?;
        Ok((self.in_form(source, form)?, skipped))
    }

    /// The stream of `source` as MPEG-TS, and the tracks that are left out.
    ///
    /// # Errors
    /// As [`State::in_form`].
    pub(crate) fn in_mpegts(&mut self, source: StreamKey) -> Result<(StreamKey, Vec<Skipped>), Unfit> {
        let units = self.in_form(source, Form::Units)?;
        let known = self.streams.get(units).map(Stream::known).unwrap_or_default();
        let skipped = form::mpegts_skipped(&known)?;
        Ok((self.in_form(source, Form::MpegTs)?, skipped))
    }

    /// Whether a stream is a form of `source`, made of its batches.
    pub(crate) fn is_made_of(&self, form: StreamKey, source: StreamKey) -> bool {
        self.streams
            .get(form)
            .is_some_and(|stream| matches!(&stream.side, Side::Form(side) if side.of == source))
    }

    /// What a new reader of a form is sent first.
    pub(crate) fn greeting(&self, key: StreamKey) -> bytes::Bytes {
        match self.streams.get(key).map(|stream| &stream.side) {
            Some(Side::Form(side)) => side.maker.greeting(),
            _ => bytes::Bytes::new(),
        }
    }

    /// Readers and bytes of the log of a stream and of all its forms on this shard.
    pub(crate) fn with_forms(&self, key: StreamKey) -> (u64, u64) {
        let Some(stream) = self.streams.get(key) else { return (0, 0) };
        let own = (stream.readers.len() as u64, stream.log.bytes() as u64);
        let forms = stream.forms.iter().map(|form| self.with_forms(*form));
        forms.fold(own, |(readers, bytes), (more, held)| (readers + more, bytes + held))
    }

    /// What forms send although nothing comes.
    pub(super) fn tick_forms(&mut self) {
        let now = self.now;
        let counters = Arc::clone(&self.counters);
        let mut due = Vec::new();
        for (key, stream) in &mut self.streams {
            if let Some(batch) = stream.form_side().and_then(|side| side.maker.tick(now, &counters)) {
                due.push((key, batch));
            }
        }
        for (key, batch) in due {
            self.append(key, &batch);
        }
    }

    /// The last packets of a form that is about to close.
    pub(super) fn end_form(&mut self, key: StreamKey) {
        let (now, counters) = (self.now, Arc::clone(&self.counters));
        let last = self
            .streams
            .get_mut(key)
            .and_then(Stream::form_side)
            .and_then(|side| side.maker.end(now, &counters));
        if let Some(last) = last {
            self.append(key, &last);
        }
    }

    /// Drops forms that nobody has wanted for a while. `attached` are the streams that sessions hold.
    pub(super) fn drop_idle_forms(&mut self, attached: &HashSet<StreamKey>) {
        let now = self.now;
        let mut idle = Vec::new();
        for (key, stream) in &mut self.streams {
            let wanted = !stream.readers.is_empty()
                || !stream.forms.is_empty()
                || stream.is_muxed
                || attached.contains(&key);
            let Some(side) = stream.form_side() else { continue };
            if wanted {
                side.idle_since = None;
            } else if now.saturating_duration_since(*side.idle_since.get_or_insert(now))
                >= limits::FORM_LINGER
            {
                idle.push(key);
            }
        }
        for key in idle {
            self.remove_stream(key);
        }
    }
}
