use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{HOLD, Reorder};
use crate::limits::RTP_REORDER_PACKETS_MAX;
use crate::rtp::Sequence;
use crate::rtp::random::Random;

/// A reorder stage on virtual time, with packets named by number.
struct Bench {
    reorder: Reorder,
    start: Instant,
    ms: u64,
    out: Vec<Bytes>,
}

impl Bench {
    fn new() -> Bench {
        Bench { reorder: Reorder::new(), start: Instant::now(), ms: 0, out: Vec::new() }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.ms)
    }

    /// Pushes the numbers, each named after itself, and returns what was released.
    fn push(&mut self, numbers: impl IntoIterator<Item = u16>) -> Vec<u16> {
        for number in numbers {
            let packet = Bytes::copy_from_slice(&number.to_be_bytes());
            self.reorder.push(self.now(), Sequence(number), packet, &mut self.out);
        }
        self.released()
    }

    fn wait(&mut self, ms: u64) -> Vec<u16> {
        self.ms += ms;
        self.reorder.handle_timeout(self.now(), &mut self.out);
        self.released()
    }

    fn released(&mut self) -> Vec<u16> {
        self.out.drain(..).map(|packet| u16::from_be_bytes([packet[0], packet[1]])).collect()
    }

    /// lost, late, duplicates
    fn counts(&self) -> (u64, u64, u64) {
        (self.reorder.lost(), self.reorder.late(), self.reorder.duplicates())
    }
}

#[test]
fn in_order_passes_through_a_wrap_without_a_queue() {
    let mut bench = Bench::new();
    let numbers = (0..1000u16).map(|n| n.wrapping_add(0xFE00));
    assert_eq!(bench.push(numbers.clone()), numbers.collect::<Vec<_>>());
    assert!(bench.reorder.held.is_empty() && bench.reorder.poll_timeout().is_none());
    assert_eq!(bench.counts(), (0, 0, 0));
}

#[test]
fn a_swap_is_put_right() {
    let mut bench = Bench::new();
    assert_eq!(bench.push([0xFFFE, 0, 1]), [0xFFFE]);
    assert_eq!(bench.reorder.held(), 2);
    assert_eq!(bench.push([0xFFFF, 2]), [0xFFFF, 0, 1, 2]);
    assert_eq!((bench.reorder.held(), bench.reorder.poll_timeout()), (0, None));
    assert_eq!(bench.counts(), (0, 0, 0));
}

#[test]
fn a_gap_is_given_up_after_the_hold_time() {
    let mut bench = Bench::new();
    bench.push([10, 12]);
    let deadline = bench.now() + HOLD;
    assert_eq!(bench.reorder.poll_timeout(), Some(deadline));
    assert_eq!(bench.wait(20), []);
    // 15 waits from its own arrival on.
    assert_eq!(bench.push([13, 15]), []);
    assert_eq!(bench.wait(39), []);
    assert_eq!(bench.wait(1), [12, 13]);
    assert_eq!(bench.reorder.poll_timeout(), Some(deadline + Duration::from_millis(20)));
    assert_eq!(bench.wait(20), [15]);
    assert_eq!(bench.counts(), (2, 0, 0));
    assert_eq!(bench.push([11, 14, 15, 16]), [16]);
    assert_eq!(bench.counts(), (2, 2, 1));
}

#[test]
fn a_push_past_the_deadline_releases_too() {
    let mut bench = Bench::new();
    bench.push([1, 3]);
    bench.ms += 60;
    assert_eq!(bench.push([5]), [3]);
    assert_eq!(bench.reorder.held(), 1);
}

#[test]
fn duplicates_are_told_from_late_packets() {
    let mut bench = Bench::new();
    assert_eq!(bench.push([1, 1, 2, 4, 4]), [1, 2]);
    assert_eq!(bench.counts(), (0, 0, 2));
    assert_eq!(bench.push([3, 4, 3]), [3, 4]);
    assert_eq!(bench.counts(), (0, 0, 4));
    // What lies further back than the record is called late, though it was released.
    bench.push(5..100);
    bench.push([30]);
    assert_eq!(bench.counts(), (0, 1, 4));
}

#[test]
fn a_window_too_wide_gives_up_its_oldest_gap() {
    let width = u16::try_from(RTP_REORDER_PACKETS_MAX).unwrap();
    let mut bench = Bench::new();
    assert_eq!(bench.push([0]), [0]);
    // 1 is missing; 2 to 64 wait: the window is 1..=64.
    assert_eq!(bench.push(2..=width), []);
    assert_eq!(bench.push([width + 1]), (2..=width + 1).collect::<Vec<_>>());
    assert_eq!(bench.counts(), (1, 0, 0));
    // A burst of loss longer than the window: what is beyond its width is given up at once.
    let far = width + 1 + 200;
    assert_eq!(bench.push([far]), []);
    assert_eq!(bench.counts(), (1 + 200 - u64::from(width), 0, 0));
    assert_eq!(bench.wait(60), [far]);
    assert_eq!(bench.counts(), (1 + 199, 0, 0));
}

#[test]
fn a_restarted_sender_is_believed_at_its_second_packet() {
    let mut bench = Bench::new();
    bench.push([100, 101, 103]);
    assert_eq!(bench.push([40_000]), []);
    assert_eq!(bench.push([40_001, 40_002]), [103, 40_000, 40_001, 40_002]);
    assert_eq!(bench.counts(), (1, 0, 0));
    // Back to far behind.
    assert_eq!(bench.push([39_000, 39_001]), [39_000, 39_001]);
    assert_eq!(bench.counts(), (1, 0, 0));
}

#[test]
fn a_stray_packet_is_dropped() {
    let mut bench = Bench::new();
    assert_eq!(bench.push([100, 40_000, 101, 40_001, 102]), [100, 101, 102]);
    assert_eq!(bench.counts(), (0, 2, 0));
    assert_eq!(bench.push([50_000]), []);
    assert_eq!(bench.reorder.poll_timeout(), Some(bench.now() + HOLD));
    assert_eq!(bench.wait(60), []);
    assert_eq!((bench.reorder.held(), bench.reorder.poll_timeout()), (0, None));
    assert_eq!(bench.counts(), (0, 3, 0));
    // Its number is remembered for a slow sender.
    assert_eq!(bench.push([50_001, 50_002]), [50_001, 50_002]);
    assert_eq!(bench.counts(), (0, 3, 0));
}

/// RFC 3550, A.1: where late and lost end, and restart begins.
#[test]
fn the_thresholds_of_a_restart() {
    let after = |numbers: [u16; 2]| {
        let mut bench = Bench::new();
        bench.push([9_999]);
        let released = bench.push(numbers);
        (released, bench.counts(), bench.reorder.held())
    };
    // 10,000 is next: 100 behind is late, 101 behind is suspect.
    assert_eq!(after([9_900, 9_901]), (vec![], (0, 2, 0), 0));
    assert_eq!(after([9_898, 9_899]), (vec![9_898, 9_899], (0, 0, 0), 0));
    // 3,000 ahead is loss, all but the window given up at once; 3,001 ahead is suspect.
    assert_eq!(after([13_000, 13_001]), (vec![], (2_938, 0, 0), 2));
    assert_eq!(after([13_001, 13_002]), (vec![13_001, 13_002], (0, 0, 0), 0));
}

#[test]
fn reset_releases_and_begins_anew() {
    let mut bench = Bench::new();
    bench.push([1, 3, 5]);
    bench.reorder.reset(&mut bench.out);
    assert_eq!(bench.released(), [3, 5]);
    assert_eq!(bench.reorder.poll_timeout(), None);
    assert_eq!(bench.push([1000]), [1000]);
    assert_eq!(bench.counts(), (2, 0, 0));
}

/// Under shuffles with loss and duplication: the output ascends, is a subset of the input, nothing waits longer or
/// wider than the bounds, and every packet is accounted for.
#[test]
fn shuffled_with_loss() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let start = random.number() as u16;
        let loss_percent = random.below(30);
        let spread = 1 + random.below(120);
        let mut arrivals = Vec::new();
        for index in 0..1500u64 {
            for _ in 0..1 + u64::from(random.below(50) == 0) {
                if random.below(100) >= loss_percent {
                    arrivals.push((index + random.below(spread), index));
                }
            }
        }
        arrivals.sort_by_key(|&(at, _)| at);
        check_arrivals(seed, start, &mut random, &arrivals);
    }
}

fn check_arrivals(seed: u64, start: u16, random: &mut Random, arrivals: &[(u64, u64)]) {
    let mut reorder = Reorder::new();
    let mut now = Instant::now();
    let mut out = Vec::new();
    let mut arrived = HashSet::new();
    let mut last = None;
    let mut released = 0;
    for &(_, index) in arrivals {
        let sequence = Sequence(start.wrapping_add(index as u16));
        reorder.push(now, sequence, Bytes::copy_from_slice(&index.to_be_bytes()), &mut out);
        arrived.insert(index);
        assert!(reorder.held() <= RTP_REORDER_PACKETS_MAX, "seed {seed}");
        assert!(reorder.poll_timeout().is_none_or(|at| at > now && at <= now + HOLD), "seed {seed}");
        now += Duration::from_millis(random.below(4));
        if reorder.poll_timeout().is_some_and(|at| at <= now) {
            reorder.handle_timeout(now, &mut out);
        }
        for packet in out.drain(..) {
            let index = u64::from_be_bytes(packet[..].try_into().unwrap());
            assert!(arrived.contains(&index), "seed {seed}: {index} released before it came");
            assert!(last.is_none_or(|last| index > last), "seed {seed}: {index} after {last:?}");
            last = Some(index);
            released += 1;
        }
    }
    let (late, duplicates, held) = (reorder.late(), reorder.duplicates(), reorder.held() as u64);
    assert_eq!(
        released + late + duplicates + held,
        arrivals.len() as u64,
        "seed {seed}: a packet went missing"
    );
    reorder.handle_timeout(now + HOLD, &mut out);
    assert_eq!(out.len() as u64, held, "seed {seed}");
    assert_eq!(reorder.poll_timeout(), None);
}
