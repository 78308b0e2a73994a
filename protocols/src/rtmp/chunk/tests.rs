use super::*;
use crate::flv::Kind;
use crate::limits::{RTMP_BUFFERED_BYTES_MAX, RTMP_CHUNK_STREAMS_MAX};
use crate::rtmp::error::Error;
use crate::rtmp::message::Message;
use crate::rtp::random::Random;
use bytes::{Bytes, BytesMut};

const MAX: usize = 1 << 20;

fn read_all(reader: &mut Reader, bytes: &[u8], piece_bytes: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece_bytes) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(message) = reader.read(&mut input).expect("chunks") {
            messages.push(message);
        }
        assert!(input.is_empty());
    }
    messages
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).collect::<Vec<_>>();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect()
}

#[test]
fn what_is_written_is_read_again_in_any_pieces_and_both_forms_agree() {
    let mut random = Random(7);
    let mut wire = BytesMut::new();
    let mut expected = Vec::new();
    for (index, length) in [0, 1, 127, 65_535, 65_536, 65_537, 200_000, 3].into_iter().enumerate() {
        for timestamp_ms in [0, 0xFF_FFFE, 0xFF_FFFF, 0x0100_0000, u32::MAX] {
            let kind = [Kind::Audio, Kind::Video, Kind::Script][index % 3];
            let payload = Bytes::from(random.bytes(length));
            let cut = random.below(length as u64 + 1) as usize;
            let parts = [payload.slice(..cut), Bytes::new(), payload.slice(cut..)];
            let before = wire.len();
            assert!(write_message(kind, timestamp_ms, &parts, &mut wire));
            let mut pieces = Vec::new();
            assert!(message_pieces(kind, timestamp_ms, &parts, &mut pieces));
            assert_eq!(pieces.concat(), wire[before..]);
            let type_id = kind.type_id();
            expected.push(Message { type_id, message_stream: MESSAGE_STREAM, timestamp_ms, payload });
        }
    }
    for piece_bytes in [usize::MAX, 70_000, 4096, 13, 1] {
        let mut reader = Reader::new(MAX);
        reader.set_chunk_bytes(CHUNK_BYTES as u32).expect("a size");
        assert_eq!(read_all(&mut reader, &wire, piece_bytes), expected, "{piece_bytes}");
        assert_eq!(reader.buffered_bytes(), 0);
    }
}

#[test]
fn a_message_whole_in_the_input_is_a_slice_of_it() {
    let mut wire = BytesMut::new();
    assert!(write_message(Kind::Audio, 5, &[Bytes::from_static(b"abc")], &mut wire));
    let wire = wire.freeze();
    let message = Reader::new(MAX).read(&mut wire.clone()).expect("chunks").expect("a message");
    assert_eq!(message.payload.as_ptr(), wire[12..].as_ptr());
}

/// Specification, sections 5.3.2.1 and 5.3.2.2.
#[test]
fn the_examples_of_the_specification() {
    let mut wire = hex("03 0003E8 000020 08 39300000");
    wire.extend([1; 32]);
    wire.extend(hex("83 000014"));
    wire.extend([2; 32]);
    wire.extend(hex("C3"));
    wire.extend([3; 32]);
    wire.extend(hex("C3"));
    wire.extend([4; 32]);
    let messages = read_all(&mut Reader::new(MAX), &wire, 5);
    let times = messages.iter().map(|message| message.timestamp_ms).collect::<Vec<_>>();
    assert_eq!(times, [1000, 1020, 1040, 1060]);
    assert!(messages.iter().all(|m| m.message_stream == 12345 && m.payload.len() == 32 && m.type_id == 8));

    let mut wire = hex("04 0003E8 000133 09 3A300000");
    wire.extend([1; 128]);
    wire.extend(hex("C4"));
    wire.extend([1; 128]);
    wire.extend(hex("C4"));
    wire.extend([1; 51]);
    let messages = read_all(&mut Reader::new(MAX), &wire, 1);
    assert_eq!((messages.len(), messages[0].payload.len()), (1, 307));
}

#[test]
fn type_3_after_type_0_adds_its_timestamp_and_times_wrap() {
    let wire = hex("03 00000A 000001 08 01000000 AA  C3 BB  83 FFFFFF FFFFFFF0 CC  C3 FFFFFFF0 DD");
    let messages = read_all(&mut Reader::new(MAX), &wire, 3);
    let times = messages.iter().map(|message| message.timestamp_ms).collect::<Vec<_>>();
    assert_eq!(times, [10, 20, 4, 20u32.wrapping_sub(32)]);
}

#[test]
fn continuations_with_and_without_the_extended_timestamp() {
    let payload = (0..200).map(|n| n as u8).collect::<Vec<_>>();
    for (repeated, tail) in [(true, 72), (false, 72), (true, 2), (false, 2)] {
        let length = 128 + tail;
        let mut wire = hex("04 FFFFFF 000000 09 01000000 01020304");
        wire[6] = length as u8;
        wire.extend(&payload[..128]);
        wire.extend(hex(if repeated { "C4 01020304" } else { "C4" }));
        wire.extend(&payload[128..length]);
        wire.extend(hex("03 000000 000001 08 01000000 AA"));
        for piece_bytes in [1, 2, 3, 5, 1000] {
            let messages = read_all(&mut Reader::new(MAX), &wire, piece_bytes);
            assert_eq!(messages.len(), 2);
            assert_eq!(messages[0].timestamp_ms, 0x0102_0304);
            assert_eq!(messages[0].payload, payload[..length]);
        }
    }
}

/// Payload that begins like the timestamp that is left out, to the byte that differs.
#[test]
fn payload_taken_for_an_extended_timestamp_comes_back() {
    let mut wire = hex("04 FFFFFF 000085 09 01000000 01020304");
    wire.extend([0; 128]);
    wire.extend(hex("C4 01 02 03 05 06"));
    for piece_bytes in [1, 2, 3, 4, 146, 147] {
        let messages = read_all(&mut Reader::new(MAX), &wire, piece_bytes);
        assert_eq!(messages[0].payload[128..], [1, 2, 3, 5, 6], "{piece_bytes}");
    }
}

#[test]
fn messages_interleave_and_chunk_stream_ids_have_three_lengths() {
    let mut wire = hex("00 05 000001 000081 09 01000000");
    wire.extend([1; 128]);
    wire.extend(hex("01 00 01 000002 000081 08 01000000"));
    wire.extend([2; 128]);
    wire.extend(hex("C0 05 01  C1 00 01 02"));
    let messages = read_all(&mut Reader::new(MAX), &wire, 7);
    assert_eq!(messages.iter().map(|m| (m.timestamp_ms, m.payload[0])).collect::<Vec<_>>(), [(1, 1), (2, 2)]);
}

#[test]
fn abort_and_a_new_header_drop_what_came() {
    let mut reader = Reader::new(MAX);
    let mut wire = hex("04 000001 000081 09 01000000");
    wire.extend([1; 128]);
    assert!(read_all(&mut reader, &wire, 1000).is_empty());
    assert_eq!(reader.buffered_bytes(), 128);
    reader.abort(4);
    reader.abort(9);
    assert_eq!(reader.buffered_bytes(), 0);
    assert!(read_all(&mut reader, &wire, 1000).is_empty());
    let messages = read_all(&mut reader, &hex("04 000007 000001 09 01000000 AA"), 1000);
    assert_eq!((messages[0].timestamp_ms, &messages[0].payload[..]), (7, &[0xAA][..]));
    assert_eq!(reader.buffered_bytes(), 0);
}

#[test]
fn limits_hold() {
    let read = |reader: &mut Reader, wire: Vec<u8>| reader.read(&mut Bytes::from(wire));
    let limited = |result| matches!(result, Err(Error::Limit { .. }));
    assert!(limited(read(&mut Reader::new(128), hex("04 000001 000081 09 01000000"))));
    let mut reader = Reader::new(MAX);
    for id in 0..RTMP_CHUNK_STREAMS_MAX as u8 {
        let mut header = hex("00 00 000001 000000 09 01000000");
        header[1] = id;
        assert!(read(&mut reader, header).expect("an empty message").is_some());
    }
    assert!(limited(read(&mut reader, hex("00 FF 000001 000001 09 01000000"))));
    assert!(read(&mut Reader::new(MAX), hex("84 000001")).is_err(), "nothing to take the rest from");
    assert!(Reader::new(MAX).set_chunk_bytes(0).is_err());
    assert!(Reader::new(MAX).set_chunk_bytes(0x8000_0000).is_err());

    let mut reader = Reader::new(0xFF_FFFF);
    reader.set_chunk_bytes(8 << 20).expect("a size");
    let mut result = Ok(None);
    for id in 4..6 {
        let mut wire = hex("00 000001 FFFFFF 09 01000000");
        wire[0] = id;
        wire.resize(12 + (8 << 20), 0);
        result = read(&mut reader, wire);
    }
    assert!(limited(result) && reader.buffered_bytes() <= RTMP_BUFFERED_BYTES_MAX + (8 << 20));
}
