//! Records, headers and announcements, read and written.

use crate::fixtures::{Fixture, fixture};
use bytes::Bytes;
use headwater_protocols::codec::configuration::{
    Aac, Ac3, Av1, Flac, H264, H265, MpegAudio, Opus, Picture, Samples, Vp9,
};
use headwater_protocols::codec::{Configuration, aac, latm, opus};

const PICTURE: Option<Picture> = Some(Picture { width: 64, height: 48 });

fn h264(fixture: &Fixture) -> Configuration {
    Configuration::H264(H264::from_avcc(&fixture.record("avcC")).unwrap().0)
}

fn h265() -> Configuration {
    Configuration::H265(H265::from_hvcc(&fixture!("h265_open").record("hvcC")).unwrap().0)
}

#[test]
fn avcc_is_written_as_it_was_read() {
    for fixture in [fixture!("h264_pyramid"), fixture!("h264_interlaced"), fixture!("h264_in_order")] {
        let record = fixture.record("avcC");
        let (h264, length_size) = H264::from_avcc(&record).unwrap();
        assert_eq!((h264.avcc(), length_size), (record.clone(), 4));
        let configuration = Configuration::H264(h264);
        assert_eq!(configuration.codec_string().as_deref(), Some(fixture.text("codecs")));
        assert_eq!(configuration.picture(), PICTURE);
        for length in 0..record.len() - 4 {
            assert!(H264::from_avcc(&record.slice(..length)).is_err(), "cut at {length}");
        }
    }
}

#[test]
fn hvcc_is_written_as_it_was_read() {
    let record = fixture!("h265_open").record("hvcC");
    let (h265, length_size) = H265::from_hvcc(&record).unwrap();
    assert_eq!((h265.hvcc(), length_size), (record.clone(), 4));
    let configuration = Configuration::H265(h265);
    // Profile 1, compatible with 1 and 2, level 1 (30), progressive and frame-only.
    assert_eq!(configuration.codec_string().as_deref(), Some("hvc1.1.6.L30.90"));
    assert_eq!(configuration.picture(), PICTURE);
    for length in 0..record.len() {
        assert!(H265::from_hvcc(&record.slice(..length)).is_err(), "cut at {length}");
    }
}

#[test]
fn av1c_and_vpcc_are_written_as_they_were_read() {
    let fixture = fixture!("av1");
    let av1 = Av1::from_av1c(&fixture.record("av1C")).unwrap();
    assert_eq!(av1.av1c(), fixture.record("av1C"));
    assert_eq!(Configuration::Av1(av1).codec_string().as_deref(), Some(fixture.text("codecs")));
    let fixture = fixture!("vp9");
    let record = fixture.record("vpcC").slice(4..);
    let vp9 = Vp9::parse(&fixture.units()[0].bytes).unwrap();
    assert_eq!(vp9.picture, Picture { width: 98, height: 50 });
    assert_eq!(Vp9 { picture: vp9.picture, ..Vp9::from_vpcc(&record).unwrap() }, vp9);
    // The colours after the third byte are FFmpeg's knowledge.
    assert_eq!(vp9.vpcc()[..3], record[..3]);
    assert_eq!(Configuration::Vp9(vp9).codec_string().as_deref(), Some(fixture.text("codecs")));
}

#[test]
fn aac_in_mp4_adts_and_loas_is_the_same() {
    let fixture = fixture!("aac");
    let config = Aac::parse(fixture.record("config")).unwrap();
    assert_eq!(
        (config.object_type, config.sample_rate, config.channels, config.frame_samples),
        (2, 48_000, 2, 1024)
    );
    assert_eq!(Configuration::Aac(config.clone()).codec_string().as_deref(), Some(fixture.text("codecs")));
    let adts = fixture.record("adts");
    let frames = aac::adts_frames(adts.clone()).collect::<Result<Vec<_>, _>>().unwrap();
    assert!(frames.len() > 5);
    let mut written = Vec::new();
    for (found, payload) in &frames {
        assert_eq!(*found, Aac::new(2, 48_000, 2));
        written.extend(found.adts_header(payload.len()));
        written.extend(payload);
    }
    assert_eq!(written, adts);
    let mut mux = None;
    let mut blocks = Vec::new();
    for element in latm::loas_elements(fixture.record("loas")) {
        blocks.extend(latm::audio_mux_element(&element.unwrap(), &mut mux, true).unwrap());
    }
    assert_eq!(blocks, frames.into_iter().map(|(_, payload)| payload).collect::<Vec<_>>());
    let mux = mux.unwrap().aac;
    assert_eq!((mux.sample_rate, mux.channels), (48_000, 2));
    assert_eq!(mux.specific_config[..2], config.specific_config[..2]);
}

/// ISO/IEC 14496-3, 1.6.2.1: SBR and PS signalled before the core's type; a rate of its own; a program config element.
#[test]
fn audio_specific_configs() {
    for (bytes, expected) in [
        (&[0x13, 0x10][..], (2, 24_000, 2, 1024)),
        (&[0x2B, 0x11, 0x88, 0x00], (2, 24_000, 2, 1024)),
        (&[0xEB, 0x09, 0x88, 0x00], (2, 24_000, 1, 1024)),
        (&[0x11, 0x94], (2, 48_000, 2, 960)),
        (&[0x17, 0x80, 0x3E, 0x80, 0x10], (2, 32_000, 2, 1024)),
        (&[0x11, 0xB8], (2, 48_000, 8, 1024)),
    ] {
        let aac = Aac::parse(Bytes::copy_from_slice(bytes)).unwrap();
        assert_eq!(
            (aac.object_type, aac.sample_rate, aac.channels, aac.frame_samples),
            expected,
            "{bytes:02x?}"
        );
    }
    assert!(Aac::parse(Bytes::from_static(&[0x11])).is_err());
    for channels in 1..=8 {
        for rate in [7_350, 44_100, 96_000, 12_345] {
            let made = Aac::new(2, rate, channels);
            assert_eq!(Aac::parse(made.specific_config.clone()).unwrap(), made);
        }
    }
}

#[test]
fn opus_records_are_written_as_they_were_read() {
    let fixture = fixture!("opus");
    let opus = Opus::from_head(&fixture.record("head")).unwrap();
    assert_eq!(
        (opus.channels, opus.head(), opus.dops()),
        (2, fixture.record("head"), fixture.record("dOps"))
    );
    for unit in fixture.units() {
        assert_eq!(opus::packet_samples(&unit.bytes), Some(960));
    }
    let surround = Opus { channels: 6, ..opus };
    assert_eq!(Opus::from_head(&surround.head()).unwrap(), surround);
    assert_eq!(surround.dops()[10..], fixture!("opus_surround").record("dOps")[10..]);
}

#[test]
fn flac_and_ac3_records() {
    let record = fixture!("flac").record("dfLa").slice(4..);
    let flac = Flac::from_metadata(&record).unwrap();
    assert_eq!((flac.sample_rate, flac.channels, flac.metadata()), (48_000, 2, record));
    for (fixture, channels) in [(fixture!("ac3"), 2), (fixture!("ac3_surround"), 6)] {
        let (ac3, bytes) = Ac3::parse(&fixture.units()[0].bytes).unwrap();
        assert_eq!(
            (ac3.sample_rate, ac3.channels, &ac3.dac3()[..]),
            (48_000, channels, &fixture.record("dac3")[..])
        );
        if channels == 2 {
            assert_eq!(bytes, fixture.units()[0].bytes.len());
        }
    }
}

#[test]
fn mpeg_audio_frames_say_their_length() {
    for (fixture, layer, sample_rate, samples) in [
        (fixture!("mp3"), 3, 48_000, 1152),
        (fixture!("mp3_low"), 3, 22_050, 576),
        (fixture!("mp2"), 2, 44_100, 1152),
    ] {
        for unit in fixture.units() {
            let audio = MpegAudio { layer, sample_rate, channels: 2 };
            assert_eq!(MpegAudio::parse(&unit.bytes), Ok((audio, unit.bytes.len(), samples)));
        }
    }
}

#[test]
fn announcements_are_read_as_they_were_written() {
    let samples = |bits| Samples { bits, sample_rate: 8000, channels: 1 };
    let pre_skip = opus::PRE_SKIP_DEFAULT;
    for configuration in [
        h264(&fixture!("h264_pyramid")),
        h265(),
        Configuration::Mpeg4Video { headers: fixture!("mpeg4").record("headers") },
        Configuration::Aac(Aac::parse(fixture!("aac").record("config")).unwrap()),
        Configuration::Opus(Opus { channels: 1, pre_skip }),
        Configuration::Opus(Opus { channels: 2, pre_skip }),
        Configuration::Opus(Opus { channels: 6, pre_skip }),
        Configuration::Pcmu(samples(8)),
        Configuration::Pcma(Samples { sample_rate: 16_000, channels: 2, ..samples(8) }),
        Configuration::Lpcm(samples(24)),
        Configuration::Klv,
    ] {
        let track = configuration.track();
        assert_eq!(Configuration::from_track(&track).as_ref(), Some(&configuration));
        assert_eq!(track.codec, configuration.codec());
        let description = headwater_protocols::sdp::describe("", std::slice::from_ref(&track));
        let description =
            headwater_protocols::sdp::SessionDescription::parse(description.as_bytes()).unwrap();
        let (described, _) = headwater_protocols::sdp::tracks(&description).unwrap().remove(0);
        assert_eq!(Configuration::from_track(&described), Some(configuration));
    }
    assert_eq!(Configuration::Mpeg4Video { headers: fixture!("mpeg4").record("headers") }.picture(), PICTURE);
}
