//! Reordering and reception statistics under any numbers at any times.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headwater_protocols::limits::{RTP_MISORDER_MAX, RTP_REORDER_HOLD_MS_MAX, RTP_REORDER_PACKETS_MAX};
use headwater_protocols::rtcp::Ntp;
use headwater_protocols::rtp::{Packet, Reception, Reorder, Sequence, Ticks};

/// Operations of three bytes: what (with the time passed before it, in ms, in the low bits), and a step.
///
/// The top three bits choose: a packet at a small step from the last, a packet at a large step, the timeout, a reset.
pub fn reorder(data: &[u8]) {
    let mut bench = Bench {
        reorder: Reorder::new(),
        reception: Reception::new(),
        now: Instant::now(),
        pushed: Vec::new(),
        released: HashSet::new(),
        last: None,
        out: Vec::new(),
    };
    let mut sequence = Sequence(0xFFF0);
    let hold = Duration::from_millis(RTP_REORDER_HOLD_MS_MAX);
    for operation in data.as_chunks::<3>().0 {
        let [what, high, low] = *operation;
        bench.now += Duration::from_millis(u64::from(what & 0x1F));
        match what >> 5 {
            0..=3 => {
                sequence = sequence.advance(i16::from(low.cast_signed() >> 2).cast_unsigned());
                bench.push(sequence);
            }
            4 => {
                sequence = sequence.advance(1);
                bench.push(sequence);
            }
            5 => {
                sequence = sequence.advance(u16::from_be_bytes([high, low]));
                bench.push(sequence);
            }
            6 => bench.reorder.handle_timeout(bench.now, &mut bench.out),
            _ => {
                bench.report(high, low);
                bench.reorder.reset(&mut bench.out);
                bench.check_released();
                bench.last = None;
            }
        }
        bench.check_released();
        let timeout = bench.reorder.poll_timeout();
        if what >> 5 < 7 {
            assert!(timeout.is_none_or(|at| at <= bench.now + hold));
        }
        assert_eq!(timeout.is_some(), bench.reorder.held() > 0);
    }
    bench.reorder.handle_timeout(bench.now + hold, &mut bench.out);
    bench.check_released();
    assert_eq!((bench.reorder.held(), bench.reorder.poll_timeout()), (0, None));
}

struct Bench {
    reorder: Reorder,
    reception: Reception,
    now: Instant,
    /// Numbers of the packets, which are named by their index here.
    pushed: Vec<Sequence>,
    released: HashSet<usize>,
    last: Option<Sequence>,
    out: Vec<Bytes>,
}

impl Bench {
    fn push(&mut self, sequence: Sequence) {
        let name = Bytes::copy_from_slice(&self.pushed.len().to_be_bytes());
        self.pushed.push(sequence);
        self.reorder.push(self.now, sequence, name, &mut self.out);
        assert!(self.reorder.poll_timeout().is_none_or(|at| at > self.now), "a push leaves nothing overdue");
        let packet = Packet {
            marker: false,
            payload_type: 96,
            sequence,
            timestamp: Ticks(u32::from(sequence.0).wrapping_mul(0x0101_0101)),
            ssrc: u32::from(sequence.0 >> 13),
            payload: &[],
            header_bytes: 12,
        };
        self.reception.on_packet(self.now, &packet, 90_000);
    }

    fn report(&mut self, high: u8, low: u8) {
        self.reception
            .on_sender_report(self.now, Ntp(u64::from_be_bytes([high, low, 0, high, low, 0, high, low])));
        if let Some(block) = self.reception.report_block(self.now) {
            assert!((-0x80_0000..=0x7F_FFFF).contains(&block.cumulative_lost));
        }
        assert!(self.reception.received() <= self.pushed.len() as u64);
        assert!(self.reception.jitter_seconds() >= 0.0);
    }

    /// Each packet at most once, in order but for restarts, and none unaccounted for.
    fn check_released(&mut self) {
        for name in self.out.drain(..) {
            let index = usize::from_be_bytes(name[..].try_into().expect("our own name"));
            assert!(self.released.insert(index), "released twice");
            let sequence = self.pushed[index];
            if let Some(last) = self.last {
                // A restart is measured from the number after the last.
                let step = sequence.distance(last);
                assert!(step > 0 || step <= -RTP_MISORDER_MAX, "{sequence:?} after {last:?}");
            }
            self.last = Some(sequence);
        }
        // One more than the window: the suspect of a restart.
        assert!(self.reorder.held() <= RTP_REORDER_PACKETS_MAX + 1);
        let dropped = self.reorder.late() + self.reorder.duplicates();
        let accounted = self.released.len() as u64 + dropped + self.reorder.held() as u64;
        assert_eq!(accounted, self.pushed.len() as u64);
    }
}
