use super::{Assembler, Association, Descriptors, MappedStream, ProgramMap, crc32, program_map};
use crate::mpegts::Pid;

/// PAT and PMT of `ffmpeg -c:v libx265 -c:a libopus -f mpegts`, FFmpeg 5.1.
const PAT: &[u8] = &[0, 0xB0, 0x0D, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0, 0x2A, 0xB1, 0x04, 0xB2];
const PMT: &[u8] = b"\x02\xb0\x27\x00\x01\xc1\x00\x00\xe1\x00\xf0\x00\x24\xe1\x00\xf0\x06\x05\x04HEVC\
    \x06\xe1\x01\xf0\x0a\x05\x04Opus\x7f\x02\x80\x01\x27\xaa\xf3\x2f";

#[test]
fn checksum_of_the_catalogue() {
    assert_eq!(crc32(b"123456789"), 0x0376_E6E7, "CRC-32/MPEG-2");
}

#[test]
fn tables_of_ffmpeg_are_read_and_written_the_same() {
    let association = Association { transport_stream: 1, version: 0, program: 1, map: Pid(0x1000) };
    assert_eq!(Association::parse(PAT), Ok(Some(association)));
    assert_eq!(association.section(), PAT);
    let map = ProgramMap::parse(PMT).expect("a section").expect("in force");
    assert_eq!((map.program, map.version, map.pcr), (1, 0, Pid(0x100)));
    let streams = map.streams().collect::<Vec<_>>();
    assert_eq!(streams[0].descriptors, Descriptors(b"\x05\x04HEVC"));
    assert_eq!((streams[1].stream_type, streams[1].pid), (6, Pid(0x101)));
    assert_eq!(streams[1].descriptors.find(0x7F), Some(&[0x80, 1][..]));
    assert_eq!(program_map(1, 0, Pid(0x100), &streams).expect("it fits"), PMT);
}

#[test]
fn damaged_and_foreign_sections_are_refused() {
    for at in 0..PMT.len() {
        let mut damaged = PMT.to_vec();
        damaged[at] ^= 0x10;
        assert!(ProgramMap::parse(&damaged).is_err(), "byte {at}");
        assert!(ProgramMap::parse(&PMT[..at]).is_err(), "cut at {at}");
    }
    assert!(ProgramMap::parse(PAT).is_err());
    let mut later = PAT[..12].to_vec();
    later[5] = 0xC0;
    later.extend(crc32(&later).to_be_bytes());
    assert_eq!(Association::parse(&later), Ok(None), "not in force yet");
}

#[test]
fn a_map_may_not_outgrow_its_section() {
    let stream =
        MappedStream { stream_type: 6, pid: Pid(256), descriptors: Descriptors(&[5, 4, 0, 0, 0, 0]) };
    assert!(program_map(1, 0, Pid(256), &[stream; 91]).is_ok());
    assert!(program_map(1, 0, Pid(256), &[stream; 92]).is_err());
}

#[test]
fn sections_are_joined() {
    let mut joined = Vec::new();
    let mut assembler = Assembler::default();
    assembler.push(false, PMT, |_| panic!("no section has begun"));
    let first = [&[0], PAT, &PMT[..5]].concat();
    assembler.push(true, &first, |section| joined.push(section.to_vec()));
    assembler.push(false, &PMT[5..20], |_| panic!("not whole yet"));
    let last = [&[(PMT.len() - 20) as u8], &PMT[20..], PAT, &[0xFF; 30]].concat();
    assembler.push(true, &last, |section| joined.push(section.to_vec()));
    assert_eq!(joined, [PAT, PMT, PAT]);
    assembler.push(false, PAT, |_| panic!("after stuffing"));
    assembler.push(true, &[0, 2, 0xBF, 0xFF, 1, 2, 3], |_| panic!("too long"));
    assembler.push(false, &[0; 5000], |_| panic!("too long"));
    assembler.push(true, &[200, 1], |_| panic!("a pointer past the packet"));
    assembler.push(true, &[], |_| panic!("nothing"));
}
