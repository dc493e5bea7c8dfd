//! How much memory there is: the machine's, or less where a control group (a container, a service) has a limit.

use std::path::{Component, Path, PathBuf};

/// In bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    /// What this program could have at most.
    pub(crate) total: u64,
    /// What it could still get without others being pushed out.
    pub(crate) available: u64,
}

/// Memory as Linux tells it now; none where it cannot be told.
pub(crate) fn memory() -> Option<Memory> {
    Places { processes: Path::new("/proc"), groups: Path::new("/sys/fs/cgroup") }.memory()
}

/// One of the two ways in which control groups lie in the file system.
struct Version {
    /// Its controllers, as `/proc/self/cgroup` names them.
    controllers: &'static str,
    /// Where its tree may hang.
    mounts: &'static [&'static str],
    limit: &'static str,
    used: &'static str,
    /// The part of `used` that is given up first: copies of files. A line of `memory.stat`.
    copies: &'static str,
}

const VERSIONS: [Version; 2] = [
    Version {
        controllers: "",
        mounts: &["", "unified"],
        limit: "memory.max",
        used: "memory.current",
        copies: "inactive_file",
    },
    Version {
        controllers: "memory",
        mounts: &["memory"],
        limit: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        copies: "total_inactive_file",
    },
];

struct Places<'a> {
    processes: &'a Path,
    groups: &'a Path,
}

impl Places<'_> {
    fn memory(&self) -> Option<Memory> {
        let text = std::fs::read_to_string(self.processes.join("meminfo")).ok()?;
        let bytes = |name| Some(number(&text, name)? * 1024);
        let machine = Memory { total: bytes("MemTotal:")?, available: bytes("MemAvailable:")? };
        Some(self.limits().into_iter().fold(machine, |least, group| Memory {
            total: least.total.min(group.total),
            available: least.available.min(group.available),
        }))
    }

    /// Every group with a limit that this process is in, directly or through a group around its own.
    fn limits(&self) -> Vec<Memory> {
        let own = std::fs::read_to_string(self.processes.join("self/cgroup")).unwrap_or_default();
        let mut found = Vec::new();
        for version in &VERSIONS {
            let paths = own.lines().filter_map(|line| {
                let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
                controllers.split(',').any(|c| c == version.controllers).then_some(path)
            });
            for path in paths {
                // What lies outside of a container cannot be seen from inside.
                let below: PathBuf =
                    Path::new(path).components().filter(|c| matches!(c, Component::Normal(_))).collect();
                for mount in version.mounts {
                    let mount = self.groups.join(mount);
                    let folder = mount.join(&below);
                    found.extend(
                        folder.ancestors().take_while(|f| f.starts_with(&mount)).filter_map(|f| group(f, version)),
                    );
                }
            }
        }
        found
    }
}

/// A group's limit and what is left of it; none if it has none.
fn group(folder: &Path, version: &Version) -> Option<Memory> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    // Without a limit it says `max`.
    let total = read(version.limit)?.trim().parse::<u64>().ok()?;
    let used = read(version.used)?.trim().parse::<u64>().ok()?;
    let copies = read("memory.stat").and_then(|text| number(&text, version.copies)).unwrap_or(0);
    Some(Memory { total, available: total.saturating_sub(used.saturating_sub(copies)) })
}

/// The number behind a name at the beginning of a line.
fn number(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(name)).then(|| words.next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pretend machine of 64 MiB, 48 of them free.
    fn machine(groups: &str, files: &[(&str, &str)]) -> Memory {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("proc/meminfo", "MemTotal:  65536 kB\nMemFree: 1 kB\nMemAvailable:  49152 kB\n");
        put("proc/self/cgroup", groups);
        files.iter().for_each(|(name, text)| put(&format!("groups/{name}"), text));
        let (processes, groups) = (dir.path().join("proc"), dir.path().join("groups"));
        Places { processes: &processes, groups: &groups }.memory().unwrap()
    }

    const MIB: u64 = 1 << 20;
    const FREE: Memory = Memory { total: 64 * MIB, available: 48 * MIB };

    #[test]
    fn without_a_limit_it_is_the_machine_s() {
        assert_eq!(machine("", &[]), FREE);
        assert_eq!(machine("0::/user/x\n", &[("user/x/memory.max", "max\n"), ("user/x/memory.current", "5\n")]), FREE);
        let huge = [("memory/memory.limit_in_bytes", "9223372036854771712"), ("memory/memory.usage_in_bytes", "9")];
        assert_eq!(machine("4:cpu,memory:/\n0::/\n", &huge), FREE);
    }

    #[test]
    fn a_container_s_limit_counts_less_what_it_uses() {
        let files = [
            ("memory.max", "33554432"),
            ("memory.current", "12582912"),
            ("memory.stat", "anon 1\ninactive_file 4194304"),
        ];
        assert_eq!(machine("0::/\n", &files), Memory { total: 32 * MIB, available: 24 * MIB });
        // Seen from inside, the path of the group leads out.
        assert_eq!(machine("0::/../..\n", &files), Memory { total: 32 * MIB, available: 24 * MIB });
        let full = [("memory.max", "33554432"), ("memory.current", "33554433")];
        assert_eq!(machine("0::/\n", &full), Memory { total: 32 * MIB, available: 0 });
    }

    #[test]
    fn the_narrowest_of_the_groups_around_counts() {
        let files = [
            ("a/memory.max", "16777216"),
            ("a/memory.current", "8388608"),
            ("a/b/memory.max", "33554432"),
            ("a/b/memory.current", "31457280"),
            ("c/memory.max", "1"),
            ("c/memory.current", "0"),
        ];
        assert_eq!(machine("0::/a/b\n", &files), Memory { total: 16 * MIB, available: 2 * MIB });
    }

    #[test]
    fn the_older_version_of_groups_is_read_too() {
        let files = [
            ("memory/a/memory.limit_in_bytes", "16777216"),
            ("memory/a/memory.usage_in_bytes", "8388608"),
            ("memory/a/memory.stat", "inactive_file 1\ntotal_inactive_file 1048576"),
        ];
        let expected = Memory { total: 16 * MIB, available: 9 * MIB };
        assert_eq!(machine("5:memory:/a\n0::/\n", &files), expected);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_tells() {
        let Memory { total, available } = memory().unwrap();
        assert!(total > available && available > 0);
    }
}
