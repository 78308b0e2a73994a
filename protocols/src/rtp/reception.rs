//! What a receiver counts of one source, and reports (RFC 3550, sections 6.4.1, A.1, A.3 and A.8).
//!
//! The counts of a report start anew when the sender restarts or changes its SSRC, as the RFC has it; the totals
//! ([`Reception::received`], [`Reception::lost`]) go on.

use std::time::{Duration, Instant};

use super::{Packet, Sequence, Ticks};
use crate::limits::{RTP_DROPOUT_MAX, RTP_MISORDER_MAX};
use crate::rtcp::{Ntp, ReportBlock};

/// Reception statistics of one track.
#[derive(Debug, Default)]
pub struct Reception {
    source: Option<Source>,
    /// Totals of sources before this one.
    received_before: u64,
    lost_before: u64,
}

/// The `source` structure of RFC 3550, A.1.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    clock_rate: u32,
    base: Sequence,
    highest: Sequence,
    /// Wraps of the sequence number, times 65,536.
    cycles: u64,
    /// The number that would confirm a restart.
    suspect: Option<Sequence>,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
    started: Instant,
    /// Arrival less timestamp, in ticks.
    transit: u32,
    /// The jitter estimate in ticks, times 16.
    jitter: u32,
    sender_report: Option<(Ntp, Instant)>,
}

impl Reception {
    pub fn new() -> Reception {
        Reception::default()
    }

    /// Counts one packet that arrived at `now`. `clock_rate` is the track's, in Hz.
    pub fn on_packet(&mut self, now: Instant, packet: &Packet<'_>, clock_rate: u32) {
        match &mut self.source {
            Some(source) if source.ssrc == packet.ssrc => {
                if source.update(now, packet) {
                    return;
                }
                let sender_report = source.sender_report;
                self.close_source();
                self.source = Some(Source { sender_report, ..Source::new(now, packet, clock_rate) });
            }
            _ => {
                self.close_source();
                self.source = Some(Source::new(now, packet, clock_rate));
            }
        }
    }

    /// Remembers a sender report of the source that arrived at `now`, for the round trip the sender computes.
    /// One that comes before the first packet is of no use and forgotten.
    pub fn on_sender_report(&mut self, now: Instant, ntp: Ntp) {
        if let Some(source) = &mut self.source {
            source.sender_report = Some((ntp, now));
        }
    }

    /// The block to put into the next report, which starts a new interval for the fraction lost. `None` before the
    /// first packet: there is no source to report on.
    pub fn report_block(&mut self, now: Instant) -> Option<ReportBlock> {
        self.source.as_mut().map(|source| source.report_block(now))
    }

    /// Packets received in all, duplicates and late ones among them.
    pub fn received(&self) -> u64 {
        self.received_before + self.source.as_ref().map_or(0, |source| source.received)
    }

    /// Packets expected in all and not received; duplicates make it smaller, as in the reports.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.source.as_ref().map_or(0, Source::lost)
    }

    /// The interarrival jitter in seconds (RFC 3550, 6.4.1); 0 before the second packet.
    pub fn jitter_seconds(&self) -> f64 {
        self.source
            .as_ref()
            .map_or(0.0, |source| f64::from(source.jitter) / 16.0 / f64::from(source.clock_rate.max(1)))
    }

    fn close_source(&mut self) {
        if let Some(source) = self.source.take() {
            self.received_before += source.received;
            self.lost_before += source.lost();
        }
    }
}

impl Source {
    fn new(now: Instant, packet: &Packet<'_>, clock_rate: u32) -> Source {
        Source {
            ssrc: packet.ssrc,
            clock_rate,
            base: packet.sequence,
            highest: packet.sequence,
            cycles: 0,
            suspect: None,
            received: 1,
            expected_prior: 0,
            received_prior: 0,
            started: now,
            transit: 0u32.wrapping_sub(packet.timestamp.0),
            jitter: 0,
            sender_report: None,
        }
    }

    /// `update_seq` of RFC 3550, A.1. False when the sender has restarted and the source must be set up anew.
    fn update(&mut self, now: Instant, packet: &Packet<'_>) -> bool {
        let ahead = packet.sequence.distance(self.highest);
        if (1..=RTP_DROPOUT_MAX).contains(&ahead) {
            if packet.sequence.0 < self.highest.0 {
                self.cycles += 1 << 16;
            }
            self.highest = packet.sequence;
        } else if !(-RTP_MISORDER_MAX..=0).contains(&ahead) {
            if self.suspect == Some(packet.sequence) {
                return false;
            }
            self.suspect = Some(packet.sequence.next());
            return true;
        }
        self.received += 1;
        self.update_jitter(now, packet.timestamp);
        true
    }

    /// RFC 3550, A.8, in the integer form that keeps four bits of fraction.
    fn update_jitter(&mut self, now: Instant, timestamp: Ticks) {
        let transit =
            ticks(now.saturating_duration_since(self.started), self.clock_rate).wrapping_sub(timestamp.0);
        let difference = transit.wrapping_sub(self.transit).cast_signed().unsigned_abs();
        self.transit = transit;
        let decay = (self.jitter.saturating_add(8)) >> 4;
        self.jitter = self.jitter.saturating_add(difference) - decay.min(self.jitter);
    }

    fn extended_highest(&self) -> u64 {
        self.cycles + u64::from(self.highest.0)
    }

    fn expected(&self) -> u64 {
        self.extended_highest() - u64::from(self.base.0) + 1
    }

    fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    /// RFC 3550, A.3.
    fn report_block(&mut self, now: Instant) -> ReportBlock {
        let expected = self.expected();
        let expected_interval = expected.saturating_sub(self.expected_prior);
        let received_interval = self.received - self.received_prior;
        self.expected_prior = expected;
        self.received_prior = self.received;
        let lost_interval = expected_interval.saturating_sub(received_interval);
        // All packets of the interval lost would be 256; the field holds 255.
        let fraction = (lost_interval << 8).checked_div(expected_interval).unwrap_or(0).min(255);
        let cumulative = expected.cast_signed() - self.received.cast_signed();
        let (last_sr, delay_since_last_sr) = match self.sender_report {
            None => (0, 0),
            Some((ntp, arrived)) => (ntp.middle32(), ticks(now.saturating_duration_since(arrived), 1 << 16)),
        };
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: u8::try_from(fraction).expect("bounded above"),
            cumulative_lost: i32::try_from(cumulative.clamp(-0x80_0000, 0x7F_FFFF))
                .expect("clamped to 24 bits"),
            highest_sequence: (self.extended_highest() & u64::from(u32::MAX)) as u32,
            jitter: self.jitter >> 4,
            last_sr,
            delay_since_last_sr,
        }
    }
}

/// `time` in units of 1/`rate` seconds, modulo 2^32.
fn ticks(time: Duration, rate: u32) -> u32 {
    let rate = u64::from(rate);
    let whole = time.as_secs().wrapping_mul(rate);
    let part = u64::from(time.subsec_nanos()) * rate / 1_000_000_000;
    (whole.wrapping_add(part) & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests;
