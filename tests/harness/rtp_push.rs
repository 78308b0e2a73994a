//! An RTSP publisher of a [`Feed`] over TCP, with timestamps, packet sizes and parameter sets of the test's choice: H264 by
//! RFC 6184, AAC by RFC 3640, and a sender report of each track with its first packet, and the first after a jump of its
//! clock (RFC 3550, section 6.4.1).

use crate::feed::{Feed, Medium, SAMPLE_RATE, Unit};
use crate::rtsp;
use crate::web::base64;
use anyhow::Result;
use std::net::SocketAddr;

const VIDEO_CLOCK: i64 = 90_000;
/// Seconds from 1900 to some time in 2026.
const NTP_SECONDS: u64 = 3_990_000_000;

/// Where the publisher says what its parameter sets are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParameterSets {
    Sdp,
    InBand,
    Both,
}

/// How units become packets.
#[derive(Clone, Copy, Debug)]
pub struct Packing {
    /// Greatest payload of a packet.
    pub payload_bytes_max: usize,
    pub parameter_sets: ParameterSets,
    /// RTP timestamp of the film's beginning, the same on both clocks.
    pub base: u32,
}

impl Default for Packing {
    fn default() -> Packing {
        Packing { payload_bytes_max: 1400, parameter_sets: ParameterSets::Both, base: 1_000_000 }
    }
}

struct Track {
    medium: Medium,
    clock: i64,
    payload_type: u8,
    sequence: u16,
    /// The move of its times that was reported last.
    reported: Option<i64>,
}

/// A publisher that the server has accepted.
pub struct Connection {
    connection: rtsp::Connection,
    packing: Packing,
    tracks: Vec<Track>,
    sets: Vec<Vec<u8>>,
}

impl Connection {
    /// ANNOUNCE, SETUP and RECORD of the tracks that `feed` has units of.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn publish(server: SocketAddr, url: &str, feed: &Feed, packing: Packing) -> Result<Connection> {
        let (sps, pps) = feed.parameter_sets()?;
        let mut sdp =
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=film\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n".to_owned();
        let mut tracks = Vec::new();
        if feed.has(Medium::Video) {
            sdp += "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1";
            if packing.parameter_sets != ParameterSets::InBand {
                sdp += &format!("; sprop-parameter-sets={},{}", base64(&sps), base64(&pps));
            }
            sdp += &format!("\r\na=control:trackID={}\r\n", tracks.len());
            tracks.push(track(Medium::Video, VIDEO_CLOCK, 96));
        }
        if feed.has(Medium::Audio) {
            let config: String = feed.aac.iter().map(|byte| format!("{byte:02x}")).collect();
            sdp += &format!(
                "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/48000/1\r\na=fmtp:97 profile-level-id=1;mode=AAC-hbr;\
                 sizelength=13;indexlength=3;indexdeltalength=3;config={config}\r\na=control:trackID={}\r\n",
                tracks.len()
            );
            tracks.push(track(Medium::Audio, SAMPLE_RATE, 97));
        }
        let mut connection = rtsp::Connection::open(server)?;
        connection.ok("ANNOUNCE", url, &[("Content-Type", "application/sdp")], &sdp)?;
        for track in 0..tracks.len() {
            let transport =
                format!("RTP/AVP/TCP;unicast;interleaved={}-{};mode=record", 2 * track, 2 * track + 1);
            connection.set_up(&format!("{url}/trackID={track}"), &transport)?;
        }
        connection.ok("RECORD", url, &[], "")?;
        Ok(Connection { connection, packing, tracks, sets: vec![sps, pps] })
    }

    /// Other parameter sets from now on.
    ///
    /// # Errors
    /// When `feed` has none.
    pub fn change_sets(&mut self, feed: &Feed) -> Result<()> {
        let (sps, pps) = feed.parameter_sets()?;
        self.sets = vec![sps, pps];
        Ok(())
    }

    /// One unit, its times moved by `offset_us`, wrapped to 32 bits of its clock.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_unit(&mut self, unit: &Unit, offset_us: i64) -> Result<()> {
        let Some(index) = self.tracks.iter().position(|track| track.medium == unit.medium) else {
            return Ok(());
        };
        let mut payloads = Vec::new();
        match unit.medium {
            Medium::Audio => {
                let size = (unit.payload.len() as u16) << 3;
                payloads.push([&[0, 16], size.to_be_bytes().as_slice(), &unit.payload].concat());
            }
            Medium::Video => {
                if unit.key && self.packing.parameter_sets != ParameterSets::Sdp {
                    payloads.extend(self.sets.iter().cloned());
                }
                for nal in unit.nal_units() {
                    // Film files carry parameter sets within key frames, too.
                    if !matches!(nal.first().map_or(0, |byte| byte & 0x1F), 7 | 8) {
                        fragment(nal, self.packing.payload_bytes_max, &mut payloads);
                    }
                }
            }
        }
        let track = &mut self.tracks[index];
        let ticks = (unit.pts_us + offset_us) * track.clock / 1_000_000;
        let timestamp = (i64::from(self.packing.base) + ticks) as u32;
        let mut out = Vec::new();
        let last = payloads.len() - 1;
        for (number, payload) in payloads.iter().enumerate() {
            let mut packet = vec![0x80, track.payload_type | u8::from(number == last) << 7];
            packet.extend_from_slice(&track.sequence.to_be_bytes());
            packet.extend_from_slice(&timestamp.to_be_bytes());
            packet.extend_from_slice(&(0x0F11_0000 + index as u32).to_be_bytes());
            packet.extend_from_slice(payload);
            track.sequence = track.sequence.wrapping_add(1);
            interleave(2 * index as u8, &packet, &mut out);
        }
        if track.reported.replace(offset_us) != Some(offset_us) {
            let ntp = (NTP_SECONDS << 32) + ((unit.pts_us as u64) << 32) / 1_000_000;
            let mut report = vec![0x80, 200, 0, 6];
            report.extend_from_slice(&(0x0F11_0000 + index as u32).to_be_bytes());
            report.extend_from_slice(&ntp.to_be_bytes());
            report.extend_from_slice(&timestamp.to_be_bytes());
            report.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
            interleave(2 * index as u8 + 1, &report, &mut out);
        }
        self.connection.send(&out)
    }
}

fn track(medium: Medium, clock: i64, payload_type: u8) -> Track {
    Track { medium, clock, payload_type, sequence: 65_500, reported: None }
}

fn interleave(channel: u8, packet: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'$', channel]);
    out.extend_from_slice(&(packet.len() as u16).to_be_bytes());
    out.extend_from_slice(packet);
}

/// A NAL unit as it is, or in FU-A pieces (RFC 6184, section 5.8).
fn fragment(nal: &[u8], bytes_max: usize, payloads: &mut Vec<Vec<u8>>) {
    if nal.len() <= bytes_max {
        payloads.push(nal.to_vec());
        return;
    }
    let (header, body) = (nal[0], &nal[1..]);
    let pieces: Vec<&[u8]> = body.chunks(bytes_max - 2).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let starts = u8::from(number == 0) << 7;
        let ends = u8::from(number + 1 == pieces.len()) << 6;
        payloads.push([&[header & 0xE0 | 28, starts | ends | header & 0x1F], *piece].concat());
    }
}
