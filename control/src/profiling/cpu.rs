//! CPU profiles: samples with names, as Google's pprof format or as a flame graph. Each sample carries its thread's name,
//! as the label `thread` there and as the root here, so that shards are told apart.

use super::sampler::{Sample, Samples};
use flate2::Compression;
use flate2::write::GzEncoder;
use pprof::protos::Message;
use pprof::{Frames, Report, Symbol};
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How a profile was recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded {
    pub(crate) hz: u32,
    pub(crate) start: SystemTime,
    pub(crate) duration: Duration,
}

/// The profile as gzip'd protobuf, for `go tool pprof`. Takes long: finds names in the program's debug information.
///
/// # Errors
/// It cannot be encoded.
pub(crate) fn protobuf(samples: Samples, recorded: Recorded) -> Result<Vec<u8>, String> {
    let profile = report(samples.samples, recorded).pprof().map_err(|error| error.to_string())?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&profile.encode_to_vec()).map_err(|error| error.to_string())?;
    encoder.finish().map_err(|error| error.to_string())
}

/// The profile as a flame graph, one root for each thread name. Takes long, as [`protobuf`].
///
/// # Errors
/// There are no samples, or it cannot be drawn.
pub(crate) fn flame_graph(samples: Samples, recorded: Recorded) -> Result<Vec<u8>, String> {
    if samples.samples.is_empty() {
        return Err(
            "no samples: the server used too little CPU time; record longer, or under load".to_owned()
        );
    }
    let mut options = pprof::flamegraph::Options::default();
    options.title = format!("Headwater: CPU time by thread, {} s", recorded.duration.as_secs());
    let mut svg = Vec::new();
    let report = report(samples.samples, recorded);
    report.flamegraph_with_options(&mut svg, &mut options).map_err(|error| error.to_string())?;
    Ok(svg)
}

fn report(samples: Vec<Sample>, recorded: Recorded) -> Report {
    let mut counts: HashMap<(String, Vec<usize>), isize> = HashMap::new();
    for sample in samples {
        *counts.entry((sample.thread, sample.frames)).or_default() += 1;
    }
    let mut names = Names::default();
    let mut data: HashMap<Frames, isize> = HashMap::new();
    for ((thread_name, addresses), count) in counts {
        let frames = addresses.iter().enumerate().map(|(depth, address)| {
            // A return address is the instruction after the call, which may belong to another line or function.
            names.of(if depth == 0 { *address } else { address.saturating_sub(1) })
        });
        let frames = Frames {
            frames: frames.collect(),
            thread_name,
            thread_id: 0,
            sample_timestamp: SystemTime::UNIX_EPOCH,
        };
        *data.entry(frames).or_default() += count;
    }
    let mut report = Report { data, timing: Default::default() };
    report.timing.frequency = i32::try_from(recorded.hz).unwrap_or(i32::MAX);
    report.timing.start_time = recorded.start;
    report.timing.duration = recorded.duration;
    report
}

/// The functions at addresses, innermost first where several were inlined. Each is looked up once.
#[derive(Default)]
struct Names(HashMap<usize, Vec<Symbol>>);

impl Names {
    fn of(&mut self, address: usize) -> Vec<Symbol> {
        let look_up = || {
            let mut symbols = Vec::new();
            resolve(address, |symbol| {
                symbols.push(Symbol {
                    name: symbol.name().map(|name| qualified(name.as_bytes(), symbol.filename())),
                    addr: symbol.addr(),
                    lineno: symbol.lineno(),
                    filename: symbol.filename().map(ToOwned::to_owned),
                });
            });
            if symbols.is_empty() {
                let name = format!("unknown {address:#x}").into_bytes();
                symbols.push(Symbol { name: Some(name), addr: None, lineno: None, filename: None });
            }
            symbols
        };
        self.0.entry(address).or_insert_with(look_up).clone()
    }
}

/// The name of a function, with the module its file stands for where the debug information has only the last part of
/// the name: line tables know no more of `engine::shard::turn` than `turn` and `engine/src/shard/mod.rs`.
fn qualified(name: &[u8], file: Option<&Path>) -> Vec<u8> {
    let is_short =
        !name.windows(2).any(|two| two == b"::") && !name.starts_with(b"_R") && !name.starts_with(b"_ZN");
    let Some(file) = file.filter(|file| is_short && file.extension().is_some_and(|end| end == "rs")) else {
        return name.to_vec();
    };
    let parts: Vec<_> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let source = parts.iter().rposition(|part| part == "src").unwrap_or(0);
    let mut path = String::new();
    for (at, part) in parts.iter().enumerate().skip(source.saturating_sub(1)) {
        if at == source || at + 1 == parts.len() && matches!(&**part, "mod" | "lib" | "main") {
            continue;
        }
        // A folder of crates.io has its version in its name.
        let version = part
            .match_indices('-')
            .find(|(dash, _)| part[dash + 1..].starts_with(|next: char| next.is_ascii_digit()));
        path.push_str(version.map_or(part, |(dash, _)| &part[..dash]));
        path.push_str("::");
    }
    [path.as_bytes(), name].concat()
}

/// Looks up an instruction. `backtrace` takes what it is given for a return address, and looks up the byte before.
fn resolve(address: usize, found: impl FnMut(&backtrace::Symbol)) {
    backtrace::resolve(std::ptr::without_provenance_mut(address.saturating_add(1)), found);
}

/// The name of the function at an address, for `symbol`.
pub(crate) fn name_at(address: usize) -> Option<String> {
    let mut found = None;
    resolve(address, |symbol| {
        // The last one is the function that the others were inlined into.
        found = symbol.name().map(|name| name.to_string()).or_else(|| found.take());
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiling::sampler::{Recording, StartError};
    use std::hint::black_box;
    use std::io::Read;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    /// There is one timer per process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    /// Computes without calling anything: without frame pointers, as in tests, only the innermost function is sure.
    #[inline(never)]
    fn burn_until(stop: &AtomicBool) -> u64 {
        let mut sum = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            let mut n = 0_u64;
            while n < 1_000_000 {
                sum = (sum ^ n) >> 1;
                n += 1;
            }
            sum = black_box(sum);
        }
        sum
    }

    /// Records while a thread named `shard-77` computes, until there are samples of it.
    fn record() -> (Samples, Recorded) {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let worker = std::thread::Builder::new().name("shard-77".to_owned());
            worker.spawn_scoped(scope, || burn_until(&stop)).expect("a thread");
            let deadline = Instant::now() + Duration::from_secs(30);
            let mut wanted = Duration::from_millis(300);
            loop {
                let start = SystemTime::now();
                let recording = Recording::start(99).expect("a recording");
                assert!(matches!(Recording::start(99), Err(StartError::Busy)), "one at a time");
                std::thread::sleep(wanted);
                let samples = recording.finish();
                if samples.samples.iter().filter(|one| one.thread == "shard-77").count() >= 3 {
                    stop.store(true, Ordering::Relaxed);
                    return (samples, Recorded { hz: 99, start, duration: wanted });
                }
                assert!(Instant::now() < deadline, "no samples");
                wanted *= 2;
            }
        })
    }

    #[test]
    fn a_profile_names_the_function_and_the_thread() {
        let _only = ONE_AT_A_TIME.lock();
        let (samples, recorded) = record();
        let zipped = protobuf(samples, recorded).expect("a profile");
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&*zipped).read_to_end(&mut bytes).expect("gzip");
        let profile = pprof::protos::Profile::decode(&*bytes).expect("a profile");
        let text = |index: i64| profile.string_table[index as usize].as_str();
        let is_of_shard = |sample: &&pprof::protos::Sample| {
            sample.label.iter().any(|label| text(label.key) == "thread" && text(label.str) == "shard-77")
        };
        let sample = profile.sample.iter().find(is_of_shard).expect("a sample of the thread");
        assert!(sample.value[0] > 0 && sample.value[1] > 0);
        let functions = || profile.function.iter().map(|function| text(function.name));
        assert!(functions().any(|name| name.contains("burn_until")), "{:?}", functions().collect::<Vec<_>>());
    }

    #[test]
    fn a_flame_graph_has_a_root_for_each_thread() {
        let _only = ONE_AT_A_TIME.lock();
        let (samples, recorded) = record();
        let svg = String::from_utf8(flame_graph(samples, recorded).expect("a graph")).expect("text");
        assert!(svg.contains("<svg") && svg.contains("shard-77") && svg.contains("burn_until"));
    }

    #[test]
    fn a_short_name_gets_the_module_of_its_file() {
        for (name, file, expected) in [
            ("turn", "/home/x/engine/src/shard/mod.rs", "engine::shard::turn"),
            ("turn", "engine/src/lib.rs", "engine::turn"),
            (
                "poll",
                "/r/registry/src/index-1/tokio-1.54.1/src/runtime/task/raw.rs",
                "tokio::runtime::task::raw::poll",
            ),
            ("{closure#0}", "/rustc/5980/library/core/src/panicking.rs", "core::panicking::{closure#0}"),
            ("core::mem::drop", "/rustc/5980/library/core/src/mem/mod.rs", "core::mem::drop"),
            ("_ZN3foo3barE", "/x/src/foo.rs", "_ZN3foo3barE"),
            ("je_malloc", "/x/src/jemalloc.c", "je_malloc"),
        ] {
            let shown = qualified(name.as_bytes(), Some(Path::new(file)));
            assert_eq!(String::from_utf8_lossy(&shown), expected);
        }
        assert_eq!(qualified(b"turn", None), b"turn");
    }

    #[test]
    fn a_function_is_found_by_its_address() {
        let function: fn(&AtomicBool) -> u64 = burn_until;
        assert!(name_at(function as usize).is_some_and(|name| name.contains("burn_until")));
        assert_eq!(name_at(1), None);
    }
}
