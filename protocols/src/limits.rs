//! Every bound of the parsers and machines, with its reason.

/// Longest RTSP request or status line, in bytes. Cameras send URLs with long query strings; 8 KiB is what HTTP servers allow.
pub const RTSP_LINE_BYTES_MAX: usize = 8 * 1024;
/// All header lines of one RTSP message together, in bytes.
pub const RTSP_HEADER_BYTES_MAX: usize = 16 * 1024;
/// Header fields of one RTSP message.
pub const RTSP_HEADERS_MAX: usize = 64;
/// Body of one RTSP message, in bytes: session descriptions of many tracks fit in a tenth of this.
pub const RTSP_BODY_BYTES_MAX: usize = 128 * 1024;
/// Requests of one connection that wait for the answer to an earlier one (pipelining).
pub const RTSP_PIPELINE_MAX: usize = 16;
/// Tracks of one stream. MediaMTX has no bound; ten is the most seen in the field.
pub const TRACKS_MAX: usize = 16;
/// Lines of one session description.
pub const SDP_LINES_MAX: usize = 2048;
/// Attributes of one media section, and of the session section.
pub const SDP_ATTRIBUTES_MAX: usize = 128;
/// RTP packets that a receiver holds back while an earlier one is missing.
pub const RTP_REORDER_PACKETS_MAX: usize = 64;
/// Longest time an RTP packet is held back for an earlier one, in milliseconds.
pub const RTP_REORDER_HOLD_MS_MAX: u64 = 60;
/// A sequence number further ahead than this is no loss but a restarted sender (RFC 3550, A.1, `MAX_DROPOUT`).
pub const RTP_DROPOUT_MAX: i16 = 3000;
/// A sequence number further behind than this is no late packet but a restarted sender (RFC 3550, A.1, `MAX_MISORDER`).
pub const RTP_MISORDER_MAX: i16 = 100;
/// Packets of one compound RTCP packet that are looked at.
pub const RTCP_COMPOUND_MAX: usize = 32;
/// Longest wait of an RTSP client for an answer, in milliseconds: on-demand sources take up to ten seconds to start.
pub const RTSP_RESPONSE_TIMEOUT_MS: u64 = 15_000;
/// Session timeout an RTSP client assumes where the server names none, in seconds (RFC 2326, section 12.37).
pub const RTSP_SESSION_TIMEOUT_S: u64 = 60;
/// Longest session timeout an RTSP client believes, in seconds: above a day the arithmetic of times is at risk, and no server means it.
pub const RTSP_SESSION_TIMEOUT_S_MAX: u64 = 86_400;
/// Longest line of version 1 of the PROXY protocol, its end included (its specification, section 2.1).
pub const PROXY_V1_BYTES_MAX: usize = 107;
/// Extensions of one header of version 2 of the PROXY protocol, in bytes. Cloud balancers send up to a few hundred; TLS names and
/// certificates fit too.
pub const PROXY_TLV_BYTES_MAX: usize = 4096;
/// Depth of nested AMF0 values. Commands need two, `onMetaData` with its track map of Enhanced RTMP three.
pub const AMF0_DEPTH_MAX: usize = 16;
/// AMF0 values of one message, nested ones too. `onMetaData` of a file with a key frame index has up to a few thousand.
pub const AMF0_VALUES_MAX: usize = 8192;
/// Longest name of an AMF0 property, in bytes: names are words.
pub const AMF0_NAME_BYTES_MAX: usize = 1024;
/// One unit put together from RTP packets, in bytes: an 8K intra picture at the highest H.265 levels stays below.
pub const RTP_UNIT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// RTP packets of one fragmented part: as many as the bytes above make at 1 KiB each.
pub const RTP_UNIT_PACKETS_MAX: usize = 16 * 1024;
/// Smallest payload the packetizers work with, in bytes: the headers and tables of a JPEG picture, and some of the picture.
pub const RTP_PAYLOAD_BYTES_MIN: usize = 256;
/// Largest payload the packetizers work with, in bytes: what fits a UDP datagram, or an interleaved frame of RTSP.
pub const RTP_PAYLOAD_BYTES_MAX: usize = 65_000;
/// Longest RTMP message of an admitted publisher, in bytes: ten times the largest key frame seen (4K at 100 Mbit/s, 1 MiB).
pub const RTMP_MESSAGE_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Longest RTMP message of a client that is not admitted yet, in bytes: commands with long tokens fit in a tenth of this.
pub const RTMP_COMMAND_BYTES_MAX: usize = 64 * 1024;
/// Bytes of all unfinished messages of one RTMP connection together: one of the longest, and what interleaves with it.
pub const RTMP_BUFFERED_BYTES_MAX: usize = RTMP_MESSAGE_BYTES_MAX + 2 * 1024 * 1024;
/// Chunk streams of one RTMP connection. Encoders use up to eight.
pub const RTMP_CHUNK_STREAMS_MAX: usize = 64;
/// Bytes an RTMP client may send ahead while its command waits for the caller's decision: four seconds at 500 kbit/s.
pub const RTMP_AHEAD_BYTES_MAX: usize = 256 * 1024;
/// Longest wait of an RTMP client for each answer, in milliseconds: on-demand sources take up to ten seconds to start.
pub const RTMP_RESPONSE_TIMEOUT_MS: u64 = 15_000;
/// NAL units or OBUs of one access unit. Slices of a packet's size in a picture of a megabyte are 700.
pub const UNIT_PARTS_MAX: usize = 4096;
/// Picture parameter sets of one H.264 or H.265 track that are followed: the records of MP4 count them in a byte or less, encoders send up to five.
pub const PICTURE_PARAMETER_SETS_MAX: usize = 32;
/// Bytes of one parameter set or sequence header. Those of cameras have 50; scaling lists make it a few hundred.
pub const PARAMETER_SET_BYTES_MAX: usize = 4096;
/// Pictures that come before one which is shown before them (H.264, A.3.1; H.265, A.4.2: a decoded picture buffer has 16).
pub const REORDERED_PICTURES_MAX: usize = 16;
/// Longest section of the tables of MPEG-TS that are read, in bytes (ISO/IEC 13818-1, 2.4.4.4: a length of at most 1021).
pub const MPEGTS_SECTION_BYTES_MAX: usize = 1024;
/// Longest PES packet of a video stream, in bytes: an intra picture of 4K at the highest rates of H.264 has about 3 MB.
pub const MPEGTS_VIDEO_PES_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest PES packet of another stream, in bytes: those must say their length, in 16 bits; some say none.
pub const MPEGTS_PES_BYTES_MAX: usize = 128 * 1024;
/// Bytes without packet boundaries after which a stream counts as no MPEG-TS.
pub const MPEGTS_SYNC_BYTES_MAX: usize = 64 * 1024;
/// Media time a demuxer waits for the parameters of all tracks before it goes on with those it has, in milliseconds: as long as
/// the longest usual distance between random access points.
pub const MPEGTS_DETECTION_MS_MAX: u64 = 2_000;
/// Bytes of units held back meanwhile; the wait ends when there are more.
pub const MPEGTS_DETECTION_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A timestamp further from its neighbours than this, in milliseconds, is no late or early one but a new time base.
pub const MPEGTS_JUMP_MS_MAX: u64 = 10_000;
/// Header of an FLV file with its extension, in bytes. The specification has nine; what lies beyond is unknown.
pub const FLV_HEADER_BYTES_MAX: usize = 1024;
/// A timestamp of FLV further behind the one before it is no interleaving but a sender that started again, in milliseconds.
pub const FLV_STEP_BACK_MS_MAX: i64 = 10_000;
/// Further ahead is a sender whose clock was set, or that paused: how long it took, its arrival says.
pub const FLV_STEP_AHEAD_MS_MAX: i64 = 10_000;
/// Media time after which a publisher's tracks are those that were seen, in milliseconds: MediaMTX waits as long.
pub const FLV_DETECTION_MS_MAX: i64 = 2_000;
/// Payload held back while a publisher's tracks are being found, in bytes: two seconds at 64 Mbit/s.
pub const FLV_DETECTION_BYTES_MAX: usize = 16 << 20;
/// Units held back for the same reason: two seconds of 16 tracks at 120 units per second.
pub const FLV_DETECTION_UNITS_MAX: usize = 4096;
/// Frames of one message of MPEG audio or AC-3. Encoders send one; a second of the shortest is under a hundred.
pub const FLV_AUDIO_FRAMES_MAX: usize = 128;
/// Sample bytes of one MP4 fragment: far above any segment, and far below what the format's 32 bits hold.
pub const MP4_FRAGMENT_BYTES_MAX: usize = 1 << 30;
/// Boxes inside boxes that the MP4 reader goes down: `moov/trak/mdia/minf/stbl/stsd` and the entry.
pub const MP4_DEPTH_MAX: usize = 8;
/// Segments that stay fetchable after they left the playlist, for players that lag: what a slow download of the oldest listed
/// one needs. The specification asks for a whole playlist more (section 6.2.2), which would double the memory.
pub const HLS_SEGMENTS_RETIRED: usize = 3;
/// Longest wait for the end of the first segment, in seconds: what players bear before the first playlist.
pub const HLS_FIRST_SEGMENT_SECONDS_MAX: u32 = 10;
/// Units of the first segment: ten seconds of sixteen tracks, with sounds of 2.5 ms.
pub const HLS_FIRST_SEGMENT_UNITS_MAX: usize = 65_536;
/// Longest target duration, in seconds; a segment in memory is as long.
pub const HLS_TARGET_SECONDS_MAX: u32 = 60;
/// Seconds that one track of a rendition may be ahead of its leading one, before time goes on without that.
pub const HLS_LAG_SECONDS: u32 = 1;
/// Units in sequence that do not fit the time of their rendition, before their time is believed.
pub const HLS_STRAY_UNITS_MAX: u32 = 64;
/// Times of units further from the stream's beginning than this, in seconds (over a hundred years), are nonsense; below it no
/// arithmetic of times overflows.
pub const HLS_STREAM_SECONDS_MAX: u64 = 1 << 32;
/// Payload of one WebSocket frame of a client, in bytes. Nothing that a client says here is that long.
pub const WEBSOCKET_FRAME_BYTES_MAX: u64 = 64 * 1024;
