//! Names and hashes that must come out equal on every machine and after every restart.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Characters of the workload's name that a share's object name keeps: with `-`, 8 hex digits, `-` and a pod index
/// of 5 digits it stays a DNS label.
const KEPT: usize = 40;

/// Name of a share's object on its member: a DNS label, one for each (uid, run, share id).
#[must_use]
pub fn share_object(workload: &str, uid: &str, run: &str, share: &str) -> String {
    let kept: String = workload
        .chars()
        .take(KEPT)
        .map(|c| if c == '.' { '-' } else { c })
        .collect();
    let kept = kept.trim_end_matches('-');
    format!("{kept}-{}", hash(&[uid, run, share], 8))
}

/// The first `digits` hex digits of a SHA-256 over `parts`, each closed by a zero byte.
#[must_use]
pub fn hash(parts: &[&str], digits: usize) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    let mut text = String::new();
    for byte in hasher.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text.truncate(digits);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_name_is_stable_and_a_dns_label() {
        let name = share_object("my.job", "uid", "", "1-0");
        assert_eq!(name, share_object("my.job", "uid", "", "1-0"));
        assert!(name.starts_with("my-job-"));
        let long = share_object(&"x.".repeat(100), "uid", "", "1-0");
        assert!(long.len() <= 49 && !long.contains('.'), "{long}");
        assert_eq!(
            share_object(&format!("{}-tail", "a".repeat(39)), "u", "", "1")
                .matches("--")
                .count(),
            0
        );
    }

    #[test]
    fn other_runs_and_shares_have_other_names() {
        let name = share_object("job", "uid", "", "1-0");
        assert_ne!(name, share_object("job", "uid", "", "1-1"));
        assert_ne!(name, share_object("job", "uid", "2", "1-0"));
        assert_ne!(
            share_object("job", "uid", "a", "b"),
            share_object("job", "uid", "", "ab")
        );
    }
}
