//! Real clients that publish and read, as data: what is started, and what proves that it worked.

use crate::media::{self, Ffmpeg, Sample};
use crate::process::Process;
use crate::{wait, workspace};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a reader may take for its three seconds of media.
const READ: Duration = Duration::from_secs(20);
/// Of the 90 pictures in three seconds: a server that lets readers join between random access points costs them up to a second.
const PICTURES_MIN: usize = 40;
const AUDIO_UNITS_MIN: usize = 25;

/// The lower transport that a client is told to use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lower {
    Tcp,
    Udp,
}

impl Lower {
    pub fn name(self) -> &'static str {
        match self {
            Lower::Tcp => "tcp",
            Lower::Udp => "udp",
        }
    }
}

/// A client that publishes a [`Sample`], or with GStreamer the same codecs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Publisher {
    Ffmpeg(Lower),
    Gstreamer(Lower),
}

/// A client that reads, and tells what it got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    Ffmpeg(Lower),
    Gstreamer(Lower),
    /// mpv over TCP.
    Mpv,
    /// aiortsp reads the video track's RTP packets.
    Aiortsp(Lower),
}

/// What the pictures that a reader decodes must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// Any: the publisher encodes by itself.
    Pictures,
    /// The sample's, bit by bit, from the first good one on: the server lets readers join anywhere.
    Original,
    /// The sample's, bit by bit, from the very first: the server lets readers join at random access points.
    OriginalFromTheFirst,
}

impl Publisher {
    pub fn name(self) -> String {
        match self {
            Publisher::Ffmpeg(lower) => format!("ffmpeg {}", lower.name()),
            Publisher::Gstreamer(lower) => format!("gstreamer {}", lower.name()),
        }
    }

    /// Starts to publish without end.
    ///
    /// # Errors
    /// When the sample cannot be made, the tool is missing, or GStreamer has no elements for the codecs.
    pub fn start(self, sample: &Sample, url: &str) -> Result<Process> {
        let command = match self {
            Publisher::Ffmpeg(lower) => ffmpeg_publish(sample, url, &["-rtsp_transport", lower.name()])?,
            Publisher::Gstreamer(lower) => {
                let elements =
                    sample.gstreamer.as_ref().context("GStreamer has no elements for this sample")?;
                let mut command = Command::new("gst-launch-1.0");
                let pipeline = format!(
                    "rtspclientsink name=s location={url} protocols={} latency=0 \
                     videotestsrc is-live=true ! video/x-raw,width=320,height=192,framerate=30/1 ! {} ! queue ! s. \
                     audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! {} ! queue ! s.",
                    lower.name(),
                    elements.video_encoder,
                    elements.audio_encoder,
                );
                command.args(pipeline.split_whitespace());
                command
            }
        };
        Process::spawn(&format!("{} publishes {}", self.name(), sample.name), command)
    }
}

/// ffmpeg publishing `sample` to `url` in real time, over and over, its coded units as they are.
///
/// # Errors
/// When the sample cannot be made.
pub fn ffmpeg_publish(sample: &Sample, url: &str, options: &[&str]) -> Result<Command> {
    let mut command = Command::new(sample.ffmpeg.program()?);
    command.args("-nostdin -v warning -re -stream_loop -1 -i".split(' ')).arg(sample.file()?);
    command.args(["-c", "copy"]).args(sample.publish.split_whitespace());
    command.args(["-f", "rtsp"]).args(options).arg(url);
    Ok(command)
}

impl Reader {
    pub fn name(self) -> String {
        match self {
            Reader::Ffmpeg(lower) => format!("ffmpeg {}", lower.name()),
            Reader::Gstreamer(lower) => format!("gstreamer {}", lower.name()),
            Reader::Mpv => "mpv".to_owned(),
            Reader::Aiortsp(lower) => format!("aiortsp {}", lower.name()),
        }
    }

    /// Reads `url` until enough has come, and says what came.
    ///
    /// # Errors
    /// When too little comes, or something that was not sent.
    pub fn read(self, sample: &Sample, url: &str, expect: Expect) -> Result<String> {
        match self {
            Reader::Ffmpeg(lower) => ffmpeg_read(sample, url, expect, &["-rtsp_transport", lower.name()]),
            Reader::Gstreamer(lower) => gstreamer_read(url, lower),
            Reader::Mpv => mpv_read(url),
            Reader::Aiortsp(lower) => aiortsp_read(url, lower),
        }
    }
}

/// Decodes three seconds of both tracks with ffmpeg, and counts pictures and audio units. Both tracks are mapped by name:
/// otherwise a stream that lost one of them would still pass.
///
/// # Errors
/// When there are too few, or pictures that the sample does not have.
pub fn ffmpeg_read(sample: &Sample, url: &str, expect: Expect, options: &[&str]) -> Result<String> {
    ffmpeg_read_by(sample.ffmpeg, sample, url, expect, options)
}

/// [`ffmpeg_read`] by an ffmpeg of the caller's choice.
///
/// # Errors
/// As [`ffmpeg_read`].
pub fn ffmpeg_read_by(
    version: Ffmpeg,
    sample: &Sample,
    url: &str,
    expect: Expect,
    options: &[&str],
) -> Result<String> {
    let (video, audio) = (scratch("video"), scratch("audio"));
    let mut command = Command::new(version.program()?);
    command.args("-nostdin -y -v error".split(' ')).args(options).args(["-i", url]);
    command.args("-map 0:v:0 -t 3 -fps_mode passthrough -f framecrc".split(' ')).arg(&video);
    command.args("-map 0:a:0 -t 3 -f framecrc".split(' ')).arg(&audio);
    let mut process = Process::spawn(&format!("ffmpeg reads {url}"), command)?;
    process.succeed(READ)?;
    let pictures = media::pictures(&video)?;
    let units = media::pictures(&audio)?.len();
    let enough = pictures.len() >= PICTURES_MIN && units >= AUDIO_UNITS_MIN;
    ensure!(enough, "only {} pictures and {units} audio units\n{}", pictures.len(), process.tail());
    if expect != Expect::Pictures {
        let identity = sample.identity()?;
        let known = |picture: &&String| identity.contains(*picture);
        let first = pictures
            .iter()
            .position(|picture| known(&picture))
            .context("no picture is one of the sample's")?;
        let joined = expect == Expect::Original || first == 0;
        ensure!(joined, "decoding began with {first} damaged pictures\n{}", process.tail());
        let damaged = pictures[first..].iter().filter(|picture| !known(picture)).count();
        ensure!(damaged == 0, "{damaged} of {} pictures are damaged\n{}", pictures.len(), process.tail());
    }
    Ok(format!("{} pictures, {units} audio units", pictures.len()))
}

/// Decodes pictures and audio with GStreamer until there are enough of both, as its sinks report buffer by buffer.
/// (Sinks that end by themselves do not do: rtspsrc over TCP ends all tracks with the first.) uridecodebin adds its pads
/// from one thread; with rtspsrc in the pipeline itself, gst-launch's delayed links race when both tracks arrive at once.
fn gstreamer_read(url: &str, lower: Lower) -> Result<String> {
    // These schemes are GStreamer's own; they fix what carries the media.
    let scheme = match lower {
        Lower::Tcp => "rtspt",
        Lower::Udp => "rtspu",
    };
    let uri = url.replacen("rtsp", scheme, 1);
    let pipeline = format!(
        "-v uridecodebin name=s uri={uri} \
         s. ! queue ! video/x-raw ! fakesink name=pictures sync=false async=false silent=false \
         s. ! queue ! audio/x-raw ! fakesink name=audio sync=false async=false silent=false"
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

/// Lets mpv play [`PICTURES_MIN`] pictures; it names what it plays, so both tracks are there.
fn mpv_read(url: &str) -> Result<String> {
    let mut command = Command::new("mpv");
    command.args(
        "--no-config --vo=null --ao=null --rtsp-transport=tcp --msg-level=all=warn,cplayer=info".split(' '),
    );
    command.arg(format!("--frames={PICTURES_MIN}")).arg(url);
    let mut process = Process::spawn(&format!("mpv reads {url}"), command)?;
    process.succeed(READ)?;
    let output = process.stdout() + &process.stderr();
    let plays = |text: &str| output.lines().any(|line| line.starts_with(text));
    let both = plays("VO: [null] 320x192 ") && plays("AO: [null] ");
    ensure!(both, "mpv did not play both tracks\n{}", process.tail());
    Ok(format!("{PICTURES_MIN} pictures and audio"))
}

fn aiortsp_read(url: &str, lower: Lower) -> Result<String> {
    let mut command = Command::new(media::python_environment().join("bin/python3"));
    command.arg(crate::root().join("tests/clients/aiortsp_read.py")).args([lower.name(), url, "100"]);
    let mut process = Process::spawn(&format!("aiortsp reads {url}"), command)?;
    process.succeed(READ)?;
    Ok(process.stdout().trim().to_owned())
}

fn scratch(kind: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    workspace().join("logs").join(format!("{}-{number}-{kind}.framecrc", std::process::id()))
}
