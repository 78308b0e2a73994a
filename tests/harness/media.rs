//! Sample media, made by ffmpeg once into `target/tests/media`, and what a reader must find in them.
//!
//! Publishers send the coded units as they are, so a picture that a reader decodes is the sample's picture bit by bit: the
//! checksums of all pictures of a sample are its identity.

use crate::process::Process;
use crate::{target, workspace};
use anyhow::{Context, Result, ensure};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

/// Which ffmpeg a codec needs: Debian's 5.1 knows no AV1 over RTP, the one in PyPI's `imageio-ffmpeg` does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ffmpeg {
    Debian,
    Python,
}

/// One sample: how it is made, published and read.
pub struct Sample {
    /// Names the codecs, and the file.
    pub name: &'static str,
    pub extension: &'static str,
    /// What ffmpeg makes it with.
    encode: &'static str,
    pub ffmpeg: Ffmpeg,
    /// Further options of ffmpeg's RTSP publisher.
    pub publish: &'static str,
    /// GStreamer's encoders and parsers of both tracks, when its RTP elements know the codecs.
    pub gstreamer: Option<Gstreamer>,
}

/// Elements of Debian's GStreamer for one sample.
pub struct Gstreamer {
    pub video_encoder: &'static str,
    pub audio_encoder: &'static str,
}

const fn gstreamer(video_encoder: &'static str, audio_encoder: &'static str) -> Option<Gstreamer> {
    Some(Gstreamer { video_encoder, audio_encoder })
}

const X264: &str = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=400 ! h264parse";
const X265: &str =
    "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=400 log-level=none ! h265parse";

/// Every sample of the interop matrix.
pub const SAMPLES: [Sample; 8] = [
    Sample {
        name: "h264_aac",
        extension: "mp4",
        encode: "-c:v libx264 -profile:v baseline -bf 0 -g 30 -sc_threshold 0 -b:v 400k -preset veryfast -c:a aac -b:a 64k",
        ffmpeg: Ffmpeg::Debian,
        publish: "",
        gstreamer: gstreamer(X264, "avenc_aac ! aacparse"),
    },
    Sample {
        name: "h264_bframes_opus",
        extension: "mkv",
        encode: "-c:v libx264 -profile:v high -bf 2 -g 30 -sc_threshold 0 -b:v 400k -preset veryfast -c:a libopus -b:a 48k",
        ffmpeg: Ffmpeg::Debian,
        publish: "",
        gstreamer: gstreamer(X264, "opusenc"),
    },
    Sample {
        name: "h265_aac",
        extension: "mp4",
        encode: "-c:v libx265 -x265-params keyint=30:min-keyint=30:scenecut=0:log-level=error -preset ultrafast -b:v 400k \
                 -tag:v hvc1 -c:a aac -b:a 64k",
        ffmpeg: Ffmpeg::Debian,
        publish: "",
        gstreamer: gstreamer(X265, "avenc_aac ! aacparse"),
    },
    Sample {
        name: "vp8_opus",
        extension: "webm",
        encode: "-c:v libvpx -deadline realtime -cpu-used 8 -g 30 -b:v 400k -c:a libopus -b:a 48k",
        ffmpeg: Ffmpeg::Debian,
        publish: "",
        gstreamer: gstreamer("vp8enc deadline=1 cpu-used=8 keyframe-max-dist=30", "opusenc"),
    },
    Sample {
        name: "vp9_opus",
        extension: "webm",
        encode: "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -row-mt 1 -g 30 -b:v 400k -c:a libopus -b:a 48k",
        ffmpeg: Ffmpeg::Debian,
        publish: "-strict experimental",
        gstreamer: gstreamer("vp9enc deadline=1 cpu-used=8 keyframe-max-dist=30", "opusenc"),
    },
    Sample {
        name: "av1_opus",
        extension: "webm",
        encode: "-c:v libsvtav1 -preset 12 -g 30 -b:v 400k -c:a libopus -b:a 48k",
        ffmpeg: Ffmpeg::Python,
        publish: "-strict experimental",
        // Debian's GStreamer 1.22 has no AV1 payloader or depayloader (it is in the Rust plugins).
        gstreamer: None,
    },
    Sample {
        name: "h264_alaw",
        extension: "mkv",
        encode: "-c:v libx264 -profile:v baseline -bf 0 -g 30 -sc_threshold 0 -b:v 400k -preset veryfast \
                 -c:a pcm_alaw -ar 8000 -ac 1",
        ffmpeg: Ffmpeg::Debian,
        publish: "",
        gstreamer: gstreamer(
            X264,
            "audioconvert ! audioresample ! audio/x-raw,rate=8000,channels=1 ! alawenc",
        ),
    },
    Sample {
        name: "mjpeg_ulaw",
        extension: "mkv",
        // RFC 2435 carries the standard Huffman tables only, and one quantisation table for both chroma planes.
        encode: "-c:v mjpeg -huffman default -force_duplicated_matrix 1 -pix_fmt yuvj420p -q:v 6 \
                 -c:a pcm_mulaw -ar 8000 -ac 1",
        ffmpeg: Ffmpeg::Debian,
        publish: "",
        gstreamer: gstreamer(
            "videoconvert ! video/x-raw,format=I420 ! jpegenc quality=60",
            "audioconvert ! audioresample ! audio/x-raw,rate=8000,channels=1 ! mulawenc",
        ),
    },
];

/// The sample of that name.
pub fn sample(name: &str) -> &'static Sample {
    SAMPLES.iter().find(|sample| sample.name == name).expect("a sample of that name")
}

impl Ffmpeg {
    /// The program.
    ///
    /// # Errors
    /// When the Python environment of tests/run is not there.
    pub fn program(self) -> Result<PathBuf> {
        if self == Ffmpeg::Debian {
            return Ok("ffmpeg".into());
        }
        let venv = python_environment();
        let packages = fs::read_dir(venv.join("lib"))
            .with_context(|| format!("{} is missing: tests/run makes it", venv.display()))?;
        for python in packages.flatten() {
            let folder = python.path().join("site-packages/imageio_ffmpeg/binaries");
            for file in fs::read_dir(folder).into_iter().flatten().flatten() {
                if file.file_name().to_string_lossy().starts_with("ffmpeg-") {
                    return Ok(file.path());
                }
            }
        }
        anyhow::bail!("no imageio-ffmpeg in {}: tests/run installs it", venv.display())
    }
}

/// The Python environment that tests/run makes.
pub fn python_environment() -> PathBuf {
    target().join("tests/venv")
}

impl Sample {
    /// The file, made when missing: 4 s, 320x192 at 30 pictures a second, a random access point each second. (Sizes are
    /// multiples of 8: RFC 2435 knows no others.)
    ///
    /// # Errors
    /// When ffmpeg fails.
    pub fn file(&self) -> Result<PathBuf> {
        static MAKING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = MAKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let folder = workspace().join("media");
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{}.{}", self.name, self.extension));
        if file.exists() {
            return Ok(file);
        }
        let unfinished = folder.join(format!("unfinished-{}.{}", self.name, self.extension));
        let source = "-y -v error -f lavfi -i testsrc2=size=320x192:rate=30 -f lavfi \
                      -i sine=frequency=440:beep_factor=4:sample_rate=48000 -t 4 -pix_fmt yuv420p";
        let mut command = Command::new("ffmpeg");
        command.args(source.split_whitespace()).args(self.encode.split_whitespace()).arg(&unfinished);
        Process::spawn(&format!("ffmpeg makes {}", self.name), command)?.succeed(Duration::from_secs(60))?;
        fs::rename(&unfinished, &file)?;
        Ok(file)
    }

    /// The checksums of all pictures, as [`pictures`] gives them for a reader.
    ///
    /// # Errors
    /// When ffmpeg cannot decode the sample.
    pub fn identity(&self) -> Result<HashSet<String>> {
        let sums = workspace().join("media").join(format!("{}.framecrc", self.name));
        let file = self.file()?;
        let unfinished = sums.with_extension(format!("{}", std::process::id()));
        if !sums.exists() {
            let mut command = Command::new(self.ffmpeg.program()?);
            command
                .args(["-y", "-v", "error", "-i"])
                .arg(&file)
                .args("-map 0:v:0 -f framecrc".split(' '))
                .arg(&unfinished);
            Process::spawn(&format!("ffmpeg decodes {}", self.name), command)?
                .succeed(Duration::from_secs(60))?;
            fs::rename(&unfinished, &sums)?;
        }
        let identity: HashSet<String> = pictures(&sums)?.into_iter().collect();
        ensure!(identity.len() > 100, "{}: only {} different pictures", self.name, identity.len());
        Ok(identity)
    }
}

/// The checksums (with sizes) in a file of ffmpeg's `framecrc` format, one per decoded picture or audio unit.
///
/// # Errors
/// When the file is not there.
pub fn pictures(framecrc: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(framecrc).with_context(|| format!("{}", framecrc.display()))?;
    Ok(text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut columns = line.split(',').map(str::trim);
            let size = columns.nth(4)?;
            Some(format!("{size} {}", columns.next()?))
        })
        .collect())
}
