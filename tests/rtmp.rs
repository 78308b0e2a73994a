//! RTMP and RTMPS as clients meet them: who may publish and play, where a reader begins, what it is given and what not,
//! and what it sees of publishers that come and go.

use anyhow::{Context, Result, ensure};
use headwater_protocols::amf0::Value;
use headwater_protocols::flv::Capabilities;
use headwater_protocols::rtmp::client::Goal;
use headwater_protocols::rtmp::message::type_id;
use headwater_tests::clients::Expect;
use headwater_tests::config_file::api;
use headwater_tests::media::{Ffmpeg, sample};
use headwater_tests::process::Process;
use headwater_tests::rtmp::clients::{Publisher as Encoder, Reader as Player, ffmpeg_publish};
use headwater_tests::rtmp::publisher::{PICTURES_PER_GROUP, Plan, Publisher, Tracks};
use headwater_tests::rtmp::raw::{Came, Raw};
use headwater_tests::rtmp::reader::{Reader, Seen, advance_all};
use headwater_tests::rtmp::{Client, PUBLISH};
use headwater_tests::server::{Launch, Server};
use headwater_tests::wait;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// "At once", on a machine with other things to do.
const AT_ONCE: Duration = Duration::from_millis(700);

fn launch(settings: &[&str]) -> Result<Server> {
    launch_on(settings, None)
}

fn launch_on(settings: &[&str], shards: Option<usize>) -> Result<Server> {
    let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
    let (media, control) = (vec!["rtmp"], vec!["api", "metrics"]);
    Server::launch(&Launch { settings, media, control, shards, ..Launch::default() })
}

fn url(server: &Server, path: &str) -> String {
    format!("rtmp://{}/{path}", server.media["rtmp"])
}

/// Waits until the API says that `path` is ready.
fn wait_for_path(server: &Server, path: &str) -> Result<()> {
    wait::until(&format!("a stream on {path}"), Duration::from_secs(15), || {
        let list = api(server, "GET", "/v3/paths/list", "")?;
        let items = list["items"].as_array().context("items")?;
        Ok(items.iter().any(|item| item["name"] == path && item["ready"] == true).then_some(()))
    })
}

/// A server with a publisher of `tracks` on `path`.
fn live(settings: &[&str], path: &str, tracks: Tracks) -> Result<(Server, SocketAddr, Publisher)> {
    let server = launch(settings)?;
    let rtmp = server.media["rtmp"];
    let publisher = Publisher::start(rtmp, path, Plan::new(1, tracks))?;
    wait_for_path(&server, path)?;
    Ok((server, rtmp, publisher))
}

/// What every reader sees first.
fn expect_begun(seen: &Seen) -> Result<()> {
    ensure!(seen.began_with_key && seen.began_with_headers, "it did not begin as readers must: {seen:?}");
    Ok(())
}

#[test]
fn every_encoder_is_played_by_every_player() -> Result<()> {
    let sample = sample("h264_aac");
    let encoders = [Encoder::Ffmpeg(Ffmpeg::Debian), Encoder::Ffmpeg(Ffmpeg::Python), Encoder::Gstreamer];
    let players =
        [Player::Ffmpeg(Ffmpeg::Debian), Player::Ffmpeg(Ffmpeg::Python), Player::Gstreamer, Player::Rtmpdump];
    let mut server = launch_on(&[], Some(2))?;
    let mut wrong = Vec::new();
    for (number, encoder) in encoders.into_iter().enumerate() {
        let path = format!("live/cam{number}");
        let _publishing = encoder.start(sample, &url(&server, &path))?;
        wait_for_path(&server, &path)?;
        let expect =
            if encoder == Encoder::Gstreamer { Expect::Pictures } else { Expect::OriginalFromTheFirst };
        let address = url(&server, &path);
        let results: Vec<_> = std::thread::scope(|scope| {
            let address = &address;
            let reads: Vec<_> = players
                .into_iter()
                .map(|player| scope.spawn(move || player.read(sample, address, expect)))
                .collect();
            reads.into_iter().map(|read| read.join().expect("a read does not panic")).collect()
        });
        for (player, result) in players.iter().zip(results) {
            if let Err(error) = result {
                wrong.push(format!("{} → {}: {error:#}", encoder.name(), player.name()));
            }
        }
    }
    ensure!(wrong.is_empty(), "{} cells fail:\n{}", wrong.len(), wrong.join("\n"));
    server.still_runs()?;
    server.stop()
}

#[test]
fn a_reader_begins_with_headers_and_a_key_picture_at_once() -> Result<()> {
    let (server, rtmp, publisher) = live(&[], "begin", Tracks::VideoAndAudio)?;
    // Past the first key picture, and between two.
    wait::until_true("some pictures", Duration::from_secs(10), || publisher.sent() > PICTURES_PER_GROUP + 5)?;
    for _ in 0..5 {
        let reader = Reader::play(rtmp, "begin")?;
        let seen = reader.wait("the first picture", |seen| seen.pictures > 0)?;
        expect_begun(&seen)?;
        let after = seen.first_after.context("a first picture")?;
        ensure!(after < AT_ONCE, "the first picture came after {after:?}");
        reader.advance(30)?;
        let seen = reader.finish_whole()?;
        ensure!(seen.metadata == 1 && seen.video_headers >= 1 && seen.audio_headers >= 1, "{seen:?}");
    }
    publisher.finish()?;
    server.stop()
}

#[test]
fn publisher_and_readers_may_be_on_different_shards() -> Result<()> {
    let server = launch_on(&[], Some(2))?;
    let rtmp = server.media["rtmp"];
    let mut publishers = Vec::new();
    let mut readers = Vec::new();
    for path in ["one", "two"] {
        publishers.push(Publisher::start(rtmp, path, Plan::new(1, Tracks::VideoAndAudio))?);
        wait_for_path(&server, path)?;
        for _ in 0..8 {
            readers.push(Reader::play(rtmp, path)?);
        }
    }
    advance_all(&readers, 100)?;
    for reader in readers {
        expect_begun(&reader.finish_whole()?)?;
    }
    ensure!(server.counter("mesh_batches_received")? > 0, "all 16 readers were on their publishers' shards?");
    // A publisher that comes back by the other shard finds its path.
    for publisher in publishers {
        publisher.disconnect()?;
    }
    for epoch in 2..8 {
        Publisher::start(rtmp, "one", Plan::new(epoch, Tracks::VideoAndAudio))?.disconnect()?;
    }
    server.stop()
}

#[test]
fn rtmps_is_played_and_its_certificate_can_be_replaced() -> Result<()> {
    let (certificate, key) = headwater_tests::certificate("rtmps")?;
    let launch = Launch {
        certificate: Some((certificate.clone(), key.clone())),
        media: vec!["rtmp", "rtmps"],
        control: vec!["api", "metrics"],
        ..Launch::default()
    };
    let mut server = Server::launch(&launch)?;
    let secure = format!("rtmps://{}/live/secure", server.media["rtmps"]);
    let sample = sample("h264_aac");
    let mut encoder = Encoder::Ffmpeg(Ffmpeg::Debian).start(sample, &secure)?;
    wait_for_path(&server, "live/secure")?;
    // What is published over TLS is played without, and the other way round.
    Player::Ffmpeg(Ffmpeg::Debian).read(
        sample,
        &url(&server, "live/secure"),
        Expect::OriginalFromTheFirst,
    )?;
    Player::Ffmpeg(Ffmpeg::Python).read(sample, &secure, Expect::OriginalFromTheFirst)?;

    let before = shown(server.media["rtmps"])?;
    let (fresh, fresh_key) = headwater_tests::certificate("rtmps-second")?;
    std::fs::rename(fresh_key, key)?;
    std::fs::rename(fresh, certificate)?;
    wait::until("the new certificate", Duration::from_secs(5), || {
        Ok((shown(server.media["rtmps"])? != before).then_some(()))
    })?;
    encoder.still_runs()?;
    Player::Rtmpdump.read(sample, &url(&server, "live/secure"), Expect::OriginalFromTheFirst)?;
    let list = api(&server, "GET", "/v3/rtmpsconns/list", "")?;
    ensure!(list["itemCount"] == 1, "the encoder's connection is not kept: {list}");
    server.still_runs()?;
    drop(encoder);
    server.stop()
}

/// The certificate that a new connection is shown, as PEM.
fn shown(address: SocketAddr) -> Result<String> {
    let mut command = std::process::Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string()]);
    let mut process = Process::spawn("openssl s_client", command)?;
    process.wait(Duration::from_secs(10))?;
    let output = process.stdout();
    let pem = output.split_once("-----BEGIN").context("no certificate is shown")?.1;
    Ok(pem.split_once("-----END").context("half a certificate")?.0.to_owned())
}

#[test]
fn all_cuts_of_the_url_mean_the_same_path() -> Result<()> {
    let (server, rtmp, publisher) = live(&[], "a/b/c", Tracks::Video)?;
    for (app, name) in [("a", "b/c"), ("a/b", "c"), ("a/b/c", ""), ("", "a/b/c"), ("a//b", "/c?x=1")] {
        let mut raw = Raw::connected(rtmp, app)?;
        raw.play(name).with_context(|| format!("app {app:?}, name {name:?}"))?;
    }
    // Encoders that leave out `app` altogether.
    let mut raw = Raw::greeted(rtmp)?;
    raw.command(0, "connect", &[Value::Null])?;
    raw.answer("_result")?;
    raw.command(0, "createStream", &[Value::Null])?;
    raw.answer("_result")?;
    raw.play("a/b/c")?;
    publisher.finish()?;
    server.stop()
}

#[test]
fn nobody_plays_what_nobody_publishes() -> Result<()> {
    let server = launch(&[])?;
    let rtmp = server.media["rtmp"];
    for path in ["none", "none/at/all?x=1"] {
        let code = Client::open(rtmp, path, Goal::Play, Capabilities::all())?.refusal()?;
        ensure!(code == "NetStream.Play.StreamNotFound", "{path}: {code}");
    }
    let code = Client::open(rtmp, "../etc", PUBLISH, Capabilities::all())?.refusal()?;
    ensure!(code.starts_with("NetStream."), "a path that climbs: {code}");
    server.stop()
}

/// The code of a refusal, and when it came.
fn refused(rtmp: SocketAddr, path: &str, goal: Goal) -> Result<(String, Duration)> {
    let started = Instant::now();
    let code = Client::open(rtmp, path, goal, Capabilities::all())?.refusal().context(path.to_owned())?;
    Ok((code, started.elapsed()))
}

#[test]
fn internal_users_show_their_credentials_in_the_query() -> Result<()> {
    let server = launch(&["authInternalUsers=[
        {user: cam, pass: 's&cret', permissions: [{action: publish, path: door}]},
        {user: eve, pass: p, permissions: [{action: read, path: door}]},
        {user: any, ips: [127.0.0.1], permissions: [{action: api}, {action: metrics}]}]"])?;
    let rtmp = server.media["rtmp"];
    // RTMP has no way to ask for credentials, so missing ones are wrong ones.
    let wrong = [
        ("door", PUBLISH),
        ("door", Goal::Play),
        ("door?user=&pass=", Goal::Play),
        ("door?user=cam&pass=wrong", PUBLISH),
        ("door?user=eve&pass=p", PUBLISH),
        ("other?user=cam&pass=s%26cret", PUBLISH),
        ("door?user=cam&pass=s%26cret", Goal::Play),
        ("door?user=eve&pass=wrong", Goal::Play),
        ("door?user=eve", Goal::Play),
        ("door?user=eve&pass=wrong1", Goal::Play),
    ];
    let waits: Vec<Duration> = std::thread::scope(|scope| {
        let tries: Vec<_> = wrong
            .map(|(path, goal)| scope.spawn(move || refused(rtmp, path, goal)))
            .into_iter()
            .map(|one| one.join().expect("a try does not panic"))
            .collect();
        wrong
            .iter()
            .zip(tries)
            .map(|((path, goal), tried)| {
                let (code, after) = tried?;
                let wanted = match goal {
                    Goal::Play => "NetStream.Play.Failed",
                    Goal::Publish(_) => "NetStream.Publish.Unauthorized",
                };
                ensure!(code == wanted, "{path}: {code}");
                Ok(after)
            })
            .collect::<Result<_>>()
    })?;
    // Ten even draws from 4 s are all under 400 ms once in ten thousand million runs.
    let longest = waits.iter().max().copied().unwrap_or_default();
    ensure!(longest > Duration::from_millis(400), "guesses are answered at once: {waits:?}");
    let publisher = Publisher::start(rtmp, "door?user=cam&pass=s%26cret", Plan::new(1, Tracks::Video))?;
    wait_for_path(&server, "door")?;
    let reader = Reader::play(rtmp, "door?pass=p&user=eve")?;
    reader.advance(10)?;
    let list = api(&server, "GET", "/v3/rtmpconns/list", "")?;
    let users: Vec<_> = list["items"].as_array().context("items")?.iter().map(|item| &item["user"]).collect();
    ensure!(users.contains(&&"cam".into()) && users.contains(&&"eve".into()), "{list}");
    ensure!(
        !server.log().contains("s%26cret") && !server.log().contains("s&cret"),
        "a password is in the log"
    );
    reader.finish_whole()?;
    publisher.finish()?;
    server.stop()
}

#[test]
fn an_authentication_server_is_told_of_rtmp() -> Result<()> {
    use headwater_tests::mock::{Mock, Reply};
    let mock = Mock::start(|asked| match asked.text("query").contains("token=good") {
        true => Reply::ok(),
        false => Reply::status(401),
    })?;
    let address = format!("authHTTPAddress='{}'", mock.url("/auth"));
    let server =
        launch(&["authMethod=http", &address, "authHTTPExclude=[{action: api}, {action: metrics}]"])?;
    let rtmp = server.media["rtmp"];
    let publisher = Publisher::start(rtmp, "live/cam?token=good", Plan::new(1, Tracks::Video))?;
    wait_for_path(&server, "live/cam")?;
    Reader::play(rtmp, "live/cam?token=good")?.advance(5)?;
    let (code, _) = refused(rtmp, "live/cam?token=bad", Goal::Play)?;
    ensure!(code == "NetStream.Play.Failed", "{code}");
    let asked = mock.asked();
    let told: Vec<_> = asked
        .iter()
        .map(|one| [one.text("action"), one.text("path"), one.text("protocol"), one.text("query")].join(" "))
        .collect();
    let wanted =
        ["publish live/cam rtmp token=good", "read live/cam rtmp token=good", "read live/cam rtmp token=bad"];
    ensure!(told == wanted, "{told:?}");
    ensure!(asked.iter().all(|one| one.text("ip") == "127.0.0.1" && !one.text("id").is_empty()), "{asked:?}");
    publisher.finish()?;
    server.stop()
}

#[test]
fn a_publisher_that_takes_over_keeps_the_readers() -> Result<()> {
    let (server, rtmp, first) = live(&[], "over", Tracks::VideoAndAudio)?;
    let reader = Reader::play(rtmp, "over")?;
    reader.advance(30)?;
    let second = Publisher::start(rtmp, "over", Plan::new(2, Tracks::VideoAndAudio))?;
    first.wait_until_closed()?;
    reader.wait("pictures of the second publisher", |seen| seen.epoch == 2)?;
    reader.advance(60)?;
    let seen = reader.finish_whole()?;
    ensure!(seen.epochs == 2 && !seen.ended, "{seen:?}");
    second.finish()?;
    server.stop()
}

#[test]
fn without_override_a_second_publisher_is_refused() -> Result<()> {
    let (server, rtmp, first) = live(&["pathDefaults.overridePublisher=no"], "taken", Tracks::Video)?;
    let reader = Reader::play(rtmp, "taken")?;
    let (code, _) = refused(rtmp, "taken", PUBLISH)?;
    ensure!(code == "NetStream.Publish.BadName", "{code}");
    reader.advance(60)?;
    ensure!(reader.finish_whole()?.epochs == 1, "the second publisher's pictures reached a reader");
    first.finish()?;
    server.stop()
}

#[test]
fn a_publisher_that_comes_back_keeps_its_readers() -> Result<()> {
    let server = launch_on(&[], Some(2))?;
    let rtmp = server.media["rtmp"];
    let first = Publisher::start(rtmp, "back", Plan::new(1, Tracks::VideoAndAudio))?;
    wait_for_path(&server, "back")?;
    let readers = (0..4).map(|_| Reader::play(rtmp, "back")).collect::<Result<Vec<_>>>()?;
    advance_all(&readers, 30)?;
    first.disconnect()?;
    // Its clock starts anew, far from where the first one's was.
    let plan = Plan { first_ms: 7_000_000, ..Plan::new(2, Tracks::VideoAndAudio) };
    let second = Publisher::start(rtmp, "back", plan)?;
    for reader in &readers {
        reader.wait("pictures of the second publisher", |seen| seen.epoch == 2)?;
    }
    advance_all(&readers, 60)?;
    for reader in readers {
        let seen = reader.finish_whole()?;
        ensure!(seen.epochs == 2 && !seen.ended, "{seen:?}");
    }
    second.finish()?;
    server.stop()
}

#[test]
fn readers_are_closed_when_the_tracks_change() -> Result<()> {
    let (server, rtmp, first) = live(&[], "changed", Tracks::Video)?;
    let reader = Reader::play(rtmp, "changed")?;
    reader.advance(30)?;
    first.disconnect()?;
    let second = Publisher::start(rtmp, "changed", Plan::new(2, Tracks::VideoAndAudio))?;
    wait::until_true("the reader to be closed", Duration::from_secs(10), || reader.seen().closed)?;
    let seen = reader.finish_whole()?;
    ensure!(seen.ended && seen.epochs == 1, "{seen:?}");
    let newcomer = Reader::play(rtmp, "changed")?;
    newcomer.advance(30)?;
    let seen = newcomer.finish_whole()?;
    ensure!(seen.audio_units > 0 && seen.epoch == 2, "{seen:?}");
    second.finish()?;
    server.stop()
}

#[test]
fn after_the_grace_time_readers_are_told_and_the_path_is_gone() -> Result<()> {
    let (server, rtmp, publisher) = live(&["pathDefaults.publisherGrace=1s"], "gone", Tracks::Video)?;
    let reader = Reader::play(rtmp, "gone")?;
    reader.advance(30)?;
    let left = Instant::now();
    publisher.disconnect()?;
    wait::until_true("the reader to be closed", Duration::from_secs(5), || reader.seen().closed)?;
    let lasted = left.elapsed();
    ensure!(lasted > Duration::from_millis(900), "the grace time of 1 s lasted {lasted:?}");
    let seen = reader.finish_whole()?;
    ensure!(seen.ended, "the end was not announced: {seen:?}");
    let (code, _) = refused(rtmp, "gone", Goal::Play)?;
    ensure!(code == "NetStream.Play.StreamNotFound", "{code}");
    server.stop()
}

/// The next picture of a raw reader: its number, and whether it is a key picture; `None` when none comes.
fn picture(raw: &mut Raw, limit: Duration) -> Result<Option<(u64, bool)>> {
    loop {
        match raw.next(limit)? {
            Came::Message(message) if message.type_id == type_id::VIDEO && message.payload[1] == 1 => {
                let digits = message.payload.get(18..34).context("a picture")?;
                let number = u64::from_str_radix(std::str::from_utf8(digits)?, 16)?;
                return Ok(Some((number, message.payload[0] == 0x17)));
            }
            Came::Message(_) => {}
            Came::End => anyhow::bail!("closed"),
            Came::Nothing => return Ok(None),
        }
    }
}

/// Pauses, or goes on; media that come before the answer are passed over.
fn pause(raw: &mut Raw, paused: bool) -> Result<()> {
    raw.command(1, "pause", &[Value::Null, Value::Boolean(paused), 0.0.into()])?;
    raw.answer("onStatus").map(drop)
}

#[test]
fn a_pause_stops_the_media_and_going_on_begins_with_a_key_picture() -> Result<()> {
    let (server, rtmp, publisher) = live(&[], "pause", Tracks::Video)?;
    let mut raw = Raw::connected(rtmp, "")?;
    raw.play("pause")?;
    let is_key = |found: Option<(u64, bool)>| found.is_some_and(|(_, key)| key);
    ensure!(is_key(picture(&mut raw, AT_ONCE)?), "it does not begin with a key picture");
    pause(&mut raw, true)?;
    let sent = publisher.sent();
    wait::until_true("two groups of pictures", Duration::from_secs(10), || {
        publisher.sent() > sent + 2 * PICTURES_PER_GROUP
    })?;
    ensure!(picture(&mut raw, Duration::from_millis(100))?.is_none(), "media came during the pause");
    pause(&mut raw, false)?;
    ensure!(is_key(picture(&mut raw, AT_ONCE)?), "it does not go on with a key picture");
    let (mut last, _) = picture(&mut raw, AT_ONCE)?.context("it does not go on")?;
    // Whoever pauses for a moment gets nothing twice.
    for _ in 0..10 {
        pause(&mut raw, true)?;
        pause(&mut raw, false)?;
        let (number, _) = picture(&mut raw, AT_ONCE)?.context("it does not go on")?;
        ensure!(number > last, "picture {number} comes after {last}");
        last = number;
    }
    publisher.finish()?;
    server.stop()
}

#[test]
fn a_reader_may_do_without_video_for_a_while() -> Result<()> {
    let (server, rtmp, publisher) = live(&[], "blind", Tracks::VideoAndAudio)?;
    let mut raw = Raw::connected(rtmp, "")?;
    raw.play("blind")?;
    picture(&mut raw, AT_ONCE)?.context("a picture")?;
    // Wherever in a group of pictures it wants to see again.
    for more in [0, 7, 13] {
        raw.command(1, "receiveVideo", &[Value::Null, Value::Boolean(false)])?;
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut heard = 0;
        // Pictures that were on their way still come; then a group's time passes with audio alone.
        while heard < PICTURES_PER_GROUP + more {
            ensure!(Instant::now() < deadline, "video still comes, or audio does not");
            match raw.next(AT_ONCE)? {
                Came::Message(message) if message.type_id == type_id::AUDIO => heard += 1,
                Came::Message(message) if message.type_id == type_id::VIDEO => heard = 0,
                Came::Message(_) => {}
                other => anyhow::bail!("{other:?}"),
            }
        }
        raw.command(1, "receiveVideo", &[Value::Null, Value::Boolean(true)])?;
        let (number, key) = picture(&mut raw, 2 * AT_ONCE)?.context("a picture")?;
        ensure!(key, "it sees again from picture {number} on, which is no key picture");
    }
    publisher.finish()?;
    server.stop()
}

#[test]
fn no_more_readers_than_the_path_allows() -> Result<()> {
    let (server, rtmp, publisher) = live(&["pathDefaults.maxReaders=2"], "few", Tracks::Video)?;
    let first = Reader::play(rtmp, "few")?;
    let second = Reader::play(rtmp, "few")?;
    let (code, _) = refused(rtmp, "few", Goal::Play)?;
    ensure!(code == "NetStream.Play.Failed", "{code}");
    first.finish_whole()?;
    wait::until("the place to be free", Duration::from_secs(5), || Ok(Reader::play(rtmp, "few").ok()))?
        .advance(5)?;
    second.finish_whole()?;
    publisher.finish()?;
    server.stop()
}

#[test]
fn a_delivery_window_delays_but_loses_nothing() -> Result<()> {
    let (server, rtmp, publisher) =
        live(&["pathDefaults.deliveryWindow=200ms"], "window", Tracks::VideoAndAudio)?;
    let readers = (0..3).map(|_| Reader::play(rtmp, "window")).collect::<Result<Vec<_>>>()?;
    advance_all(&readers, 50)?;
    let (before, sends) = (readers[0].seen().pictures, server.counter("egress_sends")?);
    advance_all(&readers, 200)?;
    let pictures = (readers[0].seen().pictures - before) * readers.len() as u64;
    let sends = server.counter("egress_sends")? - sends;
    // Ten pictures, and as many audio units, fall into a window.
    ensure!(sends * 4 < pictures, "{sends} sends for {pictures} pictures");
    for reader in readers {
        reader.finish_whole()?;
    }
    publisher.finish()?;
    server.stop()
}

/// The tracks that the API says the readers are not given: codec, and whether there is a reason.
fn skipped(server: &Server) -> Result<Vec<String>> {
    let list = api(server, "GET", "/v3/rtmpconns/list", "")?;
    let items = list["items"].as_array().context("items")?;
    let mut found = Vec::new();
    for item in items.iter().filter(|item| item["state"] == "read") {
        for track in item["skippedTracks"].as_array().context("skippedTracks")? {
            ensure!(track["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{track}");
            found.push(track["codec"].as_str().unwrap_or_default().to_owned());
        }
    }
    Ok(found)
}

#[test]
fn a_legacy_client_of_hevc_gets_the_audio_and_one_of_video_alone_nothing() -> Result<()> {
    let server = launch(&[])?;
    let rtmp = server.media["rtmp"];
    let sample = sample("h265_aac");
    let command = |path: &str, codecs| ffmpeg_publish(Ffmpeg::Python, sample, &url(&server, path), codecs);
    let both = Process::spawn("ffmpeg 9 publishes HEVC and AAC", command("both", "-c copy")?)?;
    let video = Process::spawn("ffmpeg 9 publishes HEVC", command("video", "-map 0:v:0 -c copy")?)?;
    wait_for_path(&server, "both")?;
    wait_for_path(&server, "video")?;

    let reader = Reader::play_as(rtmp, "both", Capabilities::legacy())?;
    let seen = reader.advance_audio(30)?;
    ensure!(seen.extended == 0 && seen.pictures == 0 && seen.video_headers == 0, "{seen:?}");
    wait::until("the API to tell", Duration::from_secs(5), || {
        Ok((skipped(&server)? == ["H265"]).then_some(()))
    })?;
    server.wait_for_log("skipping track 1 (H265)")?;
    reader.finish_whole()?;
    let code = Client::open(rtmp, "video", Goal::Play, Capabilities::legacy())?.refusal()?;
    ensure!(code == "NetStream.Play.StreamNotFound", "a reader that nothing is left for: {code}");
    ensure!(server.counter("readers_unfit")? == 1);

    // Who says that it takes HEVC gets it. (ffmpeg 9 publishes it, but does not say of itself that it can play it.)
    for path in ["both", "video"] {
        let reader = Reader::play(rtmp, path)?;
        let seen = reader.wait("extended messages", |seen| seen.extended > 60)?;
        ensure!(seen.metadata == 1 && (seen.audio_units > 0) == (path == "both"), "{path}: {seen:?}");
        reader.finish_whole()?;
    }
    drop((both, video));
    server.stop()
}

#[test]
fn a_trusted_proxy_names_its_client() -> Result<()> {
    let server = launch_on(&["rtmpTrustedProxies=[127.0.0.1]"], Some(1))?;
    let rtmp = server.media["rtmp"];
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend_from_slice(&[198, 51, 100, 7, 127, 0, 0, 1]);
    header.extend_from_slice(&4711u16.to_be_bytes());
    header.extend_from_slice(&rtmp.port().to_be_bytes());
    let old = format!("PROXY TCP4 198.51.100.7 127.0.0.1 4711 {}\r\n", rtmp.port()).into_bytes();
    for header in [old, header] {
        let mut raw = Raw::open(rtmp)?;
        raw.send(&header)?;
        raw.shake_hands()?;
        raw.connect("live")?;
        wait::until("the API to show the client", Duration::from_secs(5), || {
            let list = api(&server, "GET", "/v3/rtmpconns/list", "")?;
            Ok((list["items"][0]["remoteAddr"] == "198.51.100.7:4711").then_some(()))
        })?;
        drop(raw);
        wait::until("the connection to go", Duration::from_secs(5), || {
            Ok((api(&server, "GET", "/v3/rtmpconns/list", "")?["itemCount"] == 0).then_some(()))
        })?;
    }
    // Health checks of proxies have no header.
    let mut raw = Raw::open(rtmp)?;
    raw.shake_hands()?;
    raw.connect("live")?;
    server.stop()
}

#[test]
fn audio_alone_and_video_alone_are_published_and_played() -> Result<()> {
    let server = launch(&[])?;
    let rtmp = server.media["rtmp"];
    // One says that there is no other track, the other does not: then the server waits for one.
    let audio = Publisher::start(rtmp, "audio", Plan::new(1, Tracks::Audio))?;
    let plan = Plan { announced: false, ..Plan::new(1, Tracks::Video) };
    let video = Publisher::start(rtmp, "video", plan)?;
    for path in ["audio", "video"] {
        wait_for_path(&server, path)?;
    }
    let listener = Reader::play(rtmp, "audio")?;
    let watcher = Reader::play(rtmp, "video")?;
    let seen = listener.advance_audio(60)?;
    ensure!(seen.pictures == 0 && seen.began_with_headers, "{seen:?}");
    let seen = watcher.advance(60)?;
    ensure!(seen.audio_units == 0, "{seen:?}");
    expect_begun(&seen)?;
    for reader in [listener, watcher] {
        reader.finish_whole()?;
    }
    audio.finish()?;
    video.finish()?;
    server.stop()
}
