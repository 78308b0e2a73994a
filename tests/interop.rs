//! The interop matrix: real publishers by real readers, for every codec, through the server.
//!
//! A cell is green when pictures and audio units were decoded (aiortsp: RTP packets without a gap); where the publisher
//! sends the sample's own units, each picture must be one of the sample's bit by bit. `HEADWATER_TEST_PEER=mediamtx` runs
//! the same cells against MediaMTX.

use anyhow::{Result, ensure};
use headwater_tests::clients::{Expect, Lower, Publisher, Reader};
use headwater_tests::media::{SAMPLES, Sample, sample};
use headwater_tests::server::Server;
use headwater_tests::workspace;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Mutex;
use std::time::Instant;

use Lower::{Tcp, Udp};

const READERS: [Reader; 7] = [
    Reader::Ffmpeg(Tcp),
    Reader::Ffmpeg(Udp),
    Reader::Gstreamer(Tcp),
    Reader::Gstreamer(Udp),
    Reader::Mpv,
    Reader::Aiortsp(Tcp),
    Reader::Aiortsp(Udp),
];
const PUBLISHERS: [Publisher; 4] =
    [Publisher::Ffmpeg(Tcp), Publisher::Ffmpeg(Udp), Publisher::Gstreamer(Tcp), Publisher::Gstreamer(Udp)];
/// Rows in flight: two cores.
const WORKERS: usize = 2;

/// One publisher of one sample, and who reads it.
struct Row {
    sample: &'static Sample,
    publisher: Publisher,
    readers: Vec<Reader>,
}

/// A finished row: for each of its readers what it got, or why not.
struct Finished {
    name: String,
    cells: Vec<(Reader, Result<String>)>,
}

/// Every publisher by every reader for H264 + AAC; each other codec through ffmpeg over TCP and UDP, and through GStreamer
/// as reader and as publisher where it knows the codec.
fn rows() -> Vec<Row> {
    let common = sample("h264_aac");
    let mut rows: Vec<Row> = PUBLISHERS
        .iter()
        .map(|&publisher| Row { sample: common, publisher, readers: READERS.to_vec() })
        .collect();
    for sample in SAMPLES.iter().filter(|sample| sample.name != common.name) {
        let mut readers = vec![Reader::Ffmpeg(Tcp), Reader::Ffmpeg(Udp)];
        if sample.gstreamer.is_some() {
            readers.push(Reader::Gstreamer(Tcp));
            let crossed = vec![Reader::Ffmpeg(Tcp), Reader::Gstreamer(Udp)];
            rows.push(Row { sample, publisher: Publisher::Gstreamer(Tcp), readers: crossed });
        }
        rows.push(Row { sample, publisher: Publisher::Ffmpeg(Tcp), readers });
        rows.push(Row { sample, publisher: Publisher::Ffmpeg(Udp), readers: vec![Reader::Ffmpeg(Udp)] });
    }
    let Ok(only) = std::env::var("HEADWATER_TEST_CELLS") else { return rows };
    for row in &mut rows {
        let name = row.name();
        row.readers.retain(|reader| format!("{name} > {}", reader.name()).contains(&only));
    }
    rows.retain(|row| !row.readers.is_empty());
    rows
}

impl Row {
    fn name(&self) -> String {
        format!("{} {}", self.sample.name, self.publisher.name())
    }

    fn run(self, server: &Mutex<Server>) -> Finished {
        let name = self.name();
        let path = name.replace(' ', "-");
        let url = server.lock().expect("no row panics").url(&path);
        let expect = match self.publisher {
            Publisher::Gstreamer(_) => Expect::Pictures,
            Publisher::Ffmpeg(_) if server.lock().expect("no row panics").is_peer() => Expect::Original,
            Publisher::Ffmpeg(_) => Expect::OriginalFromTheFirst,
        };
        let publishing = self.publisher.start(self.sample, &url).and_then(|mut process| {
            let ready = server.lock().expect("no row panics").wait_for_stream(&path);
            ready.map_err(|error| error.context(process.tail()))?;
            process.still_runs()?;
            Ok(process)
        });
        let cells = match publishing {
            Err(error) => {
                let failed = |reader| (reader, Err(anyhow::anyhow!("the publisher failed: {error:#}")));
                self.readers.into_iter().map(failed).collect()
            }
            Ok(mut process) => self
                .readers
                .into_iter()
                .map(|reader| {
                    let result = reader.read(self.sample, &url, expect);
                    (reader, result.and_then(|got| process.still_runs().map(|()| got)))
                })
                .collect(),
        };
        Finished { name, cells }
    }
}

/// The matrix as text: a row per publisher, a column per reader.
fn render(finished: &[Finished]) -> String {
    let width = finished.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = format!("\n{:width$}", "published by \\ read by");
    for reader in READERS {
        let _ = write!(text, "  {:>13}", reader.name());
    }
    for row in finished {
        let _ = write!(text, "\n{:width$}", row.name);
        for column in READERS {
            let cell = row.cells.iter().find(|(reader, _)| *reader == column);
            let mark = match cell {
                None => ".",
                Some((_, Ok(_))) => "pass",
                Some((_, Err(_))) => "FAIL",
            };
            let _ = write!(text, "  {mark:>13}");
        }
    }
    text
}

#[test]
fn every_client_reads_what_every_client_publishes() -> Result<()> {
    let started = Instant::now();
    for sample in &SAMPLES {
        sample.identity()?;
    }
    let server = Server::start()?;
    let name = if server.is_peer() { "a peer" } else { "Headwater" };
    let server = Mutex::new(server);
    let queue = Mutex::new(VecDeque::from(rows()));
    let finished = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some(row) = queue.lock().expect("no row panics").pop_front() else { break };
                    let row = row.run(&server);
                    finished.lock().expect("no row panics").push(row);
                }
            });
        }
    });
    let mut finished = finished.into_inner().expect("no row panics");
    finished.sort_by(|a, b| a.name.cmp(&b.name));
    let failed: Vec<String> = finished
        .iter()
        .flat_map(|row| row.cells.iter().map(|cell| (&row.name, cell)))
        .filter_map(|(row, (reader, result))| {
            Some(format!("{row} > {}: {:#}", reader.name(), result.as_ref().err()?))
        })
        .collect();
    let cells: usize = finished.iter().map(|row| row.cells.len()).sum();
    let matrix = render(&finished);
    let details = workspace().join("interop.txt");
    std::fs::write(&details, format!("{matrix}\n\n{}\n", failed.join("\n\n")))?;
    // Past the test runner's capture: the matrix is the result, also of a run that passes.
    writeln!(
        std::io::stderr(),
        "{matrix}\ninterop matrix of {name}: {} of {cells} cells pass, in {:.0} s; {}",
        cells - failed.len(),
        started.elapsed().as_secs_f32(),
        details.display()
    )?;
    ensure!(failed.is_empty() && cells > 0, "{} of {cells} cells fail:\n{}", failed.len(), failed.join("\n"));
    server.into_inner().expect("no row panics").stop()
}
