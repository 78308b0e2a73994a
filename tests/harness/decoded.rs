//! What ffmpeg decodes of a stream over HLS, or of the files of one: pictures and samples of sound.

use crate::process::Process;
use crate::{media, workspace};
use anyhow::{Context, Result, ensure};
use std::collections::HashSet;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// One reading of both tracks.
pub struct Decoded {
    /// Checksums of the pictures, in order.
    pub pictures: Vec<String>,
    /// The sound as 16-bit samples.
    pub samples: Vec<i16>,
}

impl Decoded {
    /// Decodes so many pictures, and the sound that belongs to them, with ffmpeg; `input` is a URL or file, and what
    /// options come before it.
    ///
    /// # Errors
    /// When ffmpeg fails, complains, or takes longer than `limit`.
    pub fn read(input: &[&str], pictures: usize, limit: Duration) -> Result<Decoded> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let video =
            workspace().join("logs").join(format!("{}-{number}-decoded.framecrc", std::process::id()));
        let audio = video.with_extension("pcm");
        let mut command = Command::new("ffmpeg");
        command.args("-nostdin -y -v warning".split(' '));
        let (url, options) = input.split_last().context("no input")?;
        command.args(options).args(["-i", url, "-map", "0:v:0", "-frames:v"]).arg(pictures.to_string());
        command.args("-fps_mode passthrough -f framecrc".split(' ')).arg(&video);
        let seconds = pictures as f64 / 25.0;
        command.args(["-map", "0:a:0", "-t"]).arg(seconds.to_string()).args(["-f", "s16le"]).arg(&audio);
        let mut process = Process::spawn(&format!("ffmpeg decodes {url}"), command)?;
        process.succeed(limit)?;
        let said = process.stderr();
        let faults = said.lines().filter(|line| line.contains("rror") || line.contains("orrupt"));
        ensure!(faults.count() == 0, "ffmpeg complains\n{}", process.tail());
        let sound = fs::read(&audio).with_context(|| audio.display().to_string())?;
        let samples = sound.chunks_exact(2).map(|sample| i16::from_le_bytes([sample[0], sample[1]]));
        let decoded = Decoded { pictures: media::pictures(&video)?, samples: samples.collect() };
        let _ = (fs::remove_file(&video), fs::remove_file(&audio));
        Ok(decoded)
    }

    /// Pictures that differ.
    pub fn distinct(&self) -> usize {
        self.pictures.iter().collect::<HashSet<_>>().len()
    }

    /// The loudest sample.
    pub fn peak(&self) -> u16 {
        self.samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or_default()
    }
}
