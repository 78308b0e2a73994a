//! The lines: leniency, limits, round trips, and the oracle.

use crate::fixtures::{ALL, AXIS, FFMPEG, HIKVISION, HIKVISION_SERVER};
use headwater_protocols::limits::{SDP_ATTRIBUTES_MAX, SDP_LINES_MAX, TRACKS_MAX};
use headwater_protocols::sdp::{Attribute, Connection, Error, Origin, SessionDescription};
use std::io::Cursor;

fn parse(text: &str) -> SessionDescription {
    SessionDescription::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn lines_are_read() {
    let axis = parse(AXIS);
    let origin = Origin {
        username: "-".into(),
        session_id: "9316026343136633650".into(),
        session_version: "1".into(),
        address_type: "IP4".into(),
        address: "192.168.0.106".into(),
    };
    assert_eq!((&axis.origin, &*axis.name), (&origin, "Session streamed with GStreamer"));
    assert_eq!(axis.information.as_deref(), Some("rtsp-server"));
    assert_eq!(axis.control(), Some("rtsp://192.168.0.106/axis-media/media.amp"));
    assert_eq!((axis.timing, axis.connection), ((0, 0), None));
    let video = &axis.media[0];
    let zero = Connection { address_type: "IP4".into(), address: "0.0.0.0".into() };
    assert_eq!((&*video.kind, video.port, &*video.protocol), ("video", 0, "RTP/AVP"));
    assert_eq!((&video.formats[..], &video.connection), (&["96".into()][..], &Some(zero)));
    assert_eq!(video.bandwidth, [("AS".into(), 50_000)]);
    assert_eq!(video.attributes("recvonly").next(), Some(""));
    assert!(video.attributes("transform").next().unwrap().ends_with("1.000000"));
    assert!(!video.is_back_channel());

    let hikvision = parse(HIKVISION_SERVER);
    assert_eq!(hikvision.bandwidth, [("AS".into(), 1034)]);
    assert_eq!(
        &*hikvision.information.unwrap(),
        "HIK Media Server Session Description : standard",
        "the session's"
    );
    assert_eq!(hikvision.media[1].bandwidth, [("AS".into(), 10)]);
}

/// What devices do to the format; each row says the same as its plain form.
#[test]
fn careless_descriptions_are_read() {
    let plain = parse(FFMPEG);
    let rows: [(&str, String); 8] = [
        ("bare LF", FFMPEG.replace("\r\n", "\n")),
        ("bare CR", FFMPEG.replace("\r\n", "\r")),
        ("empty lines", FFMPEG.replace("\r\n", "\r\n\r\n")),
        ("spaces at both ends", FFMPEG.replace("\r\n", " \t\r\n  ")),
        (
            "spaces around the sign",
            FFMPEG.replacen("a=", "a = ", 3).replacen("m=", "m= ", 2).replacen("c=", "c =", 1),
        ),
        ("trailing NUL (Hikvision 5.4)", format!("{FFMPEG}\0\0")),
        ("lines nobody knows", FFMPEG.replace("t=0 0", "t=0 0\r\nx=y\r\nnonsense\r\n=\r\nQ")),
        ("no final line end", FFMPEG.trim_end().to_owned()),
    ];
    for (what, text) in rows {
        assert_eq!(parse(&text), plain, "{what}");
    }
    let minimal = parse("m=video 0 RTP/AVP 96");
    assert_eq!((minimal.origin, &*minimal.name, minimal.media.len()), (Origin::default(), "", 1));
}

#[test]
fn session_lines_may_come_in_any_order() {
    let text = "a=control:*\nt=1 2\nb=AS:5\ni=info\ns= name \nc=IN IP6 ::1\no=me 1 2 IN IP6 ::1\nv=0\nm=audio 0 RTP/AVP 0\n";
    let read = parse(text);
    assert_eq!((&*read.name, read.timing, read.control()), ("name", (1, 2), Some("*")));
    assert_eq!((&*read.origin.username, &*read.connection.unwrap().address_type), ("me", "IP6"));
}

#[test]
fn odd_origins_names_and_media_lines() {
    let origin = |line: &str| parse(&format!("o={line}\nm=audio 0 RTP/AVP 0")).origin;
    assert_eq!(origin("IN IP4 h"), Origin::default(), "too short");
    assert_eq!(&*origin("my camera 1 2 IN IP4 h").username, "my_camera");
    assert_eq!(&*origin("1 2 IN IP4 h").username, "-");
    assert_eq!(&*origin("- 15404613757824320910 99999999999999999999 IN IP4 Byron-PC").address, "Byron-PC");
    assert_eq!(origin("- 1 2 OUT IP4 h"), Origin::default());
    let bytes = b"v=0\r\ns=\xB4\xF3\xBB\xAA\r\nm=audio 0 RTP/AVP 0\r\n";
    assert!(SessionDescription::parse(bytes).unwrap().name.contains('\u{FFFD}'));

    let media = |line: &str| {
        let media = parse(&format!("m={line}")).media.remove(0);
        (media.port, media.protocol.to_string(), media.formats.join(" "))
    };
    let expected = |port, formats: &str| (port, "RTP/AVP".to_owned(), formats.to_owned());
    assert_eq!(media("video 5000 RTP/AVP 96 97"), expected(5000, "96 97"));
    assert_eq!(media("video 5000/2 RTP/AVP 96"), expected(5000, "96"));
    assert_eq!(media("video 5000 6000 RTP/AVP 96"), expected(5000, "96"));
    let kept = parse("c=IN IP4 h\nc=garbage\nm=audio 0 RTP/AVP 0").connection;
    assert_eq!(&*kept.unwrap().address, "h");
    assert_eq!(media("video RTP/AVP 96"), expected(0, "96"));
    assert_eq!(media("video  99999   RTP/AVP   96"), expected(0, "96"));
    assert_eq!(media("video 0 RTP/AVP"), expected(0, ""));
    assert!(parse("m=audio 0 RTP/AVP 0\na=sendonly").media[0].is_back_channel());
}

#[test]
fn what_is_no_description_is_refused() {
    let rows: [(&[u8], &str, &str); 7] = [
        (b"", "invalid", "text"),
        (b"\0\0\r\n", "invalid", "text"),
        (b"<html><body>404</body></html>", "invalid", "text"),
        (b"x=y\r\nq=1\r\n", "invalid", "text"),
        (b"v=0\r\nm=video\r\n", "invalid", "media line"),
        (b"v=0\r\nm=\r\n", "invalid", "media line"),
        (b"v=0\r\nm=video 0 0\r\n", "invalid", "media line"),
    ];
    for (bytes, kind, what) in rows {
        let error = SessionDescription::parse(bytes).expect_err(what);
        assert_eq!(error.kind(), kind);
        assert!(matches!(error, Error::Invalid { what: said, .. } if said == what), "{error}");
    }
    let error = SessionDescription::parse(b"v=0\r\ns=x\r\nm=video\r\n").expect_err("line 3");
    assert!(matches!(error, Error::Invalid { line: 3, .. }), "{error}");
}

#[test]
fn limits_hold_at_both_sides() {
    let lines = |count: usize| "k=x\n".repeat(count);
    let attributes = |count: usize| format!("m=audio 0 RTP/AVP 0\n{}", "a=x\n".repeat(count));
    let session_attributes = |count: usize| "a=x\n".repeat(count);
    let media = |count: usize| "m=audio 0 RTP/AVP 0\n".repeat(count);
    type Text<'a> = &'a dyn Fn(usize) -> String;
    let rows: [(&str, Text<'_>, usize); 4] = [
        ("lines", &lines, SDP_LINES_MAX),
        ("attributes", &attributes, SDP_ATTRIBUTES_MAX),
        ("attributes", &session_attributes, SDP_ATTRIBUTES_MAX),
        ("media sections", &media, TRACKS_MAX),
    ];
    for (what, text, limit) in rows {
        assert!(SessionDescription::parse(text(limit).as_bytes()).is_ok(), "{what} at the limit");
        let error = SessionDescription::parse(text(limit + 1).as_bytes()).expect_err(what);
        assert!(matches!(error, Error::Limit { what: said, max } if said == what && max == limit), "{error}");
        assert_eq!(error.kind(), "limit");
    }
}

#[test]
fn written_descriptions_read_the_same() {
    for (name, text, _) in ALL {
        let read = parse(text);
        assert_eq!(parse(&read.write()), read, "{name}");
    }
    // Found by fuzzing: spaces that only Unicode calls so, before a field that is dropped.
    let read = parse("c=IN IP4 h\u{a0} 1\na=k:\u{2003}\nm=video 0 RTP/AVP \u{a0}96");
    assert_eq!(parse(&read.write()), read);
    // ffmpeg's own order is the order of the RFC, so nothing changes at all.
    assert_eq!(parse(FFMPEG).write(), FFMPEG);
}

#[test]
fn what_is_written_cannot_hold_another_line() {
    let mut read = parse(HIKVISION);
    read.name = "x\r\na=evil".into();
    read.media[0]
        .attributes
        .push(Attribute { key: "k\n".into(), value: Some("v\r\nm=evil 0 RTP/AVP 0".into()) });
    let again = parse(&read.write());
    assert_eq!((again.media.len(), again.attribute("evil")), (1, None));
}

/// The `sdp` crate reads what we read, wherever it reads it at all, and everything we write.
#[test]
fn the_oracle_agrees() {
    for (name, text, accepted) in ALL {
        let ours = parse(text);
        let theirs = sdp::SessionDescription::unmarshal(&mut Cursor::new(text.as_bytes()));
        assert_eq!(theirs.is_ok(), accepted, "{name}: {theirs:?}");
        for theirs in theirs.into_iter().chain(Some(reread(&ours))) {
            assert_eq!(theirs.origin.session_id.to_string(), *ours.origin.session_id, "{name}");
            assert_eq!(theirs.origin.unicast_address, *ours.origin.address, "{name}");
            assert_eq!(theirs.session_name, *ours.name, "{name}");
            assert_eq!(theirs.media_descriptions.len(), ours.media.len(), "{name}");
            for (theirs, ours) in theirs.media_descriptions.iter().zip(&ours.media) {
                let line = &theirs.media_name;
                assert_eq!(
                    (line.media.as_str(), line.protos.join("/")),
                    (&*ours.kind, ours.protocol.to_string())
                );
                assert_eq!(line.formats, ours.formats.iter().map(|f| f.to_string()).collect::<Vec<_>>());
                let attributes: Vec<_> =
                    theirs.attributes.iter().map(|a| (a.key.as_str(), a.value.as_deref())).collect();
                let expected: Vec<_> =
                    ours.attributes.iter().map(|a| (&*a.key, a.value.as_deref())).collect();
                assert_eq!(attributes, expected, "{name}");
            }
        }
    }
}

fn reread(description: &SessionDescription) -> sdp::SessionDescription {
    let text = description.write();
    sdp::SessionDescription::unmarshal(&mut Cursor::new(text.as_bytes()))
        .unwrap_or_else(|e| panic!("{e}: {text}"))
}
