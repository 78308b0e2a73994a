//! Descriptions as cameras, servers and encoders send them. Encoders marked "recorded" were recorded on this project's
//! machine on 2026-11-20; the others were published by their owners in public repositories, which are named.

/// Recorded: ffmpeg 5.1.9, ANNOUNCE.
pub(crate) const FFMPEG: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\na=tool:libavformat LIBAVFORMAT_VERSION\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LADNoFBn58BEAAAAMAQAAAB4PFCqg=,aM4PyA==; profile-level-id=42C00C\r\na=control:streamid=0\r\nm=audio 0 RTP/AVP 97\r\nb=AS:64\r\na=rtpmap:97 MPEG4-GENERIC/48000/1\r\na=fmtp:97 profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3; config=118856E500\r\na=control:streamid=1\r\n";

/// Recorded: GStreamer 1.22.0, rtspclientsink, ANNOUNCE.
pub(crate) const GSTREAMER: &str = "v=0\r\no=- 1186701223 1 IN IP4 127.0.0.1\r\ns=Session streamed with GStreamer\r\ni=rtspclientsink\r\nt=0 0\r\na=tool:GStreamer\r\nm=audio 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:96 MP4A-LATM/44100\r\na=fmtp:96 cpresent=0;config=40002410adca00\r\na=control:stream=1\r\na=ts-refclk:local\r\na=mediaclk:sender\r\na=ssrc:3526752742 cname:user2563428765@host-3b24f5d\r\nm=video 0 RTP/AVP 99\r\nc=IN IP4 0.0.0.0\r\nb=AS:2097\r\na=rtpmap:99 H264/90000\r\na=framerate:30\r\na=fmtp:99 packetization-mode=1;sprop-parameter-sets=Z/QADZGWQFB+wFqDAwMgAAADACAAAAeR4oVJ,aOvMRIRA\r\na=control:stream=0\r\na=ts-refclk:local\r\na=mediaclk:sender\r\na=ssrc:4219546044 cname:user2563428765@host-3b24f5d\r\n";

/// Hikvision camera (fixture of the Java test `RtspSdpTest`): absolute controls, `e=NONE`, bandwidth before time.
pub(crate) const HIKVISION: &str = "v=0\r\no=- 1517245007527432 1517245007527432 IN IP4 10.3.8.202\r\ns=Media Presentation\r\ne=NONE\r\nb=AS:5050\r\nt=0 0\r\na=control:rtsp://10.3.8.202:554/\r\nm=video 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\nb=AS:5000\r\na=recvonly\r\na=x-dimensions:2048,1536\r\na=control:rtsp://10.3.8.202:554/trackID=1\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 profile-level-id=420029; packetization-mode=1; sprop-parameter-sets=Z00AH5Y1QKALdNwEBAQI,aO48gA==\r\na=Media_header:MEDIAINFO=494D4B48010200000400000100000000000000000000000000000000000000000000000000000000;\r\na=appversion:1.0\r\n";

/// Hikvision media server V3.4.103 (fixture of lal): session bandwidth after attributes, `i=` in media sections.
pub(crate) const HIKVISION_SERVER: &str = "v=0\r\no=- 1109162014219182 0 IN IP4 0.0.0.0\r\ns=HIK Media Server V3.4.103\r\ni=HIK Media Server Session Description : standard\r\ne=NONE\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\nb=AS:1034\r\na=range:npt=now-\r\nm=video 0 RTP/AVP 96\r\ni=Video Media\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 profile-level-id=4D0014;packetization-mode=0;sprop-parameter-sets=Z2QAIK2EAQwgCGEAQwgCGEAQwgCEO1AoA803AQEBQAAAAwBAAAAMoQ==,aO48sA==\r\na=control:trackID=video\r\nb=AS:1024\r\nm=audio 0 RTP/AVP 8\r\ni=Audio Media\r\na=rtpmap:8 PCMA/8000\r\na=control:trackID=audio\r\nb=AS:10\r\na=Media_header:MEDIAINFO=494D4B48020100000400000111710110401F000000FA000000000000000000000000000000000000;\r\na=appversion:1.0";

/// Dahua camera (documentation of its HTTP stream): bare LF, four sections of which three have private formats.
pub(crate) const DAHUA: &str = "v=0\no=- 2273699856 2273699856 IN IP4 0.0.0.0\ns=Media Server\nc=IN IP4 0.0.0.0\nt=0 0\na=control:*\na=packetization-supported:DH\na=rtppayload-supported:DH\na=range:npt=now-\na=x-summary:Mainland\na=x-packetization-supported:IV\na=x-rtppayload-supported:IV\nm=video 0 RTP/AVP 96\na=control:trackID=0\na=framerate:30.000000\na=rtpmap:96 H264/90000\na=recvonly\nm=application 0 RTP/AVP 100\na=control:trackID=3\na=rtpmap:100 stream-assist-frame/90000\na=recvonly\nm=application 0 RTP/AVP 107\na=control:trackID=4\na=rtpmap:107 vnd.onvif.metadata/90000\na=recvonly\nm=audio 0 RTP/AVP 8\na=control:trackID=6\na=rtpmap:8 PCMA/8000\na=recvonly\n";

/// Axis camera (a comment in a libdatachannel client): absolute controls, a matrix with semicolons.
pub(crate) const AXIS: &str = "v=0\r\no=- 9316026343136633650 1 IN IP4 192.168.0.106\r\ns=Session streamed with GStreamer\r\ni=rtsp-server\r\nt=0 0\r\na=tool:GStreamer\r\na=type:broadcast\r\na=range:npt=now-\r\na=control:rtsp://192.168.0.106/axis-media/media.amp\r\nm=video 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\nb=AS:50000\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=640029;sprop-parameter-sets=Z2QAKaw0yAeAIn5cBbgICAoAAAfQAAGGodDAABfWoAAAX1ppd5caGAAC+tQAAAvrTS7y4b6g,aO48MA==\r\na=ts-refclk:local\r\na=mediaclk:sender\r\na=recvonly\r\na=control:rtsp://192.168.0.106/axis-media/media.amp/stream=0\r\na=framerate:25.000000\r\na=transform:1.000000,0.000000,0.000000;0.000000,1.000000,0.000000;0.000000,0.000000,1.000000\r\nm=audio 0 RTP/AVP 97\r\nc=IN IP4 0.0.0.0\r\nb=AS:32\r\na=rtpmap:97 MPEG4-GENERIC/8000/1\r\na=fmtp:97 streamtype=5;profile-level-id=2;mode=AAC-hbr;config=1588;sizelength=13;indexlength=3;indexdeltalength=3;bitrate=32000\r\na=ts-refclk:local\r\na=mediaclk:sender\r\na=recvonly\r\na=control:rtsp://192.168.0.106/axis-media/media.amp/stream=1\r\n";

/// Sony camera behind "RTSP server" (fixture of a Go client): a character set, lower-case `pcmu`, no space in `b=AS:0`.
pub(crate) const SONY: &str = "v=0\r\no=RTSP 1739297693 341 IN IP4 0.0.0.0\r\ns=RTSP server\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=charset:Shift_JIS\r\na=range:npt=0-\r\na=control:*\r\na=etag:1234567890\r\nm=video 0 RTP/AVP 98\r\nb=AS:0\r\na=rtpmap:98 H264/90000\r\na=control:trackID=2\r\na=x-onvif-track:trackID=2\r\na=fmtp:98 packetization-mode=1; profile-level-id=4d6020; sprop-parameter-sets=J01gII1oBVBhv/AQAA/2yAAAAwAIAAADAFB4oRUA,KO4FSSAAAAAAAAAA\r\nm=audio 0 RTP/AVP 0\r\na=control:trackID=8\r\na=x-onvif-track:trackID=8\r\na=rtpmap:0 pcmu/8000\r\nm=application 0 RTP/AVP 107\r\na=control:trackID=13\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n";

/// live555 media server of 2020 (comment in a C server).
pub(crate) const LIVE555: &str = "v=0\r\no=- 1582594486294163 1 IN IP4 192.168.1.104\r\ns=H.264 Video, streamed by the LIVE555 Media Server\r\ni=nat.264\r\nt=0 0\r\na=tool:LIVE555 Streaming Media v2020.02.11\r\na=type:broadcast\r\na=control:*\r\na=range:npt=0-\r\na=x-qt-text-nam:H.264 Video, streamed by the LIVE555 Media Server\r\na=x-qt-text-inf:nat.264\r\nm=video 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\nb=AS:500\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=4D401E;sprop-parameter-sets=Z01AHpUVGIBYCTI=,aOqOIA==\r\na=control:track1\r\n";

/// VLC 2.0.7 as a server (comment in a C server): capitals in parameters, a final semicolon, no channel count.
pub(crate) const VLC: &str = "v=0\r\no=- 15404613757824320910 15404613757824320910 IN IP4 Byron-PC\r\ns=Unnamed\r\ni=N/A\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=tool:vlc 2.0.7\r\na=recvonly\r\na=type:broadcast\r\na=charset:UTF-8\r\na=control:rtsp://192.168.0.100:8554/aaaa\r\nm=audio 0 RTP/AVP 96\r\nb=RR:0\r\na=rtpmap:96 mpeg4-generic/8000\r\na=fmtp:96 streamtype=5; profile-level-id=15; mode=AAC-hbr; config=1588; SizeLength=13; IndexLength=3; IndexDeltaLength=3; Profile=1;\r\na=control:rtsp://192.168.0.100:8554/aaaa/trackID=0\r\nm=video 0 RTP/AVP 96\r\nb=RR:0\r\na=rtpmap:96 MP4V-ES/90000\r\na=fmtp:96 profile-level-id=3; config=000001b001000001b50ee040c0cf0000010000000120008440fa28282078a21f;\r\na=control:rtsp://192.168.0.100:8554/aaaa/trackID=1\r\n";

/// All of them, and whether the `sdp` crate accepts them.
pub(crate) const ALL: [(&str, &str, bool); 9] = [
    ("ffmpeg", FFMPEG, true),
    ("gstreamer", GSTREAMER, true),
    ("hikvision", HIKVISION, true),
    ("hikvision-server", HIKVISION_SERVER, false),
    ("dahua", DAHUA, true),
    ("axis", AXIS, true),
    ("sony", SONY, true),
    ("live555", LIVE555, true),
    ("vlc", VLC, true),
];
