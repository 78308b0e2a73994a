//! What the machine and its kernel offer, and the limits that bound the server: read from `/proc` and asked of io_uring.
//!
//! What cannot be read is `null`.

use serde::Serialize;
use std::fs;
use std::path::Path;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Capabilities {
    /// The release, such as `6.18.0`.
    #[schema(required)]
    kernel: Option<String>,
    /// That this process may use.
    processors: usize,
    shards: usize,
    #[schema(required)]
    memory_bytes: Option<u64>,
    io_uring: IoUringFacts,
    udp: UdpFacts,
    limits: LimitFacts,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct IoUringFacts {
    /// Whether a ring could be made now.
    available: bool,
    /// Why not.
    #[schema(required)]
    error: Option<String>,
    /// `kernel.io_uring_disabled`: 0 for everybody, 1 for a group, 2 for nobody.
    #[schema(required)]
    disabled: Option<u64>,
    /// Of the kernel, such as `fastPoll`.
    features: Vec<&'static str>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct UdpFacts {
    /// Segmentation by the kernel (GSO, Linux 4.18): one system call for many datagrams.
    #[schema(required)]
    segmentation: Option<bool>,
    /// Joining by the kernel (GRO, Linux 5.0).
    #[schema(required)]
    receive_offload: Option<bool>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LimitFacts {
    /// Open descriptors; `null` is no limit.
    #[schema(required)]
    open_files: Option<u64>,
    #[schema(required)]
    open_files_max: Option<u64>,
    /// Bytes of locked memory; `null` is no limit.
    #[schema(required)]
    locked_memory: Option<u64>,
    #[schema(required)]
    somaxconn: Option<u64>,
    #[schema(required)]
    rmem_default: Option<u64>,
    #[schema(required)]
    rmem_max: Option<u64>,
    #[schema(required)]
    wmem_default: Option<u64>,
    #[schema(required)]
    wmem_max: Option<u64>,
}

/// Reads a few small files and makes a small ring: some milliseconds.
pub(super) fn gather(shards: usize) -> Capabilities {
    let kernel = text("/proc/sys/kernel/osrelease");
    let since = |version| Some(release(kernel.as_deref()?)? >= version);
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let (open_files, open_files_max) = limit(&limits, "Max open files");
    Capabilities {
        processors: crate::processors::allowed().len(),
        shards,
        memory_bytes: memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        io_uring: io_uring(),
        udp: UdpFacts { segmentation: since((4, 18)), receive_offload: since((5, 0)) },
        limits: LimitFacts {
            open_files,
            open_files_max,
            locked_memory: limit(&limits, "Max locked memory").0,
            somaxconn: number("/proc/sys/net/core/somaxconn"),
            rmem_default: number("/proc/sys/net/core/rmem_default"),
            rmem_max: number("/proc/sys/net/core/rmem_max"),
            wmem_default: number("/proc/sys/net/core/wmem_default"),
            wmem_max: number("/proc/sys/net/core/wmem_max"),
        },
        kernel,
    }
}

fn text(file: &str) -> Option<String> {
    fs::read_to_string(Path::new(file)).ok().map(|text| text.trim().to_owned())
}

fn number(file: &str) -> Option<u64> {
    text(file)?.parse().ok()
}

/// Major and minor of a release.
fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Soft and hard value of a line of `/proc/self/limits`.
fn limit(limits: &str, name: &str) -> (Option<u64>, Option<u64>) {
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let mut values = line.split_whitespace().map(|value| value.parse().ok());
    (values.next().flatten(), values.next().flatten())
}

fn memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn io_uring() -> IoUringFacts {
    let disabled = number("/proc/sys/kernel/io_uring_disabled");
    match headwater_engine::io_uring_features() {
        Ok(features) => IoUringFacts { available: true, error: None, disabled, features },
        Err(error) => {
            IoUringFacts { available: false, error: Some(error.to_string()), disabled, features: Vec::new() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_releases_are_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max locked memory         8388608              unlimited            bytes\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(limit(limits, "Max open files"), (Some(1024), Some(524_288)));
        assert_eq!(limit(limits, "Max locked memory"), (Some(8_388_608), None));
        assert_eq!(limit(limits, "Max nothing"), (None, None));
        assert_eq!(release("6.18.0-rc1+"), Some((6, 18)));
        assert_eq!(release("x"), None);
        assert_eq!(memory("MemTotal:       16 kB\n"), Some(16_384));
    }

    #[test]
    fn this_machine_has_a_kernel_and_processors() {
        let here = gather(2);
        assert!(here.kernel.is_some() && here.processors > 0 && here.limits.somaxconn.is_some());
    }
}
