//! Real clients that publish and read over RTMP.

use crate::clients::{Expect, ffmpeg_read_by};
use crate::media::{Ffmpeg, Sample, pictures};
use crate::process::Process;
use crate::{wait, workspace};
use anyhow::{Context, Result, ensure};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const READ: Duration = Duration::from_secs(20);
const PICTURES_MIN: usize = 40;
const AUDIO_UNITS_MIN: usize = 25;

/// A client that publishes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Publisher {
    /// Of version 5, which knows the codecs of 2012 alone, or 9, which knows Enhanced RTMP.
    Ffmpeg(Ffmpeg),
    /// `rtmp2sink`; encodes H.264 and AAC by itself.
    Gstreamer,
}

/// A client that reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    Ffmpeg(Ffmpeg),
    /// `rtmp2src`.
    Gstreamer,
    Rtmpdump,
}

impl Publisher {
    pub fn name(self) -> &'static str {
        match self {
            Publisher::Ffmpeg(Ffmpeg::Debian) => "ffmpeg 5",
            Publisher::Ffmpeg(Ffmpeg::Python) => "ffmpeg 9",
            Publisher::Gstreamer => "gstreamer",
        }
    }

    /// Starts to publish without end.
    ///
    /// # Errors
    /// When the sample cannot be made, or the tool is missing.
    pub fn start(self, sample: &Sample, url: &str) -> Result<Process> {
        let command = match self {
            Publisher::Ffmpeg(version) => ffmpeg_publish(version, sample, url, "-c copy")?,
            Publisher::Gstreamer => {
                let mut command = Command::new("gst-launch-1.0");
                let pipeline = format!(
                    "flvmux name=m streamable=true ! rtmp2sink location={url} \
                     videotestsrc is-live=true ! video/x-raw,width=320,height=192,framerate=30/1 ! \
                     x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=400 ! h264parse ! queue ! m. \
                     audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! aacparse ! queue ! m."
                );
                command.args(pipeline.split_whitespace());
                command
            }
        };
        Process::spawn(&format!("{} publishes {}", self.name(), sample.name), command)
    }
}

/// ffmpeg publishing `sample` to `url` in real time, over and over; `codecs` says what it makes of the tracks.
///
/// # Errors
/// When the sample cannot be made.
pub fn ffmpeg_publish(version: Ffmpeg, sample: &Sample, url: &str, codecs: &str) -> Result<Command> {
    let mut command = Command::new(version.program()?);
    command.args("-nostdin -v warning -re -stream_loop -1 -i".split(' ')).arg(sample.file()?);
    command.args(codecs.split_whitespace()).args(["-f", "flv", url]);
    Ok(command)
}

impl Reader {
    pub fn name(self) -> &'static str {
        match self {
            Reader::Ffmpeg(Ffmpeg::Debian) => "ffmpeg 5",
            Reader::Ffmpeg(Ffmpeg::Python) => "ffmpeg 9",
            Reader::Gstreamer => "gstreamer",
            Reader::Rtmpdump => "rtmpdump",
        }
    }

    /// Reads both tracks of `url` until enough has come, and says what came.
    ///
    /// # Errors
    /// When too little comes, or something that was not sent.
    pub fn read(self, sample: &Sample, url: &str, expect: Expect) -> Result<String> {
        match self {
            Reader::Ffmpeg(Ffmpeg::Debian) => ffmpeg_read_by(Ffmpeg::Debian, sample, url, expect, &[]),
            // It believes no certificate of a test.
            Reader::Ffmpeg(version) => {
                let options: &[&str] = if url.starts_with("rtmps") { &["-tls_verify", "0"] } else { &[] };
                ffmpeg_read_by(version, sample, url, expect, options)
            }
            Reader::Gstreamer => gstreamer_read(url),
            Reader::Rtmpdump => rtmpdump_read(sample, url, expect),
        }
    }
}

fn gstreamer_read(url: &str) -> Result<String> {
    let pipeline = format!(
        "-v rtmp2src location={url} ! flvdemux name=s \
         s.video ! queue ! decodebin ! video/x-raw ! fakesink name=pictures sync=false async=false silent=false \
         s.audio ! queue ! decodebin ! audio/x-raw ! fakesink name=audio sync=false async=false silent=false"
    );
    let mut command = Command::new("gst-launch-1.0");
    command.args(pipeline.split_whitespace());
    let mut process = Process::spawn(&format!("gstreamer reads {url}"), command)?;
    let (mut pictures, mut units) = (0, 0);
    let read = wait::until("GStreamer to decode enough", READ, || {
        let output = process.stdout();
        let count = |sink: &str| output.matches(&format!("GstFakeSink:{sink}: last-message = chain")).count();
        (pictures, units) = (count("pictures"), count("audio"));
        if pictures >= PICTURES_MIN && units >= AUDIO_UNITS_MIN {
            return Ok(Some(()));
        }
        process.still_runs().map(|()| None)
    });
    read.with_context(|| format!("{pictures} pictures and {units} audio units\n{}", process.tail()))?;
    Ok(format!("{pictures} pictures, {units} audio units"))
}

/// rtmpdump writes three seconds into a file, which ffmpeg decodes. (Its `--stop` has no effect on what is live.)
fn rtmpdump_read(sample: &Sample, url: &str, expect: Expect) -> Result<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = workspace().join("logs").join(format!("{}-{number}-rtmpdump.flv", std::process::id()));
    let mut command = Command::new("rtmpdump");
    command.args(["--live", "--rtmp", url, "--flv"]).arg(&file);
    let mut process = Process::spawn(&format!("rtmpdump reads {url}"), command)?;
    wait::until("rtmpdump to write three seconds", READ, || {
        process.still_runs()?;
        // It says `185.302 kB / 3.09 sec` over and over, in the stream's own time.
        let said = process.stderr();
        let mut times = said.split(" sec").filter_map(|text| text.rsplit("/ ").next()?.parse::<f32>().ok());
        let first = times.next();
        let passed = first.and_then(|first| Some(times.last()? - first));
        Ok(passed.is_some_and(|seconds| seconds >= 3.0).then_some(()))
    })?;
    process.signal(rustix::process::Signal::INT)?;
    process.wait(READ)?;
    let mut decode = Command::new("ffmpeg");
    let (video, audio) = (file.with_extension("video"), file.with_extension("audio"));
    decode.args("-nostdin -y -v error -i".split(' ')).arg(&file);
    decode.args("-map 0:v:0 -fps_mode passthrough -f framecrc".split(' ')).arg(&video);
    decode.args("-map 0:a:0 -f framecrc".split(' ')).arg(&audio);
    let mut decode = Process::spawn("ffmpeg decodes what rtmpdump wrote", decode)?;
    decode.succeed(READ)?;
    let (found, units) = (pictures(&video)?, pictures(&audio)?.len());
    let enough = found.len() >= PICTURES_MIN && units >= AUDIO_UNITS_MIN;
    ensure!(enough, "only {} pictures and {units} audio units\n{}", found.len(), process.tail());
    if expect != Expect::Pictures {
        let identity = sample.identity()?;
        // It cuts the last one.
        let damaged = found[..found.len() - 1].iter().filter(|picture| !identity.contains(*picture)).count();
        ensure!(damaged == 0, "{damaged} of {} pictures are damaged", found.len());
    }
    Ok(format!("{} pictures, {units} audio units", found.len()))
}
