//! The process as the kernel and the allocator see it: `process_…` with Prometheus' usual names, threads by name,
//! jemalloc, and what was built. What cannot be read is left out. Reads files: not for the control thread.

use super::page::{Page, counter_sample, gauge_sample};
use crate::profiling::thread_label;
use rustix::process::{Resource, getrlimit};
use std::collections::BTreeMap;
use std::fs;
use tikv_jemalloc_ctl::{epoch, stats};

/// Ticks per second in /proc, on every architecture we run on (USER_HZ).
const TICKS: f64 = 100.0;

/// Fields of /proc/…/stat from the third on, which is where the name in brackets can do no harm.
struct Stat {
    name: String,
    fields: Vec<f64>,
}

impl Stat {
    fn read(path: &str) -> Option<Stat> {
        let text = fs::read_to_string(path).ok()?;
        let (open, close) = (text.find('(')?, text.rfind(')')?);
        let fields = text.get(close + 1..)?.split_ascii_whitespace();
        let name = text.get(open + 1..close)?.to_owned();
        Some(Stat { name, fields: fields.map(|field| field.parse().unwrap_or_default()).collect() })
    }

    /// Numbered from 1 as in proc(5).
    fn field(&self, number: usize) -> Option<f64> {
        self.fields.get(number - 3).copied()
    }

    /// In user and kernel mode.
    fn cpu_seconds(&self) -> Option<f64> {
        Some((self.field(14)? + self.field(15)?) / TICKS)
    }
}

/// Writes all of it.
pub(crate) fn write(page: &mut Page) {
    if let Some(stat) = Stat::read("/proc/self/stat") {
        write_process(page, &stat);
    }
    write_descriptors(page);
    write_threads(page);
    write_allocator(page);
    let build = [
        ("architecture", std::env::consts::ARCH),
        ("profile", if cfg!(debug_assertions) { "debug" } else { "release" }),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    let samples = vec![gauge_sample(&build, 1.0)];
    page.gauges("headwater_build_info", "What was built, as labels; always 1.", samples);
}

fn write_process(page: &mut Page, stat: &Stat) {
    if let Some(seconds) = stat.cpu_seconds() {
        page.counter("process_cpu_seconds_total", "CPU time of the process, user and kernel.", seconds);
    }
    if let Some(bytes) = stat.field(23) {
        page.gauge("process_virtual_memory_bytes", "Virtual memory of the process.", bytes);
    }
    if let Some(pages) = stat.field(24) {
        let bytes = pages * rustix::param::page_size() as f64;
        page.gauge("process_resident_memory_bytes", "Resident memory of the process.", bytes);
    }
    if let Some(threads) = stat.field(20) {
        page.gauge("process_threads", "Threads of the process.", threads);
    }
    if let (Some(boot), Some(start)) = (boot_time(), stat.field(22)) {
        let help = "When the process started, in seconds since 1970.";
        page.gauge("process_start_time_seconds", help, boot + start / TICKS);
    }
}

/// Seconds since 1970 when the machine started.
fn boot_time() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn write_descriptors(page: &mut Page) {
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder itself.
        let open = entries.count().saturating_sub(1);
        page.gauge("process_open_fds", "Descriptors open.", open as f64);
    }
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.map_or(f64::INFINITY, |limit| limit as f64);
    page.gauge("process_max_fds", "Descriptors that may be open at once.", limit);
}

/// CPU time by thread name. Threads of one name (of a pool) count together.
fn write_threads(page: &mut Page) {
    let mut threads: BTreeMap<String, f64> = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let stat = Stat::read(&format!("{}/stat", entry.path().display()));
        if let Some((stat, seconds)) = stat.and_then(|stat| stat.cpu_seconds().map(|seconds| (stat, seconds)))
        {
            *threads.entry(thread_label(&stat.name).to_owned()).or_default() += seconds;
        }
    }
    let samples = threads.into_iter().map(|(name, seconds)| counter_sample(&[("thread", name)], seconds));
    let help = "CPU time by thread name, user and kernel.";
    page.counters("headwater_thread_cpu_seconds_total", help, samples.collect());
}

fn write_allocator(page: &mut Page) {
    // The figures are those of the last epoch.
    if epoch::advance().is_err() {
        return;
    }
    let figures = [
        ("allocated", "Memory that the program asked for.", stats::allocated::read()),
        ("active", "Memory in pages that hold allocations.", stats::active::read()),
        ("metadata", "Memory that the allocator uses for itself.", stats::metadata::read()),
        ("resident", "Memory of the allocator that is in RAM.", stats::resident::read()),
        ("mapped", "Memory that the allocator has mapped.", stats::mapped::read()),
        ("retained", "Address space that the allocator keeps without memory.", stats::retained::read()),
    ];
    for (name, help, value) in figures {
        if let Ok(bytes) = value {
            page.gauge(&format!("headwater_allocator_{name}_bytes"), help, bytes as f64);
        }
    }
}
