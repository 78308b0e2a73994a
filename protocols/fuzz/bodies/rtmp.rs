//! RTMP: chunk reader, server, client.
//!
//! For the reader, the bytes are chunks as they are, and the lengths of the pieces they come in. For the machines they
//! are a script: some stand for whole messages, so that what comes out gets past handshake and `connect`.

use bytes::{Bytes, BytesMut};
use headwater_protocols::amf0::Value;
use headwater_protocols::flv::{Capabilities, Kind};
use headwater_protocols::limits::{RTMP_BUFFERED_BYTES_MAX, RTMP_MESSAGE_BYTES_MAX};
use headwater_protocols::rtmp::chunk::{CHUNK_BYTES, Reader, message_pieces, write_message};
use headwater_protocols::rtmp::client::{self, Goal};
use headwater_protocols::rtmp::message::{Message, UserControl, type_id};
use headwater_protocols::rtmp::server::{self, PublishKind, Refusal};
use headwater_protocols::rtmp::{Client, Error, Server};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// One instant for all runs: machines only compare and add.
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn check_error(error: &Error) {
    assert!(["invalid", "misbehaved", "unsupported", "limit"].contains(&error.kind()));
    assert!(!error.to_string().is_empty());
}

/// All messages of `bytes` in pieces of `piece_bytes`, and how it ended.
fn read(bytes: &[u8], piece_bytes: usize) -> (Vec<Message>, Result<(), Error>) {
    let mut reader = Reader::new(RTMP_MESSAGE_BYTES_MAX);
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece_bytes) {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match reader.read(&mut input) {
                Ok(Some(message)) => {
                    assert!(message.payload.len() <= bytes.len());
                    let number = message.payload.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
                    match (message.type_id, number) {
                        (type_id::SET_CHUNK_SIZE, Some(size)) => drop(reader.set_chunk_bytes(size)),
                        (type_id::ABORT, Some(stream)) => reader.abort(stream),
                        _ => {}
                    }
                    messages.push(message);
                }
                Ok(None) => break,
                Err(error) => {
                    check_error(&error);
                    return (messages, Err(error));
                }
            }
            assert!(reader.buffered_bytes() <= RTMP_BUFFERED_BYTES_MAX.min(bytes.len()));
        }
        assert!(input.is_empty(), "the reader takes all it is given");
    }
    (messages, Ok(()))
}

/// The same messages come out whatever the pieces; what came out is read again from what is written of it.
pub fn rtmp_chunk(data: &[u8]) {
    let Some((piece, bytes)) = data.split_first() else { return };
    let (messages, end) = read(bytes, usize::MAX);
    assert_eq!(read(bytes, 1 + usize::from(*piece)), (messages.clone(), end));
    for message in messages {
        let _ = UserControl::parse(&message.payload);
        let Some(kind) = Kind::from_type_id(message.type_id) else { continue };
        let cut = message.payload.len() / 3;
        let parts = [message.payload.slice(..cut), message.payload.slice(cut..)];
        let (mut wire, mut pieces) = (BytesMut::new(), Vec::new());
        assert!(write_message(kind, message.timestamp_ms, &parts, &mut wire));
        assert!(message_pieces(kind, message.timestamp_ms, &parts, &mut pieces));
        assert_eq!(pieces.concat(), wire);
        let mut reader = Reader::new(RTMP_MESSAGE_BYTES_MAX);
        reader.set_chunk_bytes(CHUNK_BYTES as u32).expect("a size");
        let again = reader.read(&mut wire.freeze()).expect("chunks").expect("a message");
        assert_eq!((again.timestamp_ms, again.payload), (message.timestamp_ms, message.payload));
    }
}

fn values(values: &[Value]) -> Vec<u8> {
    let mut out = BytesMut::new();
    values.iter().for_each(|value| value.write(&mut out));
    out.to_vec()
}

fn call(name: &str, transaction: f64, arguments: &[Value]) -> (u8, Vec<u8>) {
    let head = [name.into(), transaction.into(), Value::Null];
    (type_id::COMMAND_AMF0, values(&[&head, arguments].concat()))
}

fn status(code: &str) -> (u8, Vec<u8>) {
    let level = if code.ends_with("Start") { "status" } else { "error" };
    call("onStatus", 0.0, &[Value::object([("level", level.into()), ("code", code.into())])])
}

/// What a client sends, by the first byte of a step.
fn of_client(choice: u8) -> (u8, Vec<u8>) {
    match choice {
        0 => {
            let list = Value::StrictArray(vec!["hvc1".into(), "*".into()]);
            let object =
                Value::object([("app", "a?q".into()), ("tcUrl", "rtmp://h/a".into()), ("fourCcList", list)]);
            (type_id::COMMAND_AMF0, values(&["connect".into(), 1.0.into(), object]))
        }
        1 => call("createStream", 4.0, &[]),
        2 => call("publish", 5.0, &["x?user=u".into(), "append".into()]),
        3 => call("play", 5.0, &["x".into(), (-1000.0).into()]),
        4 => call("deleteStream", 0.0, &[1.0.into()]),
        5 => call("FCPublish", 3.0, &["x".into()]),
        6 => call("pause", 0.0, &[true.into(), 7.0.into()]),
        7 => call("receiveAudio", 0.0, &[false.into()]),
        8 => call("publish", 0.0, &[false.into()]),
        _ => of_both(choice),
    }
}

/// What a server sends, by the first byte of a step.
fn of_server(choice: u8) -> (u8, Vec<u8>) {
    match choice {
        0 => call("_result", 1.0, &[Value::object([("capsEx", 2.0.into())])]),
        1 => call("_result", 4.0, &[1.0.into()]),
        2 => status("NetStream.Publish.Start"),
        3 => status("NetStream.Play.Start"),
        4 => status("NetStream.Play.StreamNotFound"),
        5 => call("_error", 4.0, &[]),
        6 => call("onBWDone", 0.0, &[]),
        7 => (type_id::USER_CONTROL, UserControl::StreamEof { message_stream: 1 }.write().to_vec()),
        8 => call("close", 0.0, &[]),
        _ => of_both(choice),
    }
}

fn of_both(choice: u8) -> (u8, Vec<u8>) {
    match choice {
        9 => (type_id::SET_CHUNK_SIZE, vec![0, 0, 0, 5]),
        10 => (type_id::WINDOW_ACKNOWLEDGEMENT_SIZE, vec![0, 0, 0, 9]),
        11 => (type_id::SET_PEER_BANDWIDTH, vec![0, 0, 0, 9, 2]),
        12 => (type_id::ACKNOWLEDGEMENT, vec![0xFF, 0xFF, 0, 9]),
        13 => (type_id::USER_CONTROL, UserControl::PingRequest { timestamp: 3 }.write().to_vec()),
        14 => (
            type_id::AGGREGATE,
            b"\x08\0\0\x01\0\0\x64\0\0\0\0A\0\0\0\x0C\x09\0\0\x02\0\0\x8C\0\0\0\0BC".to_vec(),
        ),
        15 => (type_id::DATA_AMF0, b"\x02\x00\x0D@setDataFrame\x02\x00\x0AonMetaData\x05".to_vec()),
        16 => (type_id::VIDEO, vec![0x17; 200]),
        _ => (type_id::AUDIO, vec![0xAF, 1, choice]),
    }
}

/// Handshake, then a step per byte: below 32 a message, 250 and above raw bytes that follow, others the length of the
/// pieces from there on.
fn script(data: &[u8], handshake_bytes: usize, message: fn(u8) -> (u8, Vec<u8>)) -> Vec<Bytes> {
    let mut opening = vec![0; handshake_bytes];
    opening[0] = 3;
    let mut wire = BytesMut::from(&opening[..]);
    let mut pieces = Vec::new();
    let mut piece_bytes = 5000;
    let mut chunk_bytes = 128;
    let mut rest = data;
    while let Some((&step, after)) = rest.split_first() {
        rest = after;
        match step {
            0..32 => {
                let (type_id, body) = message(step);
                wire.extend_from_slice(&[3, 0, 0, step]);
                wire.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
                wire.extend_from_slice(&[type_id, 1, 0, 0, 0]);
                for (index, piece) in body.chunks(chunk_bytes).enumerate() {
                    wire.extend_from_slice(if index > 0 { &[0xC3] } else { &[] });
                    wire.extend_from_slice(piece);
                }
                if type_id == type_id::SET_CHUNK_SIZE {
                    chunk_bytes = 5;
                }
            }
            250.. => {
                let (raw, after) = rest.split_at(rest.len().min(12));
                wire.extend_from_slice(raw);
                rest = after;
            }
            _ => {
                pieces.extend(wire.split().freeze().chunks(piece_bytes).map(Bytes::copy_from_slice));
                piece_bytes = usize::from(step);
            }
        }
    }
    pieces.extend(wire.freeze().chunks(piece_bytes).map(Bytes::copy_from_slice));
    pieces
}

/// Events end with one that says so, nothing comes after it, and what is sent are chunks.
pub fn rtmp_server(data: &[u8]) {
    let config = Arc::new(server::Config { idle_timeout: Duration::from_secs(10) });
    let mut now = start();
    let mut machine = Server::new(config, now, data.len() as u64);
    let mut closed = false;
    let mut output = BytesMut::new();
    for piece in script(data, 1 + 2 * 1536, of_client) {
        now += Duration::from_millis(10);
        let length = piece.len();
        machine.handle_input(now, piece);
        while let Some(event) = machine.poll_event() {
            assert!(!closed, "after the last event");
            match event {
                server::Event::Closed(error) => {
                    closed = true;
                    assert!(machine.close_after_transmit());
                    error.iter().for_each(check_error);
                }
                server::Event::Media { payload, .. } => assert!(!payload.is_empty()),
                _ => {}
            }
            if machine.is_waiting() {
                match length % 16 {
                    15 => machine.refuse(Refusal::Busy, "no"),
                    _ => machine.accept(),
                }
            }
        }
        std::iter::from_fn(|| machine.poll_transmit()).for_each(|bytes| output.extend_from_slice(&bytes));
    }
    machine.handle_eof();
    closed |=
        std::iter::from_fn(|| machine.poll_event()).any(|event| matches!(event, server::Event::Closed(_)));
    assert!(closed && machine.poll_timeout().is_none());
    if output.len() > 3073 {
        check_output(output.freeze().slice(3073..));
    }
}

/// The same of a client.
pub fn rtmp_client(data: &[u8]) {
    let goal = if data.len().is_multiple_of(2) { Goal::Play } else { Goal::Publish(PublishKind::Live) };
    let config = client::Config {
        url: "rtmp://h/a/b?q".into(),
        goal,
        flash_version: String::new(),
        capabilities: Capabilities::legacy(),
    };
    let mut now = start();
    let mut machine = Client::new(config, now, 1).expect("a URL");
    let mut closed = false;
    let mut output = BytesMut::new();
    for piece in script(data, 1 + 2 * 1536, of_server) {
        now += Duration::from_millis(10);
        machine.handle_input(now, piece);
        while let Some(event) = machine.poll_event() {
            assert!(!closed, "after the last event");
            if let client::Event::Closed(error) = &event {
                closed = true;
                error.iter().for_each(check_error);
            }
            if event == client::Event::Publishing {
                assert!(machine.send(Kind::Video, 7, &[Bytes::from_static(b"\x17\x01")]));
            }
        }
        std::iter::from_fn(|| machine.poll_transmit()).for_each(|bytes| output.extend_from_slice(&bytes));
    }
    machine.handle_eof();
    closed |=
        std::iter::from_fn(|| machine.poll_event()).any(|event| matches!(event, client::Event::Closed(_)));
    assert!(closed && machine.poll_timeout().is_none());
    if output.len() > 1 + 2 * 1536 {
        check_output(output.freeze().slice(1 + 2 * 1536..));
    }
}

fn check_output(mut output: Bytes) {
    let mut reader = Reader::new(RTMP_MESSAGE_BYTES_MAX);
    while let Some(message) = reader.read(&mut output).expect("chunks of ours") {
        if message.type_id == type_id::SET_CHUNK_SIZE {
            reader.set_chunk_bytes(CHUNK_BYTES as u32).expect("a size");
        }
    }
    assert_eq!(reader.buffered_bytes(), 0, "whole messages");
}
