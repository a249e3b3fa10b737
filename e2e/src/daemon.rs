//! One long-running program of one cluster: start it detached, stop, continue, kill and restart it.
//! Started by `cluster`, `network` and `operator`; what a crash leaves behind is found by `sweep`.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::procfs::{self, MARK, Running};
use crate::wait;

/// A program of a cluster. The value is a name, not a claim that it runs.
#[derive(Clone, Debug)]
pub struct Daemon {
    lab: PathBuf,
    cluster: String,
    program: String,
}

/// What is written down about a daemon: before its start how, and after it who.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    command: Vec<String>,
    env: BTreeMap<String, String>,
    boot: String,
    running: Option<Running>,
}

impl Daemon {
    pub(crate) fn new(lab: &Path, cluster: &str, program: &str) -> Self {
        Self {
            lab: lab.to_owned(),
            cluster: cluster.to_owned(),
            program: program.to_owned(),
        }
    }

    /// The daemon, if it was ever started in this lab.
    pub(crate) fn existing(lab: &Path, cluster: &str, program: &str) -> Result<Self> {
        let daemon = Self::new(lab, cluster, program);
        if daemon.record_path().is_file() {
            return Ok(daemon);
        }
        let known = Self::all(lab, cluster)
            .iter()
            .map(|d| d.program.clone())
            .collect::<Vec<_>>();
        bail!("{cluster} has no daemon {program}; it has {}", known.join(", "))
    }

    /// Every daemon of `cluster` that was started, by name.
    pub(crate) fn all(lab: &Path, cluster: &str) -> Vec<Self> {
        let mut names: Vec<String> = fs::read_dir(lab.join(cluster).join("daemons"))
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                Some(
                    entry
                        .ok()?
                        .file_name()
                        .to_str()?
                        .strip_suffix(".json")?
                        .to_owned(),
                )
            })
            .collect();
        names.sort();
        names.iter().map(|name| Self::new(lab, cluster, name)).collect()
    }

    pub fn name(&self) -> &str {
        &self.program
    }

    /// Starts it detached: a session of its own, no terminal, output appended to its log.
    ///
    /// The command is recorded before the spawn. If we die between spawn and the second record, the mark
    /// in its environment still tells whose it is.
    pub(crate) fn start(&self, command: &[String], env: &BTreeMap<String, String>) -> Result<()> {
        let mut record = Record {
            command: command.to_vec(),
            env: env.clone(),
            boot: procfs::boot(),
            running: None,
        };
        self.write(&record)?;
        let [program, arguments @ ..] = command else {
            bail!("{}: an empty command", self.program)
        };
        let log = self.log_path();
        fs::create_dir_all(log.parent().unwrap_or(&self.lab))?;
        let log = OpenOptions::new().create(true).append(true).open(&log)?;
        let child = Command::new("setsid")
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", std::env::var_os("HOME").unwrap_or_else(|| "/".into()))
            .envs(env)
            .env(MARK, self.mark())
            .current_dir(self.lab.join(&self.cluster))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {} of {}", self.program, self.cluster))?;
        record.running = Running::of(i32::try_from(child.id())?);
        self.write(&record)
    }

    /// The running program, by its record, else by its mark.
    pub fn found(&self) -> Option<Running> {
        let record = self.read().ok()?;
        if let Some(running) = record.running {
            return (record.boot == procfs::boot() && running.alive()).then_some(running);
        }
        let program = record.command.first()?;
        procfs::of_lab(&self.lab)
            .into_iter()
            .find(|(running, mark)| *mark == self.mark() && running.command().first() == Some(program))
            .map(|(running, _)| running)
    }

    /// Whether it runs; a stopped one does.
    pub fn running(&self) -> bool {
        self.found().is_some()
    }

    /// SIGSTOP: it keeps its sockets and answers nothing.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// SIGCONT after [`Self::stop`].
    pub fn cont(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// SIGKILL, and waits until it is gone. One that does not run is no error.
    pub async fn kill(&self) -> Result<()> {
        self.end(Signal::SIGKILL).await
    }

    /// SIGTERM, and waits until it is gone: what it has to save is saved. One that does not run is no error.
    pub async fn terminate(&self) -> Result<()> {
        self.end(Signal::SIGTERM).await
    }

    async fn end(&self, signal: Signal) -> Result<()> {
        let Some(running) = self.found() else {
            return Ok(());
        };
        running.signal(signal)?;
        wait::until(
            &format!("the end of {}", self.program),
            Duration::from_secs(10),
            async || {
                if running.alive() {
                    Err(anyhow!("pid {} still runs", running.pid))
                } else {
                    Ok(())
                }
            },
        )
        .await
    }

    /// Does `end` to it, and waits for its exit code. Only for what this very program started.
    pub async fn exit(&self, bound: Duration, end: impl FnOnce(&Self) -> Result<()>) -> Result<i32> {
        let running = self
            .found()
            .ok_or_else(|| anyhow!("{} does not run", self.program))?;
        end(self)?;
        let what = format!("the exit of {}", self.program);
        wait::until(&what, bound, async || {
            match waitpid(Pid::from_raw(running.pid), Some(WaitPidFlag::WNOHANG))? {
                WaitStatus::Exited(_, code) => Ok(code),
                other => bail!("{other:?}"),
            }
        })
        .await
    }

    /// SIGTERM, without waiting.
    pub fn ask_to_end(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)
    }

    /// Kills it if it runs, and forgets it: it is no part of the lab any more.
    pub async fn discard(&self) -> Result<()> {
        self.kill().await?;
        fs::remove_file(self.record_path()).with_context(|| format!("forget {}", self.program))
    }

    /// Kills it if it runs and starts it with the same arguments. Does not wait until it is ready.
    pub async fn restart(&self) -> Result<()> {
        self.kill().await?;
        let record = self.read()?;
        self.start(&record.command, &record.env)
    }

    /// Like [`Self::restart`], from now on with the environment that `change` makes of the present one.
    pub async fn restart_with(&self, change: impl FnOnce(&mut BTreeMap<String, String>)) -> Result<()> {
        self.kill().await?;
        let mut record = self.read()?;
        change(&mut record.env);
        self.start(&record.command, &record.env)
    }

    pub fn log_path(&self) -> PathBuf {
        self.lab
            .join(&self.cluster)
            .join("log")
            .join(format!("{}.log", self.program))
    }

    /// The last `lines` lines of its log; empty when there is none.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = fs::read(self.log_path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Waits until `probe` succeeds; ends at once, with the log's tail, when the program ends.
    pub(crate) async fn ready<T>(
        &self,
        bound: Duration,
        mut probe: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        let what = format!("{} of {}", self.program, self.cluster);
        let result = wait::until(&what, bound, async || {
            if !self.running() {
                return Err(wait::hopeless(anyhow!("{what} ended")));
            }
            probe().await
        });
        result.await.map_err(|error| {
            anyhow!(
                "{error:#}\n--- {}\n{}",
                self.log_path().display(),
                self.log_tail(15)
            )
        })
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let running = self
            .found()
            .ok_or_else(|| anyhow!("{} of {} does not run", self.program, self.cluster))?;
        Ok(running.signal(signal)?)
    }

    fn mark(&self) -> String {
        procfs::mark_of(&self.lab, &self.cluster, &self.program)
    }

    fn record_path(&self) -> PathBuf {
        self.lab
            .join(&self.cluster)
            .join("daemons")
            .join(format!("{}.json", self.program))
    }

    fn read(&self) -> Result<Record> {
        let path = self.record_path();
        let text = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    fn write(&self, record: &Record) -> Result<()> {
        crate::state::write_atomically(&self.record_path(), &serde_json::to_vec_pretty(record)?)
    }
}

/// PATH with the places where root's programs live, which an ordinary user's PATH may lack.
pub(crate) fn search_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")
}
