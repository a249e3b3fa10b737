//! What /proc says about running programs: found by the mark in their environment, signalled only when
//! pid and start time still agree. Fed by nobody; read by `daemon`, `sweep` and suites.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// The environment variable that every daemon of a lab carries: `CLUSTER/PROGRAM@DIR`.
/// Children inherit it (containerd's shims do), so the whole family is found by it.
pub const MARK: &str = "SKY_LAB_DAEMON";

/// One running program: a pid alone may be reused, a pid with its start time is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub pid: i32,
    /// Clock ticks after boot, field 22 of /proc/PID/stat.
    pub started: u64,
}

impl Running {
    /// The program with this pid, unless it is gone or only waits to be reaped.
    ///
    /// A zombie with threads is not gone: they hold its sockets and files until they end too.
    pub fn of(pid: i32) -> Option<Self> {
        let (state, started) = stat(pid)?;
        let gone = state == 'X' || (state == 'Z' && threads(pid) <= 1);
        (!gone).then_some(Self { pid, started })
    }

    /// Whether it still runs (stopped counts as running).
    pub fn alive(self) -> bool {
        let alive = Self::of(self.pid) == Some(self);
        if !alive && stat(self.pid).is_some_and(|(state, started)| state == 'Z' && started == self.started) {
            reap(self.pid);
        }
        alive
    }

    /// Whether it runs but was stopped by SIGSTOP.
    pub fn stopped(self) -> bool {
        stat(self.pid).is_some_and(|(state, started)| state == 'T' && started == self.started)
    }

    /// Sends `signal` if it still runs. A program that is gone is no error.
    pub fn signal(self, signal: Signal) -> nix::Result<()> {
        if !self.alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Err(Errno::ESRCH) | Ok(()) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// The value of [`MARK`] in its environment. None also for a program that is just being executed: it
    /// shows no environment, or half of one.
    pub fn mark(self) -> Option<String> {
        let environ = fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        let found = environ
            .split(|byte| *byte == 0)
            .find_map(|entry| entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))
            .map(|value| String::from_utf8_lossy(value).into_owned());
        found.filter(|_| self.alive())
    }

    /// Its command line, `argv[0]` first.
    pub fn command(self) -> Vec<String> {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        line.split(|byte| *byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    }
}

/// The addresses at which these programs accept connections over TCP.
pub fn listens(programs: &[Running]) -> BTreeSet<SocketAddr> {
    let inodes: BTreeSet<String> = programs
        .iter()
        .flat_map(|running| {
            fs::read_dir(format!("/proc/{}/fd", running.pid))
                .into_iter()
                .flatten()
        })
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let sockets = tables
        .iter()
        .flat_map(|table| table.lines().skip(1))
        .filter_map(listener);
    sockets
        .filter(|(_, inode)| inodes.contains(*inode))
        .map(|(address, _)| address)
        .collect()
}

/// Address and inode of a line of /proc/net/tcp or tcp6, if the socket listens. Addresses are words in the
/// machine's own order of bytes.
fn listener(line: &str) -> Option<(SocketAddr, &str)> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (words, port) = fields.get(1)?.split_once(':')?;
    let bytes: Vec<u8> = (0..words.len() / 8)
        .filter_map(|n| u32::from_str_radix(words.get(n * 8..n * 8 + 8)?, 16).ok())
        .flat_map(u32::to_ne_bytes)
        .collect();
    let address: IpAddr = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => four.into(),
        Err(_) => <[u8; 16]>::try_from(bytes.as_slice()).ok()?.into(),
    };
    let socket = SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?);
    (fields.get(3) == Some(&LISTEN)).then_some((socket, *fields.get(9)?))
}

/// The mark of `program` of `cluster` in the lab at `dir`.
pub fn mark_of(dir: &Path, cluster: &str, program: &str) -> String {
    format!("{cluster}/{program}@{}", dir.display())
}

/// Every running program whose mark belongs to the lab at `dir`.
pub fn of_lab(dir: &Path) -> Vec<(Running, String)> {
    let suffix = format!("@{}", dir.display());
    all()
        .filter_map(|running| Some((running, running.mark()?)))
        .filter(|(_, mark)| mark.ends_with(&suffix))
        .collect()
}

fn all() -> impl Iterator<Item = Running> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| Running::of(entry.ok()?.file_name().to_str()?.parse().ok()?))
}

fn stat(pid: i32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself hold blanks and parentheses.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

fn threads(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Start times count from a boot; this tells the boots apart.
pub fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Collects a child of ours that ended; somebody else's zombie is left to its parent. Only for one that was asked about:
/// who looks through all programs must not take away the end of a command that another waits for.
fn reap(pid: i32) {
    let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_seen_and_connections_are_not() {
        let us = Running::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        let four = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let six = std::net::TcpListener::bind("[::1]:0").ok();
        let address = four.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let found = listens(&[us]);
        assert!(found.contains(&address), "{found:?}");
        assert!(!found.contains(&client.local_addr().unwrap()), "{found:?}");
        assert!(six.is_none_or(|six| found.contains(&six.local_addr().unwrap())));
        assert!(listens(&[]).is_empty());
    }

    #[test]
    fn a_child_is_found_by_its_mark_and_lost_when_it_ends() {
        let dir = Path::new("/nowhere/sky-lab-procfs-test");
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .env(MARK, mark_of(dir, "c", "sleep"))
            .spawn()
            .unwrap();
        let found = of_lab(dir);
        assert_eq!(found.len(), 1, "{found:?}");
        let (running, mark) = &found[0];
        assert_eq!(running.pid, i32::try_from(child.id()).unwrap());
        assert_eq!(mark, "c/sleep@/nowhere/sky-lab-procfs-test");
        let reused = Running {
            started: running.started + 1,
            ..*running
        };
        reused.signal(Signal::SIGKILL).unwrap();
        assert!(running.alive(), "another start time is another program");
        running.signal(Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(!running.alive());
        assert!(of_lab(dir).is_empty());
    }
}
