//! Hooks: commands that run when something begins or ends, what they are told, and how they end.

use anyhow::{Context, Result, ensure};
use headwater_tests::clients::{Expect, ffmpeg_publish, ffmpeg_read};
use headwater_tests::media::sample;
use headwater_tests::process::Process;
use headwater_tests::publisher::{Publisher, Tracks, record};
use headwater_tests::reader::Reader;
use headwater_tests::server::{Launch, Server};
use headwater_tests::{namespace, rtsp, wait, web as http, workspace};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(5);

/// A script that writes down what it was told, and a configuration that runs it.
struct Notes {
    folder: PathBuf,
}

impl Notes {
    fn new(name: &str) -> Result<Notes> {
        let folder = workspace().join(format!("hooks-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let script = "env | grep -E '^(MTX_|HEADWATER_|RTSP_|G[0-9])' | sort | tr '\\n' '|' >/dev/null\n\
                      line=$(env | grep -E '^(MTX_|HEADWATER_|RTSP_|G[0-9])' | sort | tr '\\n' '|')\n\
                      echo \"$2|$line\" >>\"$1\"\n";
        fs::write(folder.join("note.sh"), script)?;
        Ok(Notes { folder })
    }

    /// A hook's line that notes `word` and the variables.
    fn command(&self, word: &str) -> String {
        let folder = self.folder.display();
        format!("sh {folder}/note.sh {folder}/notes {word}")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The notes with that word, whole lines.
    fn of(&self, word: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path("notes")).unwrap_or_default();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let prefix = format!("{word}|");
        complete.lines().filter(|line| line.starts_with(&prefix)).map(str::to_owned).collect()
    }

    /// Waits for the first note with that word.
    fn wait(&self, word: &str) -> Result<String> {
        wait::until(&format!("the hook {word}"), SOON, || Ok(self.of(word).into_iter().next()))
    }

    /// A server with this configuration file beside `settings`.
    fn launch(&self, yaml: &str, settings: &[&str]) -> Result<Server> {
        let file = self.path("headwater.yml");
        fs::write(&file, yaml)?;
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let control = vec!["api", "metrics"];
        Server::launch(&Launch { file: Some(file), settings, control, ..Launch::default() })
    }
}

/// The processes of a group, from `/proc`, without those that only wait to be buried.
fn group(leader: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let of_group = |id: &u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name before may hold anything: state, parent and group stand behind its last bracket.
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let mut fields = rest.split(' ');
        let (state, group) = (fields.next(), fields.nth(1));
        state.is_some_and(|state| state != "Z") && group == Some(leader.to_string().as_str())
    };
    ids.filter(of_group).collect()
}

/// The processes that the log says were started for a hook.
fn started(server: &Server, hook: &str) -> Vec<u32> {
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains(&format!("hook {hook} of ")));
    lines.filter_map(|line| line.split_once("started as process ")?.1.trim().parse().ok()).collect()
}

fn metric(server: &Server, sample: &str) -> Result<f64> {
    let text = http::get(server.control["metrics"], "/metrics")?.text();
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.map_or(Ok(0.0), |value| Ok(value.trim().parse()?))
}

#[test]
fn every_hook_runs_and_is_told_its_variables() -> Result<()> {
    let notes = Notes::new("variables")?;
    let words = ["Available", "Unavailable", "Online", "Offline", "Read", "Unread"];
    let hooks = words.map(|word| format!("    runOn{word}: {}\n", notes.command(word))).concat();
    let yaml = format!(
        "runOnConnect: {}\nrunOnDisconnect: {}\npaths:\n  fixed:\n    runOnInit: {}\n  '~^live/(.+)-(.+)$':\n{hooks}",
        notes.command("Connect"),
        notes.command("Disconnect"),
        notes.command("Init"),
    );
    let mut server = notes.launch(&yaml, &[])?;
    let init = notes.wait("Init")?;
    ensure!(init.contains("|MTX_PATH=fixed|"), "{init}");
    let path = "live/cam-7";
    let publisher = Publisher::start(server.rtsp, &server.url("live/cam-7?who=me&n=1"), 1)?;
    let connect = notes.wait("Connect")?;
    ensure!(connect.contains("|MTX_CONN_TYPE=rtspConn|") && connect.contains("|MTX_CONN_ID="), "{connect}");
    for word in ["Available", "Online"] {
        let told = notes.wait(word)?;
        let wanted = [
            "|G1=cam|",
            "|G2=7|",
            "|MTX_PATH=live/cam-7|",
            "|MTX_QUERY=who%3Dme%26n%3D1|",
            "|RTSP_PATH=live/cam-7|",
            "|HEADWATER_PATH=live/cam-7|",
            "|MTX_SOURCE_TYPE=rtspSession|",
            "|MTX_SOURCE_ID=",
            "|RTSP_PORT=",
        ];
        ensure!(wanted.iter().all(|part| told.contains(part)), "{told}");
    }
    server.wait_for_stream(path)?;
    let reader = Reader::play(server.rtsp, &server.url("live/cam-7?me=reader"))?;
    let told = notes.wait("Read")?;
    let sessions = http::get(server.control["api"], "/v3/rtspsessions/list")?.json()?;
    let sessions = sessions["items"].as_array().context("sessions")?;
    let id = sessions.iter().find(|session| session["state"] == "read").context("the reader")?["id"].clone();
    let id = format!("|MTX_READER_ID={}|", id.as_str().unwrap_or_default());
    let wanted = ["|MTX_QUERY=me%3Dreader|", "|MTX_READER_TYPE=rtspSession|", "|G1=cam|", &id];
    ensure!(wanted.iter().all(|part| told.contains(part)), "{told} lacks one of {wanted:?}");
    drop(reader);
    let told = notes.wait("Unread")?;
    ensure!(wanted.iter().all(|part| told.contains(part)), "{told} lacks one of {wanted:?}");
    ensure!(notes.of("Unavailable").is_empty() && notes.of("Offline").is_empty(), "an end before its time");
    publisher.tear_down()?;
    for word in ["Unavailable", "Offline"] {
        let told = notes.wait(word)?;
        ensure!(told.contains("|MTX_PATH=live/cam-7|") && told.contains("|MTX_SOURCE_ID="), "{told}");
    }
    let gone = notes.wait("Disconnect")?;
    ensure!(gone.contains("|MTX_CONN_ID="), "{gone}");
    for word in words {
        ensure!(notes.of(word).len() == 1, "{word} ran {} times", notes.of(word).len());
    }
    server.stop()
}

#[test]
fn what_a_client_says_is_no_command() -> Result<()> {
    let notes = Notes::new("injection")?;
    let (out, bait) = (notes.path("out"), notes.path("bait"));
    let yaml = format!(
        "paths:\n  all_others:\n    runOnAvailable: sh -c \"echo $MTX_QUERY $MTX_PATH >>{}\"\n",
        out.display()
    );
    let server = notes.launch(&yaml, &[])?;
    let bait_name = bait.display();
    let tries = [
        format!("a?$(touch${{IFS}}{bait_name})"),
        format!("b?`touch${{IFS}}{bait_name}`"),
        format!("c?;touch${{IFS}}{bait_name};"),
        format!("d?|touch${{IFS}}{bait_name}&&'\"<>\\"),
        format!("e?%0Atouch%20{bait_name}%0A"),
        format!("f$(touch%20{})?x", bait_name.to_string().replace('/', "%2f")),
        "g';id;'?x".to_owned(),
    ];
    let mut live = Vec::new();
    for path in &tries {
        // A name that no path may have is refused, which is as good.
        live.extend(record(server.rtsp, &server.url(path), Tracks::Video).ok());
    }
    ensure!(live.len() >= 5, "only {} were accepted", live.len());
    wait::until_true("all hooks to have run", SOON, || {
        let log = server.log();
        log.matches("hook runOnAvailable of path").count() >= 2 * live.len()
    })?;
    ensure!(!bait.exists(), "a client ran a command");
    let told = fs::read_to_string(&out)?;
    ensure!(told.lines().count() == live.len(), "{} hooks wrote:\n{told}", live.len());
    ensure!(told.contains("%24%28touch%24%7BIFS%7D"), "the query is not encoded:\n{told}");
    drop(live);
    server.stop()
}

#[test]
fn exit_codes_are_logged_and_counted() -> Result<()> {
    let notes = Notes::new("codes")?;
    let yaml = "paths:\n  seven:\n    runOnInit: sh -c 'exit 7'\n  fine:\n    runOnInit: 'true'\n  shot:\n    \
                runOnInit: sh -c 'kill -KILL 0'\n  absent:\n    runOnInit: /no/such/program\n";
    let server = notes.launch(yaml, &[])?;
    let wanted = [
        ("path seven", "exited with code 7"),
        ("path fine", "exited with code 0"),
        ("path shot", "was ended by signal 9"),
        ("path absent", "cannot be started"),
    ];
    for (about, what) in wanted {
        wait::until_true(&format!("{about} {what}"), SOON, || {
            server.log().lines().any(|line| line.contains(about) && line.contains(what))
        })?;
    }
    ensure!(metric(&server, "headwater_hooks_failed_total")? == 2.0, "failures are not counted");
    ensure!(metric(&server, "headwater_hooks_not_started_total")? == 1.0, "what cannot start is not counted");
    ensure!(metric(&server, "headwater_hooks_running")? == 0.0, "some still run");
    server.stop()
}

#[test]
fn a_hook_starts_again_only_where_it_is_told_to() -> Result<()> {
    let notes = Notes::new("restart")?;
    let yaml = format!(
        "paths:\n  cam:\n    runOnAvailable: {}\n    runOnAvailableRestart: yes\n    runOnOnline: {}\n",
        notes.command("again"),
        notes.command("once")
    );
    let server = notes.launch(&yaml, &[])?;
    let started = Instant::now();
    let publisher = Publisher::start(server.rtsp, &server.url("cam"), 1)?;
    wait::until_true("the second start", Duration::from_secs(10), || notes.of("again").len() == 2)?;
    ensure!(started.elapsed() > Duration::from_secs(4), "restarted after {:?} already", started.elapsed());
    publisher.tear_down()?;
    ensure!(notes.of("once").len() == 1, "a hook without restart ran {} times", notes.of("once").len());
    wait::until_true("the path to go", SOON, || server.log().contains("session closed"))?;
    wait::throughout(Duration::from_secs(6), || {
        ensure!(notes.of("again").len() == 2, "restarted after its path had gone");
        Ok(())
    })?;
    server.stop()
}

#[test]
fn a_hook_ends_with_its_path_and_takes_its_children_along() -> Result<()> {
    let notes = Notes::new("children")?;
    let yaml = "hookStopTimeout: 700ms\npaths:\n  polite:\n    runOnAvailable: sh -c 'sleep 1000 | sleep 1000'\n  \
                stubborn:\n    runOnAvailable: sh -c 'trap \"\" INT; sleep 1000 & sleep 1000 & while :; do sleep 1000; done'\n";
    let server = notes.launch(yaml, &[])?;
    for (path, killed) in [("polite", 0.0), ("stubborn", 1.0)] {
        let publisher = Publisher::start(server.rtsp, &server.url(path), 1)?;
        let about = format!("hook runOnAvailable of path {path} started as process ");
        let leader = wait::until("the hook to start", SOON, || {
            let log = server.log();
            let line = log.lines().find_map(|line| Some(line.split_once(&about)?.1.to_owned()));
            Ok(line.map(|id| id.trim().parse::<u32>()).transpose()?)
        })?;
        wait::until_true("its children", SOON, || group(leader).len() >= 3)?;
        let ended = Instant::now();
        publisher.tear_down()?;
        wait::until_true("the hook and its children to be gone", SOON, || group(leader).is_empty())?;
        let took = ended.elapsed();
        if path == "stubborn" {
            ensure!(took >= Duration::from_millis(650), "killed after {took:?}, before its time");
        }
        ensure!(took < Duration::from_millis(2500), "{path} took {took:?} to end");
        wait::until("the count of killed hooks", SOON, || {
            Ok((metric(&server, "headwater_hooks_killed_total")? == killed).then_some(()))
        })?;
    }
    ensure!(server.log().contains("was killed"), "a kill is not in the log");
    server.stop()
}

#[test]
fn no_hook_outlives_the_server() -> Result<()> {
    let notes = Notes::new("orphans")?;
    let yaml = format!(
        "paths:\n  fixed:\n    runOnInit: sh -c 'sleep 1000 & sleep 1000 & wait'\n    runOnInitRestart: yes\n  cam:\n    \
         runOnAvailable: sh -c 'trap \"\" INT; while :; do sleep 1000; done'\n    runOnUnavailable: {}\n",
        notes.command("Unavailable")
    );
    let server = notes.launch(&yaml, &["hookStopTimeout=1s"])?;
    let _publisher = Publisher::start(server.rtsp, &server.url("cam"), 1)?;
    wait::until_true("both hooks", SOON, || {
        let leaders = [started(&server, "runOnInit"), started(&server, "runOnAvailable")].concat();
        leaders.len() == 2 && leaders.iter().all(|leader| group(*leader).len() >= 2)
    })?;
    let leaders = [started(&server, "runOnInit"), started(&server, "runOnAvailable")].concat();
    // Exit code 0 within 2 s is Server::stop's to check.
    server.stop()?;
    for leader in leaders {
        ensure!(group(leader).is_empty(), "{:?} of group {leader} outlived the server", group(leader));
    }
    ensure!(notes.of("Unavailable").len() == 1, "the end of the path was not told at the end of the server");
    Ok(())
}

/// Hooks that ignore every signal they can, and their groups: one of a path's beginning runs, one of its end is to come.
fn stubborn(name: &str) -> Result<(Server, Publisher, Vec<u32>)> {
    let notes = Notes::new(name)?;
    let stays = "sh -c 'trap \"\" INT TERM HUP; while :; do sleep 1000; done'";
    let yaml = format!(
        "hookStopTimeout: 1h\npaths:\n  fixed:\n    runOnInit: {stays}\n    runOnInitRestart: yes\n  cam:\n    \
         runOnAvailable: {stays}\n    runOnUnavailable: {stays}\n"
    );
    let server = notes.launch(&yaml, &[])?;
    let publisher = Publisher::start(server.rtsp, &server.url("cam"), 1)?;
    let leaders = || [started(&server, "runOnInit"), started(&server, "runOnAvailable")].concat();
    wait::until_true("both hooks", SOON, || {
        leaders().len() == 2 && leaders().iter().all(|leader| group(*leader).len() == 2)
    })?;
    let leaders = leaders();
    Ok((server, publisher, leaders))
}

#[test]
fn the_end_comes_in_time_whatever_a_hook_does() -> Result<()> {
    let (server, _publisher, leaders) = stubborn("stubborn")?;
    // Exit code 0 within 2 s is Server::stop's to check.
    server.stop()?;
    for leader in leaders {
        ensure!(group(leader).is_empty(), "{:?} outlived the server", group(leader));
    }
    Ok(())
}

#[test]
fn a_second_signal_ends_at_once_and_leaves_no_hook() -> Result<()> {
    let (server, _publisher, mut leaders) = stubborn("twice")?;
    server.terminate()?;
    wait::until_true("the hook of the end", SOON, || !started(&server, "runOnUnavailable").is_empty())?;
    leaders.extend(started(&server, "runOnUnavailable"));
    let hurried = Instant::now();
    // It tells the server again.
    server.stop()?;
    let took = hurried.elapsed();
    ensure!(took < Duration::from_millis(600), "took {took:?} after the second signal");
    for leader in leaders {
        ensure!(group(leader).is_empty(), "{:?} outlived the server", group(leader));
    }
    Ok(())
}

#[test]
fn hooks_run_on_all_processors() -> Result<()> {
    let notes = Notes::new("processors")?;
    let file = notes.path("allowed");
    let yaml = format!(
        "paths:\n  fixed:\n    runOnInit: sh -c 'grep Cpus_allowed_list /proc/self/status >{}'\n",
        file.display()
    );
    let server = notes.launch(&yaml, &["shards=2"])?;
    let allowed = wait::until("the hook", SOON, || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        Ok(text.ends_with('\n').then_some(text))
    })?;
    let mine = fs::read_to_string("/proc/self/status")?;
    ensure!(mine.contains(&allowed), "a hook may run on {allowed:?}");
    server.stop()
}

#[test]
fn a_hundred_readers_with_hooks_leave_no_gap_and_no_process() -> Result<()> {
    let notes = Notes::new("crowd")?;
    let yaml = format!(
        "hookStopTimeout: 1s\npaths:\n  cam:\n    runOnRead: sleep 1000\n    runOnUnread: {}\n",
        notes.command("Unread")
    );
    let mut server = notes.launch(&yaml, &[])?;
    let url = server.url("cam");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("cam")?;
    let mut beside = Reader::play(server.rtsp, &url)?;
    beside.advance(50)?;
    let readers: Vec<Reader> = (0..100).map(|_| Reader::play(server.rtsp, &url)).collect::<Result<_>>()?;
    wait::until_true("a hook per reader", Duration::from_secs(10), || {
        started(&server, "runOnRead").len() == 101
    })?;
    ensure!(metric(&server, "headwater_hooks_running")? <= 101.0, "more hooks than readers run");
    let leaders = started(&server, "runOnRead");
    drop(readers);
    wait::until_true("all hooks but one to end", Duration::from_secs(10), || {
        leaders.iter().filter(|leader| !group(**leader).is_empty()).count() == 1
    })?;
    wait::until_true("all ends to be told", Duration::from_secs(10), || notes.of("Unread").len() == 100)?;
    beside.advance(50)?;
    let seen = beside.finish_whole()?;
    ensure!(seen.packets > 100, "{seen:?}");
    publisher.tear_down()?;
    server.stop()
}

#[test]
fn a_hook_with_ffmpeg_republishes_to_another_path() -> Result<()> {
    namespace::run("a_hook_with_ffmpeg_republishes_to_another_path", &[], || {
        let notes = Notes::new("republish")?;
        let yaml = "paths:\n  '~^live/(.+)$':\n    runOnAvailable: ffmpeg -nostdin -v warning -rtsp_transport tcp \
                    -i rtsp://localhost:$RTSP_PORT/$MTX_PATH -c copy -f rtsp -rtsp_transport tcp rtsp://localhost:$RTSP_PORT/copy/$G1\n  \
                    all_others:\n";
        let mut server = notes.launch(yaml, &["rtspAddress='127.0.0.1:8554'"])?;
        let sample = sample("h264_aac");
        let command = ffmpeg_publish(sample, &server.url("live/cam"), &["-rtsp_transport", "tcp"])?;
        let publisher = Process::spawn("ffmpeg publishes", command)?;
        server.wait_for_stream("copy/cam")?;
        ffmpeg_read(sample, &server.url("copy/cam"), Expect::Original, &["-rtsp_transport", "tcp"])?;
        let leader = *started(&server, "runOnAvailable").first().context("no hook was started")?;
        drop(publisher);
        // Its ffmpeg is a reader, and readers wait 5 s for a publisher to come back.
        wait::until_true("the hook to end with its path", 3 * SOON, || group(leader).is_empty())?;
        server.stop()
    })
}

#[test]
fn the_end_is_quick_under_load_with_hooks_and_listeners() -> Result<()> {
    let notes = Notes::new("load")?;
    let users = "authInternalUsers: [{user: any, permissions: [{action: publish}, {action: read, path: cam}, {action: api}, \
                 {action: metrics}]}, {user: eve, pass: p, permissions: [{action: read, path: door}]}]";
    let yaml = format!("{users}\npaths:\n  all_others:\n  cam:\n    runOnRead: sleep 1000\n");
    let mut server = notes.launch(&yaml, &[])?;
    let url = server.url("cam");
    let _publisher = Publisher::start(server.rtsp, &url, 1)?;
    server.wait_for_stream("cam")?;
    let _readers: Vec<Reader> = (0..200).map(|_| Reader::play(server.rtsp, &url)).collect::<Result<_>>()?;
    let mut listeners = Vec::new();
    for _ in 0..60 {
        let mut listener = http::Connection::open(server.control["api"])?;
        listener.send_request("GET", "/v3/events", &[], "")?;
        listener.until_text("200 OK", SOON)?;
        listeners.push(listener);
    }
    let mut guessers = Vec::new();
    for _ in 0..100 {
        let mut guesser = rtsp::Connection::open(server.rtsp)?;
        let authorization = http::basic("eve", "wrong");
        guesser.send_request("DESCRIBE", &server.url("door"), &[("Authorization", &authorization)], "")?;
        guessers.push(guesser);
    }
    wait::until_true("a hook per reader", 3 * SOON, || started(&server, "runOnRead").len() == 200)?;
    let leaders = started(&server, "runOnRead");
    let told = Instant::now();
    server.stop()?;
    eprintln!("ended within {:?} of SIGTERM", told.elapsed());
    let left = leaders.into_iter().filter(|leader| !group(*leader).is_empty()).count();
    ensure!(left == 0, "{left} hooks outlived the server");
    Ok(())
}
