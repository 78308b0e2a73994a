//! Sample entries (ISO/IEC 14496-12, 12.1.3 and 12.2.3), with the codecs' own records.

use super::write::{write_box, write_full_box};
use crate::codec::{Configuration, configuration::Picture};
use bytes::{BufMut, BytesMut};

/// Descriptor tags of `esds` (ISO/IEC 14496-1, 7.2.2.1).
const ES_DESCRIPTOR: u8 = 0x03;
const DECODER_CONFIG_DESCRIPTOR: u8 = 0x04;
const DECODER_SPECIFIC_INFO: u8 = 0x05;
const SL_CONFIG_DESCRIPTOR: u8 = 0x06;
/// `objectTypeIndication` of MPEG-4 audio, and `streamType` 5 (audio) with the reserved bit set.
const MPEG4_AUDIO: [u8; 2] = [0x40, 0x15];

/// Appends the sample entry; nothing for codecs that [`super::carries`] denies.
pub(super) fn write_sample_entry(out: &mut BytesMut, configuration: &Configuration, picture: Picture) {
    match configuration {
        Configuration::H264(h264) => {
            write_visual(out, *b"avc1", picture, |out| write_box(out, *b"avcC", |out| out.put(h264.avcc())));
        }
        Configuration::H265(h265) => {
            write_visual(out, *b"hvc1", picture, |out| write_box(out, *b"hvcC", |out| out.put(h265.hvcc())));
        }
        Configuration::Av1(av1) => {
            write_visual(out, *b"av01", picture, |out| write_box(out, *b"av1C", |out| out.put(av1.av1c())));
        }
        Configuration::Vp9(vp9) => write_visual(out, *b"vp09", picture, |out| {
            write_full_box(out, *b"vpcC", 1, 0, |out| out.put(vp9.vpcc()));
        }),
        Configuration::Aac(aac) => write_audio(out, *b"mp4a", aac.channels, 16, aac.sample_rate, |out| {
            write_full_box(out, *b"esds", 0, 0, |out| write_elementary_stream(out, &aac.specific_config));
        }),
        Configuration::Opus(opus) => write_audio(out, *b"Opus", opus.channels, 16, 48_000, |out| {
            write_box(out, *b"dOps", |out| out.put(opus.dops()));
        }),
        Configuration::Flac(flac) => {
            write_audio(out, *b"fLaC", flac.channels, u16::from(flac.bits), flac.sample_rate, |out| {
                write_full_box(out, *b"dfLa", 0, 0, |out| {
                    // The header of the only, and so last, metadata block: STREAMINFO.
                    out.put_u8(0x80);
                    out.put_uint(flac.stream_info.len() as u64, 3);
                    out.put_slice(&flac.stream_info);
                });
            });
        }
        _ => {}
    }
}

fn write_visual(out: &mut BytesMut, kind: [u8; 4], picture: Picture, record: impl FnOnce(&mut BytesMut)) {
    write_box(out, kind, |out| {
        out.put_bytes(0, 6);
        out.put_u16(1); // Data reference.
        out.put_bytes(0, 16);
        out.put_u16(picture.width.min(0xFFFF) as u16);
        out.put_u16(picture.height.min(0xFFFF) as u16);
        out.put_u32(0x0048_0000); // 72 dpi.
        out.put_u32(0x0048_0000);
        out.put_u32(0);
        out.put_u16(1); // Pictures per sample.
        out.put_bytes(0, 32); // Name of the encoder.
        out.put_u16(0x0018); // Colour without alpha.
        out.put_i16(-1);
        record(out);
    });
}

fn write_audio(
    out: &mut BytesMut,
    kind: [u8; 4],
    channels: u16,
    bits: u16,
    sample_rate: u32,
    record: impl FnOnce(&mut BytesMut),
) {
    write_box(out, kind, |out| {
        out.put_bytes(0, 6);
        out.put_u16(1); // Data reference.
        out.put_bytes(0, 8);
        out.put_u16(channels);
        out.put_u16(bits);
        out.put_u32(0);
        // A field of 16.16 bits: rates it cannot hold are 0, and the record has them.
        out.put_u32(if sample_rate > 0xFFFF { 0 } else { sample_rate << 16 });
        record(out);
    });
}

/// The ES descriptor (ISO/IEC 14496-1, 7.2.6.5) around an AudioSpecificConfig.
fn write_elementary_stream(out: &mut BytesMut, specific_config: &[u8]) {
    // AudioSpecificConfig is a few bytes; program config elements make it some hundred at most.
    let specific = specific_config.get(..4096).unwrap_or(specific_config);
    let decoder = 13 + descriptor_bytes(specific.len());
    write_descriptor_head(out, ES_DESCRIPTOR, 3 + descriptor_bytes(decoder) + descriptor_bytes(1));
    out.put_u16(0); // ES id: by the track.
    out.put_u8(0);
    write_descriptor_head(out, DECODER_CONFIG_DESCRIPTOR, decoder);
    out.put_slice(&MPEG4_AUDIO);
    out.put_bytes(0, 11); // Buffer size, maximal and average bit rate: unknown.
    write_descriptor_head(out, DECODER_SPECIFIC_INFO, specific.len());
    out.put_slice(specific);
    write_descriptor_head(out, SL_CONFIG_DESCRIPTOR, 1);
    out.put_u8(2); // Predefined: MP4 file.
}

fn descriptor_bytes(body: usize) -> usize {
    5 + body
}

/// Tag and size; the size always in four groups of seven bits, which every reader takes.
fn write_descriptor_head(out: &mut BytesMut, tag: u8, body: usize) {
    out.put_u8(tag);
    out.put_u8(0x80 | (body >> 21 & 0x7F) as u8);
    out.put_u8(0x80 | (body >> 14 & 0x7F) as u8);
    out.put_u8(0x80 | (body >> 7 & 0x7F) as u8);
    out.put_u8((body & 0x7F) as u8);
}
