//! Processes: pinning, descriptor limits, process groups, signals.
//!
//! Every server under test gets a process group of its own, so that what its shell starts is measured and
//! ended with it, and dies with the harness (`PR_SET_PDEATHSIG`).
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on SIGINT and SIGTERM only raise a flag, so that servers under test are ended in order.
pub(crate) fn watch_interrupts() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler does nothing but an atomic store, which is safe in a signal handler.
        unsafe { libc::signal(signal, note_interrupt as *const () as libc::sighandler_t) };
    }
}

/// Whether SIGINT or SIGTERM came.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

fn cpu_set(cpus: &[usize]) -> libc::cpu_set_t {
    // SAFETY: cpu_set_t is a plain bit array; all zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &cpu in cpus {
        if cpu < libc::CPU_SETSIZE as usize {
            // SAFETY: the index is within the set, as just checked.
            unsafe { libc::CPU_SET(cpu, &mut set) };
        }
    }
    set
}

/// Pins the calling thread (and threads it starts later) to `cpus`.
pub(crate) fn pin(cpus: &[usize]) -> io::Result<()> {
    let set = cpu_set(cpus);
    // SAFETY: `set` lives during the call and its size is given.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) }).map(drop)
}

/// CPUs the calling thread may run on, in order.
pub(crate) fn allowed_cpus() -> io::Result<Vec<usize>> {
    let mut set = cpu_set(&[]);
    // SAFETY: `set` lives during the call and its size is given.
    check(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) })?;
    // SAFETY: the index stays below CPU_SETSIZE.
    Ok((0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect())
}

/// Makes `command` start pinned to `cpus`, in a process group of its own, and die with the harness.
pub(crate) fn isolate(command: &mut Command, cpus: &[usize]) {
    let set = cpu_set(cpus);
    command.process_group(0);
    let before_exec = move || {
        // SAFETY: both are plain system calls on memory owned by the closure.
        unsafe {
            check(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set))?;
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)).map(drop)
        }
    };
    // SAFETY: the closure makes system calls only: no allocation, no lock, as is required after fork.
    unsafe { command.pre_exec(before_exec) };
}

/// Sends `signal` to the process group `group`. A group that is gone already is no error.
pub(crate) fn signal_group(group: u32, signal: libc::c_int) {
    if let Ok(group) = libc::pid_t::try_from(group)
        && group > 1
    {
        // SAFETY: kill takes plain integers. A group of 0 or 1 would mean other processes: excluded above.
        unsafe { libc::kill(-group, signal) };
    }
}

/// Raises the soft limit of descriptors to the hard one; returns it.
pub(crate) fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is valid for reading.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_cur)
}

/// Clock ticks per second, the unit of `utime` and `stime` in /proc.
pub(crate) fn ticks_per_second() -> u64 {
    // SAFETY: sysconf takes a plain integer.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_isolated_child_runs_on_the_cpu_it_was_given() {
        let cpu = *allowed_cpus().expect("affinity").last().expect("at least one CPU");
        let mut command = Command::new("grep");
        command.args(["Cpus_allowed_list", "/proc/self/status"]);
        isolate(&mut command, &[cpu]);
        let output = command.output().expect("grep runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.split_whitespace().last(), Some(cpu.to_string().as_str()), "{text}");
    }
}
