//! Facts about this process, as far as Linux tells them without asking a library.

/// Memory of this process in bytes.
pub(crate) fn resident() -> Option<u64> {
    line(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

fn line(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|l| l.strip_prefix(name))?;
    Some(value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_told() {
        assert!(super::resident().is_some_and(|r| r > 1 << 20));
    }
}
