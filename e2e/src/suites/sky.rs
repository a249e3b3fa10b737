//! What suites do with Sky Manager as its users do: join members, write SkyJobs, wait for what their status says.
//! Every wait is bounded and says what was seen last.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use sky_crds::{SkyCluster, SkyJob};
use tokio::time::timeout;

use super::Skip;
use crate::lab::Lab;
use crate::machine;
use crate::plan::Plan;
use crate::runner::Context;
use crate::wait;

/// Label on what the operator creates on members: the host it belongs to.
pub const ORIGIN_LABEL: &str = "skymanager.io/origin";
/// Label on what the operator creates on members: uid of the SkyJob.
pub const UID_LABEL: &str = "skymanager.io/uid";
/// Everything that Sky Manager does happens within this time, also on a slow machine.
pub const SOON: Duration = Duration::from_secs(90);
/// One call of the host's API.
const CALL: Duration = Duration::from_secs(30);

/// A lab whose members are joined.
pub struct Sky {
    pub lab: Lab,
    client: Client,
}

impl Sky {
    /// The shared lab of `plan` with every member joined and Ready.
    pub async fn on(context: &Context, plan: &Plan) -> Result<Self> {
        let sky = Self::of(context.lab(plan).await?).await?;
        let joins = sky.lab.members();
        try_join_all(joins.iter().map(async |member| sky.join(member.name()).await)).await?;
        Ok(sky)
    }

    /// A lab as it is.
    pub async fn of(lab: Lab) -> Result<Self> {
        let client = lab.host()?.client().await?;
        Ok(Self { lab, client })
    }

    /// Joins a member unless it is, and waits until it is Ready.
    pub async fn join(&self, name: &str) -> Result<()> {
        let present = timeout(CALL, self.clusters().get_opt(name)).await??;
        if !present.is_some_and(|cluster| is_true(&cluster_conditions(&cluster), "Ready")) {
            self.lab.sky(&["join", name, "--from-context", name]).await?;
        }
        self.cluster_until(name, "Ready", |cluster| {
            is_true(&cluster_conditions(cluster), "Ready")
        })
        .await
        .map(|_| ())
    }

    /// SkyJobs of the namespace default.
    pub fn jobs(&self) -> Api<SkyJob> {
        Api::namespaced(self.client.clone(), "default")
    }

    pub fn clusters(&self) -> Api<SkyCluster> {
        Api::all(self.client.clone())
    }

    /// A client of the host's administrator.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Writes a SkyJob of this spec.
    pub async fn create(&self, name: &str, spec: Value) -> Result<()> {
        self.create_labelled(name, json!({}), spec).await
    }

    /// Writes a SkyJob with labels.
    pub async fn create_labelled(&self, name: &str, labels: Value, spec: Value) -> Result<()> {
        let job: SkyJob = serde_json::from_value(json!({
            "apiVersion": "skymanager.io/v1alpha1", "kind": "SkyJob",
            "metadata": {"name": name, "labels": labels}, "spec": spec,
        }))?;
        let params = PostParams::default();
        timeout(CALL, self.jobs().create(&params, &job))
            .await?
            .with_context(|| format!("create SkyJob {name}"))?;
        Ok(())
    }

    /// Merges `patch` into a SkyJob.
    pub async fn patch(&self, name: &str, patch: Value) -> Result<()> {
        let call = self.jobs();
        timeout(
            CALL,
            call.patch(name, &PatchParams::default(), &Patch::Merge(patch)),
        )
        .await?
        .with_context(|| format!("patch SkyJob {name}"))?;
        Ok(())
    }

    /// Merges `patch` into a SkyCluster.
    pub async fn patch_cluster(&self, name: &str, patch: Value) -> Result<()> {
        let call = self.clusters();
        timeout(
            CALL,
            call.patch(name, &PatchParams::default(), &Patch::Merge(patch)),
        )
        .await?
        .with_context(|| format!("patch SkyCluster {name}"))?;
        Ok(())
    }

    pub async fn job(&self, name: &str) -> Result<SkyJob> {
        let call = timeout(CALL, self.jobs().get(name)).await?;
        call.with_context(|| format!("get SkyJob {name}"))
    }

    /// Waits until a SkyJob is as `holds` wants it.
    pub async fn until(&self, name: &str, what: &str, holds: impl Fn(&SkyJob) -> bool) -> Result<SkyJob> {
        wait::until(&format!("{name}: {what}"), SOON, async || {
            let job = self.job(name).await?;
            if holds(&job) {
                Ok(job)
            } else {
                bail!("{}", describe(&job))
            }
        })
        .await
    }

    /// Waits until a condition of a SkyJob is True with this reason.
    pub async fn until_true(&self, name: &str, kind: &str, reason: &str) -> Result<SkyJob> {
        self.until(name, &format!("{kind}: {reason}"), |job| {
            condition(job, kind).is_some_and(|c| c.status == "True" && c.reason == reason)
        })
        .await
    }

    /// Waits until a SkyJob is Complete; ends at once when it failed.
    pub async fn complete(&self, name: &str) -> Result<SkyJob> {
        wait::until(&format!("{name} to complete"), SOON, async || {
            let job = self.job(name).await?;
            let is = |kind| condition(&job, kind).is_some_and(|c| c.status == "True");
            if is("Failed") {
                return Err(wait::hopeless(anyhow!("{}", describe(&job))));
            }
            if is("Complete") {
                Ok(job)
            } else {
                bail!("{}", describe(&job))
            }
        })
        .await
    }

    /// Deletes a SkyJob and waits until it is gone, and with it what was on the members.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let uid = self.job(name).await?.uid().unwrap_or_default();
        timeout(CALL, self.jobs().delete(name, &DeleteParams::default())).await??;
        self.gone(name).await?;
        for member in self.lab.members() {
            let left = shares(&member.client().await?, &uid).await?;
            ensure!(
                left.is_empty(),
                "{name} is gone, but {} holds {}",
                member.name(),
                left[0].name_any()
            );
        }
        Ok(())
    }

    /// Every SkyJob of the namespace default.
    pub async fn all(&self) -> Result<Vec<SkyJob>> {
        Ok(timeout(CALL, self.jobs().list(&ListParams::default()))
            .await??
            .items)
    }

    /// Waits until every SkyJob is Complete; ends at once when one failed.
    pub async fn all_complete(&self, bound: Duration) -> Result<Vec<SkyJob>> {
        wait::until("all SkyJobs to complete", bound, async || {
            let jobs = self.all().await?;
            let is = |job: &SkyJob, kind| condition(job, kind).is_some_and(|c| c.status == "True");
            if let Some(job) = jobs.iter().find(|job| is(job, "Failed")) {
                bail!(wait::hopeless(anyhow!("{}: {}", job.name_any(), describe(job))));
            }
            let left = jobs.iter().filter(|job| !is(job, "Complete"));
            match left.clone().next() {
                None => Ok(jobs),
                Some(job) => bail!(
                    "{} are not done, such as {}: {}",
                    left.count(),
                    job.name_any(),
                    describe(job)
                ),
            }
        })
        .await
    }

    /// Asks for the deletion of every SkyJob.
    pub async fn delete_all(&self) -> Result<()> {
        let (each, all) = (DeleteParams::default(), ListParams::default());
        timeout(CALL, self.jobs().delete_collection(&each, &all)).await??;
        Ok(())
    }

    /// Waits until there is no SkyJob.
    pub async fn all_gone(&self, bound: Duration) -> Result<()> {
        wait::until("all SkyJobs to go", bound, async || {
            let left = self.all().await?;
            match left.first() {
                None => Ok(()),
                Some(job) => bail!("{} are left, such as {}", left.len(), describe(job)),
            }
        })
        .await
    }

    /// Waits until there is no such SkyJob.
    pub async fn gone(&self, name: &str) -> Result<()> {
        wait::until(&format!("{name} to go"), SOON, async || {
            match timeout(CALL, self.jobs().get_opt(name)).await?? {
                None => Ok(()),
                Some(job) => bail!("{}", describe(&job)),
            }
        })
        .await
    }

    /// The Jobs of a SkyJob on a member.
    pub async fn shares(&self, name: &str, member: &str) -> Result<Vec<Job>> {
        let uid = self.job(name).await?.uid().unwrap_or_default();
        shares(&self.lab.member(member)?.client().await?, &uid).await
    }

    /// The pods of the SkyJob with this uid on a member.
    pub async fn pods(&self, uid: &str, member: &str) -> Result<Vec<Pod>> {
        let of = ListParams::default().labels(&format!("{}={uid}", UID_LABEL));
        let pods: Api<Pod> = Api::all(self.lab.member(member)?.client().await?);
        Ok(timeout(CALL, pods.list(&of)).await??.items)
    }

    /// Waits until a SkyCluster is as `holds` wants it.
    pub async fn cluster_until(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&SkyCluster) -> bool,
    ) -> Result<SkyCluster> {
        wait::until(&format!("{name}: {what}"), SOON, async || {
            let cluster = timeout(CALL, self.clusters().get(name)).await??;
            if holds(&cluster) {
                Ok(cluster)
            } else {
                bail!("{}", words(&cluster_conditions(&cluster)))
            }
        })
        .await
    }
}

/// Ends a case that needs real containers where there are none.
pub fn need_real() -> Result<()> {
    match machine::no_real_nodes() {
        None => Ok(()),
        Some(reason) => Err(Skip(format!("no real nodes here: {reason}")).into()),
    }
}

async fn shares(member: &Client, uid: &str) -> Result<Vec<Job>> {
    let of = ListParams::default().labels(&format!("{}={uid}", UID_LABEL));
    let jobs: Api<Job> = Api::all(member.clone());
    Ok(timeout(CALL, jobs.list(&of)).await??.items)
}

pub fn is_running(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    status.is_some_and(|status| status.phase.as_deref() == Some("Running"))
}

/// A condition of a SkyJob.
pub fn condition<'j>(job: &'j SkyJob, kind: &str) -> Option<&'j Condition> {
    let conditions = &job.status.as_ref()?.conditions;
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// The message of a condition; empty without one.
pub fn message(job: &SkyJob, kind: &str) -> String {
    condition(job, kind).map_or_else(String::new, |condition| condition.message.clone())
}

pub fn phase(job: &SkyJob) -> &str {
    let status = job.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// Replicas by cluster, such as `c1:2,c2:1`.
pub fn summary(job: &SkyJob) -> &str {
    let status = job.status.as_ref();
    status
        .and_then(|status| status.summary.as_deref())
        .unwrap_or_default()
}

/// What a status says, in one line.
pub fn describe(job: &SkyJob) -> String {
    let status = job.status.clone().unwrap_or_default();
    let phase = status.phase.clone().unwrap_or_default();
    format!("{phase} on [{}]: {}", summary(job), words(&status.conditions))
}

pub fn cluster_conditions(cluster: &SkyCluster) -> Vec<Condition> {
    cluster
        .status
        .as_ref()
        .map(|status| status.conditions.clone())
        .unwrap_or_default()
}

/// Whether the condition of this kind is True.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    conditions
        .iter()
        .any(|condition| condition.type_ == kind && condition.status == "True")
}

/// The message of the condition of this kind; empty without one.
pub fn condition_words(conditions: &[Condition], kind: &str) -> String {
    let mut conditions = conditions.iter();
    let found = conditions.find(|condition| condition.type_ == kind);
    found
        .map(|condition| condition.message.clone())
        .unwrap_or_default()
}

/// Conditions in one line.
pub fn words(conditions: &[Condition]) -> String {
    let each = conditions.iter();
    let each: Vec<String> = each
        .map(|c| format!("{}={} {}: {}", c.type_, c.status, c.reason, c.message))
        .collect();
    each.join("; ")
}
