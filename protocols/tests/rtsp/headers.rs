//! Tables of single headers and of URIs: text, what is read, and that writing and reading again changes nothing.

use headwater_protocols::rtsp::message::Uri;
use headwater_protocols::rtsp::range::{Range, SmpteRate, TimeCode};
use headwater_protocols::rtsp::rtp_info::RtpInfo;
use headwater_protocols::rtsp::transport::{Lower, Profile, Transport};
use std::time::Duration;

#[test]
fn transports_are_read() {
    let tcp = |channels| Transport { interleaved: Some(channels), ..Transport::new(Lower::Tcp) };
    let udp = |ports| Transport { client_port: Some(ports), ..Transport::new(Lower::Udp) };
    let rows: Vec<(&str, Vec<Transport>)> = vec![
        // ffmpeg, GStreamer.
        ("RTP/AVP/TCP;unicast;interleaved=0-1", vec![tcp((0, 1))]),
        ("RTP/AVP/UDP;unicast;client_port=14186-14187", vec![udp((14186, 14187))]),
        // VLC, live555.
        ("RTP/AVP;unicast;client_port=9300-9301", vec![udp((9300, 9301))]),
        // GStreamer's rtspsrc with all protocols.
        (
            "RTP/AVP;unicast;client_port=5000-5001,RTP/AVP;multicast,RTP/AVP/TCP;unicast;interleaved=0-1",
            vec![udp((5000, 5001)), Transport { multicast: true, ..Transport::new(Lower::Udp) }, tcp((0, 1))],
        ),
        // RFC 2326, section 12.39.
        (
            "RTP/AVP;multicast;ttl=127;mode=\"PLAY\",RTP/AVP;unicast;client_port=3456-3457;mode=\"PLAY\"",
            vec![
                Transport { multicast: true, ttl: Some(127), ..Transport::new(Lower::Udp) },
                udp((3456, 3457)),
            ],
        ),
        (
            "RTP/AVP/TCP;unicast;interleaved=2-3;mode=record",
            vec![Transport { mode_record: true, ..tcp((2, 3)) }],
        ),
        (
            "rtp/avp/tcp; Unicast ;Interleaved = 2-3;MODE=\"RECORD\"",
            vec![Transport { mode_record: true, ..tcp((2, 3)) }],
        ),
        (
            "RTP/AVP/TCP;unicast;mode=receive;interleaved=0-1",
            vec![Transport { mode_record: true, ..tcp((0, 1)) }],
        ),
        (
            "RTP/AVP/TCP;mode=\"PLAY,RECORD\";interleaved=0-1",
            vec![Transport { mode_record: true, ..tcp((0, 1)) }],
        ),
        // One port or channel stands for two.
        ("RTP/AVP;unicast;client_port=5000", vec![udp((5000, 5001))]),
        ("RTP/AVP/TCP;interleaved=4", vec![tcp((4, 5))]),
        ("RTP/AVP/TCP;unicast", vec![Transport::new(Lower::Tcp)]),
        ("RTP/SAVPF/TCP;interleaved=0-1", vec![Transport { profile: Profile::Savpf, ..tcp((0, 1)) }]),
        // A Dahua camera's answer.
        (
            "RTP/AVP;unicast;client_port=4588-4589;server_port=20908-20909;ssrc=0d12F123;source=192.168.1.108;destination=10.0.0.1",
            vec![Transport {
                server_port: Some((20908, 20909)),
                ssrc: Some(0x0D12_F123),
                source: Some("192.168.1.108".into()),
                destination: Some("10.0.0.1".into()),
                ..udp((4588, 4589))
            }],
        ),
        // What makes no sense is skipped: parameters alone, or the alternative.
        ("RTP/AVP/TCP;interleaved=0-1;ssrc=;ssrc=zz;ttl=999;server_port=x;;foo", vec![tcp((0, 1))]),
        (
            "RAW/RAW/UDP;unicast, RTP/AVP/SCTP, RTP/AVP;client_port=x, RTP/AVP/TCP;interleaved=0-1",
            vec![tcp((0, 1))],
        ),
        (
            "RTP/AVP/TCP;interleaved=3-3, RTP/AVP/TCP;interleaved=255, RTP/AVP/TCP;interleaved=255-0",
            vec![tcp((255, 0))],
        ),
    ];
    for (text, expected) in rows {
        let read = Transport::parse_list(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read, expected, "{text}");
        for transport in read {
            assert_eq!(
                Transport::parse_list(&transport.write()),
                Ok(vec![transport.clone()]),
                "{}",
                transport.write()
            );
        }
    }
}

#[test]
fn transports_nobody_understands_are_461() {
    for text in [
        "",
        ",",
        "RTP",
        "RTP/XYZ",
        "UDP/RTP/AVP",
        "RTP/AVP;client_port=70000-70001",
        "RTP/AVP/TCP;interleaved=256-257",
        "\"RTP/AVP",
    ] {
        let error = Transport::parse_list(text).expect_err(text);
        assert_eq!((error.kind(), error.status().0), ("unsupported", 461), "{text}");
    }
}

#[test]
fn ranges_are_read() {
    let npt = |start, end| Range::Npt { start, end };
    let seconds = Duration::from_secs;
    let code =
        |hours, minutes, seconds, frames, subframes| TimeCode { hours, minutes, seconds, frames, subframes };
    let rows = [
        ("npt=0.000-", npt(Some(0.0), None)),
        ("npt=0-", npt(Some(0.0), None)),
        ("npt=now-", Range::NOW),
        ("npt=now", Range::NOW),
        (" NPT = 1.5 - 20.25 ", npt(Some(1.5), Some(20.25))),
        ("npt=123.45-125;time=19970123T143720Z", npt(Some(123.45), Some(125.0))),
        ("npt=12:05:35.3-", npt(Some(43_535.3), None)),
        ("npt=-5", npt(None, Some(5.0))),
        // RFC 2326, section 3.7: noon and 20 minutes on 8 November 1996.
        (
            "clock=19961108T142300Z-19961108T143520Z",
            Range::Clock { start: seconds(847_462_980), end: Some(seconds(847_463_720)) },
        ),
        (
            "clock=20240229T235959.25Z-",
            Range::Clock { start: Duration::from_millis(1_709_251_199_250), end: None },
        ),
        (
            "smpte=10:12:33:20-",
            Range::Smpte { rate: SmpteRate::Drop30, start: code(10, 12, 33, 20, 0), end: None },
        ),
        (
            "smpte-30-drop=0:00:01-0:00:02:03.04",
            Range::Smpte {
                rate: SmpteRate::Drop30,
                start: code(0, 0, 1, 0, 0),
                end: Some(code(0, 0, 2, 3, 4)),
            },
        ),
        (
            "smpte-25=10:07:00-10:07:33:05.01",
            Range::Smpte {
                rate: SmpteRate::Fps25,
                start: code(10, 7, 0, 0, 0),
                end: Some(code(10, 7, 33, 5, 1)),
            },
        ),
    ];
    for (text, expected) in rows {
        let read = Range::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read, expected, "{text}");
        assert_eq!(Range::parse(&read.to_string()), Ok(read), "{read}");
    }
    assert_eq!(Range::NOW.to_string(), "npt=now-");
    assert_eq!(npt(Some(0.0), None).to_string(), "npt=0-");
}

#[test]
fn ranges_that_are_no_time_are_refused() {
    for text in [
        "",
        "npt",
        "npt=x-",
        "npt=1e5-",
        "npt=inf-",
        "npt=--",
        "npt=1:2-",
        "npt=0:60:00-",
        "npt=1.-2.x",
        "clock=-",
        "clock=19961108T142361Z-",
        "clock=19960230T000000Z-",
        "clock=19961108T250000Z-",
        "clock=1996110T1423000Z-",
        "smpte=1:2-",
        "smpte=00:60:00-",
        "clock=é9961108T142300Z-",
    ] {
        let error = Range::parse(text).expect_err(text);
        assert_eq!((error.kind(), error.status().0), ("invalid", 400), "{text}");
    }
    assert_eq!(Range::parse("parsec=1-2").expect_err("unit").status().0, 457);
}

#[test]
fn rtp_infos_are_read() {
    let info = |url: &str, seq, rtptime| RtpInfo { url: url.to_owned(), seq, rtptime };
    let rows = [
        // RFC 2326, section 12.33.
        (
            "url=rtsp://foo.com/bar.avi/streamid=0;seq=45102,url=rtsp://foo.com/bar.avi/streamid=1;seq=30211",
            vec![
                info("rtsp://foo.com/bar.avi/streamid=0", Some(45102), None),
                info("rtsp://foo.com/bar.avi/streamid=1", Some(30211), None),
            ],
        ),
        // An Axis camera: a query in the URL.
        (
            "url=rtsp://192.168.0.3/axis-media/media.amp/stream=0?resolution=176x144&fps=1;seq=10176;rtptime=2419713327",
            vec![info(
                "rtsp://192.168.0.3/axis-media/media.amp/stream=0?resolution=176x144&fps=1",
                Some(10176),
                Some(2_419_713_327),
            )],
        ),
        // Hikvision and Dahua: ssrc, capitals, spaces.
        ("url=trackID=1;seq=1;rtptime=0;ssrc=1234ABCD", vec![info("trackID=1", Some(1), Some(0))]),
        (
            "URL=rtsp://h/a ; Seq = 5 ; RTPTime=7 , url=\"rtsp://h/b\"",
            vec![info("rtsp://h/a", Some(5), Some(7)), info("rtsp://h/b", None, None)],
        ),
        // Commas and semicolons of the URL stay in it; numbers out of range are as if absent.
        ("url=rtsp://h/a,b;c=d;seq=70000;rtptime=-1", vec![info("rtsp://h/a,b;c=d", None, None)]),
        ("seq=3;rtptime=4", vec![info("", Some(3), Some(4))]),
        ("", vec![]),
    ];
    for (text, expected) in rows {
        let read = RtpInfo::parse_list(text);
        assert_eq!(read, expected, "{text}");
        assert_eq!(RtpInfo::parse_list(&RtpInfo::write_list(&read)), read, "{text}");
    }
}

#[test]
fn uris_are_taken_apart() {
    let uri =
        |scheme, host, port, path, query| Uri { scheme, user: None, password: None, host, port, path, query };
    let rows = [
        ("rtsp://h", uri("rtsp", "h", None, "", None)),
        ("rtsp://h/", uri("rtsp", "h", None, "", None)),
        ("rtsp://h:8554/live/x", uri("rtsp", "h", Some(8554), "live/x", None)),
        ("rtsp://h:/a", uri("rtsp", "h", None, "a", None)),
        ("RTSPS://h/a%20b?c=d?e", uri("RTSPS", "h", None, "a%20b", Some("c=d?e"))),
        ("rtsp://h?x", uri("rtsp", "h", None, "", Some("x"))),
        ("rtsp://[fe80::1%25eth0]:554/a", uri("rtsp", "fe80::1%25eth0", Some(554), "a", None)),
        ("*", uri("", "", None, "*", None)),
        ("/live/x?y", uri("", "", None, "live/x", Some("y"))),
        ("rtsp://u@h/a", Uri { user: Some("u"), ..uri("rtsp", "h", None, "a", None) }),
        (
            "rtsp://u:p:q@r@h:1/a",
            Uri { user: Some("u"), password: Some("p:q@r"), ..uri("rtsp", "h", Some(1), "a", None) },
        ),
    ];
    for (text, expected) in rows {
        let read = Uri::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read, expected, "{text}");
        let written = read.without_credentials();
        assert_eq!(Uri::parse(&written), Ok(Uri { user: None, password: None, ..read }), "{written}");
    }
    for text in [
        "",
        "h/a",
        "rtsp:/h",
        "://h/a",
        "rtsp:///a",
        "rtsp://u@/a",
        "rtsp://h:x/",
        "rtsp://h:99999/",
        "rtsp://[::1/a",
        "rtsp://[::1]x/",
        "1rtsp://h/",
        "rt sp://h/",
    ] {
        assert_eq!(Uri::parse(text).expect_err(text).kind(), "invalid", "{text}");
    }
}
