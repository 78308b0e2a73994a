//! Commands one by one, as clients in the field send them.

use crate::support::{IDLE, Peer, server};
use bytes::{Bytes, BytesMut};
use headwater_protocols::amf0::Value;
use headwater_protocols::flv::Kind;
use headwater_protocols::limits::{RTMP_AHEAD_BYTES_MAX, RTMP_COMMAND_BYTES_MAX, RTMP_MESSAGE_BYTES_MAX};
use headwater_protocols::rtmp::Error;
use headwater_protocols::rtmp::message::{UserControl, type_id};
use headwater_protocols::rtmp::server::{Event, PublishKind, Refusal, Start};
use std::time::{Duration, Instant};

fn publishing() -> Peer {
    let mut peer = Peer::connected("live");
    let events = peer.call("publish", 5.0, &["x".into(), "live".into()]);
    assert!(matches!(&events[..], [Event::Publish(publish)] if publish.path == "live/x"));
    peer.server.accept();
    assert_eq!(peer.outline(), ["onStatus NetStream.Publish.Start"]);
    peer
}

fn playing() -> Peer {
    let mut peer = Peer::connected("live");
    let events = peer.call("play", 5.0, &["x".into()]);
    assert!(matches!(&events[..], [Event::Play(play)] if play.path == "live/x"));
    peer.server.accept();
    peer.received();
    peer
}

#[test]
fn the_answer_to_connect_says_what_the_server_can() {
    let mut peer = Peer::new();
    let list = Value::StrictArray(vec!["hvc1".into()]);
    let object = Value::object([("tcUrl", "rtmp://h/a/b?token=t".into()), ("fourCcList", list)]);
    let events = peer.send(&["connect".into(), 1.0.into(), object]);
    assert!(matches!(&events[..], [Event::Connect(connect)] if connect.app.is_empty()));
    peer.server.accept();
    let received = peer.received();
    let types = received.iter().map(|message| message.type_id).collect::<Vec<_>>();
    let control =
        [type_id::WINDOW_ACKNOWLEDGEMENT_SIZE, type_id::SET_PEER_BANDWIDTH, type_id::SET_CHUNK_SIZE];
    assert_eq!((&types[..3], types[3]), (&control[..], type_id::COMMAND_AMF0));
    let values = headwater_protocols::amf0::parse_all(&received[3].payload).expect("AMF0");
    assert_eq!(values[0].as_str(), Some("_result"));
    for object in &values[2..4] {
        assert!(object.get("videoFourCcInfoMap").and_then(|map| map.get("hvc1")).is_some());
        assert!(object.get("capsEx").is_some() && object.get("fourCcList").is_some());
    }
    // Without `app`, the path comes from `tcUrl`.
    let events = peer.call("publish", 5.0, &["k?user=u".into(), "record".into()]);
    let [Event::Publish(publish)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&*publish.path, &*publish.query), ("a/b/k", "user=u&token=t"));
    assert_eq!(publish.kind, PublishKind::Record);
}

#[test]
fn what_librtmp_asks_for_besides_is_answered() {
    let mut peer = Peer::connected("live");
    for (name, expected) in [
        ("releaseStream", &["_result"][..]),
        ("FCPublish", &["_result", "onFCPublish NetStream.Publish.Start"]),
        ("FCSubscribe", &["_result", "onFCSubscribe NetStream.Play.Start"]),
        ("FCUnpublish", &["_result", "onFCUnpublish NetStream.Unpublish.Success"]),
        ("_checkbw", &["_result"]),
        ("getStreamLength", &["_result"]),
        ("createStream", &["_result"]),
        ("unheardOf", &["_error NetConnection.Call.Failed"]),
        ("onStatus", &[]),
    ] {
        assert!(peer.call(name, 9.0, &["x".into()]).is_empty());
        assert_eq!(peer.outline(), expected, "{name}");
    }
    assert!(peer.call("_checkbw", 0.0, &[]).is_empty() && peer.outline().is_empty(), "no answer expected");
    peer.call("createStream", 4.0, &[]);
    assert_eq!(peer.commands()[0][1..], [4.0.into(), Value::Null, 1.0.into()]);
}

#[test]
fn play_tells_where_to_start_and_is_announced() {
    for (start, expected) in [
        (None, Start::LiveOrRecorded),
        (Some(-2000.0), Start::LiveOrRecorded),
        (Some(-2.0), Start::LiveOrRecorded),
        (Some(-1.0), Start::Live),
        (Some(-1000.0), Start::Live),
        (Some(f64::NAN), Start::LiveOrRecorded),
        (Some(1500.0), Start::Recorded { milliseconds: 1500 }),
    ] {
        let mut peer = Peer::connected("live");
        let arguments = [Value::from("x")].into_iter().chain(start.map(Value::from)).collect::<Vec<_>>();
        let events = peer.call("play", 5.0, &arguments);
        assert!(matches!(&events[..], [Event::Play(play)] if play.start == expected), "{events:?}");
    }
    let mut peer = Peer::connected("live");
    peer.call("play", 5.0, &["x".into()]);
    peer.server.accept();
    let received = peer.received();
    assert_eq!(
        UserControl::parse(&received[0].payload),
        Ok(Some(UserControl::StreamBegin { message_stream: 1 }))
    );
    assert_eq!(received.len(), 4, "begin, reset, start, and one of data");
    assert_eq!(peer.server.poll_timeout(), None, "a player has nothing to say");
}

#[test]
fn a_reader_pauses_chooses_and_stops() {
    let mut peer = playing();
    assert_eq!(peer.call("pause", 0.0, &[true.into(), 0.0.into()]), [Event::Pause(true)]);
    assert_eq!(peer.call("pause", 0.0, &[false.into(), 0.0.into()]), [Event::Pause(false)]);
    assert_eq!(peer.outline(), ["onStatus NetStream.Pause.Notify", "onStatus NetStream.Unpause.Notify"]);
    assert_eq!(peer.call("receiveAudio", 0.0, &[false.into()]), [Event::ReceiveAudio(false)]);
    assert_eq!(peer.call("receiveVideo", 0.0, &[true.into()]), [Event::ReceiveVideo(true)]);
    assert!(peer.call("play", 6.0, &["y".into()]).is_empty(), "one stream at a time");
    assert_eq!(peer.outline(), ["onStatus NetStream.Play.Failed"]);
    assert_eq!(peer.call("deleteStream", 0.0, &[1.0.into()]), [Event::Stopped]);
    assert!(peer.call("deleteStream", 0.0, &[1.0.into()]).is_empty(), "once");
    assert!(matches!(peer.call("publish", 5.0, &["y".into()])[..], [Event::Publish(_)]));
}

#[test]
fn refusals_have_the_codes_clients_know_and_end_the_connection() {
    for (name, refusal, code) in [
        ("publish", Refusal::Unauthorized, "onStatus NetStream.Publish.Unauthorized"),
        ("publish", Refusal::Busy, "onStatus NetStream.Publish.BadName"),
        ("publish", Refusal::Failed, "onStatus NetStream.Failed"),
        ("play", Refusal::Unauthorized, "onStatus NetStream.Play.Failed"),
        ("play", Refusal::NotFound, "onStatus NetStream.Play.StreamNotFound"),
    ] {
        let mut peer = Peer::connected("live");
        peer.call(name, 5.0, &["x".into()]);
        peer.server.refuse(refusal, "no");
        assert_eq!(peer.outline(), [code]);
        assert!(peer.server.close_after_transmit());
        assert_eq!(peer.events(), [Event::Closed(None)]);
    }
    let mut peer = Peer::new();
    peer.send(&["connect".into(), 1.0.into(), Value::object([])]);
    peer.server.refuse(Refusal::NotFound, "no");
    assert_eq!(peer.outline(), ["_error NetConnection.Connect.Rejected"]);
}

#[test]
fn media_of_all_message_types_come_out() {
    let mut peer = publishing();
    let media = |kind, timestamp_ms, payload: &'static [u8]| {
        let payload = Bytes::from_static(payload);
        vec![Event::Media { kind, timestamp_ms, payload }]
    };
    assert_eq!(peer.send_message(type_id::AUDIO, b"\xAF\x01a"), media(Kind::Audio, 9, b"\xAF\x01a"));
    assert!(peer.send_message(type_id::VIDEO, b"").is_empty());
    let body = b"\x02\x00\x0AonMetaData\x05";
    let marked = [b"\x02\x00\x0D@setDataFrame", &body[..]].concat();
    for (kind, bytes) in [
        (type_id::DATA_AMF0, body.to_vec()),
        (type_id::DATA_AMF0, marked.clone()),
        (type_id::DATA_AMF3, [&[0], &marked[..]].concat()),
    ] {
        assert_eq!(peer.send_message(kind, &bytes), media(Kind::Script, 9, body));
    }
    assert!(peer.send_message(type_id::DATA_AMF0, b"\x02\x00\x0F@clearDataFrame\x05").is_empty());
    // An aggregate whose tags are at 100 and 140 ms of another clock; the last back pointer is missing.
    let aggregate = b"\x08\0\0\x01\0\0\x64\0\0\0\0A\0\0\0\x0C\x09\0\0\x02\0\0\x8C\0\0\0\0BC";
    let expected = [media(Kind::Audio, 9, b"A"), media(Kind::Video, 49, b"BC")].concat();
    assert_eq!(peer.send_message(type_id::AGGREGATE, aggregate), expected);
    assert!(matches!(
        peer.send_message(type_id::AGGREGATE, &aggregate[..28])[..],
        [_, Event::Closed(Some(_))]
    ));
}

#[test]
fn commands_of_the_amf3_type_are_read() {
    let mut peer = Peer::connected("live");
    let mut body = BytesMut::from(&[0][..]);
    [Value::from("publish"), 5.0.into(), Value::Null, "x".into()]
        .iter()
        .for_each(|value| value.write(&mut body));
    assert!(matches!(peer.send_message(type_id::COMMAND_AMF3, &body)[..], [Event::Publish(_)]));
}

#[test]
fn pings_are_answered_and_bytes_acknowledged() {
    let mut peer = publishing();
    let ping = UserControl::PingRequest { timestamp: 77 };
    assert!(peer.send_message(type_id::USER_CONTROL, &ping.write()).is_empty());
    let pong = UserControl::parse(&peer.received()[0].payload);
    assert_eq!(pong, Ok(Some(UserControl::PingResponse { timestamp: 77 })));
    assert!(peer.send_message(type_id::WINDOW_ACKNOWLEDGEMENT_SIZE, &2000u32.to_be_bytes()).is_empty());
    peer.received();
    peer.send_message(type_id::VIDEO, &[1; 3000]);
    let received = peer.received();
    assert_eq!((received.len(), received[0].type_id), (1, type_id::ACKNOWLEDGEMENT));
    peer.send_message(type_id::VIDEO, &[1; 100]);
    assert!(peer.received().is_empty(), "not before another window");
    for sequence in [5000u32, u32::MAX - 1, 90] {
        let step = sequence.wrapping_sub(peer.server.acknowledged_bytes() as u32);
        let before = peer.server.acknowledged_bytes();
        peer.send_message(type_id::ACKNOWLEDGEMENT, &sequence.to_be_bytes());
        let expected = before + if step < 1 << 31 { u64::from(step) } else { 0 };
        assert_eq!(peer.server.acknowledged_bytes(), expected);
    }
}

#[test]
fn before_admission_messages_are_short_and_little_is_taken_ahead() {
    let mut peer = Peer::connected("live");
    let long = vec![1; RTMP_COMMAND_BYTES_MAX + 1];
    assert!(matches!(
        peer.send_message(type_id::VIDEO, &long)[..],
        [Event::Closed(Some(Error::Limit { .. }))]
    ));
    let mut peer = publishing();
    assert!(matches!(peer.send_message(type_id::VIDEO, &long)[..], [Event::Media { .. }]));
    let longer = vec![1; RTMP_MESSAGE_BYTES_MAX + 1];
    assert!(matches!(
        peer.send_message(type_id::VIDEO, &longer)[..],
        [Event::Closed(Some(Error::Limit { .. }))]
    ));

    let mut peer = Peer::connected("live");
    peer.call("publish", 5.0, &["x".into()]);
    assert!(peer.send_message(type_id::AUDIO, b"ab").is_empty(), "waits for the answer");
    assert!(peer.send_message(type_id::AUDIO, b"cd").is_empty());
    peer.server.accept();
    assert_eq!(peer.events().len(), 2, "in order, after the answer");
    let mut peer = Peer::connected("live");
    peer.call("publish", 5.0, &["x".into()]);
    let events = (0..3)
        .flat_map(|_| peer.send_message(type_id::AUDIO, &[0; RTMP_AHEAD_BYTES_MAX]))
        .collect::<Vec<_>>();
    assert!(matches!(events[..], [Event::Closed(Some(Error::Limit { .. }))]), "{events:?}");
}

#[test]
fn the_order_of_commands_is_kept() {
    let mut peer = Peer::new();
    let events = peer.call("publish", 5.0, &["x".into()]);
    assert!(matches!(events[..], [Event::Closed(Some(Error::Misbehaved { .. }))]));
    let mut peer = Peer::connected("live");
    assert!(peer.send_message(type_id::VIDEO, b"\x17\x01").is_empty(), "media of nobody");
    let events = peer.send(&["connect".into(), 1.0.into(), Value::object([])]);
    assert!(matches!(events[..], [Event::Closed(Some(Error::Misbehaved { .. }))]));
}

#[test]
fn silence_ends_a_connection_except_a_players() {
    let now = Instant::now();
    let mut silent = server(now);
    assert_eq!(silent.poll_timeout(), Some(now + IDLE));
    silent.handle_timeout(now + IDLE - Duration::from_millis(1));
    assert_eq!(silent.poll_event(), None);
    silent.handle_timeout(now + IDLE);
    assert!(matches!(silent.poll_event(), Some(Event::Closed(Some(Error::Limit { .. })))));
    assert_eq!((silent.poll_event(), silent.poll_timeout()), (None, None));

    let mut peer = publishing();
    peer.now += IDLE - Duration::from_secs(1);
    peer.send_message(type_id::AUDIO, b"a");
    assert_eq!(peer.server.poll_timeout(), Some(peer.now + IDLE));
}

#[test]
fn the_end_of_a_stream_is_told_to_its_reader() {
    let mut peer = playing();
    peer.server.end();
    let received = peer.received();
    assert_eq!(
        UserControl::parse(&received[0].payload),
        Ok(Some(UserControl::StreamEof { message_stream: 1 }))
    );
    assert_eq!(received.len(), 4);
    assert_eq!(peer.events(), [Event::Closed(None)]);
    let mut peer = publishing();
    peer.server.handle_eof();
    assert_eq!(peer.events(), [Event::Closed(None)]);
}
