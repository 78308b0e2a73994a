//! Publishers of pictures that real players show: samples over RTMP or RTSP, and pictures that tell when they were made.

use crate::clients::ffmpeg_publish;
use crate::media::Sample;
use crate::process::Process;
use crate::server::Server;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How a publisher reaches the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ingest {
    Rtmp,
    Rtsp,
}

impl Ingest {
    pub fn name(self) -> &'static str {
        match self {
            Ingest::Rtmp => "rtmp",
            Ingest::Rtsp => "rtsp",
        }
    }

    fn url(self, server: &Server, path: &str) -> String {
        match self {
            Ingest::Rtmp => format!("rtmp://{}/{path}", server.media["rtmp"]),
            Ingest::Rtsp => server.url(path),
        }
    }

    /// ffmpeg's options for its output.
    fn output(self) -> &'static [&'static str] {
        match self {
            Ingest::Rtmp => &["-f", "flv"],
            Ingest::Rtsp => &["-f", "rtsp", "-rtsp_transport", "tcp"],
        }
    }
}

/// ffmpeg sends a sample to `path`, over and over, its coded units as they are. `options` stand before the output: `-an`,
/// say.
///
/// # Errors
/// When the sample cannot be made, or ffmpeg is missing.
pub fn publish(
    server: &Server,
    ingest: Ingest,
    path: &str,
    sample: &Sample,
    options: &[&str],
) -> Result<Process> {
    let url = ingest.url(server, path);
    let mut command = match ingest {
        Ingest::Rtsp if options.is_empty() => ffmpeg_publish(sample, &url, &["-rtsp_transport", "tcp"])?,
        _ => {
            let mut command = Command::new(sample.ffmpeg.program()?);
            command.args("-nostdin -v warning -re -stream_loop -1 -i".split(' ')).arg(sample.file()?);
            command.args(["-c", "copy"]).args(options).args(ingest.output()).arg(&url);
            command
        }
    };
    command.env("AV_LOG_FORCE_NOCOLOR", "1");
    Process::spawn(&format!("ffmpeg publishes {} over {}", sample.name, ingest.name()), command)
}

const WIDTH: usize = 320;
const HEIGHT: usize = 192;
const PICTURES_PER_SECOND: u32 = 30;
/// Black or white squares in the upper left of a picture: the bits of its time, highest first.
const BITS: usize = 16;
const SQUARE: usize = WIDTH / BITS;

/// A publisher whose pictures show when they were made: milliseconds since 1970, modulo 2^16. A key frame each second, and
/// a tone.
pub struct Clock {
    encoder: Process,
    pipe: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Clock {
    /// # Errors
    /// When ffmpeg is missing.
    pub fn start(server: &Server, ingest: Ingest, path: &str) -> Result<Clock> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pipe = workspace().join(format!("clock-{}-{number}", std::process::id()));
        let made = Command::new("mkfifo").arg(&pipe).status().context("mkfifo")?;
        ensure!(made.success(), "mkfifo {}", pipe.display());
        let input = format!(
            "-nostdin -v warning -f rawvideo -pix_fmt gray -s {WIDTH}x{HEIGHT} -r {PICTURES_PER_SECOND} -i"
        );
        let encode = "-f lavfi -i sine=frequency=440:sample_rate=48000 -pix_fmt yuv420p -c:v libx264 -preset ultrafast \
                      -tune zerolatency -g 30 -bf 0 -b:v 400k -c:a aac -b:a 64k";
        let mut command = Command::new("ffmpeg");
        command.args(input.split(' ')).arg(&pipe).args(encode.split_whitespace());
        command.args(ingest.output()).arg(ingest.url(server, path));
        let encoder = Process::spawn("ffmpeg publishes a clock", command)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (thread_stop, thread_pipe) = (Arc::clone(&stop), pipe.clone());
        let thread = std::thread::spawn(move || draw(&thread_pipe, &thread_stop));
        Ok(Clock { encoder, pipe, stop, thread: Some(thread) })
    }

    /// # Errors
    /// When ffmpeg has ended.
    pub fn still_runs(&mut self) -> Result<()> {
        self.encoder.still_runs()
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Opened for both directions, the pipe never makes its writer wait for a reader, nor break when there is none.
        let _ = self.encoder.signal(rustix::process::Signal::KILL);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.pipe);
    }
}

/// Writes pictures at their pace until `stop`.
fn draw(pipe: &PathBuf, stop: &AtomicBool) {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = libc::O_NONBLOCK;
    let Ok(mut pipe) = OpenOptions::new().read(true).write(true).custom_flags(flags).open(pipe) else {
        return;
    };
    let ramp: Vec<u8> = (0..WIDTH + 256).map(|x| x as u8).collect();
    let mut picture = vec![0; WIDTH * HEIGHT];
    let (mut due, mut number) = (Instant::now(), 0_usize);
    while !stop.load(Ordering::Relaxed) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u16;
        let mut bits = [0; WIDTH];
        for (bit, square) in bits.chunks_exact_mut(SQUARE).enumerate() {
            square.fill(if now >> (BITS - 1 - bit) & 1 == 1 { 235 } else { 16 });
        }
        // Below the time a ramp moves, so that each picture differs from the one before.
        for (y, row) in picture.chunks_exact_mut(WIDTH).enumerate() {
            let shift = (y + 2 * number) % 256;
            row.copy_from_slice(if y < SQUARE { &bits } else { &ramp[shift..shift + WIDTH] });
        }
        let mut written = 0;
        while written < picture.len() && !stop.load(Ordering::Relaxed) {
            match pipe.write(&picture[written..]) {
                Ok(length) => written += length,
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        number += 1;
        due += Duration::from_secs(1) / PICTURES_PER_SECOND;
        // The pace is the stream's own, not a wait for something to happen.
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}
