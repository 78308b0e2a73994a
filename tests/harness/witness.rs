//! What ffmpeg finds in a stream, picture by picture and audio unit by audio unit, compared with the film that was
//! published: nothing damaged, nothing lost or out of order, times as they were, both tracks together.

use crate::feed::Feed;
use crate::process::Process;
use crate::workspace;
use anyhow::{Context, Result, ensure};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How far audio and video may drift apart on their way (issue 4, point 8).
const TOGETHER_S: f64 = 0.040;
/// What rounding to milliseconds leaves of a time, in two places.
const ROUNDING_S: f64 = 0.003;
/// Times before this are none: `AV_NOPTS_VALUE`.
const UNTOLD_S: f64 = -1e9;
const READ: Duration = Duration::from_secs(30);

/// One line of ffmpeg's `framemd5` format.
#[derive(Clone, Debug)]
pub struct Line {
    pub dts_s: f64,
    pub pts_s: f64,
    pub bytes: usize,
    pub hash: String,
}

/// What came of a stream.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Decoded pictures in the order they are shown.
    pub pictures: Vec<Line>,
    /// Coded pictures in the order they came.
    pub coded: Vec<Line>,
    /// AAC frames.
    pub audio: Vec<Line>,
    /// What ffmpeg complained of.
    pub complaints: String,
}

/// Which tracks are asked for, and how much of them.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub pictures: u32,
    pub audio: u32,
    /// By how much times may move amid the stream, in seconds: where the publisher's clock jumps.
    pub jump_s: f64,
}

/// Two seconds of both tracks.
pub const BOTH: Wanted = Wanted { pictures: 50, audio: 94, jump_s: 0.0 };
pub const VIDEO_ONLY: Wanted = Wanted { pictures: 50, audio: 0, jump_s: 0.0 };
pub const AUDIO_ONLY: Wanted = Wanted { pictures: 0, audio: 94, jump_s: 0.0 };
/// Both tracks of a publisher whose clock jumps: they go on where they are, within three pictures' time.
pub const JUMPING: Wanted = Wanted { jump_s: 0.120, ..BOTH };

/// Reads with ffmpeg until as much as wanted has come.
///
/// # Errors
/// When it does not within 30 s.
pub fn read(url: &str, options: &[&str], wanted: Wanted) -> Result<Seen> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = |kind: &str| -> PathBuf {
        workspace().join("logs").join(format!("{}-{number}-{kind}.framemd5", std::process::id()))
    };
    std::fs::create_dir_all(workspace().join("logs"))?;
    let (pictures, coded, audio) = (file("pictures"), file("coded"), file("audio"));
    let mut command = Command::new("ffmpeg");
    command.args("-nostdin -y -v warning -copyts".split(' ')).args(options).args(["-i", url]);
    if wanted.pictures > 0 {
        let count = wanted.pictures.to_string();
        // Sizes stay as they are decoded, and times as they are on the wire.
        command.args("-map 0:v:0 -fps_mode passthrough -enc_time_base -1 -autoscale 0 -frames:v".split(' '));
        command.args([&count, "-f", "framemd5"]).arg(&pictures);
        command
            .args("-map 0:v:0 -c:v copy -frames:v".split(' '))
            .args([&count, "-f", "framemd5"])
            .arg(&coded);
    }
    if wanted.audio > 0 {
        command.args("-map 0:a:0 -c:a copy -bsf:a aac_adtstoasc -frames:a".split(' '));
        command.args([&wanted.audio.to_string(), "-f", "framemd5"]).arg(&audio);
    }
    let mut process = Process::spawn(&format!("ffmpeg witnesses {url}"), command)?;
    process.succeed(READ)?;
    let mut seen = Seen { complaints: process.stderr(), ..Seen::default() };
    if wanted.pictures > 0 {
        (seen.pictures, seen.coded) = (lines(&pictures)?, lines(&coded)?);
    }
    if wanted.audio > 0 {
        seen.audio = lines(&audio)?;
    }
    Ok(seen)
}

/// The lines of a file of ffmpeg's `framemd5` format.
fn lines(file: &Path) -> Result<Vec<Line>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let base = text.lines().find_map(|line| line.strip_prefix("#tb 0: ")).context("a time base")?;
    let (numerator, denominator) = base.split_once('/').context("a fraction")?;
    let tick_s = numerator.trim().parse::<f64>()? / denominator.trim().parse::<f64>()?;
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split(',').map(str::trim).collect();
        ensure!(columns.len() >= 6, "{line:?}");
        let seconds = |column: &str| column.parse::<f64>().map(|ticks| ticks * tick_s);
        found.push(Line {
            dts_s: seconds(columns[1])?,
            pts_s: seconds(columns[2])?,
            bytes: columns[4].parse()?,
            hash: columns[5].to_owned(),
        });
    }
    Ok(found)
}

/// A film as ffmpeg itself reads it from its file.
#[derive(Clone, Debug)]
pub struct Film {
    pub seen: Seen,
    pictures: HashMap<String, usize>,
    audio: HashMap<String, usize>,
    group: usize,
}

impl Film {
    /// # Errors
    /// When two pictures or audio units are the same: they could not be told apart.
    pub fn of(feed: &Feed, group: u32) -> Result<Film> {
        let seen = read(
            &feed.file.display().to_string(),
            &[],
            Wanted { pictures: 100_000, audio: 100_000, jump_s: 0.0 },
        )?;
        let index = |lines: &[Line]| -> HashMap<String, usize> {
            lines.iter().enumerate().map(|(index, line)| (line.hash.clone(), index)).collect()
        };
        let (pictures, audio) = (index(&seen.pictures), index(&seen.audio));
        ensure!(pictures.len() == seen.pictures.len(), "two pictures are the same");
        Ok(Film { seen, pictures, audio, group: group as usize })
    }

    /// Compares what a reader saw with the film. Returns by how much its times differ from the film's.
    ///
    /// # Errors
    /// When anything is not as it was.
    pub fn compare(&self, seen: &Seen, wanted: Wanted) -> Result<f64> {
        let mut moved = Vec::new();
        if wanted.pictures > 0 {
            let from = self.pictures.get(&seen.pictures.first().context("no picture")?.hash);
            let from = *from.context("the first picture is damaged")?;
            ensure!(from % self.group == 0, "begins with picture {from}, which is no key frame");
            moved.push(unbroken(
                "pictures",
                &seen.pictures,
                &self.seen.pictures,
                &self.pictures,
                wanted.jump_s,
            )?);
            decodable(&seen.coded)?;
        }
        if wanted.audio > 0 {
            moved.push(unbroken("audio units", &seen.audio, &self.seen.audio, &self.audio, wanted.jump_s)?);
        }
        if let [video, audio] = moved[..] {
            let apart = (video - audio).abs();
            ensure!(apart < TOGETHER_S, "the sound is {:.1} ms from the picture", (audio - video) * 1000.0);
        }
        ensure!(!seen.complaints.contains("monoton"), "times go back:\n{}", seen.complaints);
        moved.first().copied().context("nothing was wanted")
    }
}

/// Every unit follows the one before it in the film, at the film's distance in time. Returns how far the last one was moved.
fn unbroken(
    what: &str,
    got: &[Line],
    film: &[Line],
    index: &HashMap<String, usize>,
    jump_s: f64,
) -> Result<f64> {
    let first = got.first().with_context(|| format!("no {what}"))?;
    // Audio units may be alike (silence): where the first one lies is found by what follows it.
    let from = (0..film.len()).find(|at| got.iter().zip(&film[*at..]).all(|(a, b)| a.hash == b.hash));
    let Some(from) = from.filter(|from| film.len() - from >= got.len()) else {
        let order: Vec<_> = got.iter().map(|line| index.get(&line.hash).copied()).collect();
        anyhow::bail!("{what} are damaged, lost or out of order: {order:?}");
    };
    let moved = first.pts_s - film[from].pts_s;
    let mut last = 0.0;
    for (number, (got, film)) in got.iter().zip(&film[from..]).enumerate() {
        let off = got.pts_s - film.pts_s - moved;
        ensure!(off.abs() < ROUNDING_S + jump_s, "time of {what} {number} is off by {:.1} ms", off * 1000.0);
        last = off;
    }
    Ok(moved + last)
}

/// Decode times rise, and no picture is shown before it is decoded. RTP tells no decode times: ffmpeg then leaves times out.
fn decodable(coded: &[Line]) -> Result<()> {
    if coded.iter().any(|line| line.pts_s < UNTOLD_S) {
        return Ok(());
    }
    for pair in coded.windows(2) {
        ensure!(pair[0].dts_s < pair[1].dts_s, "decode times do not rise: {pair:?}");
    }
    let early = coded.iter().find(|line| line.pts_s < line.dts_s);
    ensure!(early.is_none(), "shown before it is decoded: {early:?}");
    Ok(())
}
