//! What real nodes and Slurm clusters need from Debian: installed when we are root and apt-get is there, named when
//! not. Called by `lab` before the first of them; shown by `doctor`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::image;
use crate::machine;
use crate::plan::{Plan, SlurmSpec};
use crate::report::Reporter;
use crate::slot;

/// A Debian package and whether what we need of it is there.
pub struct Package {
    pub name: &'static str,
    /// What was found, as a path.
    pub found: Option<PathBuf>,
}

/// Every package that real nodes need, looked for by the files we use and not by dpkg.
pub fn of_real_nodes() -> Vec<Package> {
    vec![
        program("containerd", "containerd"),
        program("runc", "runc"),
        Package {
            name: "containernetworking-plugins",
            found: machine::network_plugins(),
        },
        Package {
            name: "busybox-static",
            found: busybox(),
        },
        program("iproute2", "ip"),
        program("util-linux", "setsid"),
    ]
}

/// Every package that Slurm clusters need; those whose jobs run in containers need two more, those with TLS one, those with
/// accounting two.
pub fn of_slurm(containers: bool, https: bool, accounting: bool) -> Vec<Package> {
    let mut packages = vec![
        program("slurmctld", "slurmctld"),
        program("slurmd", "slurmd"),
        program("slurm-client", "scontrol"),
        program("slurmrestd", "slurmrestd"),
        program("munge", "munged"),
        Package {
            name: "slurm-wlm-jwt-plugin",
            found: in_libraries("slurm-wlm/auth_jwt.so"),
        },
        program("util-linux", "setpriv"),
    ];
    if containers {
        packages.push(program("runc", "runc"));
        packages.push(Package {
            name: "busybox-static",
            found: busybox(),
        });
    }
    packages.extend(https.then(|| program("stunnel4", "stunnel4")));
    if accounting {
        packages.push(program("slurmdbd", "slurmdbd"));
        packages.push(program("mariadb-server", "mariadbd"));
    }
    packages
}

/// Every package that Argo CD needs beside its own programs.
pub fn of_argocd() -> Vec<Package> {
    vec![program("redis-server", "redis-server"), program("git", "git")]
}

/// The packages of `plan`.
pub fn of(plan: &Plan) -> Vec<Package> {
    let mut packages = Vec::new();
    if plan.wants_real() {
        packages.extend(of_real_nodes());
    }
    if plan.wants_slurm() {
        let any = |wanted: fn(&SlurmSpec) -> bool| plan.slurm().any(wanted);
        packages.extend(of_slurm(
            any(|s| s.containers),
            any(|s| s.https),
            any(|s| s.accounting),
        ));
    }
    packages
}

fn program(name: &'static str, program: &str) -> Package {
    Package {
        name,
        found: machine::find(program),
    }
}

/// The static busybox.
pub fn busybox() -> Option<PathBuf> {
    machine::find("busybox").filter(|path| image::is_static(path))
}

/// The names of those that are missing, each once.
pub fn missing(packages: &[Package]) -> Vec<&'static str> {
    let missing = packages.iter().filter(|package| package.found.is_none());
    let names: BTreeSet<_> = missing.map(|package| package.name).collect();
    names.into_iter().collect()
}

/// What to type to get them.
pub fn remedy(missing: &[&str]) -> String {
    format!(
        "as root: apt-get install --no-install-recommends {}",
        missing.join(" ")
    )
}

/// What single suites need beside the lab: each with what is said of it.
pub fn of_suites() -> [(&'static str, Vec<Package>); 4] {
    [
        ("suite argocd", of_argocd()),
        ("suite code", vec![venv()]),
        ("suite credentials", vec![shifted_clock()]),
        ("suite leader", vec![program("prometheus", "promtool")]),
    ]
}

fn shifted_clock() -> Package {
    Package {
        name: "faketime",
        found: in_libraries("faketime/libfaketimeMT.so.1"),
    }
}

fn venv() -> Package {
    let complete = |python: &PathBuf| {
        let mut asked = std::process::Command::new(python);
        let answer = asked.args(["-c", "import ensurepip, venv"]).output();
        answer.is_ok_and(|answer| answer.status.success())
    };
    Package {
        name: "python3-venv",
        found: machine::find("python3").filter(complete),
    }
}

/// The library that shows a program another time.
pub async fn faketime(reporter: &Reporter) -> Result<PathBuf> {
    installed(shifted_clock, reporter).await
}

/// promtool.
pub async fn promtool(reporter: &Reporter) -> Result<PathBuf> {
    installed(|| program("prometheus", "promtool"), reporter).await
}

/// A Python that makes virtual environments.
pub async fn python(reporter: &Reporter) -> Result<PathBuf> {
    installed(venv, reporter).await
}

/// What is found of a package, installed when it is missing.
async fn installed(look: impl Fn() -> Package, reporter: &Reporter) -> Result<PathBuf> {
    let Package { name, found } = look();
    if let Some(found) = found {
        return Ok(found);
    }
    if !installs() {
        bail!("missing: {name}; {}", remedy(&[name]));
    }
    let step = reporter.step(format!("installing {name}"));
    install_or_update(&[name]).await?;
    step.done();
    let found = look().found;
    found.with_context(|| format!("installed, but nothing of it found: {name}"))
}

/// A file below Debian's place for libraries, which has the machine's architecture in it.
fn in_libraries(file: &str) -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()));
    folders
        .map(|folder| folder.join(file))
        .find(|library| library.is_file())
}

fn installs() -> bool {
    machine::is_root() && machine::find("apt-get").is_some()
}

async fn install_or_update(packages: &[&str]) -> Result<()> {
    let _alone = alone().await?;
    let _quiet = NoServices::begin()?;
    if install(packages).await.is_err() {
        apt(&["update"]).await?;
        install(packages).await?;
    }
    Ok(())
}

/// Installs what is missing for `plan`; an error names it when that cannot be done here.
pub async fn ensure(plan: &Plan, reporter: &Reporter) -> Result<()> {
    ensure_all(|| of(plan), reporter).await
}

/// Installs what is missing of `packages`; an error names it when that cannot be done here.
pub async fn ensure_all(packages: impl Fn() -> Vec<Package>, reporter: &Reporter) -> Result<()> {
    let wanted = missing(&packages());
    if wanted.is_empty() {
        return Ok(());
    }
    if !installs() {
        bail!(
            "missing from this machine: {}; {}",
            wanted.join(", "),
            remedy(&wanted)
        );
    }
    let step = reporter.step(format!("installing {}", wanted.join(" ")));
    install_or_update(&wanted).await?;
    step.done();
    let still = missing(&packages());
    if still.is_empty() {
        Ok(())
    } else {
        bail!("installed, but not found: {}", still.join(", "))
    }
}

/// Held while packages are installed: another lab that ends first would let our services start. Two labs of one
/// program must not wait for each other on its thread.
async fn alone() -> Result<File> {
    let file = File::create(slot::registry()?.join("packages.lock"))?;
    let held = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await?;
    Ok(held?)
}

async fn install(packages: &[&str]) -> Result<()> {
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat()).await
}

async fn apt(arguments: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        // Somebody else may be installing.
        .args(["-o", "DPkg::Lock::Timeout=120"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .kill_on_drop(true)
        .output()
        .await
        .context("run apt-get")?;
    if output.status.success() {
        return Ok(());
    }
    bail!(
        "apt-get {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    )
}

/// While it lives, installing a package starts no service: the lab runs its own containerd and its own Slurm.
struct NoServices(Option<&'static Path>);

impl NoServices {
    fn begin() -> Result<Self> {
        let path = Path::new("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self(None));
        }
        fs::write(path, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(Some(path)))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_single_suites_install_is_told_beforehand() {
        let packages = of_suites().into_iter().flat_map(|(_, packages)| packages);
        let names: BTreeSet<_> = packages.map(|package| package.name).collect();
        for name in ["faketime", "git", "prometheus", "python3-venv", "redis-server"] {
            assert!(names.contains(name), "{name} is not among {names:?}");
        }
    }
}
