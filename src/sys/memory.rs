//! How much memory this process uses.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// The file of the kernel that says it, which is opened before no other file can be.
#[derive(Debug)]
pub struct OwnMemory(Option<File>);

impl OwnMemory {
    /// Opens the file; where there is none, nothing is known.
    #[must_use]
    pub fn open() -> Self {
        Self(File::open("/proc/self/status").ok())
    }

    /// Returns the bytes in use now (`VmRSS` of `proc_pid_status(5)`).
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        // The line is in the first kilobyte and a half.
        let mut text = [0; 4096];
        let length = self.0.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = String::from_utf8_lossy(text.get(..length)?);
        let size = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        size.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_in_use_is_known() {
        let bytes = OwnMemory::open().bytes().unwrap();
        assert!(bytes > 1 << 20 && bytes < 1 << 40, "{bytes}");
    }
}
