//! What has really run: every replica writes down its rank and cluster before it does anything else, in a file of this
//! machine, which all real nodes share. Part of the suite `evictions`.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::suites::sky::Sky;

/// One line for each start.
const WRITE: &str = r#"rank="$(IFS=,; set -- $SKY_RANKS; shift "$JOB_COMPLETION_INDEX"; echo "$1")"
echo "$rank on $SKY_CLUSTER" >> "/ledger/$SKY_JOB""#;

/// The folder with one file for each SkyJob.
pub(super) struct Ledger(PathBuf);

impl Ledger {
    /// The ledger of this lab.
    pub(super) fn of(sky: &Sky) -> Self {
        Self(sky.lab.dir().join("ledger"))
    }

    /// A pod template whose replicas ask for half a cpu, write themselves down and run `script`.
    pub(super) fn template(&self, script: &str) -> Value {
        json!({"spec": {
            "containers": [{
                "name": "main", "image": "lab/busybox:1",
                "command": ["/bin/sh", "-c", format!("{WRITE}\n{script}")],
                "resources": {"requests": {"cpu": "500m"}},
                "volumeMounts": [{"name": "ledger", "mountPath": "/ledger"}],
            }],
            "volumes": [{"name": "ledger", "hostPath": {"path": self.0, "type": "DirectoryOrCreate"}}],
        }})
    }

    /// Every start of a replica of this SkyJob, such as `0 on mluo-cloud`, in order of ranks.
    pub(super) fn starts(&self, name: &str) -> Result<Vec<String>> {
        let path = self.0.join(name);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            other => other.with_context(|| format!("read {}", path.display()))?,
        };
        let mut starts: Vec<String> = text.lines().map(str::to_owned).collect();
        starts.sort();
        Ok(starts)
    }
}
