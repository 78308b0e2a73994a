//! Streams without end over HTTP: FLV, FLV over WebSocket, MPEG-TS.

use anyhow::{Context, Result, bail, ensure};
use headwater_tests::clients::{Expect, ffmpeg_read};
use headwater_tests::http::{self, Client};
use headwater_tests::live::{Ingest, publish};
use headwater_tests::media::sample;
use headwater_tests::node::Script;
use headwater_tests::process::Process;
use headwater_tests::publisher::{PACKETS_PER_PICTURE, PICTURES_PER_GROUP, Publisher};
use headwater_tests::server::{Launch, Server};
use headwater_tests::{wait, workspace};
use socket2::{Domain, Socket, Type};
use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);
/// A key frame each ten seconds: a reader that waited for one would wait long.
const RARE_KEY_FRAMES: [&str; 10] =
    ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-bf", "0", "-g", "300"];
/// Until the first picture, on a machine that does much else.
const AT_ONCE: Duration = Duration::from_millis(1500);

fn launch(settings: &[&str]) -> Result<Server> {
    let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
    let launch = Launch { media: vec!["rtmp", "http"], control: vec!["api"], settings, ..Launch::default() };
    Server::launch(&launch)
}

/// Waits until the path has sent so many bytes.
fn wait_for_path(server: &Server, path: &str, bytes: u64) -> Result<()> {
    wait::until(&format!("{path} to be published"), SOON, || {
        let answer = http::request(server.control["api"], "GET", &format!("/v3/paths/get/{path}"), "")?;
        let ready = answer.status == 200 && {
            let path = answer.json()?;
            path["ready"] == true && path["bytesReceived"].as_u64() >= Some(bytes)
        };
        Ok(ready.then_some(()))
    })
}

/// A reader of an endless stream, behind the head of the answer.
fn open(server: &Server, target: &str, content_type: &str) -> Result<Client> {
    let mut client = Client::open(server.media["http"])?;
    client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
    let (status, headers) = client.head()?;
    let has = |name: &str, value: &str| {
        headers.iter().any(|(found, said)| found.eq_ignore_ascii_case(name) && said == value)
    };
    ensure!(
        status == 200 && has("Content-Type", content_type) && has("Cache-Control", "no-store"),
        "{headers:?}"
    );
    Ok(client)
}

/// One tag (Adobe Flash Video File Format, section E.4.1).
#[derive(Clone, PartialEq, Eq, Debug)]
struct Tag {
    kind: u8,
    timestamp: u32,
    body: Vec<u8>,
}

impl Tag {
    const VIDEO: u8 = 9;

    /// A coded picture, and no sequence header.
    fn is_picture(&self) -> bool {
        self.kind == Tag::VIDEO && self.body.get(1) == Some(&1)
    }

    fn is_key(&self) -> bool {
        self.body.first().is_some_and(|first| first >> 4 & 7 == 1)
    }
}

/// The whole tags of an FLV stream, and how many bytes they take.
fn tags(stream: &[u8]) -> Result<(Vec<Tag>, usize)> {
    let mut tags = Vec::new();
    if stream.len() < 13 {
        return Ok((tags, 0));
    }
    ensure!(
        stream.starts_with(b"FLV\x01") && stream[5..13] == [0, 0, 0, 9, 0, 0, 0, 0],
        "{:?}",
        &stream[..13]
    );
    let mut at = 13;
    while let Some(head) = stream.get(at..at + 11) {
        let length = usize::from(head[1]) << 16 | usize::from(head[2]) << 8 | usize::from(head[3]);
        let Some(whole) = stream.get(at..at + 11 + length + 4) else { break };
        let (body, size) = whole[11..].split_at(length);
        ensure!(size == ((11 + length) as u32).to_be_bytes(), "PreviousTagSize of tag {}", tags.len());
        let timestamp = u32::from_be_bytes([head[7], head[4], head[5], head[6]]);
        tags.push(Tag { kind: head[0], timestamp, body: body.to_vec() });
        at += whole.len();
    }
    Ok((tags, at))
}

#[test]
fn the_first_picture_comes_at_once_and_can_be_decoded() -> Result<()> {
    let server = launch(&[])?;
    let _publisher = publish(&server, Ingest::Rtmp, "cam", sample("h264_aac"), &RARE_KEY_FRAMES)?;
    wait_for_path(&server, "cam", 50_000)?;
    let started = Instant::now();
    let mut flv = open(&server, "/cam.flv", "video/x-flv")?;
    let come = flv.until(|come| tags(come).is_ok_and(|(tags, _)| tags.iter().any(Tag::is_picture)))?;
    let took = started.elapsed();
    eprintln!("the first picture of FLV came {took:?} after the request");
    ensure!(took < AT_ONCE, "the first picture took {took:?}");
    let (found, _) = tags(&come)?;
    let first = found.iter().position(Tag::is_picture).context("a picture")?;
    ensure!(found[first].is_key(), "the first picture cannot be decoded");
    let header = |kind: u8, second: usize| {
        found[..first].iter().any(|tag| tag.kind == kind && tag.body.get(second) == Some(&0))
    };
    ensure!(
        header(9, 1) && header(8, 1),
        "no sequence headers before the first picture: {:?}",
        &found[..first]
    );

    let started = Instant::now();
    let mut ts = open(&server, "/cam.ts", "video/mp2t")?;
    let come = ts.until(|come| come.len() >= 188 * 20)?;
    eprintln!("the first 20 packets of MPEG-TS came {:?} after the request", started.elapsed());
    ensure!(started.elapsed() < AT_ONCE, "MPEG-TS took {:?}", started.elapsed());
    ensure!(come.chunks_exact(188).all(|packet| packet[0] == 0x47), "packets without sync bytes");
    ensure!(come[1] & 0x5f == 0x40 && come[2] == 0, "the first packet is no program association table");
    drop((flv, ts));
    server.stop()
}

#[test]
fn ffmpeg_decodes_every_picture_of_every_kind() -> Result<()> {
    let server = launch(&[])?;
    let mut publishers = Vec::new();
    for ingest in [Ingest::Rtmp, Ingest::Rtsp] {
        publishers.push(publish(&server, ingest, ingest.name(), sample("h264_aac"), &[])?);
        wait_for_path(&server, ingest.name(), 1000)?;
    }
    for path in ["rtmp", "rtsp"] {
        for extension in ["flv", "ts"] {
            let url = format!("http://{}/{path}.{extension}", server.media["http"]);
            ffmpeg_read(sample("h264_aac"), &url, Expect::OriginalFromTheFirst, &[])
                .with_context(|| format!("{extension} from {path}"))?;
        }
    }
    drop(publishers);
    server.stop()
}

/// Reads two streams of a kind that began at different times until the later one has `length` bytes, and finds the end of
/// the later one in the earlier.
fn same_bytes(server: &Server, target: &str, content_type: &str) -> Result<()> {
    const LENGTH: usize = 150_000;
    const COMPARED: usize = 60_000;
    let mut first = open(server, target, content_type)?;
    let mut come = first.until(|come| come.len() > 30_000)?;
    let mut second = open(server, target, content_type)?;
    let later = second.until(|later| later.len() > LENGTH)?;
    let wanted = &later[later.len() - COMPARED..];
    let mut found = false;
    let mut more = Vec::new();
    while !found && come.len() < 10 * LENGTH {
        more = first.until(|more| !more.is_empty())?;
        come.extend_from_slice(&more);
        found = come.len() > LENGTH && come.windows(COMPARED).rev().any(|bytes| bytes == wanted);
    }
    ensure!(found, "{target}: two readers get different bytes ({} at last)", more.len());
    Ok(())
}

#[test]
fn readers_get_the_same_bytes_and_count() -> Result<()> {
    let server = launch(&[])?;
    let _publisher = publish(&server, Ingest::Rtmp, "cam", sample("h264_aac"), &[])?;
    wait_for_path(&server, "cam", 1000)?;
    same_bytes(&server, "/cam.flv", "video/x-flv")?;
    same_bytes(&server, "/cam.ts", "video/mp2t")?;
    server.stop()
}

fn scratch(name: &str) -> PathBuf {
    workspace().join("logs").join(format!("{}-{name}", std::process::id()))
}

/// Codecs of a file, and how many units it has of each.
fn probe(file: &Path) -> Result<String> {
    let mut command = Command::new("ffprobe");
    command.args(
        "-v error -count_packets -show_entries stream=codec_name,nb_read_packets -of csv=p=0".split(' '),
    );
    let output = command.arg(file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn a_websocket_brings_flv_until_the_publisher_is_gone() -> Result<()> {
    let server = launch(&["pathDefaults.publisherGrace=0s"])?;
    let publisher = publish(&server, Ingest::Rtmp, "cam", sample("h264_aac"), &[])?;
    wait_for_path(&server, "cam", 1000)?;
    let url = format!("ws://{}/cam.flv", server.media["http"]);
    let files: Vec<PathBuf> = (0..3).map(|n| scratch(&format!("websocket-{n}.flv"))).collect();
    let mut readers = Vec::new();
    for file in &files {
        let file = file.to_str().context("a path in UTF-8")?;
        readers.push(Script::start("websocket_flv.mjs", &[&url, file])?);
    }
    for reader in &mut readers {
        reader.until("FLV over WebSocket", SOON, |told| {
            Ok((told["bytes"].as_u64() > Some(150_000) && told["pongs"] == 1).then_some(()))
        })?;
    }
    let sessions = http::get(server.control["api"], "/v3/httpsessions/list")?;
    let kinds = sessions["items"].as_array().context("items")?;
    ensure!(kinds.len() == 3 && kinds.iter().all(|one| one["kind"] == "webSocketFlv"), "{sessions}");
    let plain = open(&server, "/cam.flv", "video/x-flv")?;
    let ts = open(&server, "/cam.ts", "video/mp2t")?;
    drop(publisher);
    for mut endless in [plain, ts] {
        endless.until_closed()?;
    }
    for (reader, file) in readers.into_iter().zip(&files) {
        let told = reader.finish(SOON)?;
        ensure!(!told["closed"].is_null(), "{told}");
        let probed = probe(file)?;
        ensure!(probed.contains("h264,") && probed.contains("aac,"), "{probed}");
        let stream = std::fs::read(file)?;
        let (found, used) = tags(&stream)?;
        ensure!(used == stream.len(), "the last tag is cut: {} bytes over", stream.len() - used);
        let first = found.iter().find(|tag| tag.is_picture()).context("no picture")?;
        ensure!(first.is_key(), "the first picture cannot be decoded");
    }
    let gone = Client::open(server.media["http"])?.request("GET", "/cam.flv", &[], b"")?;
    ensure!(gone.status == 404, "a path without publisher is answered {}", gone.status);
    server.stop()
}

/// The number of a picture of [`Publisher`]: behind flags (5), length (4), NAL header (1) and epoch (4).
fn picture_number(tag: &Tag) -> Option<u64> {
    let number = tag.body.get(14..22)?.try_into().ok()?;
    Some(u64::from_be_bytes(number) / PACKETS_PER_PICTURE)
}

#[test]
fn a_slow_reader_skips_to_key_frames_beside_a_fast_one() -> Result<()> {
    let server = launch(&[])?;
    let publisher = Publisher::start_fast(server.rtsp, &server.url("fast"), 1, 20)?;
    wait_for_path(&server, "fast", 1_000_000)?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(4096)?;
    socket.set_read_timeout(Some(SOON))?;
    socket.connect(&server.media["http"].into())?;
    let mut slow = TcpStream::from(socket);
    std::io::Write::write_all(&mut slow, b"GET /fast.flv HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut fast = open(&server, "/fast.flv", "video/x-flv")?;
    let fast = std::thread::spawn(move || fast.until(|come| come.len() > 20_000_000));

    let (mut come, mut skips, mut piece) = (Vec::new(), 0, [0; 4096]);
    let started = Instant::now();
    while skips < 3 {
        ensure!(started.elapsed() < Duration::from_secs(40), "was skipped ahead {skips} times only");
        for _ in 0..50 {
            let length = slow.read(&mut piece)?;
            ensure!(length > 0, "the server closed the slow reader: {}", server.log());
            come.extend_from_slice(&piece[..length]);
            // A slow reader is one that takes its time: at most 400 kB a second of 4 MB.
            std::thread::sleep(Duration::from_millis(10));
        }
        skips = skips_of(&come)?.1;
    }
    drop(slow);
    let fast = fast.join().map_err(|_| anyhow::anyhow!("the fast reader panicked"))??;
    let (pictures, skipped) = skips_of(&[b"\r\n\r\n", &fast[..]].concat())?;
    ensure!(
        skipped == 0 && pictures > 1000,
        "beside it the fast reader lost pictures: {skipped} times of {pictures}"
    );
    publisher.disconnect()?;
    server.stop()
}

/// How many pictures came, and how many times some were left out: then a key frame must follow, and nothing be cut.
fn skips_of(answer: &[u8]) -> Result<(usize, usize)> {
    let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { bail!("no head") };
    let (found, _) = tags(&answer[head + 4..])?;
    let (mut last, mut pictures, mut skips) = (None, 0, 0);
    for tag in found.iter().filter(|tag| tag.is_picture()) {
        let number = picture_number(tag).context("a picture without number")?;
        let into_group = number % PICTURES_PER_GROUP;
        ensure!(tag.is_key() == (into_group == 0), "picture {into_group} of its group, key {}", tag.is_key());
        if last.is_none_or(|last| number != last + 1) {
            ensure!(into_group == 0, "goes on with picture {into_group} of a group, behind {last:?}");
            skips += usize::from(last.is_some());
        }
        (last, pictures) = (Some(number), pictures + 1);
    }
    Ok((pictures, skips))
}

#[test]
fn what_cannot_be_streamed_is_refused() -> Result<()> {
    let server = launch(&[])?;
    let _publisher: Process = publish(&server, Ingest::Rtsp, "vp8", sample("vp8_opus"), &["-an"])?;
    wait_for_path(&server, "vp8", 1000)?;
    let http = server.media["http"];
    let ask =
        |target: &str, headers: &[(&str, &str)]| Client::open(http)?.request("GET", target, headers, b"");
    let refused = ask("/vp8.ts", &[])?;
    ensure!((400..500).contains(&refused.status), "VP8 in MPEG-TS is answered {}", refused.status);
    let missing = ask("/nobody.flv", &[])?;
    ensure!(missing.status == 404, "{}", missing.status);
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    let key = [&upgrade[..], &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]].concat();
    ensure!(ask("/vp8.ts", &key)?.status == 400, "MPEG-TS over WebSocket");
    let bad = [&upgrade[..], &[("Sec-WebSocket-Key", "short")]].concat();
    let mut cam = publish(&server, Ingest::Rtmp, "cam", sample("h264_aac"), &[])?;
    wait_for_path(&server, "cam", 1000)?;
    ensure!(ask("/cam.flv", &bad)?.status == 400, "a WebSocket key that is none");
    let head = Client::open(http)?.request("HEAD", "/cam.flv", &[], b"")?;
    ensure!(head.status == 200 && head.header("Content-Type") == Some("video/x-flv"), "{head:?}");
    cam.still_runs()?;
    server.stop()
}
