//! What the fuzz targets do with their bytes: ordinary code, so that it compiles, and runs for a moment, in every
//! build (`tests/fuzz_bodies.rs`); `cargo fuzz run <target>` runs the same for as long as one likes.
//!
//! A body panics when a promise is broken. It turns its bytes into input that gets past the first check, rather than
//! hoping for it.

pub mod amf0;
pub mod assembler;
pub mod codec;
pub mod codec_configuration;
pub mod flv;
pub mod hls;
pub mod mpegts;
pub mod proxy_protocol;
pub mod reorder;
pub mod rtcp;
pub mod rtmp;
pub mod rtp;
pub mod rtp_payload;
pub mod rtsp;
pub mod sdp;
pub mod websocket;

/// Takes any bytes; panics when a promise is broken.
pub type Body = fn(&[u8]);

/// Name (of the target and of its folder of seeds) and body.
pub const TARGETS: &[(&str, Body)] = &[
    ("amf0", amf0::amf0),
    ("assembler", assembler::assembler),
    ("codec", codec::codec),
    ("codec_configuration", codec_configuration::codec_configuration),
    ("codec_streams", codec_configuration::codec_streams),
    ("depacketize", rtp_payload::depacketize),
    ("flv_file", flv::flv_file),
    ("flv_message", flv::flv_message),
    ("hls_muxer", hls::hls_muxer),
    ("hls_request", hls::hls_request),
    ("mp4_boxes", hls::mp4_boxes),
    ("mpegts_demuxer", mpegts::mpegts_demuxer),
    ("mpegts_psi", mpegts::mpegts_psi),
    ("packetize", rtp_payload::packetize),
    ("proxy_protocol", proxy_protocol::proxy_protocol),
    ("reorder", reorder::reorder),
    ("rtcp", rtcp::rtcp),
    ("rtmp_chunk", rtmp::rtmp_chunk),
    ("rtmp_client", rtmp::rtmp_client),
    ("rtmp_server", rtmp::rtmp_server),
    ("rtp", rtp::rtp),
    ("rtsp_client", rtsp::rtsp_client),
    ("rtsp_decoder", rtsp::rtsp_decoder),
    ("rtsp_headers", rtsp::rtsp_headers),
    ("rtsp_server", rtsp::rtsp_server),
    ("sdp", sdp::sdp),
    ("websocket", websocket::websocket),
];
