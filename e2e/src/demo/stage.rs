//! Shows what a user types and sees: each command runs in a shell exactly as it is printed, with the lab's
//! programs on PATH, in the checkout. Used by every part of the demonstration.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::lab::Lab;
use crate::report::Reporter;
use crate::workspace;

/// The longest that one command may take.
const BOUND: Duration = Duration::from_secs(120);

pub struct Stage {
    lab: Lab,
    reporter: Reporter,
}

impl Stage {
    pub fn new(lab: Lab, reporter: Reporter) -> Self {
        Self { lab, reporter }
    }

    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    pub fn heading(&self, text: &str) {
        self.reporter.result(format!("\n=== {text}"));
    }

    /// A remark that is no output of a command.
    pub fn say(&self, text: &str) {
        self.reporter.result(format!("# {text}"));
    }

    /// Prints `command`, runs it, prints what it says as it says it, and returns that. Fails when it does.
    pub async fn run(&self, command: &str) -> Result<String> {
        let (mut child, mut lines) = self.start(command)?;
        let mut said = String::new();
        let finish = async {
            while let Some(line) = lines.next_line().await? {
                self.reporter.result(&line);
                said.push_str(&line);
                said.push('\n');
            }
            anyhow::Ok(child.wait().await?)
        };
        let status = timeout(BOUND, finish)
            .await
            .with_context(|| format!("`{command}` took longer than {} s", BOUND.as_secs()))??;
        if !status.success() {
            bail!("`{command}` ended with {status}");
        }
        Ok(said)
    }

    /// Like [`Stage::run`] for a command that never ends: until a line is the one waited for.
    pub async fn watch(&self, command: &str, enough: impl Fn(&str) -> bool) -> Result<()> {
        let (mut child, mut lines) = self.start(command)?;
        let wait = async {
            while let Some(line) = lines.next_line().await? {
                self.reporter.result(&line);
                if enough(&line) {
                    return Ok(());
                }
            }
            bail!("`{command}` ended by itself")
        };
        let seen = timeout(BOUND, wait).await;
        child.kill().await?;
        self.reporter.result("^C");
        seen.with_context(|| format!("`{command}` did not show the end in {} s", BOUND.as_secs()))?
    }

    fn start(&self, command: &str) -> Result<(Child, Lines<BufReader<ChildStdout>>)> {
        self.reporter.result(format!("\n$ {command}"));
        let mut child = Command::new("/bin/sh")
            // exec: the shell becomes the command, so that killing it ends a watch.
            .args(["-c", &format!("exec 2>&1; exec {command}")])
            .envs(self.lab.exec_env())
            .current_dir(workspace::root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start `{command}`"))?;
        let Some(stdout) = child.stdout.take() else {
            bail!("`{command}` without stdout")
        };
        Ok((child, BufReader::new(stdout).lines()))
    }
}
