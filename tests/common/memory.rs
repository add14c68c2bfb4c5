// SPDX-License-Identifier: MPL-2.0
//! Memory of a long run.

/// Resident memory of this process, MiB, without what the allocator keeps for later.
pub fn resident() -> f64 {
    // SAFETY: it may be called at any time, from any thread.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.expect("VmRSS") / 1024.0
}
