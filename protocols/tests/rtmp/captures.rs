//! What real clients send, as their bytes came over TCP, recorded on 2026-11-21: ffmpeg 5.1.9 (Debian 12), ffmpeg 9.0.2,
//! GStreamer 1.22.0 (rtmp2sink, rtmp2src), mpv 0.35.1. Those of publishers stop inside a message.

use crate::support::{events_in_pieces, server};
use headwater_protocols::flv::{FourCc, Kind};
use headwater_protocols::rtmp::server::Event;
use std::time::Instant;

const ALL: [(&str, &[u8], &[&str]); 7] = [
    (
        "ffmpeg5-publish",
        include_bytes!("captures/ffmpeg5-publish.bin"),
        &[
            "connect live rtmp://127.0.0.1:21935/live FMLE/3.0 (compatible; Lavf59.27.100) legacy",
            "publish live/x user=u&pass=p Live",
            "Script 0 372",
            "Video 0 49",
            "Audio 0 7",
            "Audio 0 155",
            "Video 23 5149",
        ],
    ),
    (
        "ffmpeg9-publish-hevc",
        include_bytes!("captures/ffmpeg9-publish-hevc.bin"),
        &[
            "connect a/b rtmp://127.0.0.1:21935/a/b FMLE/3.0 (compatible; Lavf63.1.102) legacy",
            "publish a/b/c  Live",
            "Script 0 258",
            "Video 0 2457",
        ],
    ),
    (
        "gstreamer-publish",
        include_bytes!("captures/gstreamer-publish.bin"),
        &[
            "connect live rtmp://127.0.0.1:21935/live LNX 10,0,32,18 legacy",
            "publish live/g  Live",
            "Script 0 292",
            "Video 0 49",
            "Video 0 5839",
        ],
    ),
    (
        "ffmpeg5-play",
        include_bytes!("captures/ffmpeg5-play.bin"),
        &[
            "connect live rtmp://127.0.0.1:21935/live LNX 9,0,124,2 legacy",
            "play live/x token=t LiveOrRecorded",
            "stopped",
        ],
    ),
    (
        "ffmpeg9-play",
        include_bytes!("captures/ffmpeg9-play.bin"),
        &[
            "connect live rtmp://127.0.0.1:21935/live LNX 9,0,124,2 hvc1",
            "play live/x  LiveOrRecorded",
            "stopped",
        ],
    ),
    (
        "gstreamer-play",
        include_bytes!("captures/gstreamer-play.bin"),
        &["connect live rtmp://127.0.0.1:21935/live LNX 10,0,32,18 legacy", "play live/x  LiveOrRecorded"],
    ),
    (
        "mpv-play",
        include_bytes!("captures/mpv-play.bin"),
        &["connect live rtmp://127.0.0.1:21935/live LNX 9,0,124,2 legacy", "play live/x  LiveOrRecorded"],
    ),
];

fn outline(event: &Event) -> String {
    match event {
        Event::Connect(connect) => {
            let enhanced = if connect.capabilities.takes(FourCc::HVC1) { "hvc1" } else { "legacy" };
            format!("connect {} {} {} {enhanced}", connect.app, connect.tc_url, connect.flash_version)
        }
        Event::Publish(publish) => format!("publish {} {} {:?}", publish.path, publish.query, publish.kind),
        Event::Play(play) => format!("play {} {} {:?}", play.path, play.query, play.start),
        Event::Media { kind, timestamp_ms, payload } => {
            assert!(*kind != Kind::Script || payload.starts_with(b"\x02\x00\x0AonMetaData"));
            format!("{kind:?} {timestamp_ms} {}", payload.len())
        }
        Event::Stopped => "stopped".into(),
        other => format!("{other:?}"),
    }
}

#[test]
fn conversations_come_out_as_they_were_meant_in_any_pieces() {
    for (name, bytes, expected) in ALL {
        for piece_bytes in [usize::MAX, 1461, 100, 1] {
            let events = events_in_pieces(&mut server(Instant::now()), bytes, piece_bytes);
            let lines = events.iter().map(outline).collect::<Vec<_>>();
            assert_eq!(lines[..expected.len().min(lines.len())], *expected, "{name} in {piece_bytes}");
        }
    }
}
