//! Takes away everything that a lab started or left on this machine, whether it ended well or was killed.
//! Called by `lab` before it brings one up and to take it down; needs no record of what was started.

pub mod outside;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::Signal;

use crate::procfs;
use crate::slot;

const BOUND: Duration = Duration::from_secs(20);

/// Ends the lab at `dir`: its daemons, containers, mounts, bridges, cgroups and slots. Its files stay.
pub async fn sweep(dir: &Path) -> Result<()> {
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || sweep_now(&dir)).await?
}

/// What of the lab at `dir` is still on this machine, besides its files.
pub fn leftovers(dir: &Path) -> Vec<String> {
    let daemons = procfs::of_lab(dir)
        .into_iter()
        .map(|(running, mark)| format!("pid {} {mark}", running.pid));
    let mounts = mounts_under(dir)
        .into_iter()
        .map(|path| format!("mount {}", path.display()));
    let paths = outside::paths(dir)
        .into_iter()
        .map(|path| path.display().to_string());
    daemons.chain(mounts).chain(paths).collect()
}

/// What the containers of the lab at `dir` hold outside it, as paths: gone after a sweep.
pub fn container_traces(dir: &Path) -> Vec<PathBuf> {
    outside::containers(dir).into_paths()
}

/// Kills the daemons of one cluster, for a second try on other ports.
pub(crate) async fn kill_cluster(dir: &Path, cluster: &str) -> Result<()> {
    let (dir, prefix) = (dir.to_owned(), format!("{cluster}/"));
    tokio::task::spawn_blocking(move || kill_marked(&dir, &prefix)).await?
}

fn sweep_now(dir: &Path) -> Result<()> {
    // Read before containerd and its state are gone.
    let containers = outside::containers(dir);
    kill_marked(dir, "")?;
    outside::kill_contained(dir, BOUND)?;
    unmount(mounts_under(dir))?;
    containers.remove();
    outside::remove(dir, BOUND)?;
    slot::release(dir)
}

/// SIGKILL for everything that carries the mark, until two looks find nothing: what is killed may just have
/// started something, and a program shows no environment while it is being executed.
/// kube-apiserver takes up to a minute to stop on SIGTERM; nothing here needs that.
fn kill_marked(dir: &Path, prefix: &str) -> Result<()> {
    let begin = Instant::now();
    let mut empty = 0;
    loop {
        let found: Vec<_> = procfs::of_lab(dir)
            .into_iter()
            .filter(|(_, mark)| mark.starts_with(prefix))
            .collect();
        empty = if found.is_empty() { empty + 1 } else { 0 };
        if empty == 2 {
            return Ok(());
        }
        if begin.elapsed() > BOUND {
            let marks: BTreeSet<_> = found.into_iter().map(|(_, mark)| mark).collect();
            bail!("still running after SIGKILL: {marks:?}");
        }
        for (running, mark) in found {
            running
                .signal(Signal::SIGKILL)
                .with_context(|| format!("kill {mark}"))?;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Mount points under `dir`, innermost first.
fn mounts_under(dir: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut found: Vec<PathBuf> = text
        .lines()
        .filter_map(|line| Some(unescape(line.split(' ').nth(4)?)))
        .filter(|path| path.starts_with(dir) && path != dir)
        .collect();
    found.reverse();
    found
}

/// The file's contents must not be deleted through a mount that is still there: an error stops `down`.
fn unmount(paths: Vec<PathBuf>) -> Result<()> {
    for path in paths {
        umount2(&path, MntFlags::MNT_DETACH).with_context(|| format!("unmount {}", path.display()))?;
    }
    Ok(())
}

/// Blanks and the like are octal in mountinfo: `\040`.
fn unescape(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match (
            part.get(..3).and_then(|octal| u8::from_str_radix(octal, 8).ok()),
            part.get(3..),
        ) {
            (Some(byte), Some(rest)) => {
                path.push(char::from(byte));
                path.push_str(rest);
            }
            _ => path.push_str(part),
        }
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_with_blanks_are_read() {
        assert_eq!(unescape(r"/a\040b/c"), Path::new("/a b/c"));
        assert_eq!(unescape("/plain"), Path::new("/plain"));
        assert!(mounts_under(Path::new("/nowhere")).is_empty());
    }
}
