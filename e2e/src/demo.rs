//! The demonstration: a job, a policy, a spread, as a user sees them. Called by `commands`.

use std::path::Path;

use anyhow::{Result, bail};

use crate::report::Reporter;

/// Runs the demonstration in `dir`; leaves the lab running if `keep`.
pub async fn run(_dir: &Path, _keep: bool, _reporter: &Reporter) -> Result<()> {
    bail!("the demonstration is not written yet")
}
