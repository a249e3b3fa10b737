//! A lab's directory: where it is, whether it is one, its state file and its lock.
//! Written by `lab`; read by every command that works on a lab which is already up.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::plan::{MemberSpec, Plan};
use crate::slot::{self, Slot};

/// The file that makes a directory a lab, and lets us delete it.
pub(crate) const MARKER: &str = ".sky-lab";
const STATE: &str = "lab.json";

/// What `lab.json` holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    pub plan: Plan,
    pub clusters: Vec<ClusterState>,
    /// Whether everything came up; false while `up` works and after it failed.
    pub ready: bool,
}

/// One cluster of a lab.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterState {
    pub name: String,
    pub slot: Slot,
    /// Its nodes; none for a host without pods.
    pub node: Option<MemberSpec>,
    /// This machine as pods of the host reach it; none when the host runs no real pods.
    #[serde(default)]
    pub gateway: Option<String>,
}

impl State {
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(STATE);
        let text = fs::read(&path)
            .map_err(|_| anyhow!("no lab at {}: bring one up with `cargo e2e up`", dir.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))
    }

    pub fn write(&self, dir: &Path) -> Result<()> {
        write_atomically(&dir.join(STATE), &serde_json::to_vec_pretty(self)?)
    }
}

/// Where labs are unless told otherwise: `$XDG_STATE_HOME` or `~/.local/state`.
pub fn home() -> Result<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local/state")))
        .ok_or_else(|| anyhow!("neither XDG_STATE_HOME nor HOME says where to keep the lab: use --dir"))
}

/// The directory to work on: as given, else the user's own lab. Absolute, without symlinks where it exists.
pub fn resolve(dir: Option<&Path>) -> Result<PathBuf> {
    let dir = match dir {
        Some(dir) => std::path::absolute(dir)?,
        None => home()?.join("sky-lab"),
    };
    Ok(fs::canonicalize(&dir).unwrap_or(dir))
}

/// Whether `dir` was made by a lab.
pub fn is_lab(dir: &Path) -> bool {
    dir.join(MARKER).is_file()
}

/// Makes `dir` a lab; refuses a directory that holds something else.
pub fn adopt(dir: &Path) -> Result<PathBuf> {
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    let dir = fs::canonicalize(dir)?;
    if !is_lab(&dir) && fs::read_dir(&dir)?.next().is_some() {
        bail!("{} is not empty and not a lab: use another --dir", dir.display());
    }
    fs::write(
        dir.join(MARKER),
        "made by sky-e2e, which may delete this directory\n",
    )?;
    Ok(dir)
}

/// Short, stable and different for every lab: names what cannot live in the directory (bridges, cgroups).
pub fn tag(dir: &Path) -> String {
    Sha256::digest(dir.as_os_str().as_bytes())
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Held while a lab is being brought up or taken down; given up by the kernel when we die.
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// Takes the lock of the lab at `dir`, waiting a little for another command to finish.
pub fn lock(dir: &Path) -> Result<Lock> {
    // Beside the slots and not inside the lab, which `down` deletes.
    let path = slot::registry()?.join(format!("{}.lock", tag(dir)));
    let begin = Instant::now();
    loop {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let lock = Lock {
            file,
            path: path.clone(),
        };
        if lock.file.try_lock().is_ok() && lock.is_current() {
            return Ok(lock);
        }
        if begin.elapsed() > Duration::from_secs(10) {
            bail!(
                "another sky-e2e is bringing the lab at {} up or down",
                dir.display()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Lock {
    /// Gives the lock up and deletes its file: there is no lab any more.
    pub fn retire(self) {
        let _ = fs::remove_file(&self.path);
    }

    /// False when the file was deleted by the one who held it before us: the next comer makes a new one.
    fn is_current(&self) -> bool {
        let inode = |metadata: std::io::Result<fs::Metadata>| metadata.ok().map(|metadata| metadata.ino());
        inode(self.file.metadata()) == inode(fs::metadata(&self.path))
    }
}

/// Whole or not at all, also when we are killed half way.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path
        .parent()
        .ok_or_else(|| anyhow!("{} has no folder", path.display()))?;
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.persist(path)
        .with_context(|| format!("write {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_other_things_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let lab = home.path().join("lab");
        adopt(&lab).unwrap();
        adopt(&lab).unwrap();
        assert!(is_lab(&lab));
        fs::write(home.path().join("diary"), "dear").unwrap();
        assert!(adopt(home.path()).is_err());
        assert!(!is_lab(home.path()));
    }

    #[test]
    fn tags_tell_labs_apart() {
        assert_eq!(tag(Path::new("/a")).len(), 8);
        assert_ne!(tag(Path::new("/a")), tag(Path::new("/b")));
    }
}
