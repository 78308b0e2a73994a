//! Conversion from protocol to protocol, through the binary: what was published comes out of every protocol bit by bit, in
//! order, at its time, sound and picture together, whatever the publisher's timestamps and packets are like.

use anyhow::{Context, Result, ensure};
use headwater_tests::feed::{self, Feed, Medium};
use headwater_tests::pusher::{By, Offset, Pusher};
use headwater_tests::rtp_push::{Packing, ParameterSets};
use headwater_tests::server::{Launch, Server};
use headwater_tests::witness::{self, Film, Wanted};
use headwater_tests::{reader, rtsp, wait, web, workspace};
use std::time::{Duration, Instant};

/// A way to read: what it is called, and ffmpeg's options for it.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    options: &'static [&'static str],
}

const RTSP_TCP: Way = Way { name: "rtsp over tcp", options: &["-rtsp_transport", "tcp"] };
const RTSP_UDP: Way = Way { name: "rtsp over udp", options: &["-rtsp_transport", "udp"] };
const RTMP: Way = Way { name: "rtmp", options: &[] };
const FLV: Way = Way { name: "flv", options: &[] };
const TS: Way = Way { name: "ts", options: &[] };
const HLS: Way = Way { name: "hls", options: &[] };
const EVERY_WAY: [Way; 6] = [RTSP_TCP, RTSP_UDP, RTMP, FLV, TS, HLS];

impl Way {
    fn url(self, server: &Server, path: &str) -> String {
        let http = server.media["http"];
        match self.name {
            "rtmp" => format!("rtmp://{}/{path}", server.media["rtmp"]),
            "flv" => format!("http://{http}/{path}.flv"),
            "ts" => format!("http://{http}/{path}.ts"),
            "hls" => format!("http://{http}/{path}/index.m3u8"),
            _ => server.url(path),
        }
    }
}

fn start(hls_variant: &str) -> Result<Server> {
    let settings = vec![format!("hlsVariant={hls_variant}"), "hlsSegmentDuration=1s".into()];
    // With two shards half of the readers are not where the publisher is.
    let shards = Some(if hls_variant == "fmp4" { 2 } else { 1 });
    Server::launch(&Launch { shards, media: vec!["rtmp", "http"], settings, ..Launch::default() })
}

/// Reads `path` in all `ways` at once, and compares each with the film.
fn all_see(server: &Server, path: &str, film: &Film, ways: &[Way], wanted: Wanted) -> Result<()> {
    let failures: Vec<String> = std::thread::scope(|scope| {
        let readers: Vec<_> = ways
            .iter()
            .map(|way| {
                scope.spawn(move || {
                    let seen = witness::read(&way.url(server, path), way.options, wanted)?;
                    // ffmpeg moves the times of a stream over UDP when a first packet overtakes the reports before it.
                    let jump_s = if way.name == RTSP_UDP.name { 5.0 } else { wanted.jump_s };
                    film.compare(&seen, Wanted { jump_s, ..wanted })
                })
            })
            .collect();
        let results = ways.iter().zip(readers);
        results
            .filter_map(|(way, reader)| {
                let result = reader.join().expect("readers do not panic");
                result.err().map(|error| format!("{path} by {}: {error:#}", way.name))
            })
            .collect()
    });
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// One publisher of a film, and who is to see it.
struct Case<'a> {
    path: &'a str,
    by: By,
    offset: Offset,
    ways: &'a [Way],
    wanted: Wanted,
}

impl<'a> Case<'a> {
    /// Both tracks, their times as they are, seen in every way.
    fn new(path: &'a str, by: By) -> Case<'a> {
        Case { path, by, offset: |_| 0, ways: &EVERY_WAY, wanted: witness::BOTH }
    }

    /// Publishes `feed`, and has it seen from amid the second second on.
    fn run(&self, server: &mut Server, feed: &Feed, film: &Film) -> Result<()> {
        let pusher = Pusher::start_all(server, self.path, self.by, &[feed], self.offset)?;
        server.wait_for_stream(self.path)?;
        pusher.wait_until(1_500_000)?;
        all_see(server, self.path, film, self.ways, self.wanted)?;
        pusher.finish()
    }
}

const RTSP: By =
    By::Rtsp(Packing { payload_bytes_max: 1400, parameter_sets: ParameterSets::Both, base: 1_000_000 });

#[test]
fn pictures_out_of_order_come_out_of_every_protocol_as_they_were() -> Result<()> {
    let feed = feed::REORDERED.feed()?;
    let film = Film::of(&feed, feed::REORDERED.group)?;
    for variant in ["mpegts", "fmp4"] {
        let mut server = start(variant)?;
        for (path, by) in [("from-rtmp", By::Rtmp), ("from-rtsp", RTSP)] {
            Case::new(path, by).run(&mut server, &feed, &film)?;
        }
        server.stop()?;
    }
    Ok(())
}

/// Moves all times so that the publisher's clock wraps three seconds into the film.
fn wraps_at_32_bits_of_milliseconds(_: i64) -> i64 {
    (1 << 32) * 1000 - 3_000_000
}

fn starts_late(_: i64) -> i64 {
    86_400 * 1_000_000
}

fn jumps_ahead(dts_us: i64) -> i64 {
    if dts_us < 2_000_000 { 0 } else { 3_600_000_000 }
}

fn jumps_back(dts_us: i64) -> i64 {
    if dts_us < 2_000_000 { 3_600_000_000 } else { 0 }
}

#[test]
fn a_publisher_may_count_time_as_it_likes() -> Result<()> {
    let feed = feed::REORDERED.feed()?;
    let film = Film::of(&feed, feed::REORDERED.group)?;
    let mut server = start("mpegts")?;
    let near_the_wrap = Packing { base: 0u32.wrapping_sub(3 * 48_000), ..Packing::default() };
    let wraps = By::Rtsp(near_the_wrap);
    let cases: [(&str, By, Offset, Wanted); 7] = [
        ("rtmp-wraps", By::Rtmp, wraps_at_32_bits_of_milliseconds, witness::BOTH),
        ("rtmp-starts-late", By::Rtmp, starts_late, witness::BOTH),
        ("rtsp-wraps", wraps, |_| 0, witness::BOTH),
        ("rtmp-jumps-ahead", By::Rtmp, jumps_ahead, witness::JUMPING),
        ("rtmp-jumps-back", By::Rtmp, jumps_back, witness::JUMPING),
        ("rtsp-jumps-ahead", RTSP, jumps_ahead, witness::JUMPING),
        ("rtsp-jumps-back", RTSP, jumps_back, witness::JUMPING),
    ];
    for (path, by, offset, wanted) in cases {
        // Readers over RTSP see the timestamps of an RTSP publisher as they are, jumps and all.
        let as_they_are = path.starts_with("rtsp-jumps");
        let ways: &[Way] = if as_they_are { &[RTMP, TS] } else { &[RTSP_TCP, RTMP, TS] };
        Case { offset, ways, wanted, ..Case::new(path, by) }.run(&mut server, &feed, &film)?;
    }
    server.stop()
}

#[test]
fn one_track_alone_comes_out_of_every_protocol() -> Result<()> {
    let feed = feed::REORDERED.feed()?;
    let film = Film::of(&feed, feed::REORDERED.group)?;
    let mut server = start("mpegts")?;
    for (medium, wanted) in [(Medium::Video, witness::VIDEO_ONLY), (Medium::Audio, witness::AUDIO_ONLY)] {
        let alone = feed.clone().only(medium);
        for (by_name, by) in [("rtmp", By::Rtmp), ("rtsp", RTSP)] {
            let path = format!("{by_name}-{medium:?}-only");
            Case { wanted, ..Case::new(&path, by) }.run(&mut server, &alone, &film)?;
        }
    }
    server.stop()
}

#[test]
fn a_track_that_appears_late_is_waited_for_but_not_for_long() -> Result<()> {
    let feed = feed::PLAIN.feed()?;
    let film = Film::of(&feed, feed::PLAIN.group)?;
    let mut server = start("mpegts")?;
    let soon = feed.clone().late(Medium::Audio, 1_000_000);
    Case { ways: &[RTSP_TCP, RTMP, TS], ..Case::new("soon", By::Rtmp) }.run(&mut server, &soon, &film)?;
    let late = feed.clone().late(Medium::Audio, 5_000_000);
    let mut connection = headwater_tests::rtmp_push::Connection::publish(server.media["rtmp"], "late")?;
    // Its sequence header would announce it: that comes late, too.
    connection.send_headers(&late.clone().only(Medium::Video), 0)?;
    let before = late.units.iter().position(|unit| unit.medium == Medium::Audio).context("late audio")?;
    late.units[..before].iter().try_for_each(|unit| connection.send_unit(unit, 0))?;
    server.wait_for_stream("late")?;
    connection.send_headers(&late.clone().only(Medium::Audio), 5000)?;
    late.units[before..].iter().take(50).try_for_each(|unit| connection.send_unit(unit, 0))?;
    server.wait_for_log("it came after the tracks were known")?;
    let url = server.url("late");
    let description = rtsp::Connection::open(server.rtsp)?.ok("DESCRIBE", &url, &[], "")?;
    let sdp = String::from_utf8_lossy(&description.body).into_owned();
    ensure!(sdp.contains("m=video") && !sdp.contains("m=audio"), "{sdp}");
    server.stop()
}

#[test]
fn parameter_sets_reach_every_reader_wherever_the_publisher_says_them() -> Result<()> {
    let feed = feed::REORDERED.feed()?;
    let film = Film::of(&feed, feed::REORDERED.group)?;
    let mut server = start("fmp4")?;
    for parameter_sets in [ParameterSets::Sdp, ParameterSets::InBand] {
        let by = By::Rtsp(Packing { parameter_sets, ..Packing::default() });
        let path = format!("sets-{parameter_sets:?}");
        Case::new(&path, by).run(&mut server, &feed, &film)?;
    }
    server.stop()
}

#[test]
fn packets_too_large_for_datagrams_are_cut_for_readers_over_udp() -> Result<()> {
    let feed = feed::HEAVY.feed()?;
    let film = Film::of(&feed, feed::HEAVY.group)?;
    let mut server = start("mpegts")?;
    let by = By::Rtsp(Packing { payload_bytes_max: 16_000, ..Packing::default() });
    let pusher = Pusher::start(&server, "large", by, &feed)?;
    server.wait_for_stream("large")?;
    pusher.wait_until(1_500_000)?;
    all_see(&server, "large", &film, &[RTSP_TCP, RTSP_UDP, RTMP], witness::BOTH)?;
    let (mut connection, (rtp, _rtcp)) = reader::set_up_udp(&server, server.rtsp.ip(), "large")?;
    connection.ok("PLAY", &server.url("large"), &[], "")?;
    rtp.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut largest = 0;
    for _ in 0..200 {
        let mut packet = [0; 65_536];
        largest = largest.max(rtp.recv(&mut packet)?);
    }
    ensure!((1200..=1452).contains(&largest), "the largest of 200 datagrams has {largest} bytes");
    pusher.finish()?;
    server.stop()
}

#[test]
fn readers_begin_at_once_with_a_key_frame_amid_a_long_group() -> Result<()> {
    const AT_ONCE: Duration = Duration::from_millis(500);
    let feed = feed::SPARSE.feed()?;
    let film = Film::of(&feed, feed::SPARSE.group)?;
    let mut server = start("mpegts")?;
    let pusher = Pusher::start(&server, "sparse", By::Rtmp, &feed)?;
    server.wait_for_stream("sparse")?;
    pusher.wait_until(3_000_000)?;
    let started = Instant::now();
    let mut player = headwater_tests::rtmp_push::Connection::play(server.media["rtmp"], "sparse")?;
    let first = loop {
        if let Some(key) = player.message()?.picture() {
            break key;
        }
    };
    ensure!(first && started.elapsed() < AT_ONCE, "rtmp: key frame {first} after {:?}", started.elapsed());
    for (path, mark) in [("/sparse.flv", &[0x17, 1][..]), ("/sparse.ts", &[0x67, 0x42][..])] {
        let started = Instant::now();
        let mut connection = web::Connection::open(server.media["http"])?;
        connection.send_request("GET", path, &[], "")?;
        connection.until_bytes(mark, AT_ONCE).with_context(|| path.to_owned())?;
        ensure!(started.elapsed() < AT_ONCE, "{path}: {:?}", started.elapsed());
    }
    let started = Instant::now();
    let (mut connection, (rtp, _rtcp)) = reader::set_up_udp(&server, server.rtsp.ip(), "sparse")?;
    connection.ok("PLAY", &server.url("sparse"), &[], "")?;
    rtp.set_read_timeout(Some(AT_ONCE))?;
    let mut packet = [0; 2048];
    rtp.recv(&mut packet)?;
    // Parameter sets come first, together or alone.
    ensure!(matches!(packet[12] & 0x1F, 7 | 24), "rtsp begins with a NAL unit of type {}", packet[12] & 0x1F);
    ensure!(started.elapsed() < AT_ONCE, "rtsp: {:?}", started.elapsed());
    // What comes then is the film from that key frame on, without a gap.
    all_see(&server, "sparse", &film, &[RTSP_TCP, RTMP, FLV, TS], witness::BOTH)?;
    pusher.finish()?;
    server.stop()
}

#[test]
fn units_are_converted_once_however_many_read() -> Result<()> {
    let feed = feed::PLAIN.feed()?;
    let mut server = start("mpegts")?;
    let pusher = Pusher::start(&server, "once", RTSP, &feed)?;
    server.wait_for_stream("once")?;
    pusher.wait_until(1_000_000)?;
    ensure!(server.counter("forms_opened")? == 0, "a form was made that nobody wants");
    let mut players = Vec::new();
    for _ in 0..10 {
        players.push(headwater_tests::rtmp_push::Connection::play(server.media["rtmp"], "once")?);
    }
    // Units, and RTMP messages made of them.
    ensure!(server.counter("forms_opened")? == 2, "forms: {:?}", server.counters()?);
    let mut streams = Vec::new();
    for path in ["/once.flv", "/once.ts"] {
        for _ in 0..5 {
            let mut connection = web::Connection::open(server.media["http"])?;
            connection.send_request("GET", path, &[], "")?;
            connection.until_text("HTTP/1.1 200", Duration::from_secs(5))?;
            streams.push(connection);
        }
    }
    ensure!(server.counter("forms_opened")? == 4, "forms: {:?}", server.counters()?);
    ensure!(server.counter("conversion_errors")? == 0, "errors: {:?}", server.counters()?);
    drop((players, streams));
    pusher.finish()?;
    server.stop()
}

/// Each initialisation section of the video's playlist has segments behind it that decode to pictures of the next size, and
/// there is a discontinuity between them. (ffmpeg itself goes on with the first section when it plays.)
fn segments_have_sizes(server: &Server, path: &str, sizes: &[usize]) -> Result<()> {
    let get = |file: &str| web::get(server.media["http"], &format!("/{path}/{file}"));
    let multivariant = get("index.m3u8")?.text();
    let is_uri = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let media = multivariant.lines().find(is_uri).context("a media playlist")?;
    let playlist = wait::until("a segment behind a discontinuity", Duration::from_secs(10), || {
        let playlist = get(media)?.text();
        let later = playlist.split_once("#EXT-X-DISCONTINUITY\n").map(|(_, later)| later.contains("#EXTINF"));
        Ok(later.unwrap_or(false).then_some(playlist))
    })?;
    let sections: Vec<&str> = playlist.split("#EXT-X-MAP:URI=\"").skip(1).collect();
    ensure!(sections.len() == sizes.len(), "{playlist}");
    for (section, size) in sections.iter().zip(sizes) {
        let (map, behind) = section.split_once('"').context("a quoted URI")?;
        let segment = behind.lines().skip(1).find(is_uri).context("a segment")?;
        let file = workspace().join("logs").join(format!("{}-{path}-{size}.mp4", std::process::id()));
        std::fs::write(&file, [get(map)?.body, get(segment)?.body].concat())?;
        let wanted = Wanted { pictures: 5, audio: 0, jump_s: 0.0 };
        let seen = witness::read(&file.display().to_string(), &[], wanted)?;
        ensure!(seen.pictures.iter().all(|line| line.bytes == *size), "{map}: {:?}", seen.pictures);
    }
    Ok(())
}

#[test]
fn a_resolution_that_changes_in_the_stream_reaches_every_reader() -> Result<()> {
    let (small, large) = (feed::PLAIN.feed()?, feed::LARGER.feed()?);
    let small = small.until(5_000_000);
    let mut server = start("fmp4")?;
    for (path, by) in [("grows-rtmp", By::Rtmp), ("grows-rtsp", RTSP)] {
        let pusher = Pusher::start_all(&server, path, by, &[&small, &large], |_| 0)?;
        server.wait_for_stream(path)?;
        pusher.wait_until(2_000_000)?;
        let mut player = headwater_tests::rtmp_push::Connection::play(server.media["rtmp"], path)?;
        let playing = std::thread::spawn(move || -> Result<Vec<Vec<u8>>> {
            let mut headers: Vec<Vec<u8>> = Vec::new();
            while headers.len() < 2 {
                let message = player.message()?;
                if message.is_avc_header() {
                    headers.push(message.body);
                }
            }
            Ok(headers)
        });
        // The muxer begins with the first request.
        web::get(server.media["http"], &format!("/{path}/index.m3u8"))?;
        let wanted = Wanted { pictures: 120, audio: 0, jump_s: 0.0 };
        let ways = [RTSP_TCP, TS, FLV];
        let both = [320 * 192 * 3 / 2, 480 * 288 * 3 / 2];
        std::thread::scope(|scope| -> Result<()> {
            let (server, both) = (&server, &both);
            let readers: Vec<_> = ways
                .iter()
                .map(|way| scope.spawn(move || witness::read(&way.url(server, path), way.options, wanted)))
                .collect();
            for (way, reader) in ways.iter().zip(readers) {
                let seen = reader.join().expect("readers do not panic")?;
                let mut sizes: Vec<usize> = seen.pictures.iter().map(|line| line.bytes).collect();
                sizes.dedup();
                ensure!(sizes == *both, "{path} by {}: pictures of {sizes:?} bytes", way.name);
            }
            Ok(())
        })?;
        let headers = playing.join().expect("the player does not panic")?;
        ensure!(headers[0] != headers[1], "the second sequence header is the first again");
        segments_have_sizes(&server, path, &both)?;
        pusher.finish()?;
    }
    server.stop()
}
