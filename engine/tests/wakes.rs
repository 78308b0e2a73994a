//! A shard sleeps when there is nothing to do, and wakes when there is.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn a_request_after_a_pause_is_answered_at_once() {
    let engine = support::engine(false);
    let address = engine.listening()[0].address;
    // Housekeeping wakes the shard four times a second; most of these must not wait for it.
    let mut late = 0;
    for _ in 0..10 {
        let mut socket = TcpStream::connect(address).expect("connected");
        // The pause is what is tested: the shard has accepted, found nothing to read, and sleeps.
        std::thread::sleep(Duration::from_millis(20));
        let asked = Instant::now();
        socket.write_all(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n").expect("written");
        let mut answer = [0; 512];
        assert!(socket.read(&mut answer).expect("an answer") > 0);
        late += usize::from(asked.elapsed() > Duration::from_millis(100));
    }
    assert!(late <= 2, "{late} of 10 answers waited for the next tick");
    assert!(engine.shut_down(Duration::from_secs(2)));
}

#[test]
fn an_idle_shard_only_keeps_house() {
    let engine = support::engine(false);
    let address = engine.listening()[0].address;
    let mut sockets: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(address).expect("connected")).collect();
    for socket in &mut sockets {
        socket.write_all(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n").expect("written");
        assert!(socket.read(&mut [0; 512]).expect("an answer") > 0);
    }
    let turns = || engine.counters()[0].turns.value();
    let before = turns();
    std::thread::sleep(Duration::from_secs(1));
    let spent = turns() - before;
    assert!(spent <= 20, "{spent} turns in a second without work");
    assert!(engine.shut_down(Duration::from_secs(2)));
}
