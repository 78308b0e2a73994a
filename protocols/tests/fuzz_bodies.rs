//! Runs every fuzz body for a moment on mutated seeds, without libFuzzer.
//!
//! `HEADWATER_FUZZ_SECONDS` sets how long each runs (1 by default), `HEADWATER_FUZZ_SEED` the seed of the mutator. A
//! failure prints target, seed, and the input as hex. Seeds are the files in `fuzz/seeds/<target>/`; what libFuzzer
//! once found lies beside them, so every run replays it.

#[path = "../fuzz/bodies/mod.rs"]
pub mod bodies;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

const INPUT_BYTES_MAX: usize = 4096;
/// An input that takes longer than this has found a loop; the machine's own pauses are shorter.
const EXECUTION_SECONDS_MAX: u64 = 5;

#[test]
fn amf0() {
    run("amf0");
}

#[test]
fn assembler() {
    run("assembler");
}

#[test]
fn codec() {
    run("codec");
}

#[test]
fn codec_configuration() {
    run("codec_configuration");
}

#[test]
fn codec_streams() {
    run("codec_streams");
}

#[test]
fn depacketize() {
    run("depacketize");
}

#[test]
fn flv_file() {
    run("flv_file");
}

#[test]
fn flv_message() {
    run("flv_message");
}

#[test]
fn hls_muxer() {
    run("hls_muxer");
}

#[test]
fn hls_request() {
    run("hls_request");
}

#[test]
fn mp4_boxes() {
    run("mp4_boxes");
}

#[test]
fn mpegts_demuxer() {
    run("mpegts_demuxer");
}

#[test]
fn mpegts_psi() {
    run("mpegts_psi");
}

#[test]
fn packetize() {
    run("packetize");
}

#[test]
fn proxy_protocol() {
    run("proxy_protocol");
}

#[test]
fn reorder() {
    run("reorder");
}

#[test]
fn rtcp() {
    run("rtcp");
}

#[test]
fn rtmp_chunk() {
    run("rtmp_chunk");
}

#[test]
fn rtmp_client() {
    run("rtmp_client");
}

#[test]
fn rtmp_server() {
    run("rtmp_server");
}

#[test]
fn rtp() {
    run("rtp");
}

#[test]
fn rtsp_client() {
    run("rtsp_client");
}

#[test]
fn rtsp_decoder() {
    run("rtsp_decoder");
}

#[test]
fn rtsp_headers() {
    run("rtsp_headers");
}

#[test]
fn rtsp_server() {
    run("rtsp_server");
}

#[test]
fn sdp() {
    run("sdp");
}

#[test]
fn websocket() {
    run("websocket");
}

#[test]
fn every_target_has_its_libfuzzer_binary() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut files = std::fs::read_dir(folder)
        .expect("the folder of targets")
        .map(|entry| {
            entry.expect("an entry").path().file_stem().expect("a name").to_string_lossy().into_owned()
        })
        .collect::<Vec<_>>();
    files.sort();
    assert_eq!(files, bodies::TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}

fn run(target: &str) {
    let (_, body) = bodies::TARGETS.iter().find(|(name, _)| *name == target).expect("a target of that name");
    let seconds = number_from_environment("HEADWATER_FUZZ_SECONDS", 1);
    let seed = number_from_environment("HEADWATER_FUZZ_SEED", 0);
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "no seeds for {target}");
    corpus.iter().for_each(|input| execute(target, *body, seed, input));
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut mutator = Mutator { state: seed };
    let mut executions = corpus.len();
    while Instant::now() < deadline {
        execute(target, *body, seed, &mutator.input(&corpus));
        executions += 1;
    }
    eprintln!("{target}: {executions} executions, seed {seed}");
}

fn number_from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut paths = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect::<Vec<_>>();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a seed")).collect()
}

fn execute(target: &str, body: bodies::Body, seed: u64, input: &[u8]) {
    let started = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| body(input)));
    let seconds = started.elapsed().as_secs();
    if result.is_err() || seconds >= EXECUTION_SECONDS_MAX {
        let hex = input.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        eprintln!("{target}, seed {seed}, {seconds} s, input {hex}");
    }
    if let Err(panic) = result {
        resume_unwind(panic);
    }
    assert!(seconds < EXECUTION_SECONDS_MAX, "{target} took {seconds} s");
}

/// Seeded mutations of a corpus.
struct Mutator {
    state: u64,
}

impl Mutator {
    /// SplitMix64.
    fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// 0 to `bound − 1`.
    fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    /// Start and end of a piece of `bytes`, short ones more often.
    fn piece(&mut self, bytes: &[u8]) -> (usize, usize) {
        let start = self.below(bytes.len() + 1);
        let reach = if self.below(4) == 0 { bytes.len() } else { 8 };
        let end = (start + self.below(reach + 1)).min(bytes.len());
        (start, end)
    }

    fn input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(6) {
            self.mutate(&mut bytes, corpus);
        }
        bytes.truncate(INPUT_BYTES_MAX);
        bytes
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        const TELLING: [u8; 16] =
            [0, 1, 2, 3, 4, 0x7F, 0x80, 0xFF, 0xFE, b'\r', b'\n', b' ', b'$', b'0', b'9', b'='];
        let (start, end) = self.piece(bytes);
        match self.below(8) {
            0 if start < bytes.len() => bytes[start] ^= 1 << self.below(8),
            1 if start < bytes.len() => bytes[start] = TELLING[self.below(TELLING.len())],
            2 if start < bytes.len() => bytes[start] = self.number() as u8,
            3 => drop(bytes.drain(start..end)),
            4 => {
                let piece = bytes[start..end].to_vec();
                let at = self.below(bytes.len() + 1);
                bytes.splice(at..at, piece);
            }
            5 => {
                let other = &corpus[self.below(corpus.len())];
                let (from, to) = self.piece(other);
                bytes.splice(start..end, other[from..to].iter().copied());
            }
            6 => bytes.insert(start, TELLING[self.below(TELLING.len())]),
            _ => bytes.truncate(end),
        }
    }
}
