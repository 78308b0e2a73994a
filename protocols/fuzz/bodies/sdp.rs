//! Session descriptions: what is read and written reads the same, stays within the limits, and its tracks survive
//! being described to readers.

use headwater_protocols::limits::{SDP_ATTRIBUTES_MAX, TRACKS_MAX};
use headwater_protocols::sdp::{Error, SessionDescription, describe, resolve_control, tracks};

/// What lines begin with when bytes below 32 stand for a line's beginning.
const LINES: [&str; 32] = [
    "v=0",
    "o=- 1 2 IN IP4 ",
    "s=",
    "i=",
    "c=IN IP4 ",
    "b=AS:",
    "t=",
    "a=control:",
    "a=rtpmap:",
    "a=rtpmap:96 ",
    "a=fmtp:96 ",
    "a=fmtp:",
    "a=ptime:",
    "a=sendonly",
    "a=",
    "m=video 0 RTP/AVP 96",
    "m=video 0 RTP/AVP ",
    "m=audio 0 RTP/AVP 0",
    "m=audio 0 RTP/AVP ",
    "m=application 0 TCP/RTP/SAVPF ",
    "m=",
    "a=rtpmap:96 H264/90000",
    "a=rtpmap:97 MPEG4-GENERIC/48000/2",
    "a=rtpmap:0 PCMU/8000",
    "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=",
    "a=lang:",
    " a = x :",
    "k=",
    "a=control:rtsp://",
    "a=control:*",
    "m=audio 0 RTP/AVP 8 9 10 11",
    "o=",
];

/// Reads the bytes as they are, and once more with lines that begin as SDP's do.
pub fn sdp(data: &[u8]) {
    check(data);
    let mut text = Vec::with_capacity(2 * data.len());
    for &byte in data {
        match LINES.get(usize::from(byte)) {
            Some(line) => {
                text.extend_from_slice(b"\r\n");
                text.extend_from_slice(line.as_bytes());
            }
            None => text.push(byte),
        }
    }
    check(&text);
}

fn check(bytes: &[u8]) {
    let read = match SessionDescription::parse(bytes) {
        Ok(read) => read,
        Err(error) => {
            assert!(!error.kind().is_empty() && !error.to_string().is_empty());
            return;
        }
    };
    assert!(read.media.len() <= TRACKS_MAX && read.attributes.len() <= SDP_ATTRIBUTES_MAX);
    assert!(read.media.iter().all(|media| media.attributes.len() <= SDP_ATTRIBUTES_MAX));
    match SessionDescription::parse(read.write().as_bytes()) {
        Ok(again) => assert_eq!(again, read),
        // A description without v, o, s and t gains those lines.
        Err(error) => assert!(matches!(error, Error::Limit { what: "lines", .. }), "{error}"),
    }
    let Ok(found) = tracks(&read) else { return };
    assert!(!found.is_empty() && found.len() <= read.media.len());
    for (track, control) in &found {
        assert!(track.clock_rate > 0 && track.payload_type < 128);
        let url = resolve_control("rtsp://h/a?b", control.as_deref());
        assert!(!url.is_empty());
    }
    let given = found.into_iter().map(|(track, _)| track).collect::<Vec<_>>();
    let text = describe(&read.name, &given);
    let described = SessionDescription::parse(text.as_bytes()).expect("what we describe we read");
    let described = tracks(&described).expect("the same tracks");
    assert_eq!(described.len(), given.len());
    for (number, ((track, control), given)) in described.iter().zip(&given).enumerate() {
        assert!(track.continues(given), "{track:?} for {given:?}");
        assert_eq!(track.payload_type, given.payload_type);
        assert_eq!(control.as_deref(), Some(format!("trackID={number}").as_str()));
    }
}
