//! Records, headers and announcements: nothing does harm, and what was read is read again as it is written.

use bytes::Bytes;
use headwater_protocols::codec::configuration::{
    Aac, Ac3, Av1, Configuration, Flac, H264, H265, MpegAudio, Opus, Vp9,
};
use headwater_protocols::codec::{aac, latm, mjpeg, mpeg_video, mpeg4_video, nal, obu, opus, vp8};
use headwater_protocols::track::{Codec, Medium, Track};

const CODECS: [Codec; 6] =
    [Codec::H264, Codec::H265, Codec::Mpeg4Video, Codec::Aac, Codec::AacLatm, Codec::Opus];

/// First byte: which record, or which codec's announcement. The rest is the record.
pub fn codec_configuration(data: &[u8]) {
    let Some((&choice, body)) = data.split_first() else {
        return;
    };
    let body = Bytes::copy_from_slice(body);
    let found = match choice % 12 {
        0 => H264::from_avcc(&body).ok().map(|(h264, _)| {
            let again = H264::from_avcc(&h264.avcc()).expect("our own record").0;
            assert_eq!(again, h264);
            Configuration::H264(h264)
        }),
        1 => H265::from_hvcc(&body).ok().map(|(h265, _)| {
            let again = H265::from_hvcc(&h265.hvcc()).expect("our own record").0;
            assert_eq!(again, h265);
            Configuration::H265(h265)
        }),
        2 => Av1::from_av1c(&body).ok().map(|av1| {
            assert_eq!(Av1::from_av1c(&av1.av1c()), Ok(av1.clone()));
            Configuration::Av1(av1)
        }),
        3 => Vp9::from_vpcc(&body).ok().or_else(|| Vp9::parse(&body)).map(|vp9| {
            let read = Vp9::from_vpcc(&vp9.vpcc()).expect("our own record");
            assert_eq!(Vp9 { picture: vp9.picture, ..read }, vp9);
            Configuration::Vp9(vp9)
        }),
        4 => Aac::parse(body).ok().map(Configuration::Aac),
        5 => Opus::from_head(&body).ok().map(|opus| {
            assert_eq!(Opus::from_head(&opus.head()), Ok(opus.clone()));
            Configuration::Opus(opus)
        }),
        6 => Flac::from_metadata(&body).ok().map(|flac| {
            assert_eq!(Flac::from_metadata(&flac.metadata()), Ok(flac.clone()));
            Configuration::Flac(flac)
        }),
        7 => MpegAudio::parse(&body).ok().map(|(audio, bytes, samples)| {
            assert!(bytes > 0 && samples > 0);
            Configuration::MpegAudio(audio)
        }),
        8 => Ac3::parse(&body).ok().map(|(ac3, bytes)| {
            assert!(bytes > 0 && ac3.dac3().len() == 3);
            Configuration::Ac3(ac3)
        }),
        9 => mpeg4_video::headers(&body).map(|headers| Configuration::Mpeg4Video { headers }),
        10 => mpeg_video::headers(&body).map(|headers| Configuration::MpegVideo { headers }),
        _ => announced(&body),
    };
    if let Some(found) = found {
        describe(&found);
    }
}

/// First byte: codec. The rest is `a=fmtp`.
fn announced(body: &[u8]) -> Option<Configuration> {
    let (&choice, text) = body.split_first()?;
    Configuration::from_track(&Track {
        medium: Medium::Video,
        codec: CODECS[usize::from(choice) % CODECS.len()].clone(),
        clock_rate: 90_000,
        channels: choice.into(),
        payload_type: 96,
        format_parameters: String::from_utf8_lossy(text).into(),
        rtpmap: "".into(),
        attributes: Vec::new(),
    })
}

fn describe(configuration: &Configuration) {
    configuration.codec_string();
    configuration.picture();
    let track = configuration.track();
    assert!(track.clock_rate > 0 && track.payload_type < 128);
    if let Some(again) = Configuration::from_track(&track) {
        assert_eq!(again.codec(), configuration.codec());
    }
}

/// First byte: how the stream is taken apart.
pub fn codec_streams(data: &[u8]) {
    // Frames of MPEG audio: mpeg_audio has only this one way in.
    let mut frame = vec![0xFF, 0xE0 | data.first().copied().unwrap_or(0)];
    frame.extend_from_slice(data.get(1..).unwrap_or_default());
    if let Ok((audio, bytes, samples)) = MpegAudio::parse(&frame) {
        assert!(bytes > 0 && samples > 0 && audio.sample_rate > 0 && audio.channels > 0);
    }
    let Some((&choice, body)) = data.split_first() else {
        return;
    };
    let body = Bytes::copy_from_slice(body);
    match choice % 8 {
        0 => {
            for unit in nal::annex_b(&body) {
                assert!(!unit.is_empty() && unit.last() != Some(&0));
                assert!(!unit.windows(3).any(|bytes| bytes == [0, 0, 1]));
            }
        }
        1 => {
            let parts = nal::length_prefixed(&body, choice / 8 % 6).unwrap_or_default();
            assert!(parts.iter().all(|part| !part.is_empty()));
        }
        2 => {
            let Ok(parts) = obu::split(&body) else { return };
            let written = obu::with_sizes(&parts).flat_map(|(head, payload)| [&head[..], &payload].concat());
            assert_eq!(obu::split(&written.collect::<Vec<u8>>().into()), Ok(parts));
        }
        3 => {
            let frames = aac::adts_frames(body.clone()).take_while(Result::is_ok);
            assert!(frames.flatten().map(|(_, payload)| payload.len() + 7).sum::<usize>() <= body.len());
        }
        4 => {
            let mut config = None;
            for element in latm::loas_elements(body).flatten() {
                drop(latm::audio_mux_element(&element, &mut config, true));
            }
        }
        5 => {
            let mut config = None;
            drop(latm::audio_mux_element(&body, &mut config, true));
            let blocks = latm::audio_mux_element(&body, &mut config, false).unwrap_or_default();
            assert!(blocks.iter().map(Bytes::len).sum::<usize>() <= body.len());
        }
        6 => {
            vp8::picture(&body);
            mjpeg::picture(&body);
        }
        _ => drop(opus::packet_samples(&body)),
    }
}
