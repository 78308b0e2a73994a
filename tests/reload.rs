//! A changed configuration file takes effect while the server runs, whatever tells the server of it, and disturbs only
//! what it touches.

use anyhow::{Context, Result, ensure};
use headwater_tests::config_file::{ADDRESSES, ConfigFile, Taken, api, metric};
use headwater_tests::publisher::Publisher;
use headwater_tests::reader::Reader;
use headwater_tests::rtsp::Connection;
use headwater_tests::server::Server;
use headwater_tests::{wait, web as http};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

/// A way to change a file.
type Write = fn(&ConfigFile, &str) -> Result<()>;

const OPEN: &str = "paths:\n  all_others:\n";

/// The configuration of most tests: `more` and every path open.
fn configuration(more: &str) -> String {
    format!("{ADDRESSES}{more}{OPEN}")
}

fn log_level(server: &Server) -> Result<String> {
    let global = api(server, "GET", "/v3/config/global/get", "")?;
    Ok(global["logLevel"].as_str().context("a level")?.to_owned())
}

/// A publisher and a reader on a path that no change touches.
struct Live {
    publisher: Publisher,
    reader: Reader,
}

impl Live {
    fn start(server: &mut Server, path: &str) -> Result<Live> {
        let url = server.url(path);
        let publisher = Publisher::start(server.rtsp, &url, 1)?;
        server.wait_for_stream(path)?;
        let mut reader = Reader::play(server.rtsp, &url)?;
        reader.advance(60)?;
        Ok(Live { publisher, reader })
    }

    /// Goes on after a change.
    fn goes_on(&mut self) -> Result<()> {
        self.reader.advance(60)?.whole()
    }

    fn finish(mut self) -> Result<()> {
        self.goes_on()?;
        let seen = self.reader.finish_whole()?;
        ensure!(seen.epochs == 1 && !seen.closed && seen.began_at_random_access, "{seen:?}");
        self.publisher.tear_down()
    }
}

#[test]
fn a_file_that_is_written_renamed_or_swapped_is_read_again() -> Result<()> {
    let file = ConfigFile::new(&configuration(""))?;
    let mut server = file.launch()?;
    let mut live = Live::start(&mut server, "live")?;
    let ways: [(&str, Write); 2] = [("debug", ConfigFile::rewrite), ("warn", ConfigFile::replace)];
    for round in 0..3 {
        for (level, write) in ways {
            let before = Taken::of(&server);
            write(&file, &configuration(&format!("logLevel: {level}\nauthTimeout: {}s\n", round + 1)))?;
            // At the level `warn` the change itself is not logged.
            wait::until("the level", Duration::from_secs(5), || {
                Ok((log_level(&server)? == level).then_some(()))
            })?;
            ensure!(Taken::of(&server).refused == before.refused, "a change was refused");
            live.goes_on()?;
        }
    }
    live.finish()?;
    server.stop()
}

#[test]
fn a_link_that_is_swapped_as_kubernetes_does_is_followed() -> Result<()> {
    // headwater.yml -> ..data/headwater.yml, ..data -> ..1; an update makes ..2 and renames another link to it over ..data.
    let file = ConfigFile::new("")?;
    let folder = file.folder();
    fs::remove_file(file.path())?;
    let version = |number: u32, text: &str| -> Result<()> {
        fs::create_dir(folder.join(format!("..{number}")))?;
        fs::write(folder.join(format!("..{number}/headwater.yml")), text)?;
        symlink(format!("..{number}"), folder.join("..data_tmp"))?;
        fs::rename(folder.join("..data_tmp"), folder.join("..data"))?;
        if number > 1 {
            fs::remove_dir_all(folder.join(format!("..{}", number - 1)))?;
        }
        Ok(())
    };
    version(1, &configuration(""))?;
    symlink("..data/headwater.yml", file.path())?;
    let mut server = file.launch()?;
    let mut live = Live::start(&mut server, "live")?;
    for number in 2..5 {
        let before = Taken::of(&server);
        version(number, &configuration(&format!("authTimeout: {number}s\n")))?;
        before.accepted_since(&server)?;
        live.goes_on()?;
    }
    live.finish()?;
    server.stop()
}

#[test]
fn a_signal_and_the_api_read_the_file_again() -> Result<()> {
    let file = ConfigFile::new(&configuration(""))?;
    let mut server = file.launch()?;
    let mut live = Live::start(&mut server, "live")?;
    let reloads = |server: &Server| -> Result<u64> {
        api(server, "GET", "/v3/config/status", "")?["reloads"].as_u64().context("a number")
    };
    let before = reloads(&server)?;
    server.signal(Signal::HUP)?;
    wait::until("the signal to be obeyed", Duration::from_secs(5), || {
        Ok((reloads(&server)? == before + 1).then_some(()))
    })?;
    api(&server, "POST", "/v3/config/reload", "")?;
    ensure!(reloads(&server)? == before + 2, "the API does not read the file again");
    live.goes_on()?;

    // What the API changed without apiPersist is gone when the file is read again.
    api(&server, "PATCH", "/v3/config/global/patch", r#"{"logLevel": "debug"}"#)?;
    ensure!(log_level(&server)? == "debug");
    ensure!(file.text()? == configuration(""), "the file has changed without apiPersist");
    api(&server, "POST", "/v3/config/reload", "")?;
    ensure!(log_level(&server)? == "info");
    live.finish()?;
    server.stop()
}

#[test]
fn an_invalid_file_changes_nothing_and_is_reported_everywhere() -> Result<()> {
    let file = ConfigFile::new(&configuration(""))?;
    let mut server = file.launch()?;
    let mut live = Live::start(&mut server, "live")?;
    let successful = "headwater_configuration_last_reload_successful";
    let failures = "headwater_configuration_reloads_total{result=\"failure\"}";
    ensure!(metric(&server, successful)? == Some(1.0));
    let global = api(&server, "GET", "/v3/config/global/get", "")?;

    let before = Taken::of(&server);
    // One good key beside the bad ones must not come through.
    file.rewrite(&configuration("logLevel: debug\nreadTimeot: 5s\nwriteTimeout: soon\n"))?;
    before.refused_since(&server)?;
    live.goes_on()?;
    ensure!(api(&server, "GET", "/v3/config/global/get", "")? == global, "something has changed");
    ensure!(metric(&server, successful)? == Some(0.0) && metric(&server, failures)? == Some(1.0));
    let status = api(&server, "GET", "/v3/config/status", "")?;
    ensure!(status["accepted"] == false && status["reloadsRefused"] == 1, "{status}");
    let lines = ADDRESSES.lines().count();
    for (line, key) in [(lines + 2, "readTimeot"), (lines + 3, "writeTimeout")] {
        let faults = status["faults"].as_array().context("faults")?;
        ensure!(faults.iter().any(|fault| fault["line"] == line && fault["key"] == key), "{status}");
        server.wait_for_log(&format!("headwater.yml:{line}: {key}: "))?;
    }
    ensure!(status.to_string().contains("readTimeout"), "the right key is not named: {status}");
    let refused = http::request(server.control["api"], "POST", "/v3/config/reload", &[], "")?;
    ensure!(refused.status == 400 && refused.text().contains("readTimeot"), "{}", refused.text());

    for broken in
        ["paths: [", "\u{0}\u{1}", "paths: {cam: {maxReaders: -1}}", "- a list", "rtspAddress: nowhere"]
    {
        let before = Taken::of(&server);
        file.rewrite(broken)?;
        before.refused_since(&server).with_context(|| broken.to_owned())?;
        live.goes_on()?;
    }
    // A listener that cannot be opened is no reason to lose what is there.
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let before = Taken::of(&server);
    file.rewrite(&configuration("").replacen("127.0.0.1:0", &taken.local_addr()?.to_string(), 1))?;
    before.refused_since(&server)?;
    file.change(&server, &configuration("authTimeout: 9s\n"))?;
    ensure!(metric(&server, successful)? == Some(1.0));
    ensure!(api(&server, "GET", "/v3/config/status", "")?["accepted"] == true);
    live.finish()?;
    server.stop()
}

#[test]
fn what_a_change_does_not_touch_is_not_disturbed() -> Result<()> {
    let file = ConfigFile::new(&configuration(""))?;
    let mut server = file.launch()?;
    let mut live = Live::start(&mut server, "live")?;
    let mut over_udp = Reader::play_udp(&server, server.rtsp.ip(), "live")?;
    over_udp.advance(60)?;
    let changes = [
        "readTimeout: 3s\nwriteTimeout: 3s\nrtspSessionTimeout: 20s\n",
        "logLevel: debug\n",
        "logStructured: yes\n",
        "requestRate: 100\nconnectionsMax: 1000\npathsMax: 1000\n",
        "streamLogSize: 16M\n",
        "rtspAuthMethods: [basic, digest]\nauthInternalUsers: [{user: a, pass: b, permissions: [{action: read}, \
         {action: publish}]}, {user: any, ips: [127.0.0.1], permissions: [{action: api}, {action: metrics}]}]\n",
        "metrics: no\n",
        "runOnConnect: sleep 1000\n",
        "webhookAddress: http://127.0.0.1:9/\n",
        "pathDefaults: {overridePublisher: no, publisherGrace: 1s}\n",
        "rtspEncryption: \"no\"\nrtmp: no\nhls: no\nplayback: no\n",
        "",
    ];
    for change in changes {
        let keeps_metrics = !change.starts_with("metrics");
        let addresses =
            if keeps_metrics { ADDRESSES.to_owned() } else { ADDRESSES.replace("metrics: yes\n", "") };
        file.change(&server, &format!("{addresses}{change}{OPEN}")).with_context(|| change.to_owned())?;
        live.goes_on().with_context(|| change.to_owned())?;
        over_udp.advance(30).with_context(|| change.to_owned())?.whole()?;
    }
    let others = [
        "paths:\n  all_others:\n  other:\n    maxReaders: 3\n",
        "paths:\n  all_others:\n  ~^x(.*)$:\n",
        OPEN,
    ];
    for paths in others {
        file.change(&server, &format!("{ADDRESSES}{paths}"))?;
        live.goes_on()?;
    }
    over_udp.finish_whole()?;
    live.finish()?;
    server.stop()
}

#[test]
fn a_removed_path_ends_its_sessions_and_no_others() -> Result<()> {
    let with = |paths: &str| format!("{ADDRESSES}paths:\n{paths}");
    let file = ConfigFile::new(&with("  stays:\n  goes:\n"))?;
    let mut server = file.launch()?;
    let mut stays = Live::start(&mut server, "stays")?;
    let Live { publisher, mut reader } = Live::start(&mut server, "goes")?;
    file.change(&server, &with("  stays:\n"))?;
    reader.wait("the reader to be closed", |seen| seen.closed)?;
    publisher.wait_until_refused()?;
    let answer = Connection::open(server.rtsp)?.request("DESCRIBE", &server.url("goes"), &[], "")?;
    ensure!(answer.status == 400, "an unconfigured path is answered {}", answer.status);
    stays.goes_on()?;
    file.change(&server, &with("  stays:\n  goes:\n"))?;
    Live::start(&mut server, "goes")?.finish()?;
    stays.finish()?;
    server.stop()
}

#[test]
fn a_shorter_read_timeout_closes_the_silent_and_nobody_else() -> Result<()> {
    let file = ConfigFile::new(&configuration("readTimeout: 1h\n"))?;
    let mut server = file.launch()?;
    let mut live = Live::start(&mut server, "live")?;
    let silent = headwater_tests::publisher::Tracks::Video;
    let mut silent = headwater_tests::publisher::record(server.rtsp, &server.url("silent"), silent)?;
    file.change(&server, &configuration("readTimeout: 500ms\n"))?;
    silent.until_closed(Duration::from_secs(5))?;
    live.goes_on()?;
    live.finish()?;
    server.stop()
}

#[test]
fn changed_users_leave_sessions_alone_and_bind_new_ones() -> Result<()> {
    let users = |password: &str| {
        configuration(&format!(
            "authInternalUsers:\n- user: cam\n  pass: {password}\n  permissions: [{{action: publish}}, {{action: read}}]\n\
             - user: any\n  ips: [127.0.0.1]\n  permissions: [{{action: api}}, {{action: metrics}}]\n"
        ))
    };
    let file = ConfigFile::new(&configuration(""))?;
    let mut server = file.launch()?;
    let mut live = Live::start(&mut server, "live")?;
    let url = server.url("live");
    let describe = |password: &str| -> Result<u16> {
        let basic = http::basic("cam", password);
        let mut connection = Connection::open(server.rtsp)?;
        Ok(connection.request("DESCRIBE", &url, &[("Authorization", &basic)], "")?.status)
    };
    file.change(&server, &users("first"))?;
    let anonymous = Connection::open(server.rtsp)?.request("DESCRIBE", &url, &[], "")?;
    ensure!(anonymous.status == 401, "anonymous readers are answered {}", anonymous.status);
    ensure!(describe("first")? == 200);
    live.goes_on()?;
    file.change(&server, &users("second"))?;
    ensure!(describe("first")? == 401 && describe("second")? == 200);
    live.goes_on()?;
    file.change(&server, &configuration(""))?;
    live.finish()?;
    server.stop()
}

#[test]
fn a_file_that_is_gone_or_empty_opens_nothing() -> Result<()> {
    let closed = format!("{ADDRESSES}paths:\n  live:\n");
    let file = ConfigFile::new(&closed)?;
    let mut server = file.launch()?;
    let mut live = Live::start(&mut server, "live")?;
    let still_closed = |server: &Server, live: &mut Live| -> Result<()> {
        live.goes_on()?;
        let url = server.url("other");
        let answer = Connection::open(server.rtsp)?.request("DESCRIBE", &url, &[], "")?;
        ensure!(answer.status == 400, "a path that is not configured is answered {}", answer.status);
        Ok(())
    };
    let changes: [fn(&ConfigFile) -> Result<()>; 2] =
        [|file| Ok(fs::remove_file(file.path())?), |file| file.rewrite("")];
    for change in changes {
        let before = Taken::of(&server);
        change(&file)?;
        before.refused_since(&server)?;
        still_closed(&server, &mut live)?;
    }
    let before = Taken::of(&server);
    file.rewrite(&format!("{closed}  other:\n"))?;
    before.accepted_since(&server)?;
    live.finish()?;
    server.stop()
}
