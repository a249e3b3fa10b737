//! An Application under watch: every state of it that the host stores is a line of a daemon's log, so that not even a
//! moment in which it differs from Git is missed. Used by `calm` and `operator`.

use std::fs;

use anyhow::{Result, ensure};

use crate::argocd::NAMESPACE;
use crate::daemon::Daemon;
use crate::lab::Lab;
use crate::plan::HOST;

const DAEMON: &str = "argocd-watch";

pub(super) struct Watch(Daemon);

impl Watch {
    /// Watches an Application of this name from now on.
    pub(super) fn begin(lab: &Lab, application: &str) -> Result<Self> {
        let columns =
            "jsonpath={.metadata.resourceVersion} {.status.sync.status} {.status.health.status}{\"\\n\"}";
        let kubeconfig = lab.host()?.kubeconfig().display().to_string();
        let program = lab.dir().join("bin/kubectl").display().to_string();
        let command = [
            program.as_str(),
            "--kubeconfig",
            &kubeconfig,
            "--namespace",
            NAMESPACE,
            "get",
            "applications.argoproj.io",
            application,
            "--watch",
            "-o",
            columns,
        ];
        let daemon = Daemon::new(lab.dir(), HOST, DAEMON);
        let _ = fs::remove_file(daemon.log_path());
        daemon.start(&command.map(str::to_owned), &Default::default())?;
        Ok(Self(daemon))
    }

    /// The watch that is under way.
    pub(super) fn of(lab: &Lab) -> Result<Self> {
        Ok(Self(lab.host()?.daemon(DAEMON)?))
    }

    /// How many states it has seen; fails unless the Application was Synced in all of them.
    pub(super) fn states(&self) -> Result<usize> {
        ensure!(self.0.running(), "the watch ended: {}", self.0.log_tail(5));
        let log = fs::read_to_string(self.0.log_path())?;
        let lines: Vec<&str> = log.lines().collect();
        let differs: Vec<&&str> = lines.iter().filter(|line| !line.contains(" Synced ")).collect();
        ensure!(differs.is_empty(), "of {} states: {differs:?}", lines.len());
        Ok(lines.len())
    }

    pub(super) async fn end(self) -> Result<()> {
        self.0.discard().await
    }
}
