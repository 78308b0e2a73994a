use std::time::{Duration, Instant};

use super::Reception;
use crate::rtcp::{Ntp, ReportBlock};
use crate::rtp::{Packet, Sequence, Ticks};

fn packet(sequence: u16, timestamp: u32) -> Packet<'static> {
    Packet {
        marker: false,
        payload_type: 96,
        sequence: Sequence(sequence),
        timestamp: Ticks(timestamp),
        ssrc: 7,
        payload: b"",
        header_bytes: 12,
    }
}

fn receive(reception: &mut Reception, now: Instant, numbers: impl IntoIterator<Item = u16>) {
    for number in numbers {
        reception.on_packet(now, &packet(number, 0), 90_000);
    }
}

#[test]
fn nothing_to_report_before_the_first_packet() {
    let mut reception = Reception::new();
    let now = Instant::now();
    reception.on_sender_report(now, Ntp(1));
    assert_eq!(reception.report_block(now), None);
    assert_eq!((reception.received(), reception.lost(), reception.jitter_seconds()), (0, 0, 0.0));
}

/// RFC 3550, A.3, over two intervals and a wrap.
#[test]
fn loss_by_interval_and_in_all() {
    let mut reception = Reception::new();
    let now = Instant::now();
    // 65,530 to 65,535 and 0 to 1: 8 expected, two missing, 2 × 256 / 8.
    receive(&mut reception, now, [65_530, 65_531, 65_533, 65_534, 0, 1]);
    let block = reception.report_block(now).unwrap();
    assert_eq!(
        block,
        ReportBlock {
            ssrc: 7,
            fraction_lost: 64,
            cumulative_lost: 2,
            highest_sequence: 0x1_0001,
            ..ReportBlock::default()
        }
    );
    // 2 to 5: 4 expected, 3 received, and a late one of before: the interval lost none.
    receive(&mut reception, now, [2, 3, 65_532, 5]);
    let block = reception.report_block(now).unwrap();
    assert_eq!((block.fraction_lost, block.cumulative_lost, block.highest_sequence), (0, 2, 0x1_0005));
    // Nothing since.
    assert_eq!(reception.report_block(now).unwrap().fraction_lost, 0);
    assert_eq!((reception.received(), reception.lost()), (10, 2));
    // Duplicates make the loss negative.
    receive(&mut reception, now, [5, 5, 5]);
    let block = reception.report_block(now).unwrap();
    assert_eq!((block.fraction_lost, block.cumulative_lost), (0, -1));
    assert_eq!(reception.lost(), 0);
}

/// RFC 3550, A.8, worked by hand at 8000 Hz: packets every 20 ms (160 ticks), arriving at 0, 30, 40, 75 ms.
/// D is 80, −80, 120 in ticks. In sixteenths, J += |D| − ((J + 8) >> 4):
/// 0 + 80 − 0 = 80; 80 + 80 − 5 = 155; 155 + 120 − 10 = 265; the report says 265 >> 4 = 16.
#[test]
fn jitter_as_in_appendix_a8() {
    let mut reception = Reception::new();
    let start = Instant::now();
    let mut jitter = Vec::new();
    for (number, arrival_ms) in [(0, 0), (1, 30), (2, 40), (3, 75)] {
        let timestamp = 0xFFFF_FF00u32.wrapping_add(u32::from(number) * 160);
        reception.on_packet(start + Duration::from_millis(arrival_ms), &packet(number, timestamp), 8000);
        jitter.push(reception.jitter_seconds() * 16.0 * 8000.0);
    }
    for (got, expected) in jitter.into_iter().zip([0.0, 80.0, 155.0, 265.0]) {
        assert!((got - expected).abs() < 1e-6, "{got} for {expected}");
    }
    assert_eq!(reception.report_block(start).unwrap().jitter, 16);
}

/// The worked example of RFC 3550, figure 2: SR at NTP 0xb44db705:20000000, report sent 5.25 s after its arrival.
#[test]
fn last_sender_report_and_delay_as_in_figure_2() {
    let mut reception = Reception::new();
    let arrived = Instant::now();
    reception.on_packet(arrived, &packet(1, 0), 8000);
    reception.on_sender_report(arrived, Ntp(0xB44D_B705_2000_0000));
    let block = reception.report_block(arrived + Duration::from_millis(5250)).unwrap();
    assert_eq!((block.last_sr, block.delay_since_last_sr), (0xB705_2000, 0x0005_4000));
}

#[test]
fn a_restart_is_believed_at_its_second_packet_and_totals_go_on() {
    let mut reception = Reception::new();
    let now = Instant::now();
    receive(&mut reception, now, [1, 2, 4]);
    // One stray is not counted, as in A.1.
    receive(&mut reception, now, [30_000, 5]);
    assert_eq!((reception.received(), reception.lost()), (4, 1));
    reception.on_sender_report(now, Ntp(5 << 32));
    receive(&mut reception, now, [40_000, 40_001, 40_003]);
    let block = reception.report_block(now).unwrap();
    assert_eq!((block.highest_sequence, block.cumulative_lost), (40_003, 1));
    // It is the same source still, and its sender report holds.
    assert_eq!(block.last_sr, 5 << 16);
    assert_eq!((reception.received(), reception.lost()), (6, 2));
}

#[test]
fn a_new_source_starts_a_new_report() {
    let mut reception = Reception::new();
    let now = Instant::now();
    receive(&mut reception, now, [1, 3]);
    reception.on_sender_report(now, Ntp(5 << 32));
    reception.on_packet(now, &Packet { ssrc: 8, ..packet(900, 0) }, 90_000);
    let block = reception.report_block(now).unwrap();
    assert_eq!(block, ReportBlock { ssrc: 8, highest_sequence: 900, ..ReportBlock::default() });
    assert_eq!((reception.received(), reception.lost()), (3, 1));
}

#[test]
fn all_lost_but_one_saturates() {
    let mut reception = Reception::new();
    let now = Instant::now();
    receive(&mut reception, now, [0]);
    reception.report_block(now);
    receive(&mut reception, now, [2999]);
    assert_eq!(reception.report_block(now).unwrap().fraction_lost, 255);
    // Cumulative loss stays within 24 bits.
    receive(&mut reception, now, (0..3000u32).map(|n| (n * 2999 + 2999 * 2) as u16));
    assert_eq!(reception.report_block(now).unwrap().cumulative_lost, 0x7F_FFFF);
}
