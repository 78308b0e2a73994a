//! What a server used, read from /proc (proc(5)): CPU time of all threads of all processes of its group, memory,
//! descriptors, and whether it kept to its cores.
//!
//! `schedstat` counts nanoseconds per thread but forgets a thread that ended; `stat` counts ticks per process
//! (exact in sum, sampled in its split) and keeps ended threads. The total is the threads' unless the ticks say
//! that threads ended meanwhile.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::sys::process::ticks_per_second;

/// Whose use is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All processes of a process group.
    Group(u32),
    /// One process.
    Process(u32),
}

/// CPU counters at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct CpuSnapshot {
    /// Per thread, ns on a core and ns waiting for one.
    threads: HashMap<(u32, u32), (u64, u64)>,
    user_ticks: u64,
    system_ticks: u64,
}

/// CPU time between two snapshots, in ns of all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    pub(crate) user: u64,
    pub(crate) system: u64,
    /// Time that threads were ready to run and something else had their core.
    pub(crate) waited: u64,
}

/// Memory of a scope, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// Pages shared with others counted by their share.
    pub(crate) proportional: u64,
}

impl CpuTime {
    pub(crate) fn total(self) -> u64 {
        self.user + self.system
    }
}

impl Scope {
    fn processes(self) -> Result<Vec<u32>> {
        let group = match self {
            Scope::Process(process) => return Ok(vec![process]),
            Scope::Group(group) => group,
        };
        let mut found = Vec::new();
        for process in numbered(Path::new("/proc"))? {
            let Ok(text) = fs::read_to_string(format!("/proc/{process}/stat")) else { continue };
            if parse_stat(&text).is_some_and(|stat| stat.group == group) {
                found.push(process);
            }
        }
        if found.is_empty() {
            bail!("the server (process group {group}) is gone");
        }
        Ok(found)
    }

    fn tasks(self) -> Result<Vec<(u32, u32)>> {
        let mut tasks = Vec::new();
        for process in self.processes()? {
            let threads = numbered(Path::new(&format!("/proc/{process}/task"))).unwrap_or_default();
            tasks.extend(threads.into_iter().map(|thread| (process, thread)));
        }
        Ok(tasks)
    }

    /// The CPU counters now.
    pub(crate) fn cpu(self) -> Result<CpuSnapshot> {
        let mut snapshot = CpuSnapshot::default();
        for (process, thread) in self.tasks()? {
            // A thread may end between the listing and this.
            let path = format!("/proc/{process}/task/{thread}/schedstat");
            if let Some(times) = fs::read_to_string(path).ok().and_then(|text| parse_schedstat(&text)) {
                snapshot.threads.insert((process, thread), times);
            }
        }
        for process in self.processes()? {
            let text = fs::read_to_string(format!("/proc/{process}/stat")).context("the server is gone")?;
            let stat = parse_stat(&text).context("/proc/PID/stat is not understood")?;
            snapshot.user_ticks += stat.user_ticks;
            snapshot.system_ticks += stat.system_ticks;
        }
        Ok(snapshot)
    }

    /// Memory now.
    pub(crate) fn memory(self) -> Result<Memory> {
        let mut memory = Memory::default();
        for process in self.processes()? {
            let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))
                .with_context(|| format!("memory of process {process}"))?;
            memory.resident += field_kib(&text, "Rss:").context("smaps_rollup has no Rss")? * 1_024;
            memory.proportional += field_kib(&text, "Pss:").context("smaps_rollup has no Pss")? * 1_024;
        }
        Ok(memory)
    }

    /// Open descriptors now.
    pub(crate) fn descriptors(self) -> Result<u64> {
        let mut count = 0;
        for process in self.processes()? {
            let entries = fs::read_dir(format!("/proc/{process}/fd"));
            count += entries.with_context(|| format!("descriptors of process {process}"))?.count() as u64;
        }
        Ok(count)
    }

    /// Threads that may run elsewhere than on `cpus`, named. Left out are the kernel's own workers for io_uring,
    /// which take the affinity of the cpuset and not of their process; their time is counted like any other.
    pub(crate) fn strays(self, cpus: &[usize]) -> Result<Vec<String>> {
        let mut strays = Vec::new();
        for (process, thread) in self.tasks()? {
            let Ok(text) = fs::read_to_string(format!("/proc/{process}/task/{thread}/status")) else {
                continue;
            };
            let allowed = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or("");
            if text.starts_with("Name:\tiou-") {
                continue;
            }
            if !parse_cpus(allowed.trim()).is_ok_and(|allowed| allowed.iter().all(|cpu| cpus.contains(cpu))) {
                let name = text.lines().find_map(|line| line.strip_prefix("Name:")).unwrap_or("?");
                strays.push(format!("{} ({thread}) may run on {}", name.trim(), allowed.trim()));
            }
        }
        Ok(strays)
    }
}

impl CpuSnapshot {
    /// What was used between `earlier` and this.
    pub(crate) fn since(&self, earlier: &CpuSnapshot) -> CpuTime {
        let tick = 1_000_000_000 / ticks_per_second();
        let ticks = |now: u64, then: u64| now.saturating_sub(then) * tick;
        let user = ticks(self.user_ticks, earlier.user_ticks);
        let system = ticks(self.system_ticks, earlier.system_ticks);
        let (mut ran, mut waited) = (0, 0);
        for (task, &(runs, waits)) in &self.threads {
            let (runs_before, waits_before) = earlier.threads.get(task).copied().unwrap_or((0, 0));
            ran += runs.saturating_sub(runs_before);
            waited += waits.saturating_sub(waits_before);
        }
        let (user, system) = split(ran, user, system, tick);
        CpuTime { user, system, waited }
    }
}

/// Splits the threads' time as the ticks are split; the ticks win where they count clearly more (ended threads).
fn split(by_thread: u64, user: u64, system: u64, tick: u64) -> (u64, u64) {
    let by_ticks = user + system;
    let ended = by_ticks > by_thread + 4 * tick && by_ticks > by_thread + by_thread / 20;
    let total = if ended { by_ticks } else { by_thread };
    if by_ticks == 0 {
        return (0, total);
    }
    let user = (u128::from(total) * u128::from(user) / u128::from(by_ticks)) as u64;
    (user, total - user)
}

/// Time that `cpus` were busy with anything since boot, in ns.
pub(crate) fn busy(cpus: &[usize]) -> Result<u64> {
    let text = fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let tick = 1_000_000_000 / ticks_per_second();
    Ok(cpus.iter().filter_map(|&cpu| parse_busy(&text, cpu)).sum::<u64>() * tick)
}

fn parse_busy(text: &str, cpu: usize) -> Option<u64> {
    let name = format!("cpu{cpu}");
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(&name))?;
    let ticks: Vec<u64> = line.split_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(ticks.iter().take(7).sum::<u64>() - idle)
}

struct Stat {
    group: u32,
    user_ticks: u64,
    system_ticks: u64,
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name may contain spaces and parentheses: fields count from the last one.
    let (_, fields) = text.rsplit_once(')')?;
    let field = |number: usize| fields.split_ascii_whitespace().nth(number);
    Some(Stat {
        group: field(2)?.parse().ok()?,
        user_ticks: field(11)?.parse().ok()?,
        system_ticks: field(12)?.parse().ok()?,
    })
}

/// Time on a core and time waiting for one, in ns.
fn parse_schedstat(text: &str) -> Option<(u64, u64)> {
    let mut fields = text.split_ascii_whitespace();
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn field_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A list of CPUs as the kernel and taskset write it: `0-2,5`.
pub(crate) fn parse_cpus(text: &str) -> Result<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().with_context(|| format!("{part:?} names no CPU"))?;
        let last: usize = last.trim().parse().with_context(|| format!("{part:?} names no CPU"))?;
        if last < first || last >= 4_096 {
            bail!("{part:?} is no range of CPUs");
        }
        cpus.extend(first..=last);
    }
    Ok(cpus)
}

fn numbered(folder: &Path) -> Result<Vec<u32>> {
    let entries = fs::read_dir(folder).with_context(|| PathBuf::from(folder).display().to_string())?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn stat_is_read_behind_a_name_with_parentheses() {
        let text = "4242 (a) b (c)) S 1 4200 4200 0 -1 4194304 100 0 0 0 731 269 0 0 20 0 3 0 12345 1000 200 18446744073709551615";
        let stat = parse_stat(text).expect("reads");
        assert_eq!((stat.group, stat.user_ticks, stat.system_ticks), (4200, 731, 269));
        assert!(parse_stat("4242 (a) S 1").is_none());
    }

    #[test]
    fn schedstat_rollup_and_busy_are_read() {
        assert_eq!(parse_schedstat("123456789 222 33\n"), Some((123_456_789, 222)));
        let rollup = "00400000-7ffe rollup\nRss:   5544 kB\nPss:   5000 kB\nPss_Dirty:   1 kB\n";
        assert_eq!((field_kib(rollup, "Rss:"), field_kib(rollup, "Pss:")), (Some(5_544), Some(5_000)));
        let stat = "cpu  9 9 9 9\ncpu1 1 2 3 400 50 6 7 8 0 0\ncpu10 0 0 0 0 0 0 0 0 0 0\n";
        assert_eq!(parse_busy(stat, 1), Some(1 + 2 + 3 + 6 + 7));
        assert_eq!(parse_busy(stat, 2), None);
    }

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(parse_cpus("0-2,5").expect("reads"), [0, 1, 2, 5]);
        assert!(parse_cpus("2-1").is_err());
        assert!(parse_cpus("").is_err());
        assert!(parse_cpus("0-x").is_err());
    }

    #[test]
    fn time_is_split_as_the_ticks_are() {
        let tick = 10_000_000;
        assert_eq!(split(100, 30 * tick, 10 * tick, tick), (300_000_000, 100_000_000));
        assert_eq!(split(401_000_000, 30 * tick, 10 * tick, tick), (300_750_000, 100_250_000));
        assert_eq!(split(7, 0, 0, tick), (0, 7));
    }

    #[test]
    fn the_time_this_process_burns_is_seen() {
        let scope = Scope::Process(std::process::id());
        let before = scope.cpu().expect("snapshot");
        // On a busy machine a thread gets its share late: work until it shows, with a deadline.
        let deadline = Instant::now() + Duration::from_secs(20);
        while scope.cpu().expect("snapshot").since(&before).total() < 40_000_000 {
            assert!(Instant::now() < deadline, "20 s of work do not show");
        }
        assert!(scope.memory().expect("memory").resident > 100_000);
        assert!(scope.descriptors().expect("descriptors") >= 3);
    }
}
