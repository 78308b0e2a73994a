//! From descriptions to tracks and back, and from controls to URLs.

use crate::fixtures::{ALL, AXIS, DAHUA, FFMPEG, GSTREAMER, HIKVISION_SERVER, SONY, VLC};
use headwater_protocols::sdp::{Error, SessionDescription, describe, resolve_control, tracks};
use headwater_protocols::track::{Codec, Medium, Track};

fn read(text: &str) -> Vec<(Track, Option<String>)> {
    tracks(&SessionDescription::parse(text.as_bytes()).unwrap())
        .unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn one(lines: &str) -> Track {
    read(lines).remove(0).0
}

/// `medium codec/clock/channels payload-type control`.
fn outline(text: &str) -> Vec<String> {
    let line = |(track, control): (Track, Option<String>)| {
        let Track { medium, codec, clock_rate, channels, payload_type, .. } = track;
        let control = control.unwrap_or_default();
        format!("{medium:?} {codec}/{clock_rate}/{channels} {payload_type} {control}")
    };
    read(text).into_iter().map(line).collect()
}

#[test]
fn tracks_of_devices() {
    let axis = "rtsp://192.168.0.106/axis-media/media.amp/stream=";
    let vlc = "rtsp://192.168.0.100:8554/aaaa/trackID=";
    let rows: [(&str, Vec<String>); 7] = [
        (
            FFMPEG,
            vec![
                "Video H264/90000/0 96 streamid=0".into(),
                "Audio MPEG-4 Audio/48000/1 97 streamid=1".into(),
            ],
        ),
        (
            GSTREAMER,
            vec![
                "Audio MPEG-4 Audio LATM/44100/1 96 stream=1".into(),
                "Video H264/90000/0 99 stream=0".into(),
            ],
        ),
        (
            HIKVISION_SERVER,
            vec!["Video H264/90000/0 96 trackID=video".into(), "Audio G711/8000/1 8 trackID=audio".into()],
        ),
        (
            DAHUA,
            vec![
                "Video H264/90000/0 96 trackID=0".into(),
                "Application stream-assist-frame/90000/0 100 trackID=3".into(),
                "Application vnd.onvif.metadata/90000/0 107 trackID=4".into(),
                "Audio G711/8000/1 8 trackID=6".into(),
            ],
        ),
        (
            AXIS,
            vec![format!("Video H264/90000/0 96 {axis}0"), format!("Audio MPEG-4 Audio/8000/1 97 {axis}1")],
        ),
        (
            SONY,
            vec![
                "Video H264/90000/0 98 trackID=2".into(),
                "Audio G711/8000/1 0 trackID=8".into(),
                "Application vnd.onvif.metadata/90000/0 107 trackID=13".into(),
            ],
        ),
        (
            VLC,
            vec![
                format!("Audio MPEG-4 Audio/8000/1 96 {vlc}0"),
                format!("Video MPEG-4 Video/90000/0 96 {vlc}1"),
            ],
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(outline(text), expected);
    }
}

#[test]
fn parameters_are_kept_as_they_are() {
    let video = one(FFMPEG);
    assert_eq!(&*video.rtpmap, "H264/90000");
    assert_eq!(
        &*video.format_parameters,
        "packetization-mode=1; sprop-parameter-sets=Z0LADNoFBn58BEAAAAMAQAAAB4PFCqg=,aM4PyA==; profile-level-id=42C00C"
    );
    assert!(one(VLC).format_parameters.ends_with("Profile=1"), "without the final semicolon");
    let twice =
        one("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 a=1;\na=fmtp:97 x\na=fmtp:96 b=2");
    assert_eq!(&*twice.format_parameters, "a=1; b=2");
    let bare = one("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:packetization-mode=1");
    assert_eq!(&*bare.format_parameters, "packetization-mode=1");
    let passed = one("m=audio 0 RTP/AVP 0\na=ptime:20\na=framerate:5\na=lang:en\na=rtcp-fb:0 nack");
    assert_eq!(passed.attributes, [Box::<str>::from("ptime:20"), "lang:en".into()]);
}

/// Rows of (`a=rtpmap` value, medium, codec, clock rate, channels).
#[test]
fn encoding_names_are_read_without_case() {
    let rows = [
        ("H264/90000", "video", Codec::H264, 90_000, 0),
        ("h265/90000", "video", Codec::H265, 90_000, 0),
        ("AV1/90000", "video", Codec::Av1, 90_000, 0),
        ("vp8/90000", "video", Codec::Vp8, 90_000, 0),
        ("VP9/90000", "video", Codec::Vp9, 90_000, 0),
        ("JPEG/90000", "video", Codec::Mjpeg, 90_000, 0),
        ("mp4v-es/1000", "video", Codec::Mpeg4Video, 1000, 0),
        ("MPV/90000", "video", Codec::MpegVideo, 90_000, 0),
        ("mpeg4-generic/44100/2", "audio", Codec::Aac, 44_100, 2),
        ("MP4A-LATM/24000/2", "audio", Codec::AacLatm, 24_000, 2),
        ("opus/48000/2", "audio", Codec::Opus, 48_000, 2),
        ("multiopus/48000/6", "audio", Codec::Opus, 48_000, 6),
        ("MPA/90000", "audio", Codec::MpegAudio, 90_000, 1),
        ("ac3/48000/6", "audio", Codec::Ac3, 48_000, 6),
        ("PCMU/16000/2", "audio", Codec::Pcmu, 16_000, 2),
        ("pcma/8000/1", "audio", Codec::Pcma, 8000, 1),
        ("G722/8000", "audio", Codec::G722, 8000, 1),
        ("G726-32/8000", "audio", Codec::G726, 8000, 1),
        ("AAL2-G726-16/8000", "audio", Codec::G726, 8000, 1),
        ("L16/44100/2", "audio", Codec::Lpcm { bits: 16 }, 44_100, 2),
        ("l24/48000", "audio", Codec::Lpcm { bits: 24 }, 48_000, 1),
        ("L8/8000", "audio", Codec::Lpcm { bits: 8 }, 8000, 1),
        ("VORBIS/44100/2", "audio", Codec::Vorbis, 44_100, 2),
        ("speex/16000", "audio", Codec::Speex, 16_000, 1),
        ("SMPTE336M/90000", "application", Codec::Klv, 90_000, 0),
        ("MP2T/90000", "video", Codec::MpegTs, 90_000, 0),
        ("ulpfec/90000", "video", Codec::Other("ulpfec".into()), 90_000, 0),
        // Odd forms: spaces, a missing, zero or unreadable rate.
        ("H264 / 90000", "video", Codec::H264, 90_000, 0),
        ("H264", "video", Codec::H264, 90_000, 0),
        ("H264/0", "video", Codec::H264, 90_000, 0),
        ("opus/x/0", "audio", Codec::Opus, 48_000, 1),
        ("PCMA/", "audio", Codec::Pcma, 8000, 1),
        ("G726-40/99999999999", "audio", Codec::G726, 8000, 1),
    ];
    for (rtpmap, medium, codec, clock_rate, channels) in rows {
        let track = one(&format!("m={medium} 0 RTP/AVP 96\nA=RTPMAP:x\na=RtpMap: 96  {rtpmap}"));
        assert_eq!(
            (&track.codec, track.clock_rate, track.channels),
            (&codec, clock_rate, channels),
            "{rtpmap}"
        );
    }
}

/// RFC 3551, tables 4 and 5.
#[test]
fn static_payload_types_need_no_rtpmap() {
    let rows = [
        (0, "audio", Codec::Pcmu, 8000, 1),
        (3, "audio", Codec::Other("GSM".into()), 8000, 1),
        (6, "audio", Codec::Other("DVI4".into()), 16_000, 1),
        (8, "audio", Codec::Pcma, 8000, 1),
        (9, "audio", Codec::G722, 8000, 1),
        (10, "audio", Codec::Lpcm { bits: 16 }, 44_100, 2),
        (11, "audio", Codec::Lpcm { bits: 16 }, 44_100, 1),
        (14, "audio", Codec::MpegAudio, 90_000, 1),
        (17, "audio", Codec::Other("DVI4".into()), 22_050, 1),
        (26, "video", Codec::Mjpeg, 90_000, 0),
        (32, "video", Codec::MpegVideo, 90_000, 0),
        (33, "video", Codec::MpegTs, 90_000, 0),
        (34, "video", Codec::Other("H263".into()), 90_000, 0),
    ];
    for (payload_type, medium, codec, clock_rate, channels) in rows {
        let track = one(&format!("m={medium} 0 RTP/AVP {payload_type}"));
        assert_eq!(
            (&track.codec, track.clock_rate, track.channels),
            (&codec, clock_rate, channels),
            "{payload_type}"
        );
        assert_eq!((track.payload_type, &*track.rtpmap), (payload_type, ""));
    }
    assert_eq!(one("m=video 0 RTP/AVP 0").channels, 0, "only audio has channels");
    let own = one("m=audio 0 RTP/AVP 0\na=rtpmap:0 PCMU/16000");
    assert_eq!(own.clock_rate, 16_000, "an announced rate wins");
}

#[test]
fn the_first_format_that_can_be_read_counts() {
    let track = one("m=audio 0 RTP/AVP 200 x 96 0\na=rtpmap:97 opus/48000");
    assert_eq!(track.payload_type, 0, "200 and x are none, 96 is not described");
    let guessed = one("m=video 0 RTP/AVP 96\na=fmtp:96 packetization-mode=1;sprop-parameter-sets=Zw==,aA==");
    assert_eq!((guessed.codec, guessed.clock_rate), (Codec::H264, 90_000));
    let guessed = one("m=video 0 RTP/AVP 96\na=fmtp:96 sprop-vps=QA==;sprop-sps=Qg==");
    assert_eq!(guessed.codec, Codec::H265);
}

#[test]
fn sections_that_are_not_rtp_are_left_out() {
    let read = read(
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\nm=video 0 TCP/RTP/AVP 26\nm=audio 0 rtp/savp 0",
    );
    assert_eq!(read.iter().map(|(track, _)| track.payload_type).collect::<Vec<_>>(), [26, 0]);
    for text in [
        "v=0\n",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "m=video 0 RTP/AVP 96",
        "m=video 0 RTP/AVP",
        "m=audio 0 RTP/AVP 200\na=rtpmap:200 opus/48000",
        "m=audio 0 RTP/AVP 96\na=fmtp:96 packetization-mode=1",
    ] {
        let error = tracks(&SessionDescription::parse(text.as_bytes()).unwrap()).expect_err(text);
        assert!(matches!(error, Error::Unsupported { .. }), "{text}: {error}");
    }
}

#[test]
fn described_tracks_read_the_same() {
    for (name, text, _) in ALL {
        let given: Vec<Track> = read(text).into_iter().map(|(track, _)| track).collect();
        let described = read(&describe(name, &given));
        for (number, (track, control)) in described.iter().enumerate() {
            assert_eq!(
                (track, control.as_deref()),
                (&given[number], Some(format!("trackID={number}").as_str())),
                "{name}"
            );
        }
        assert_eq!(described.len(), given.len());
    }
}

#[test]
fn the_description_for_readers() {
    let opus = Track {
        medium: Medium::Audio,
        codec: Codec::Opus,
        clock_rate: 48_000,
        channels: 2,
        payload_type: 97,
        format_parameters: "".into(),
        rtpmap: "".into(),
        attributes: vec!["ptime:20".into()],
    };
    let pcmu = Track { codec: Codec::Pcmu, clock_rate: 8000, channels: 1, payload_type: 0, ..opus.clone() };
    let video = one(FFMPEG);
    let expected = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=live/x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n\
        m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LADNoFBn58BEAAAAMAQAAAB4PFCqg=,aM4PyA==; profile-level-id=42C00C\r\na=control:trackID=0\r\n\
        m=audio 0 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2\r\na=ptime:20\r\na=control:trackID=1\r\n\
        m=audio 0 RTP/AVP 0\r\na=ptime:20\r\na=control:trackID=2\r\n";
    assert_eq!(describe("live/x", &[video, opus.clone(), pcmu]), expected);
    let mono = Track { channels: 1, ..opus.clone() };
    assert!(describe("", &[mono]).contains("opus/48000/2\r\n"), "RFC 7587, section 7");
    assert!(describe("", &[]).contains("\r\ns=-\r\n"), "a name is required");
}

/// Tracks of other protocols have no rtpmap; readers get one that says the same.
#[test]
fn rtpmaps_are_made_where_none_was_announced() {
    let codecs = [
        (Codec::H264, Medium::Video, 90_000, 0),
        (Codec::H265, Medium::Video, 90_000, 0),
        (Codec::Av1, Medium::Video, 90_000, 0),
        (Codec::Vp8, Medium::Video, 90_000, 0),
        (Codec::Vp9, Medium::Video, 90_000, 0),
        (Codec::Mjpeg, Medium::Video, 90_000, 0),
        (Codec::Mpeg4Video, Medium::Video, 90_000, 0),
        (Codec::MpegVideo, Medium::Video, 90_000, 0),
        (Codec::Aac, Medium::Audio, 44_100, 2),
        (Codec::AacLatm, Medium::Audio, 44_100, 2),
        (Codec::Opus, Medium::Audio, 48_000, 2),
        (Codec::MpegAudio, Medium::Audio, 90_000, 1),
        (Codec::Ac3, Medium::Audio, 48_000, 6),
        (Codec::Pcmu, Medium::Audio, 16_000, 1),
        (Codec::Pcma, Medium::Audio, 8_000, 2),
        (Codec::G722, Medium::Audio, 8_000, 1),
        (Codec::Lpcm { bits: 24 }, Medium::Audio, 48_000, 2),
        (Codec::Vorbis, Medium::Audio, 44_100, 2),
        (Codec::Speex, Medium::Audio, 16_000, 1),
        (Codec::Klv, Medium::Application, 90_000, 0),
        (Codec::MpegTs, Medium::Video, 90_000, 0),
        (Codec::Other("x".into()), Medium::Application, 1000, 0),
    ];
    for (codec, medium, clock_rate, channels) in codecs {
        let track = Track {
            medium,
            codec,
            clock_rate,
            channels,
            payload_type: 96,
            format_parameters: "".into(),
            rtpmap: "".into(),
            attributes: Vec::new(),
        };
        let read = one(&describe("x", std::slice::from_ref(&track)));
        assert!(read.continues(&track), "{read:?}");
    }
}

/// Rows of (base, control, URL): RFC 2326, appendix C.1.1, and what cameras need.
#[test]
fn controls_become_urls() {
    let rows = [
        ("rtsp://h/a", None, "rtsp://h/a"),
        ("rtsp://h/a", Some(""), "rtsp://h/a"),
        ("rtsp://h/a", Some(" * "), "rtsp://h/a"),
        ("rtsp://h/a", Some("trackID=1"), "rtsp://h/a/trackID=1"),
        ("rtsp://h/a/", Some("trackID=1"), "rtsp://h/a/trackID=1"),
        ("rtsp://h/a/", Some("/trackID=1"), "rtsp://h/a/trackID=1"),
        ("rtsp://h/a", Some("/trackID=1"), "rtsp://h/a/trackID=1"),
        ("rtsp://h/a", Some("rtsp://other:5/b/c"), "rtsp://other:5/b/c"),
        ("rtsp://h/a", Some("RTSP://h/b"), "RTSP://h/b"),
        // The path of a Dahua camera, and a control that is a query.
        (
            "rtsp://h/cam/realmonitor?channel=1&subtype=0/",
            Some("trackID=0"),
            "rtsp://h/cam/realmonitor?channel=1&subtype=0/trackID=0",
        ),
        ("rtsp://h/a?u=1", Some("trackID=0"), "rtsp://h/a?u=1/trackID=0"),
        ("rtsp://h/a", Some("?ctype=video"), "rtsp://h/a?ctype=video"),
        ("rtsp://h/a", Some("?next=rtsp://h/b"), "rtsp://h/a?next=rtsp://h/b"),
    ];
    for (base, control, expected) in rows {
        assert_eq!(resolve_control(base, control), expected, "{base} {control:?}");
    }
}
