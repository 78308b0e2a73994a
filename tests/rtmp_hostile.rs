//! What no decent RTMP client sends: the connection is closed and counted, or goes on, and nobody else notices.
//!
//! A reader beside must see every picture, and the server must neither panic nor keep what it was sent.

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use headwater_protocols::amf0::Value;
use headwater_protocols::flv::{Capabilities, Kind};
use headwater_protocols::rtmp::message::type_id;
use headwater_tests::config_file::api;
use headwater_tests::rtmp::publisher::{PICTURES_PER_GROUP, Plan, Publisher, Tracks};
use headwater_tests::rtmp::raw::{BLOCK_BYTES, Came, Raw, amf, header, message};
use headwater_tests::rtmp::reader::Reader;
use headwater_tests::rtmp::{Client, PUBLISH};
use headwater_tests::server::{Launch, Server};
use headwater_tests::wait;
use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(5);

/// A server with a stream, and a reader of it beside whatever happens.
struct Siege {
    server: Server,
    rtmp: SocketAddr,
    publisher: Publisher,
    reader: Reader,
}

impl Siege {
    fn begin(settings: &[&str]) -> Result<Siege> {
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let (media, control) = (vec!["rtmp"], vec!["api", "metrics"]);
        let server =
            Server::launch(&Launch { settings, media, control, shards: Some(1), ..Launch::default() })?;
        let rtmp = server.media["rtmp"];
        let publisher = Publisher::start(rtmp, "beside", Plan::new(1, Tracks::VideoAndAudio))?;
        let reader = play(rtmp, "beside")?;
        reader.advance(20)?;
        Ok(Siege { server, rtmp, publisher, reader })
    }

    /// The reader has noticed nothing, newcomers are served, nothing has panicked.
    fn end(self) -> Result<()> {
        self.reader.advance(30)?;
        self.reader.finish_whole()?;
        let newcomer = play(self.rtmp, "beside")?;
        newcomer.advance(30)?;
        newcomer.finish_whole()?;
        ensure!(self.server.counter("session_panics")? == 0, "a session has panicked");
        self.publisher.finish()?;
        self.server.stop()
    }
}

fn play(rtmp: SocketAddr, path: &str) -> Result<Reader> {
    wait::until(&format!("{path} to be played"), SOON, || Ok(Reader::play(rtmp, path).ok()))
}

/// How far the client goes before it sends what it should not.
#[derive(Clone, Copy, Debug)]
enum After {
    Nothing,
    Handshake,
    Connect,
    Publish,
}

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// Closed, and this counter moves.
    Closed(&'static str),
    GoesOn,
}

use After::{Connect, Handshake, Nothing, Publish};
use Expect::{Closed, GoesOn};

const INVALID: Expect = Closed("closed_invalid");
const LIMIT: Expect = Closed("closed_limit");

/// AMF0 of a command, then these bytes as its first argument.
fn command(name: &str, argument: &[u8]) -> Vec<u8> {
    let mut payload = BytesMut::from(&amf(&[name.into(), 1.0.into()])[..]);
    payload.put_slice(argument);
    message(3, type_id::COMMAND_AMF0, 0, 0, &payload)
}

fn control(type_id: u8, payload: &[u8]) -> Vec<u8> {
    message(2, type_id, 0, 0, payload)
}

/// A type 0 header on any chunk stream (section 5.3.1.1), without payload.
fn header_on(chunk_stream: u32, length: usize) -> Vec<u8> {
    let usual = header(0, type_id::VIDEO, 1, 0, length);
    let mut out = vec![1];
    out.put_u16_le((chunk_stream - 64) as u16);
    out.extend_from_slice(&usual[1..]);
    out
}

/// Handshakes and chunks.
fn broken_framing() -> Vec<(&'static str, After, Vec<u8>, Expect)> {
    let many_streams = |bytes: usize| -> Vec<u8> {
        (0..1000).flat_map(|n| [header_on(64 + n, 1000), vec![0; bytes]].concat()).collect()
    };
    vec![
        ("HTTP", Nothing, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100), INVALID),
        ("TLS", Nothing, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(400), INVALID),
        ("RTMPE", Nothing, [&[6][..], &[7; BLOCK_BYTES]].concat(), INVALID),
        ("zeros", Nothing, vec![0; 100_000], INVALID),
        ("a chunk that goes on with nothing", Handshake, vec![0xC3; 2000], INVALID),
        ("a message of 16 MiB before anything", Handshake, header(3, 20, 0, 0, 0xFF_FFFF), LIMIT),
        ("a message of 16 MiB of a publisher", Publish, header(4, 9, 1, 0, 0xFF_FFFF), LIMIT),
        ("1000 chunk streams", Connect, many_streams(128), LIMIT),
        ("1000 chunk streams of a publisher", Publish, many_streams(128), LIMIT),
        ("chunks of no bytes", Connect, control(type_id::SET_CHUNK_SIZE, &[0; 4]), INVALID),
        ("chunks of 2^31 bytes", Connect, control(type_id::SET_CHUNK_SIZE, &[0x80, 0, 0, 0]), INVALID),
        (
            "chunks of 2^31 - 1 bytes",
            Connect,
            control(type_id::SET_CHUNK_SIZE, &[0x7F, 0xFF, 0xFF, 0xFF]),
            GoesOn,
        ),
        ("half a chunk size", Connect, control(type_id::SET_CHUNK_SIZE, &[0, 1]), INVALID),
        ("half an acknowledgement", Connect, control(type_id::ACKNOWLEDGEMENT, &[1]), INVALID),
        ("an abort of nothing", Connect, control(type_id::ABORT, &[0, 0, 0, 77]), GoesOn),
        ("half an event", Connect, control(type_id::USER_CONTROL, &[0, 6, 1]), INVALID),
        ("an event that nobody knows", Connect, control(type_id::USER_CONTROL, &[9, 9, 1, 2]), GoesOn),
        ("a message type that nobody knows", Connect, control(99, &[1, 2, 3]), GoesOn),
        ("10,000 empty messages", Publish, [header(4, 9, 1, 0, 0), vec![0xC4; 10_000]].concat(), GoesOn),
        ("an empty command", Connect, message(3, type_id::COMMAND_AMF0, 0, 0, &[]), INVALID),
        ("an empty message that has no header", Connect, vec![0xC7; 10], INVALID),
    ]
}

/// Commands, and what is inside of messages.
fn broken_messages() -> Vec<(&'static str, After, Vec<u8>, Expect)> {
    let nested = b"\x03\x00\x01a".repeat(10_000);
    let arrays = b"\x0a\x00\x00\x00\x01".repeat(10_000);
    let aggregate = |tag: &[u8]| message(4, type_id::AGGREGATE, 1, 0, tag);
    vec![
        ("createStream before connect", Handshake, command("createStream", &[5]), INVALID),
        ("publish before connect", Handshake, command("publish", b"\x05\x02\x00\x01a"), INVALID),
        ("connect twice", Connect, command("connect", &[5]), INVALID),
        ("objects in objects, 10,000 deep", Connect, command("x", &nested), LIMIT),
        ("arrays in arrays, 10,000 deep", Connect, command("x", &arrays), LIMIT),
        ("an array of 2^32 - 1 values", Connect, command("x", &[0x0A, 0xFF, 0xFF, 0xFF, 0xFF]), INVALID),
        (
            "an associative array of 2^32 - 1",
            Connect,
            command("x", &[8, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 9]),
            GoesOn,
        ),
        ("a string of 2^32 - 1 bytes", Connect, command("x", &[0x0C, 0xFF, 0xFF, 0xFF, 0xFF, 1]), INVALID),
        ("a string of 65535 bytes that ends", Connect, command("x", &[2, 0xFF, 0xFF, 1]), INVALID),
        ("60,000 nulls", Connect, command("x", &[5; 60_000]), LIMIT),
        ("a type that AMF0 does not have", Connect, command("x", &[0x42]), INVALID),
        ("a command without a name", Connect, message(3, 20, 0, 0, &[5, 5]), INVALID),
        ("a name of 60,000 bytes", Connect, command(&"x".repeat(60_000), &[5]), GoesOn),
        (
            "a path of 60,000 bytes",
            Connect,
            {
                let name = Value::from("a/".repeat(15_000).as_str());
                let values = amf(&["play".into(), 2.0.into(), Value::Null, name]);
                message(3, type_id::COMMAND_AMF0, 1, 0, &values)
            },
            Closed("requests_refused"),
        ),
        ("a command nobody knows", Connect, command("frobnicate", &[5]), GoesOn),
        (
            "pause, seek and receive of nothing",
            Connect,
            [
                command("pause", &[5, 1, 1]),
                command("seek", &[5]),
                command("receiveVideo", &[5, 1, 0]),
                command("deleteStream", &[5]),
                command("closeStream", &[5]),
                command("FCUnpublish", &[5]),
            ]
            .concat(),
            GoesOn,
        ),
        (
            "an aggregate that ends early",
            Publish,
            aggregate(&[9, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0]),
            INVALID,
        ),
        (
            "an aggregate of aggregates",
            Publish,
            aggregate(&[22, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11]),
            GoesOn,
        ),
        ("media without publishing", Connect, message(4, type_id::VIDEO, 1, 0, &[0x17; 5000]), GoesOn),
    ]
}

fn judge(siege: &Siege, name: &str, after: After, bytes: &[u8], expect: Expect) -> Result<()> {
    let counter = |name: &str| siege.server.counter(name);
    let mut raw = match after {
        Nothing => Raw::open(siege.rtmp)?,
        Handshake => Raw::greeted(siege.rtmp)?,
        Connect => Raw::connected(siege.rtmp, "")?,
        Publish => {
            let path: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            Raw::publishing(siege.rtmp, &path)?
        }
    };
    let before = match expect {
        Closed(name) => counter(name)?,
        GoesOn => 0,
    };
    let sent = raw.send(bytes);
    match expect {
        Closed(name) => {
            // The server may close while the rest is still being sent.
            raw.until_closed(SOON)?;
            wait::until(&format!("{name} to move"), SOON, || Ok((counter(name)? > before).then_some(())))
        }
        GoesOn => {
            sent?;
            raw.command(0, "createStream", &[Value::Null])?;
            loop {
                // Others may have been refused before.
                match raw.next(SOON)? {
                    Came::Message(message) if message.payload.starts_with(b"\x02\x00\x07_result") => {
                        return Ok(());
                    }
                    Came::Message(_) => {}
                    other => anyhow::bail!("it does not go on: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn what_is_no_rtmp_is_closed_and_counted() -> Result<()> {
    let siege = Siege::begin(&["readTimeout=3s"])?;
    let mut wrong = Vec::new();
    for (name, after, bytes, expect) in [broken_framing(), broken_messages()].concat() {
        if let Err(error) = judge(&siege, name, after, &bytes, expect) {
            wrong.push(format!("{name}: wanted {expect:?}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
    siege.end()
}

#[test]
fn half_open_connections_are_closed_in_time() -> Result<()> {
    let siege = Siege::begin(&["readTimeout=1s"])?;
    let idle = siege.server.counter("closed_idle")?;
    let beginnings: Vec<Vec<u8>> =
        vec![vec![], vec![3], [&[3][..], &[0; 700]].concat(), [&[3][..], &[0; BLOCK_BYTES]].concat()];
    let mut connections = Vec::new();
    for number in 0..120 {
        let mut raw = match number % 6 {
            4 => Raw::greeted(siege.rtmp)?,
            5 => Raw::connected(siege.rtmp, "x")?,
            stage => {
                let mut raw = Raw::open(siege.rtmp)?;
                raw.send(&beginnings[stage])?;
                raw
            }
        };
        if number >= 60 {
            // Who sends a byte now and then comes no further by it.
            let _ = raw.send(&[0]);
        }
        connections.push(raw);
    }
    // A publisher that says nothing, and one that says only that it is there.
    connections.push(Raw::publishing(siege.rtmp, "silent")?);
    let mut pinging = Raw::publishing(siege.rtmp, "pinging")?;
    let started = Instant::now();
    for raw in &mut connections {
        let _ = pinging.send(&control(type_id::ACKNOWLEDGEMENT, &[0, 0, 0, 1]));
        raw.until_closed(SOON)?;
    }
    wait::until("the publisher that sends no media to be closed", Duration::from_secs(8), || {
        Ok(pinging.send(&control(type_id::ACKNOWLEDGEMENT, &[0, 0, 0, 1])).is_err().then_some(()))
    })?;
    ensure!(started.elapsed() < Duration::from_secs(8), "they lasted {:?}", started.elapsed());
    let idle = siege.server.counter("closed_idle")? - idle;
    ensure!(idle >= 100, "only {idle} were counted as idle");
    siege.end()
}

#[test]
fn floods_without_reading_are_bounded() -> Result<()> {
    let siege = Siege::begin(&["writeTimeout=2s"])?;
    let before = siege.server.resident_bytes()?;
    let ping = control(type_id::USER_CONTROL, &[0, 6, 0, 0, 0, 1]);
    let bandwidth = control(type_id::SET_PEER_BANDWIDTH, &[0, 0, 0, 1, 2]);
    let create = command("createStream", &[5]);
    let acknowledgements: Vec<u8> = (0..100_u32)
        .flat_map(|number| control(type_id::ACKNOWLEDGEMENT, &number.wrapping_mul(0x9E37_79B9).to_be_bytes()))
        .collect();
    let window = control(type_id::WINDOW_ACKNOWLEDGEMENT_SIZE, &[0, 0, 0, 1]);
    for flood in [ping, bandwidth, create, acknowledgements, window] {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_recv_buffer_size(4096)?;
        socket.connect(&siege.rtmp.into())?;
        let mut raw = Raw::over(socket.into())?;
        raw.shake_hands()?;
        raw.connect("flood")?;
        raw.socket().set_write_timeout(Some(Duration::from_secs(2)))?;
        let piece = flood.repeat(65_536 / flood.len());
        let _ = (0..100).try_for_each(|_| raw.send(&piece));
    }
    siege.reader.advance(30)?;
    let grown = siege.server.resident_bytes()?.saturating_sub(before);
    ensure!(grown < 16 << 20, "the floods left {grown} bytes");
    let crowd: Vec<TcpStream> = (0..1000).map_while(|_| TcpStream::connect(siege.rtmp).ok()).collect();
    ensure!(crowd.len() > 100, "only {} connections were accepted", crowd.len());
    drop(crowd);
    siege.end()
}

/// Bytes that look like chance, the same in each run (SplitMix64).
fn chance(state: &mut u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        bytes.extend_from_slice(&(mixed ^ mixed >> 31).to_be_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn bodies_that_are_no_media_cost_no_picture() -> Result<()> {
    let siege = Siege::begin(&[])?;
    let plan = Plan::new(5, Tracks::VideoAndAudio);
    let mut client = Client::start(siege.rtmp, "mixed", PUBLISH, Capabilities::all())?;
    for (kind, body) in plan.headers() {
        client.send(kind, 0, body)?;
    }
    let (mut state, mut reader) = (1, None);
    for number in 0..300 {
        for (kind, body) in plan.picture(number) {
            client.send(kind, plan.time_ms(number), body)?;
        }
        for kind in [Kind::Video, Kind::Audio, Kind::Script] {
            let mut body = chance(&mut state, 1 + number as usize % 60);
            // Not what changes a track: units of codecs that are not there, broken multitrack, cut AMF, no end of sequence.
            body[0] = match kind {
                Kind::Video => [0x9F, 0x96, 0x80, 0x2C][number as usize % 4],
                Kind::Audio => [0x9F, 0x95, 0xE0, 0x5E][number as usize % 4],
                Kind::Script => body[0],
            };
            client.send(kind, plan.time_ms(number), Bytes::from(body))?;
        }
        if number == 5 {
            reader = Some(play(siege.rtmp, "mixed")?);
        }
        // The pace of the stream, and what the server says.
        ensure!(client.event(Duration::from_millis(5))?.is_none(), "the publisher was told something");
    }
    let reader = reader.context("a reader")?;
    reader.wait("the last picture", |seen| seen.pictures >= 295)?;
    let seen = reader.finish_whole()?;
    ensure!(seen.began_with_key, "{seen:?}");
    ensure!(siege.server.counter("ingest_packets_invalid")? > 50, "broken bodies are not counted");

    // Nothing but chance: no path, and the end after the time for tracks.
    let mut raw = Raw::publishing(siege.rtmp, "chance")?;
    for number in 0..400 {
        let body = chance(&mut state, 1 + number % 300);
        let _ = raw.media([8, 9, 18, 15][number % 4], number as u32, &body);
    }
    raw.until_closed(Duration::from_secs(15)).or_else(|error| {
        // Chance may have made a track; then the path is live, and the silence ends it.
        let path = api(&siege.server, "GET", "/v3/paths/get/chance", "")?;
        ensure!(path["ready"] == true, "{error:#}: {path}");
        Ok(())
    })?;
    siege.end()
}

/// From which picture on what is added to the clock.
type Jumps = Vec<(u64, u32)>;

#[test]
fn timestamps_that_jump_or_wrap_cost_no_picture() -> Result<()> {
    let siege = Siege::begin(&[])?;
    let plan = Plan::new(6, Tracks::VideoAndAudio);
    let hour: u32 = 3_600_000;
    let cases: [(&str, u32, Jumps); 6] = [
        ("wraps", u32::MAX - 1000, vec![]),
        ("passes-24-bits", 0xFF_FFFF - 1000, vec![]),
        ("starts-late", 40 * 24 * hour, vec![]),
        ("jumps-ahead", 0, vec![(60, hour), (90, 24 * hour)]),
        ("jumps-back", hour, vec![(60, 0_u32.wrapping_sub(hour / 2)), (90, 0_u32.wrapping_sub(hour))]),
        ("stands-still", 0, vec![(60, 0_u32.wrapping_sub(20)), (61, 0_u32.wrapping_sub(40)), (62, 0)]),
    ];
    for (path, first_ms, jumps) in cases {
        let plan = Plan { first_ms, ..plan };
        let mut client = Client::start(siege.rtmp, path, PUBLISH, Capabilities::all())?;
        for (kind, body) in plan.headers() {
            client.send(kind, first_ms, body)?;
        }
        let mut reader = None;
        for number in 0..150 {
            let added = jumps.iter().rev().find(|(from, _)| number >= *from).map_or(0, |(_, added)| *added);
            for (kind, body) in plan.picture(number) {
                client.send(kind, plan.time_ms(number).wrapping_add(added), body)?;
            }
            if number == 3 {
                reader = Some(play(siege.rtmp, path)?);
            }
            ensure!(
                client.event(Duration::from_millis(4))?.is_none(),
                "{path}: the publisher was told something"
            );
        }
        let reader = reader.context("a reader")?;
        let wanted = 145;
        let seen = reader.wait("the last picture", |seen| seen.pictures >= wanted).context(path)?;
        ensure!(seen.gaps == 0 && seen.audio_gaps == 0 && !seen.closed, "{path}: {seen:?}");
        let smooth = jumps.is_empty();
        ensure!(!smooth || seen.time_jumps == 0, "{path}: {seen:?}");
    }
    siege.end()
}

/// A reader whose kernel buffer holds next to nothing.
fn narrow(rtmp: SocketAddr, path: &str) -> Result<Raw> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(4096)?;
    socket.connect(&rtmp.into())?;
    let mut raw = Raw::over(socket.into())?;
    raw.shake_hands()?;
    raw.connect("")?;
    raw.play(path)?;
    Ok(raw)
}

/// 5 MB a second.
fn heavy(rtmp: SocketAddr) -> Result<Publisher> {
    let plan = Plan {
        picture_every: Duration::from_millis(10),
        picture_bytes: 50_000,
        ..Plan::new(1, Tracks::Video)
    };
    let publisher = Publisher::start(rtmp, "heavy", plan)?;
    play(rtmp, "heavy")?.advance(1)?;
    Ok(publisher)
}

#[test]
fn a_reader_that_never_reads_is_closed_and_costs_no_memory() -> Result<()> {
    let siege = Siege::begin(&["writeTimeout=5s"])?;
    let publisher = heavy(siege.rtmp)?;
    let fast = play(siege.rtmp, "heavy")?;
    fast.advance(100)?;
    let mut stuck = (0..20).map(|_| narrow(siege.rtmp, "heavy")).collect::<Result<Vec<_>>>()?;
    fast.advance(100)?;
    let before = siege.server.resident_bytes()?;
    fast.advance(200)?;
    let grown = siege.server.resident_bytes()?.saturating_sub(before);
    // 10 MB of media went by: a queue for each would have grown by 200 MB.
    ensure!(grown < 8 << 20, "grew by {grown} bytes while 20 readers were stuck");
    wait::until("all of them to be closed", Duration::from_secs(15), || {
        Ok((siege.server.counter("closed_write_timeout")? >= 20).then_some(()))
    })?;
    for raw in &mut stuck {
        raw.until_closed(SOON)?;
    }
    fast.advance(50)?;
    fast.finish_whole()?;
    publisher.finish()?;
    siege.end()
}

#[test]
fn a_slow_reader_skips_to_key_pictures_and_the_api_counts_it() -> Result<()> {
    let siege = Siege::begin(&[])?;
    let publisher = heavy(siege.rtmp)?;
    let fast = play(siege.rtmp, "heavy")?;
    let mut slow = narrow(siege.rtmp, "heavy")?;
    let (mut last, mut skips) = (None::<u64>, 0);
    let started = Instant::now();
    while skips < 2 {
        ensure!(started.elapsed() < Duration::from_secs(30), "it was never skipped ahead");
        // A slow reader is one that takes its time: ten pictures a second of 100.
        std::thread::sleep(Duration::from_millis(100));
        let Came::Message(message) = slow.next(SOON)? else { anyhow::bail!("no media") };
        if message.type_id != type_id::VIDEO || message.payload[1] != 1 {
            continue;
        }
        let digits = message.payload.get(18..34).context("a picture")?;
        let number = u64::from_str_radix(std::str::from_utf8(digits)?, 16)?;
        if last.is_some_and(|last| number != last + 1) {
            skips += 1;
            ensure!(
                number.is_multiple_of(PICTURES_PER_GROUP),
                "skipped to picture {number}, which is no key"
            );
        }
        last = Some(number);
    }
    let own = slow.socket().local_addr()?.to_string();
    wait::until("the API to count what was skipped", SOON, || {
        let list = api(&siege.server, "GET", "/v3/rtmpconns/list", "")?;
        let items = list["items"].as_array().context("items")?;
        let item = items.iter().find(|item| item["remoteAddr"] == own.as_str()).context("the slow one")?;
        Ok((item["outboundFramesDiscarded"].as_u64() > Some(10)).then_some(()))
    })?;
    ensure!(siege.server.counter("skips_overrun")? >= 2);
    fast.advance(50)?;
    fast.finish_whole()?;
    publisher.finish()?;
    siege.end()
}
