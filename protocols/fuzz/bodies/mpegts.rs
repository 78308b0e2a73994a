//! MPEG-TS: what a demuxer finds is the same however its input was cut, its units keep their promises, and what is written
//! of them is found again; sections are read as they are written.

use bytes::BytesMut;
use headwater_protocols::mpegts::psi::{self, Association, ProgramMap};
use headwater_protocols::mpegts::{Demuxer, Event, Format, Muxer, PACKET_BYTES, Packet, opus_control, pes};
use headwater_protocols::track::Elementary;

/// The bytes as they are, once more with sync bytes and undamaged checksums, and by themselves as what packets carry.
pub fn mpegts_demuxer(data: &[u8]) {
    check(data);
    payloads(data);
    let mut bytes = data.to_vec();
    for packet in bytes.chunks_exact_mut(PACKET_BYTES) {
        packet[0] = 0x47;
        mend_section(packet);
    }
    check(&bytes);
}

/// PES packets and Opus headers of any bytes, past their first check.
fn payloads(data: &[u8]) {
    let mut bytes = vec![0, 0, 1, 0xE0];
    bytes.extend_from_slice(data);
    if let Ok(pes) = pes::Pes::parse(bytes.into()) {
        assert!(pes.payload.len() <= data.len());
    }
    let mut header = vec![0x7F, 0xE0];
    header.extend_from_slice(data);
    if let Ok(control) = opus_control::Control::parse(&header) {
        assert!(control.header_bytes + control.packet_bytes <= header.len());
    }
}

/// Makes the checksum of a table right that lies in one packet, so that its content gets looked at.
fn mend_section(packet: &mut [u8]) {
    let Some(packet_now) = packet.first_chunk::<PACKET_BYTES>() else {
        return;
    };
    let starts = Packet::parse(packet_now).is_ok_and(|packet| packet.unit_start);
    // Without adaptation field, pointer zero, and a table of one section.
    if !starts || packet[3] & 0x20 != 0 || packet[4] != 0 || !matches!(packet[5], 0 | 2) {
        return;
    }
    let end = 8 + (usize::from(packet[6] & 0x0F) << 8 | usize::from(packet[7]));
    if (17..=PACKET_BYTES).contains(&end) {
        let crc = psi::crc32(&packet[5..end - 4]);
        packet[end - 4..end].copy_from_slice(&crc.to_be_bytes());
    }
}

fn demux(bytes: &[u8], piece: usize) -> (Vec<Event>, bool) {
    let mut demuxer = Demuxer::new();
    let mut events = Vec::new();
    for piece in bytes.chunks(piece) {
        if let Err(error) = demuxer.push(piece, &mut events) {
            assert!(!error.kind().is_empty() && !error.to_string().is_empty());
            return (events, true);
        }
    }
    let failed = demuxer.finish(&mut events).is_err();
    (events, failed)
}

fn check(bytes: &[u8]) {
    let (events, failed) = demux(bytes, bytes.len().max(1));
    assert_eq!((&events, failed), (&demux(bytes, 61).0, demux(bytes, 61).1), "cut into pieces");
    let mut tracks = Vec::<Elementary>::new();
    let mut last = Vec::new();
    let mut muxer = None;
    let mut out = BytesMut::new();
    let mut written = 0;
    for event in &events {
        match event {
            Event::Tracks(found) => {
                tracks.clone_from(found);
                last = vec![None; tracks.len()];
                muxer = Muxer::new(&tracks).ok().map(|(muxer, _)| muxer);
                out.clear();
                written = 0;
            }
            Event::Unit { track, unit } => {
                assert!(!unit.parts.is_empty() && unit.parts.iter().all(|part| !part.is_empty()));
                assert!(unit.dts <= unit.pts, "{:?} after {:?}", unit.dts, unit.pts);
                assert!(last[*track].is_none_or(|last| last <= unit.dts), "decoding times go back");
                last[*track] = Some(unit.dts);
                let muxer = muxer.as_mut().expect("whatever was read can be written");
                written += usize::from(muxer.unit(*track, unit, &mut out));
            }
            Event::Ignored { reason, .. } => assert!(!reason.is_empty()),
        }
    }
    assert_eq!(out.len() % PACKET_BYTES, 0);
    if written > 0 {
        let mut demuxer = Demuxer::new();
        let mut again = Vec::new();
        demuxer.push(&out, &mut again).expect("what is written is a transport stream");
        demuxer.finish(&mut again).expect("what is written is not scrambled");
        let counters = demuxer.counters();
        assert_eq!((counters.continuity_errors, counters.dropped, counters.sync_losses), (0, 0, 0));
        assert!(again.iter().any(|event| matches!(event, Event::Tracks(_))));
    }
}

/// The bytes as a section, once more with a checksum that is right; and as what packets carry.
pub fn mpegts_psi(data: &[u8]) {
    tables(data);
    let mut section = data.to_vec();
    if let [_, high, low, ..] = &mut section[..] {
        let length = data.len() - 3;
        (*high, *low) = (*high & 0xF0 | (length >> 8) as u8 & 0x0F, length as u8);
    }
    if let Some(end) = section.len().checked_sub(4) {
        let crc = psi::crc32(&section[..end]);
        section[end..].copy_from_slice(&crc.to_be_bytes());
    }
    tables(&section);
    let mut assembler = psi::Assembler::default();
    for (index, payload) in data.chunks(184).enumerate() {
        assembler.push(index % 3 == 0, payload, |section| {
            assert!((3..=1024).contains(&section.len()));
            tables(section);
        });
    }
}

fn tables(section: &[u8]) {
    if let Ok(Some(association)) = Association::parse(section) {
        assert!(association.program != 0 && association.map.0 < 0x2000);
        assert_eq!(Association::parse(&association.section()), Ok(Some(association)));
    }
    if let Ok(Some(map)) = ProgramMap::parse(section) {
        let streams = map.streams().collect::<Vec<_>>();
        for stream in &streams {
            let described = stream.descriptors.iter().map(|(_, body)| body.len() + 2).sum::<usize>();
            assert!(described <= stream.descriptors.0.len());
            let _ = Format::of(stream);
        }
        if streams.iter().all(|stream| stream.descriptors.0.len() < 1024)
            && let Ok(written) = psi::program_map(map.program, map.version, map.pcr, &streams)
        {
            let again = ProgramMap::parse(&written).expect("a section").expect("a map in force");
            assert_eq!((again.program, again.version, again.pcr), (map.program, map.version, map.pcr));
            assert!(again.streams().eq(streams));
        }
    }
}
