//! What real nodes need from Debian: installed when we are root and apt-get is there, named when not.
//! Called by `lab` before the first real node; shown by `doctor`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::image;
use crate::machine;
use crate::report::Reporter;

/// A Debian package and whether what we need of it is there.
pub struct Package {
    pub name: &'static str,
    /// What was found, as a path.
    pub found: Option<PathBuf>,
}

/// Every package that real nodes need, looked for by the files we use and not by dpkg.
pub fn all() -> Vec<Package> {
    let program = |name, program| Package {
        name,
        found: machine::find(program),
    };
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

/// The static busybox.
pub fn busybox() -> Option<PathBuf> {
    machine::find("busybox").filter(|path| image::is_static(path))
}

/// The names of those that are missing.
pub fn missing() -> Vec<&'static str> {
    all()
        .into_iter()
        .filter(|package| package.found.is_none())
        .map(|package| package.name)
        .collect()
}

/// What to type to get them.
pub fn remedy(missing: &[&str]) -> String {
    format!(
        "as root: apt-get install --no-install-recommends {}",
        missing.join(" ")
    )
}

/// The library that shows a program another time, of Debian's package faketime; installed when it is missing.
pub async fn faketime(reporter: &Reporter) -> Result<PathBuf> {
    if let Some(library) = find_faketime() {
        return Ok(library);
    }
    if !installs() {
        bail!("missing: faketime; {}", remedy(&["faketime"]));
    }
    let step = reporter.step("installing faketime");
    install_or_update(&["faketime"]).await?;
    step.done();
    find_faketime().context("installed, but not found: libfaketimeMT.so.1")
}

/// Debian's place has the machine's architecture in it.
fn find_faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()));
    folders
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.is_file())
}

fn installs() -> bool {
    machine::is_root() && machine::find("apt-get").is_some()
}

async fn install_or_update(packages: &[&str]) -> Result<()> {
    let _quiet = NoServices::begin()?;
    if install(packages).await.is_err() {
        apt(&["update"]).await?;
        install(packages).await?;
    }
    Ok(())
}

/// Installs what is missing; an error names it when that cannot be done here.
pub async fn ensure(reporter: &Reporter) -> Result<()> {
    let wanted = missing();
    if wanted.is_empty() {
        return Ok(());
    }
    if !installs() {
        bail!(
            "missing for real nodes: {}; {}",
            wanted.join(", "),
            remedy(&wanted)
        );
    }
    let step = reporter.step(format!("installing {}", wanted.join(" ")));
    install_or_update(&wanted).await?;
    step.done();
    let still = missing();
    if still.is_empty() {
        Ok(())
    } else {
        bail!("installed, but not found: {}", still.join(", "))
    }
}

async fn install(packages: &[&str]) -> Result<()> {
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat()).await
}

async fn apt(arguments: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
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

/// While it lives, installing a package starts no service: the lab runs its own containerd.
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
