//! Which Slurm the machine has and what follows for its configuration and its REST API.
//! Asked by every other part of `slurm`.

use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use crate::machine;

/// A release, such as 22.05.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u32, u32);

impl Version {
    /// Of the slurmctld on this machine.
    pub(super) fn installed() -> Result<Self> {
        static FOUND: OnceLock<Version> = OnceLock::new();
        if let Some(found) = FOUND.get() {
            return Ok(*found);
        }
        let program = machine::find("slurmctld").ok_or_else(|| anyhow!("no slurmctld"))?;
        let output = Command::new(program)
            .arg("-V")
            .output()
            .context("run slurmctld -V")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let found = Self::parse(&text).ok_or_else(|| anyhow!("slurmctld -V says {text:?}"))?;
        Ok(*FOUND.get_or_init(|| found))
    }

    /// Of `slurm-wlm 22.05.8`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split_whitespace().nth(1)?.split('.');
        Some(Self(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }

    /// The newest version of the REST API that this release serves.
    pub(super) fn api(self) -> String {
        // Two releases a year up to 24.05, then one each half year: the number counts them.
        let number = match self {
            Self(..=22, _) => 38,
            Self(23, ..=10) => 39,
            Self(23, _) => 40,
            Self(24, ..=10) => 41,
            Self(24, _) => 42,
            Self(25, ..=10) => 43,
            Self(25, _) => 44,
            _ => 45,
        };
        format!("v0.0.{number}")
    }

    /// slurmrestd's flag for its API. Older ones load every plugin that is there, also those that end without slurmdbd.
    pub(super) fn plugins(self, accounting: bool) -> [String; 2] {
        let api = self.api();
        let plugins = match (self < Self(23, 11), accounting) {
            (true, false) => format!("openapi/{api}"),
            (true, true) => format!("openapi/{api},openapi/db{api}"),
            (false, false) => "slurmctld".to_owned(),
            (false, true) => "slurmctld,slurmdbd".to_owned(),
        };
        ["-s".to_owned(), plugins]
    }

    /// cgroup.conf of a Slurm that leaves cgroups alone.
    pub(super) fn cgroups(self) -> &'static str {
        if self < Self(24, 5) {
            "CgroupAutomount=no\n"
        } else {
            "CgroupPlugin=disabled\n"
        }
    }

    /// The body of a submission: the environment and the place of the script differ.
    pub(super) fn submission(self, mut job: Value, script: &str) -> Value {
        const PATH: &str = "/usr/bin:/bin";
        if self < Self(23, 11) {
            job["environment"] = json!({"PATH": PATH});
            return json!({"job": job, "script": script});
        }
        job["environment"] = json!([format!("PATH={PATH}")]);
        job["script"] = script.into();
        json!({"job": job})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_tell_their_api() {
        let api = |text| Version::parse(text).unwrap().api();
        assert_eq!(api("slurm-wlm 22.05.8"), "v0.0.38");
        assert_eq!(api("slurm 24.11.5"), "v0.0.42");
        assert_eq!(api("slurm-wlm 26.05.5"), "v0.0.45");
        assert!(Version::parse("slurm").is_none());
    }

    #[test]
    fn a_script_is_where_the_release_wants_it() {
        let job = || json!({"name": "a"});
        let old = Version(22, 5).submission(job(), "#!/bin/sh");
        assert_eq!(old["script"], "#!/bin/sh");
        assert!(old["job"]["environment"].is_object());
        let new = Version(24, 11).submission(job(), "#!/bin/sh");
        assert_eq!(new["job"]["script"], "#!/bin/sh");
        assert!(new["job"]["environment"].is_array());
    }
}
