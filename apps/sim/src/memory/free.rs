//! How much memory this machine, or the group of processes that we are in, still has.

use std::fs;
use std::path::Path;

/// Bytes that are free, or could be; none where the system does not say.
pub(super) fn free() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let machine = kilobytes(&text, "MemAvailable:")?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = left_to_group(Path::new("/sys/fs/cgroup"), &groups);
    Some(group.map_or(machine, |group| group.min(machine)))
}

/// Bytes that this process has in memory; none where the system does not say.
#[must_use]
pub fn resident() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    kilobytes(&text, "VmRSS:")
}

/// The kilobytes of a line of `/proc`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let number: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(number * 1_024)
}

/// What the limits of our control groups (Linux, cgroups(7)) leave us; none without a limit. A
/// container is such a group, and the machine's free memory says nothing of its limit.
fn left_to_group(root: &Path, groups: &str) -> Option<u64> {
    let of_line = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let names = match controllers {
            "" => ["memory.max", "memory.current", "inactive_file "],
            _ if controllers.split(',').any(|it| it == "memory") => {
                ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "]
            }
            _ => return None,
        };
        let root = if controllers.is_empty() { root.to_owned() } else { root.join("memory") };
        // A group within others keeps to the limits of all; one whose path is not ours to see still
        // has the root's.
        let path = root.join(path.trim_start_matches('/'));
        path.ancestors()
            .take_while(|path| path.starts_with(&root))
            .filter_map(|path| left_to(path, names))
            .min()
    };
    groups.lines().filter_map(of_line).min()
}

/// What the limit of one group leaves; what it keeps of files alone counts as free.
fn left_to(group: &Path, [limit, used, files]: [&str; 3]) -> Option<u64> {
    let number = |name| fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    let (limit, used) = (number(limit)?, number(used)?);
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let files = stat.lines().find_map(|line| line.strip_prefix(files)?.parse().ok()).unwrap_or(0);
    Some(limit.saturating_sub(used.saturating_sub(files)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files, which is gone at the end.
    fn with_files(name: &str, files: &[(&str, &str)], test: impl FnOnce(&Path)) {
        let root = std::env::temp_dir().join(format!("kadlet-{name}-{}", std::process::id()));
        for (file, text) in files {
            let file = root.join(file);
            fs::create_dir_all(file.parent().expect("in a folder")).expect("a folder");
            fs::write(file, text).expect("a file");
        }
        test(&root);
        fs::remove_dir_all(&root).expect("it was there");
    }

    #[test]
    fn the_closest_limit_of_all_groups_around_counts() {
        let files = [
            ("a/memory.max", "5000\n"),
            ("a/memory.current", "4000\n"),
            ("a/memory.stat", "anon 1000\ninactive_file 2500\n"),
            ("a/b/memory.max", "max\n"),
            ("a/b/memory.current", "3000\n"),
            ("a/c/memory.max", "1000\n"),
            ("a/c/memory.current", "1200\n"),
        ];
        with_files("cgroup2", &files, |root| {
            assert_eq!(left_to_group(root, "0::/a/b\n"), Some(3_500));
            assert_eq!(left_to_group(root, "0::/a/c\n"), Some(0));
            // Not to be seen, as from inside a container: the root has no limit here.
            assert_eq!(left_to_group(root, "0::/elsewhere\n"), None);
            assert_eq!(left_to_group(&root.join("a"), "0::/elsewhere\n"), Some(3_500));
            assert_eq!(left_to_group(root, "no groups"), None);
        });
    }

    #[test]
    fn the_first_version_of_groups_has_a_folder_for_memory() {
        let files = [
            ("memory/a/memory.limit_in_bytes", "5000\n"),
            ("memory/a/memory.usage_in_bytes", "4000\n"),
            ("memory/a/memory.stat", "inactive_file 7\ntotal_inactive_file 100\n"),
        ];
        with_files("cgroup1", &files, |root| {
            assert_eq!(left_to_group(root, "5:cpu,memory:/a\n4:pids:/b\n"), Some(1_100));
            assert_eq!(left_to_group(root, "5:cpu:/a\n"), None);
        });
    }
}
