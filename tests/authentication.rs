//! Who may do what, by the users of the configuration: networks, paths, hashed passwords, Basic and Digest, the control
//! ports, and what guessing costs.

use anyhow::{Result, ensure};
use headwater_tests::clients::{Expect, Lower, Reader as Client, ffmpeg_publish};
use headwater_tests::media::sample;
use headwater_tests::namespace;
use headwater_tests::process::Process;
use headwater_tests::publisher::Publisher;
use headwater_tests::reader::Reader;
use headwater_tests::rtsp::Connection;
use headwater_tests::server::{Launch, Server};
use headwater_tests::wait;
use headwater_tests::web::{self as http, basic};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Wrong credentials are answered after a random time of up to this.
const DELAY_MAX: Duration = Duration::from_secs(4);
/// "At once", on a machine with other things to do.
const AT_ONCE: Duration = Duration::from_millis(500);

fn launch(settings: &[&str]) -> Result<Server> {
    let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
    Server::launch(&Launch { settings, control: vec!["api", "metrics", "pprof"], ..Launch::default() })
}

/// DESCRIBE of each path with its credentials, all at once; the statuses in order. What is allowed is answered 404, as
/// nobody publishes.
fn describe_all(server: SocketAddr, wishes: &[(&str, Option<String>)]) -> Result<Vec<u16>> {
    let mut connections = Vec::new();
    for (path, authorization) in wishes {
        let mut connection = Connection::open(server)?;
        let headers: Vec<(&str, &str)> =
            authorization.iter().map(|value| ("Authorization", value.as_str())).collect();
        connection.send_request("DESCRIBE", &format!("rtsp://{server}/{path}"), &headers, "")?;
        connections.push(connection);
    }
    connections.iter_mut().map(|connection| Ok(connection.response()?.status)).collect()
}

#[test]
fn streaming_is_open_and_control_is_for_this_machine_only() -> Result<()> {
    let name = "streaming_is_open_and_control_is_for_this_machine_only";
    let interfaces = &["addr add 10.99.0.1/24 dev lo"];
    namespace::run(name, interfaces, || {
        let control = vec!["api", "metrics", "pprof"];
        let host = Ipv4Addr::UNSPECIFIED.into();
        let server = Server::launch(&Launch { host, control, ..Launch::default() })?;
        let paths = [("api", "/v3/info"), ("metrics", "/metrics"), ("pprof", "/debug/pprof/")];
        let at = |host: &str, port: u16| -> Result<SocketAddr> {
            Ok(SocketAddr::new(host.parse::<IpAddr>()?, port))
        };
        for (name, path) in paths {
            let port = server.control[name].port();
            let here = http::get(at("127.0.0.1", port)?, path)?;
            ensure!(here.status == 200, "{name} is answered {} on this machine", here.status);
            let elsewhere = http::get(at("10.99.0.1", port)?, path)?;
            let challenge = elsewhere.header("WWW-Authenticate").unwrap_or_default().to_owned();
            ensure!(
                elsewhere.status == 401 && challenge.starts_with("Basic realm="),
                "{name} is answered {} {challenge:?} elsewhere",
                elsewhere.status
            );
        }
        let anywhere = at("10.99.0.1", server.rtsp.port())?;
        let url = format!("rtsp://{anywhere}/open");
        let publisher = Publisher::start(anywhere, &url, 1)?;
        let mut reader = Reader::play(anywhere, &url)?;
        reader.advance(50)?;
        reader.finish_whole()?;
        publisher.tear_down()?;
        server.stop()
    })
}

#[test]
fn users_are_bound_to_networks_paths_and_patterns() -> Result<()> {
    let server = launch(&["authInternalUsers=[
        {user: near, pass: p, ips: [127.0.0.0/8], permissions: [{action: read, path: a}]},
        {user: far, pass: p, ips: [10.0.0.0/8, 2001:db8::/32], permissions: [{action: read}]},
        {user: some, pass: p, permissions: [{action: read, path: '~^live/[0-9]+$'}]},
        {user: writer, pass: p, permissions: [{action: publish}]},
        {user: any, permissions: [{action: read, path: free}]}]"])?;
    let user = |name: &str| Some(basic(name, "p"));
    let wishes = [
        ("a", user("near"), 404),
        ("b", user("near"), 401),
        ("a/b", user("near"), 401),
        ("a", user("far"), 401),
        ("live/17", user("some"), 404),
        ("live/17x", user("some"), 401),
        ("xlive/17", user("some"), 401),
        ("a", user("writer"), 401),
        ("a", Some(basic("near", "wrong")), 401),
        ("a", Some(basic("NEAR", "p")), 401),
        ("a", Some(basic("", "")), 401),
        ("a", Some("Basic !!!".to_owned()), 401),
        ("a", Some("Negotiate abc".to_owned()), 401),
        ("a", None, 401),
        ("free", None, 404),
        ("free", user("nobody"), 404),
    ];
    let (asked, wanted): (Vec<_>, Vec<_>) =
        wishes.into_iter().map(|(path, user, status)| ((path, user), status)).unzip();
    let got = describe_all(server.rtsp, &asked)?;
    for ((wish, wanted), got) in asked.iter().zip(&wanted).zip(&got) {
        ensure!(wanted == got, "{wish:?} is answered {got}, not {wanted}");
    }
    server.stop()
}

#[test]
fn passwords_may_be_hashed() -> Result<()> {
    // printf secret | openssl dgst -binary -sha256 | base64, likewise of "eva"; argon2-cffi's hash of "geheim".
    let server = launch(&["authInternalUsers=[
        {user: 'sha256:ArFe+HViZ2qKQvM6+aDKaqEeSRq9qYzsJOTt7WH/p40=', pass: 'sha256:K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=', permissions: [{action: read}]},
        {user: slow, pass: 'argon2:$argon2id$v=19$m=65536,t=3,p=4$yzk8fvQ2D08houWKF7UQyQ$GZxJ3IFmsGsreAtAjbuyM7rLb6J53/GuEc8EQn7JP0g', permissions: [{action: read}, {action: api}]}]"])?;
    let wishes = [
        ("a", Some(basic("eva", "secret"))),
        ("a", Some(basic("slow", "geheim"))),
        ("a", Some(basic("eva", "geheim"))),
        ("a", Some(basic("slow", "secret"))),
        // The hash itself opens nothing.
        ("a", Some(basic("eva", "sha256:K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols="))),
    ];
    let got = describe_all(server.rtsp, &wishes)?;
    ensure!(got == [404, 404, 401, 401, 401], "{got:?}");
    let api = server.control["api"];
    let answer = http::request(api, "GET", "/v3/info", &[("Authorization", &basic("slow", "geheim"))], "")?;
    ensure!(answer.status == 200, "the API is answered {}", answer.status);
    server.stop()
}

#[test]
fn ffmpeg_and_gstreamer_speak_basic_and_digest() -> Result<()> {
    for method in ["basic", "digest"] {
        let users = "authInternalUsers=[{user: cam, pass: secret, permissions: [{action: publish}]}, \
                     {user: eve, pass: 'p&s', permissions: [{action: read}]}]";
        let server = launch(&[users, &format!("rtspAuthMethods=[{method}]")])?;
        let sample = sample("h264_aac");
        let as_user = |user: &str| server.url("door").replacen("rtsp://", &format!("rtsp://{user}@"), 1);
        let command = ffmpeg_publish(sample, &as_user("cam:secret"), &["-rtsp_transport", "tcp"])?;
        let mut publisher = Process::spawn("ffmpeg publishes", command)?;
        wait::until("the stream to be live", Duration::from_secs(20), || {
            publisher.still_runs()?;
            Ok(server.log().contains("publishing").then_some(()))
        })?;
        let challenge = Connection::open(server.rtsp)?.request("DESCRIBE", &server.url("door"), &[], "")?;
        let scheme = challenge.header("WWW-Authenticate").unwrap_or_default().to_ascii_lowercase();
        ensure!(challenge.status == 401 && scheme.starts_with(method), "{method}: {scheme:?}");
        for client in [Client::Ffmpeg(Lower::Tcp), Client::Gstreamer(Lower::Tcp)] {
            client.read(sample, &as_user("eve:p%26s"), Expect::Original)?;
        }
        drop(publisher);
        server.stop()?;
    }
    Ok(())
}

/// GET of one path of each control port with an `Authorization`.
fn knock(server: &Server, authorization: &str) -> Result<Vec<u16>> {
    let paths = [("api", "/v3/info"), ("metrics", "/metrics"), ("pprof", "/debug/pprof/cmdline")];
    let mut connections = Vec::new();
    for (name, path) in paths {
        let mut connection = http::Connection::open(server.control[name])?;
        let headers = [("Authorization", authorization)];
        connection.send_request("GET", path, if authorization.is_empty() { &[] } else { &headers }, "")?;
        connections.push(connection);
    }
    let statuses = connections.iter_mut().map(|connection| {
        let answer = connection.answer(http::ANSWER)?;
        Ok(answer.map_or(0, |answer| answer.status))
    });
    statuses.collect()
}

#[test]
fn control_ports_take_basic_and_bearer() -> Result<()> {
    let server = launch(&["authInternalUsers=[
        {user: boss, pass: 'se*cret', permissions: [{action: api}, {action: metrics}, {action: pprof}]},
        {user: graph, pass: p, permissions: [{action: metrics}]}]"])?;
    let cases = [
        (basic("boss", "se*cret"), [200, 200, 200]),
        ("Bearer boss:se*cret".to_owned(), [200, 200, 200]),
        (basic("graph", "p"), [401, 200, 401]),
        (basic("boss", "wrong"), [401, 401, 401]),
        ("Bearer boss".to_owned(), [401, 401, 401]),
        (String::new(), [401, 401, 401]),
    ];
    let results: Vec<Result<Vec<u16>>> = std::thread::scope(|scope| {
        let server = &server;
        let tries: Vec<_> = cases
            .iter()
            .map(|(authorization, _)| scope.spawn(move || knock(server, authorization)))
            .collect();
        tries.into_iter().map(|one| one.join().expect("a try does not panic")).collect()
    });
    for ((authorization, wanted), got) in cases.iter().zip(results) {
        let got = got?;
        ensure!(got == wanted, "{authorization:?}: {got:?}, not {wanted:?}");
    }
    // Credentials in the query would stand in logs of proxies: they open nothing.
    let query = http::get(server.control["api"], "/v3/info?user=boss&pass=se*cret")?;
    ensure!(query.status == 401, "credentials in the query are answered {}", query.status);
    // Health is for balancers, which have no credentials.
    ensure!(http::get(server.control["api"], "/v3/health")?.status == 200, "health asks for credentials");
    let metrics = metrics(&server, &basic("graph", "p"))?;
    for wanted in
        ["reason=\"wrong_credentials\",port=\"api\"} 3", "reason=\"no_credentials\",port=\"api\"} 2"]
    {
        ensure!(metrics.contains(wanted), "no {wanted} in\n{metrics}");
    }
    server.stop()
}

fn metrics(server: &Server, authorization: &str) -> Result<String> {
    let headers = [("Authorization", authorization)];
    Ok(http::request(server.control["metrics"], "GET", "/metrics", &headers, "")?.text())
}

#[test]
fn wrong_credentials_wait_at_random_and_missing_ones_do_not() -> Result<()> {
    let server =
        launch(&["authInternalUsers=[{user: eve, pass: p, permissions: [{action: read}, {action: api}]}]"])?;
    let url = server.url("door");
    let rtsp = |authorization: &str| -> Result<Duration> {
        let mut connection = Connection::open(server.rtsp)?;
        let headers = [("Authorization", authorization)];
        let started = Instant::now();
        let headers: &[(&str, &str)] = if authorization.is_empty() { &[] } else { &headers };
        let status = connection.request("DESCRIBE", &url, headers, "")?.status;
        ensure!(status == 401, "answered {status}");
        Ok(started.elapsed())
    };
    let api = |authorization: &str| -> Result<Duration> {
        let started = Instant::now();
        let headers = [("Authorization", authorization)];
        let headers: &[(&str, &str)] = if authorization.is_empty() { &[] } else { &headers };
        let status = http::request(server.control["api"], "GET", "/v3/info", headers, "")?.status;
        ensure!(status == 401, "answered {status}");
        Ok(started.elapsed())
    };
    let wrong = basic("eve", "wrong");
    for ask in [&rtsp as &(dyn Fn(&str) -> Result<Duration> + Sync), &api] {
        let missing = ask("")?;
        ensure!(missing < AT_ONCE, "missing credentials were challenged after {missing:?}");
        let waits: Vec<Duration> = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..24).map(|_| scope.spawn(|| ask(&wrong))).collect();
            tries.into_iter().map(|one| one.join().expect("a try does not panic")).collect::<Result<_>>()
        })?;
        let (least, most) = (waits.iter().min(), waits.iter().max());
        let (Some(least), Some(most)) = (least, most) else { unreachable!("24 tries") };
        // 24 even draws from 4 s lie within 1 s of each other once in 10 million million runs.
        ensure!(*most < DELAY_MAX + AT_ONCE, "one waited {most:?}");
        ensure!(*most - *least > Duration::from_secs(1), "between {least:?} and {most:?} is no chance");
    }
    server.stop()
}

#[test]
fn five_hundred_wrong_logins_delay_nobody_else() -> Result<()> {
    let server = launch(&["authInternalUsers=[{user: eve, pass: p, permissions: [{action: read}]}, \
                           {user: any, permissions: [{action: publish}, {action: read, path: open}, {action: api}]}]"])?;
    let url = server.url("open");
    let publisher = Publisher::start(server.rtsp, &url, 1)?;
    let mut reader = Reader::play(server.rtsp, &url)?;
    reader.advance(50)?;
    let mut guessers = Vec::new();
    for number in 0..500 {
        let mut guesser = Connection::open(server.rtsp)?;
        let authorization = basic("eve", &number.to_string());
        guesser.send_request("DESCRIBE", &server.url("door"), &[("Authorization", &authorization)], "")?;
        guessers.push(guesser);
    }
    wait::until("all guesses to be counted", Duration::from_secs(5), || {
        Ok((server.counter("authentication_failures")? == 500).then_some(()))
    })?;
    let started = Instant::now();
    let right = describe_all(server.rtsp, &[("door", Some(basic("eve", "p")))])?;
    let newcomer = Reader::play(server.rtsp, &url)?;
    let patched = http::request(
        server.control["api"],
        "PATCH",
        "/v3/config/global/patch",
        &[],
        r#"{"readTimeout":"11s"}"#,
    )?;
    ensure!(right == [404] && patched.status == 200, "{right:?}, {}", patched.text());
    ensure!(started.elapsed() < AT_ONCE, "others waited {:?}", started.elapsed());
    newcomer.finish_whole()?;
    // As many guesses again wait when it is told to end, which takes no longer for it (Server::stop allows 2 s).
    for guesser in &mut guessers {
        let status = guesser.response()?.status;
        ensure!(status == 401, "a guess was answered {status}");
        let authorization = basic("eve", "again");
        guesser.send_request("DESCRIBE", &server.url("door"), &[("Authorization", &authorization)], "")?;
    }
    reader.advance(50)?;
    reader.finish_whole()?;
    publisher.tear_down()?;
    server.stop()
}
