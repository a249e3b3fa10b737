//! Containers of Slurm jobs: oci.conf with runc, and an unpacked bundle of busybox that the job user may run
//! without any right of root. Called by `slurm` for clusters that were asked for it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use super::config::open_to_all;
use super::{JOB_USER, SlurmCluster, account};
use crate::image;
use crate::machine;
use crate::packages;

/// Makes both; nothing when no containers were asked for.
pub(super) fn prepare(cluster: &SlurmCluster) -> Result<()> {
    let Some(bundle) = cluster.bundle() else {
        return Ok(());
    };
    let runc = machine::find("runc").ok_or_else(|| anyhow!("no runc"))?;
    let state = cluster.home().join("runc");
    fs::create_dir(&state)?;
    open_to_all(&state, 0o1777)?;
    let conf = cluster.home().join("oci.conf");
    fs::write(&conf, runtime(&runc, &state))?;
    open_to_all(&conf, 0o644)?;

    let rootfs = bundle.join("rootfs");
    fs::create_dir_all(&rootfs)?;
    let busybox = packages::busybox().ok_or_else(|| anyhow!("no static busybox"))?;
    image::unpack(&busybox, &rootfs)?;
    let config = bundle.join("config.json");
    fs::write(&config, configuration(&runc, &bundle)?.to_string())?;
    for (path, mode) in [(&bundle, 0o755), (&rootfs, 0o755), (&config, 0o644)] {
        open_to_all(path, mode)?;
    }
    Ok(())
}

/// What slurmstepd calls, as the job's user; node, user, job, step and task make a container's name.
/// `%U` instead of `%u` ends every step in Slurm 22.05.
fn runtime(runc: &Path, state: &Path) -> String {
    let call = format!("{} --rootless=true --root={}", runc.display(), state.display());
    let name = "%n.%u.%j.%s.%t";
    [
        format!("RunTimeQuery=\"{call} state {name}\"\n"),
        format!("RunTimeKill=\"{call} kill -a {name}\"\n"),
        format!("RunTimeDelete=\"{call} delete --force {name}\"\n"),
        format!("RunTimeRun=\"{call} run --bundle %b {name}\"\n"),
    ]
    .concat()
}

/// runc's own configuration for an ordinary user, who here is the job user, without a terminal and without limits
/// that would need a cgroup.
fn configuration(runc: &Path, bundle: &Path) -> Result<Value> {
    let output = Command::new(runc)
        .args(["spec", "--rootless", "--bundle"])
        .arg(bundle)
        .output()
        .context("run runc spec")?;
    if !output.status.success() {
        bail!("runc spec: {}", String::from_utf8_lossy(&output.stderr));
    }
    let mut config: Value = serde_json::from_slice(&fs::read(bundle.join("config.json"))?)?;
    let user = account(JOB_USER)?;
    config["process"]["terminal"] = false.into();
    config["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": user.uid.as_raw(), "size": 1}]);
    config["linux"]["gidMappings"] = json!([{"containerID": 0, "hostID": user.gid.as_raw(), "size": 1}]);
    if let Some(linux) = config["linux"].as_object_mut() {
        linux.remove("resources");
    }
    Ok(config)
}
