//! Who wrote what when, as the audit logs of all clusters tell it: operators by their user agents. Part of the suite
//! `leader`.

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};

use crate::cluster::AuditEntry;
use crate::daemon::Daemon;
use crate::suites::counts::tally::Mark;
use crate::suites::sky::Sky;

/// Writes of operators since a mark, in the order of their ends.
pub(super) struct Story(Vec<(String, AuditEntry)>);

fn is_lease(entry: &AuditEntry) -> bool {
    entry.resource == "leases"
}

impl Story {
    pub(super) fn since(mark: &Mark, sky: &Sky) -> Result<Self> {
        let mut told = Vec::new();
        for cluster in sky.lab.clusters() {
            let entries = mark.entries(&cluster)?.into_iter();
            told.extend(entries.map(|entry| (cluster.name().to_owned(), entry)));
        }
        told.sort_by_key(|(_, entry)| entry.stage_timestamp);
        Ok(Self(told))
    }

    /// What this operator wrote, the lease included.
    fn of<'s>(&'s self, daemon: &Daemon) -> impl Iterator<Item = &'s (String, AuditEntry)> + use<'s> {
        let name = format!("({}_", daemon.name());
        self.0
            .iter()
            .filter(move |(_, entry)| entry.user_agent.contains(&name))
    }

    /// How much this operator wrote, without the lease.
    pub(super) fn count(&self, daemon: &Daemon) -> usize {
        self.of(daemon).filter(|(_, entry)| !is_lease(entry)).count()
    }

    /// When the lease was first given to this operator.
    pub(super) fn acquired(&self, daemon: &Daemon) -> Result<Timestamp> {
        let mut writes = self.of(daemon);
        let granted = writes.find(|(_, entry)| is_lease(entry) && matches!(entry.code, 200 | 201));
        let (_, entry) = granted.with_context(|| format!("{} was never granted the lease", daemon.name()))?;
        Ok(entry.stage_timestamp)
    }

    /// Shows that of two operators the earlier wrote nothing after the later was granted the lease, the lease included,
    /// and the later nothing but the lease before. Answers how long nobody wrote the lease.
    pub(super) fn shows_one_writer(&self, earlier: &Daemon, later: &Daemon) -> Result<SignedDuration> {
        let acquired = self.acquired(later)?;
        let early = self
            .of(later)
            .find(|(_, entry)| entry.stage_timestamp < acquired && !is_lease(entry));
        ensure!(early.is_none(), "{} wrote before it led: {early:?}", later.name());
        let late = self
            .of(earlier)
            .find(|(_, entry)| entry.stage_timestamp > acquired);
        ensure!(
            late.is_none(),
            "{} wrote after another led from {acquired} on: {late:?}",
            earlier.name()
        );
        ensure!(
            self.count(earlier) > 0 && self.count(later) > 0,
            "both have written"
        );
        let last = self.of(earlier).filter(|(_, entry)| is_lease(entry)).last();
        let (_, last) = last.context("the earlier never wrote the lease")?;
        Ok(acquired.duration_since(last.stage_timestamp))
    }
}
