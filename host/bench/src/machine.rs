//! What processes use of the machine, as the kernel counts it.

use std::path::Path;

use anyhow::{Context, Result};

/// The kernel counts processor time in hundredths of a second on every architecture Linux runs on (`USER_HZ`).
const US_PER_TICK: u64 = 10_000;

/// Processor time of one process so far, its threads included, microseconds.
pub(crate) fn cpu_us(pid: u32) -> Result<u64> {
    let stat = Stat::read(pid).with_context(|| format!("processor time of process {pid}"))?;
    Ok(stat.own_ticks * US_PER_TICK)
}

/// Processor time of a process and all it started, those that have ended included, microseconds.
pub(crate) fn cpu_of_family_us(parent: u32) -> Result<u64> {
    let own = Stat::read(parent).with_context(|| format!("processor time of process {parent}"))?;
    let mut ticks = own.own_ticks + own.ended_children_ticks;
    for pid in family(parent)?.into_iter().filter(|pid| *pid != parent) {
        // One that ended meanwhile is among its parent's ended children the next time.
        if let Ok(stat) = Stat::read(pid) {
            ticks += stat.own_ticks;
        }
    }
    Ok(ticks * US_PER_TICK)
}

/// A process and all it started that still run.
pub(crate) fn family(parent: u32) -> Result<Vec<u32>> {
    let mut pids = vec![parent];
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that ended meanwhile is none of them.
        if Stat::read(pid).is_ok_and(|stat| stat.parent == parent) {
            pids.push(pid);
        }
    }
    Ok(pids)
}

/// Memory of a process, bytes: its own pages, and of those it shares the part that falls to it (`Pss`).
pub(crate) fn proportional_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    kibibytes(&text, "Pss:").with_context(|| format!("{path} has no Pss"))
}

/// Processor time of all processes and of the kernel so far, microseconds; what a hypervisor gave to others counts too.
pub(crate) fn busy_us() -> Result<u64> {
    busy(&std::fs::read_to_string("/proc/stat").context("/proc/stat")?)
}

fn busy(stat: &str) -> Result<u64> {
    let line = stat
        .lines()
        .find_map(|line| line.strip_prefix("cpu "))
        .context("/proc/stat has a line for all processors")?;
    let fields = line
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<Vec<u64>, _>>()?;
    // user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of the first two.
    let ticks = [0, 1, 2, 5, 6, 7].map(|at| fields.get(at).copied().unwrap_or_default());
    Ok(ticks.iter().sum::<u64>() * US_PER_TICK)
}

/// Resident memory of a process, bytes: `VmRSS`, pages shared with other processes included.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    kibibytes(&status, "VmRSS:").with_context(|| format!("{path} has no VmRSS"))
}

/// The value of a line such as "VmRSS:    1024 kB", bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// How many processors there are for us.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// The processor's name; empty where the kernel does not tell.
pub(crate) fn processor() -> String {
    let text = std::fs::read_to_string(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(String::new, |(_, name)| name.trim().to_owned())
}

struct Stat {
    parent: u32,
    own_ticks: u64,
    ended_children_ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> Result<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat"))?)
    }

    fn parse(text: &str) -> Result<Self> {
        // The command's name stands in parentheses and may hold anything, so counting begins after it.
        let (_, fields) = text.rsplit_once(')').context("a process's stat has a name in it")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |at: usize| {
            fields
                .get(at)
                .context("a process's stat is short")?
                .parse::<u64>()
                .map_err(anyhow::Error::from)
        };
        Ok(Self {
            parent: u32::try_from(number(1)?)?,
            own_ticks: number(11)? + number(12)?,
            ended_children_ticks: number(13)? + number(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = Stat::parse("7 (a) b (c)) S 3 7 7 0 -1 4194560 1 0 0 0 10 5 2 1 20 0 1 0 100 0 0").unwrap();
        assert_eq!((stat.parent, stat.own_ticks, stat.ended_children_ticks), (3, 15, 3));
    }

    #[test]
    fn waiting_is_not_work() {
        assert_eq!(
            busy("cpu  1 2 3 400 500 6 7 8 90 90\ncpu0 1 2 3 4 5 6 7 8 9 9").unwrap(),
            27 * US_PER_TICK
        );
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
        assert!(proportional_bytes(std::process::id()).unwrap() > 100_000);
        // In this order: what the second look adds is time that passed.
        let own_us = cpu_us(std::process::id()).unwrap();
        assert!(cpu_of_family_us(std::process::id()).unwrap() >= own_us);
    }
}
