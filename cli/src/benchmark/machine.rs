//! What a run ran on: commit, processor, kernel, load, and how fast the disk syncs.

use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    time::Instant,
};

use serde::{Deserialize, Serialize};

/// Syncs of one probe: enough for a median on a noisy disk, done in well under a second on a good
/// one.
const SYNCS: usize = 100;

/// Bytes that each of them writes, in a file that was zeroed before: what a log does.
const BLOCK_BYTES: usize = 4096;

/// Where and with what something was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The commit that this program was built from; `+` when there were changes beside it.
    pub commit: String,
    /// `release` or `dev`.
    pub build: String,
    /// The processor.
    pub processor: String,
    /// How many threads it runs at a time.
    pub cores: usize,
    /// The kernel.
    pub kernel: String,
    /// The load average of the last minute before the run.
    pub load_average: String,
    /// Half of the disk's syncs take so many microseconds.
    pub sync_p50_us: u64,
    /// 99 % of them.
    pub sync_p99_us: u64,
}

impl Machine {
    /// This machine, with the disk that holds `folder`.
    ///
    /// # Errors
    /// When no file can be written there.
    pub fn look(folder: &Path) -> io::Result<Self> {
        let mut syncs = sync_times_us(folder)?;
        syncs.sort_unstable();
        let at = |place: usize| syncs.get(place).copied().unwrap_or_default();
        let build = if cfg!(debug_assertions) {
            "dev"
        } else {
            "release"
        };
        Ok(Self {
            commit: env!("INTERSTICE_COMMIT").to_string(),
            build: build.to_string(),
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: line_of("/proc/sys/kernel/osrelease"),
            load_average: line_of("/proc/loadavg")
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_string(),
            sync_p50_us: at(SYNCS / 2),
            sync_p99_us: at(SYNCS * 99 / 100),
        })
    }
}

fn line_of(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|_| "unknown".to_string());
    text.lines().next().unwrap_or_default().to_string()
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, name)| name.to_string());
    name.unwrap_or_else(|| std::env::consts::ARCH.to_string())
}

fn sync_times_us(folder: &Path) -> io::Result<Vec<u64>> {
    let path = folder.join(format!(".sync-probe.{}", std::process::id()));
    let probed = probe(&path);
    fs::remove_file(&path)?;
    probed
}

fn probe(path: &Path) -> io::Result<Vec<u64>> {
    let mut file = File::create(path)?;
    let block = [0; BLOCK_BYTES];
    for _ in 0..SYNCS {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let mut times = Vec::new();
    for number in 0..SYNCS {
        let block = [u8::try_from(number % 255 + 1).unwrap_or(1); BLOCK_BYTES];
        let began = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_described_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let machine = Machine::look(folder.path()).expect("looks");
        assert!(machine.cores > 0 && machine.sync_p50_us > 0, "{machine:?}");
        assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 0);
    }
}
