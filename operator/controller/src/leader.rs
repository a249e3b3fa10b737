//! Leader election by a Lease, as client-go does it: one of several operators leads, and only that one writes. Started by
//! `run`, opens the gate that every write passes (`sky_member::gate`).
//!
//! A lease of another has expired when its record has not changed for its duration, seen from here: no clocks are
//! compared. The gate shuts a while before others may take over, counted from the begin of the last renewal.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use sky_member::gate::{Gate, Shut};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Name of the Lease.
pub const LEASE: &str = "sky-operator";

/// Exit code of an operator that lost its lease.
pub const LOST: u8 = 75;

/// Words of a lease that was renewed too late.
const TOO_LATE: &str = "it was not renewed in time";

/// How long a lease holds, and how often it is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Others take over when it has not been renewed for so long.
    pub duration: Duration,
    /// Who could not renew it for so long writes no more.
    pub deadline: Duration,
    /// Between two tries to get or renew it.
    pub retry: Duration,
}

/// Why terms are refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TermsError {
    /// Others would take over while this one still writes.
    #[error("use --lease-duration-seconds {0}: it must be more than --renew-deadline-seconds {1}")]
    Duration(u64, u64),
    /// No second try would fit in.
    #[error("use --renew-deadline-seconds {0}: it must be more than 1.2 times --retry-period-seconds {1}")]
    Deadline(u64, u64),
}

impl Terms {
    /// Terms of so many seconds each.
    ///
    /// # Errors
    /// When they do not fit each other.
    pub fn new(duration: u64, deadline: u64, retry: u64) -> Result<Self, TermsError> {
        if duration <= deadline {
            return Err(TermsError::Duration(duration, deadline));
        }
        if deadline.saturating_mul(5) <= retry.saturating_mul(6) {
            return Err(TermsError::Deadline(deadline, retry));
        }
        Ok(Self {
            duration: Duration::from_secs(duration),
            deadline: Duration::from_secs(deadline),
            retry: Duration::from_secs(retry),
        })
    }
}

/// The lease is gone: nothing may be written any more.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the lease was lost: {0}; another operator may lead by now, so that this one ends")]
pub struct Lost(String);

impl Lost {
    /// Found out by a write that came too late, or by nobody in particular.
    #[must_use]
    fn new() -> Self {
        Self(TOO_LATE.into())
    }
}

/// Why the lease was lost, for those who end the operator: written before the gate shuts, so that it is there when they
/// hear of it.
#[derive(Clone, Debug, Default)]
pub struct Verdict(Arc<OnceLock<Lost>>);

impl Verdict {
    /// The reason; when a write found the lease run out before the election did, nobody knows more than that.
    #[must_use]
    pub fn lost(&self) -> Lost {
        self.0.get().cloned().unwrap_or_else(Lost::new)
    }
}

/// Why one try did not succeed.
#[derive(Debug, Error)]
enum LeaseError {
    #[error("{0}")]
    Host(#[from] kube::Error),
    #[error("no answer in time")]
    Silent,
    #[error(transparent)]
    Shut(#[from] Shut),
}

/// What the lease said when it last changed, and when that was seen here.
struct Observed {
    metadata: ObjectMeta,
    spec: LeaseSpec,
    since: Duration,
}

/// What one try found.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// It is ours.
    Held,
    /// It is this one's.
    HeldBy(String),
    /// Somebody changed it at the same moment: the next try sees who.
    Overtaken,
}

/// One operator that leads or would.
pub struct Candidate {
    leases: Api<Lease>,
    identity: String,
    terms: Terms,
    gate: Gate,
    observed: Option<Observed>,
    leading: watch::Sender<bool>,
    verdict: Verdict,
}

impl Candidate {
    /// A candidate named `identity`, which no other may have, in this namespace of the host.
    #[must_use]
    pub fn new(client: Client, namespace: &str, identity: String, terms: Terms, gate: Gate) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            identity,
            terms,
            gate,
            observed: None,
            leading: watch::Sender::new(false),
            verdict: Verdict::default(),
        }
    }

    /// Why it lost, once it has.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// True from when it leads.
    #[must_use]
    pub fn leading(&self) -> watch::Receiver<bool> {
        self.leading.subscribe()
    }

    /// Stands until `stop`, and when it leads, leads until `ended`: what it started has come to rest then, and the lease
    /// is given back.
    ///
    /// # Errors
    /// When it led and does not any more.
    pub async fn run(mut self, stop: CancellationToken, ended: CancellationToken) -> Result<(), Lost> {
        tokio::select! {
            acquired = self.acquire() => acquired?,
            () = stop.cancelled() => {
                // It may have been granted at the very end.
                self.release().await;
                return Ok(());
            }
        }
        self.leading.send_replace(true);
        tracing::info!(identity = self.identity, "leading");
        tokio::select! {
            lost = self.keep() => return Err(lost),
            () = ended.cancelled() => {}
        }
        self.release().await;
        Ok(())
    }

    /// Returns when the lease is ours and the gate open.
    async fn acquire(&mut self) -> Result<(), Lost> {
        let mut holder = None;
        loop {
            match self.attempt().await {
                Ok(Found::Held) => return Ok(()),
                Ok(Found::HeldBy(other)) if holder.as_ref() != Some(&other) => {
                    tracing::info!(leader = other, "standing by");
                    holder = Some(other);
                }
                Ok(Found::HeldBy(_) | Found::Overtaken) => {}
                Err(LeaseError::Shut(_)) => return Err(self.lose(TOO_LATE.into())),
                Err(error) => tracing::warn!("failed to get the lease {LEASE}: {error}"),
            }
            tokio::time::sleep(self.pause()).await;
        }
    }

    /// Renews the lease until that cannot be done in time.
    async fn keep(&mut self) -> Lost {
        let mut trouble = TOO_LATE.to_owned();
        let mut ticks = tokio::time::interval_at(Instant::now() + self.terms.retry, self.terms.retry);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // At once after a try that was not answered: time is short then.
            ticks.tick().await;
            let left = self
                .gate
                .until()
                .unwrap_or_default()
                .saturating_sub(self.gate.now());
            match tokio::time::timeout(left, self.attempt()).await {
                Ok(Ok(Found::Held | Found::Overtaken)) => {}
                Ok(Ok(Found::HeldBy(other))) => return self.lose(format!("{other} holds it")),
                Ok(Err(LeaseError::Shut(_))) | Err(_) => return self.lose(trouble),
                Ok(Err(error)) => {
                    tracing::warn!("failed to renew the lease {LEASE}: {error}");
                    trouble = format!("{TOO_LATE}: {error}");
                }
            }
        }
    }

    fn lose(&self, why: String) -> Lost {
        let lost = Lost(why);
        // It ends with the first.
        let _ = self.verdict.0.set(lost.clone());
        self.gate.lose();
        lost
    }

    /// One try to get the lease or to keep it. The gate is opened until the deadline after the begin of the try that
    /// succeeded: others may see the change of the lease from then on, not before.
    async fn attempt(&mut self) -> Result<Found, LeaseError> {
        if self.holds() && self.write(false).await? == Found::Held {
            return Ok(Found::Held);
        }
        self.gate.wire()?;
        let Some(lease) = self.within(self.leases.get_opt(LEASE)).await? else {
            self.observed = None;
            return self.write(true).await;
        };
        self.observe(lease);
        match self.holder_in_force() {
            Some(other) => Ok(Found::HeldBy(other)),
            None => self.write(false).await,
        }
    }

    /// Writes our name on the lease as it was seen last, or creates it.
    async fn write(&mut self, create: bool) -> Result<Found, LeaseError> {
        let begun = self.gate.now();
        self.gate.wire()?;
        let lease = self.object(self.claim());
        let params = PostParams::default();
        let written = if create {
            self.within(self.leases.create(&params, &lease)).await
        } else {
            self.within(self.leases.replace(LEASE, &params, &lease)).await
        };
        match written {
            Ok(lease) => {
                self.observe(lease);
                self.gate.open_until(begun + self.terms.deadline)?;
                Ok(Found::Held)
            }
            Err(LeaseError::Host(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {
                Ok(Found::Overtaken)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the lease back: the next candidate need not wait. Everything that was begun is over.
    async fn release(&mut self) {
        self.gate.resign();
        // A renewal may still be on its way.
        for _ in 0..3 {
            match self.try_release().await {
                Ok(true) => return tracing::info!("gave the lease back"),
                Ok(false) => return,
                Err(LeaseError::Host(kube::Error::Api(status))) if status.code == 409 => {}
                Err(error) => return tracing::warn!("failed to give the lease {LEASE} back: {error}"),
            }
        }
    }

    /// Whether it was ours to give back.
    async fn try_release(&mut self) -> Result<bool, LeaseError> {
        let Some(lease) = self.within(self.leases.get_opt(LEASE)).await? else {
            return Ok(false);
        };
        let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
        self.observe(lease);
        if !self.holds() {
            return Ok(false);
        }
        let now = MicroTime(Timestamp::now());
        let freed = self.object(LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: transitions,
            ..LeaseSpec::default()
        });
        let params = PostParams::default();
        self.within(self.leases.replace(LEASE, &params, &freed)).await?;
        Ok(true)
    }

    /// The record that says that it is ours.
    fn claim(&self) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let before = self.observed.as_ref().map(|observed| &observed.spec);
        let transitions = before.and_then(|spec| spec.lease_transitions);
        let (acquired, transitions) = match before {
            Some(spec) if self.holds() => (spec.acquire_time.clone(), transitions.unwrap_or(0)),
            Some(_) => (None, transitions.unwrap_or(0).saturating_add(1)),
            None => (None, 0),
        };
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.terms.duration.as_secs()).ok(),
            acquire_time: acquired.or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    /// The lease with this record, and otherwise as it was seen last: a write is refused when it has changed since.
    fn object(&self, spec: LeaseSpec) -> Lease {
        let seen = self.observed.as_ref().map(|observed| observed.metadata.clone());
        let mut metadata = seen.unwrap_or_default();
        metadata.name = Some(LEASE.into());
        metadata.managed_fields = None;
        Lease {
            metadata,
            spec: Some(spec),
        }
    }

    /// Takes in what the lease says; a change of its record is noted with the time at which it is seen.
    fn observe(&mut self, lease: Lease) {
        let spec = lease.spec.unwrap_or_default();
        let known = self.observed.take().filter(|observed| observed.spec == spec);
        self.observed = Some(Observed {
            metadata: lease.metadata,
            spec,
            since: known.map_or_else(|| self.gate.now(), |observed| observed.since),
        });
    }

    /// Whether the lease, as last seen, names us.
    fn holds(&self) -> bool {
        let holder = self
            .observed
            .as_ref()
            .and_then(|observed| observed.spec.holder_identity.as_ref());
        holder == Some(&self.identity)
    }

    /// Another that holds the lease, and whose record has changed within its duration.
    fn holder_in_force(&self) -> Option<String> {
        let observed = self.observed.as_ref()?;
        let holder = observed
            .spec
            .holder_identity
            .clone()
            .filter(|holder| !holder.is_empty())?;
        let seconds = observed
            .spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok());
        let duration = seconds.map_or(self.terms.duration, Duration::from_secs);
        let in_force = self.gate.now() < observed.since + duration;
        (holder != self.identity && in_force).then_some(holder)
    }

    /// Bounds a call, so that one without an answer leaves time for another.
    async fn within<T>(&self, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, LeaseError> {
        match tokio::time::timeout(self.terms.deadline / 2, call).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(LeaseError::Silent),
        }
    }

    /// Between two tries to get it: candidates that began together drift apart.
    fn pause(&self) -> Duration {
        let [first, ..] = *uuid::Uuid::new_v4().as_bytes();
        self.terms.retry.mul_f64(1.0 + f64::from(first) / 255.0 * 0.2)
    }
}

#[cfg(test)]
mod tests;
