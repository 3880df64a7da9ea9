//! What the operating system knows of this process, under the names that all exporters of Prometheus use.

use std::fs;

use prometheus_client::registry::Registry;

use crate::Observed;

/// Registers memory, processor time, threads and open files. What cannot be read is 0.
pub fn register_process(registry: &mut Registry) {
    registry.register(
        "process_resident_memory_bytes",
        "Memory of the process in RAM, bytes",
        Observed::gauge(|| status_kib("VmRSS:") * 1024.0),
    );
    registry.register(
        "process_cpu_seconds",
        "Processor time the process has used, seconds",
        Observed::counter(cpu_seconds),
    );
    registry.register(
        "process_threads",
        "Threads of the process",
        Observed::gauge(|| status_kib("Threads:")),
    );
    registry.register(
        "process_open_fds",
        "Open file descriptors of the process",
        Observed::gauge(|| fs::read_dir("/proc/self/fd").map_or(0.0, |files| files.count() as f64)),
    );
}

/// The number in a line of `/proc/self/status`.
fn status_kib(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Of the process in user and kernel mode.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_memory_and_time() {
        assert!(status_kib("VmRSS:") > 100.0);
        assert!(status_kib("Threads:") >= 1.0);
        assert!(cpu_seconds() > 0.0);
        assert_eq!(status_kib("Nonsense:"), 0.0);
    }
}
