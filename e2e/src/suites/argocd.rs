//! Suite `argocd`: the five kinds under a real Argo CD, from a git repository on disk. Cases: `rules` (what Argo CD and
//! kstatus make of recorded objects), `life` (synced, changed by commits, pruned), `ends` (failed and suspended),
//! `actions` (what its buttons do), `calm` (nothing we write is a difference to Git), `operator` (installed by it).

mod actions;
mod calm;
mod ends;
mod life;
mod operator;
mod repository;
mod rules;
mod watch;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use self::repository::Repository;
use super::Suite;
use super::sky::{SOON, Sky};
use crate::argocd::{self, ArgoCd};
use crate::plan::{MemberSpec, Plan};
use crate::runner::Context;
use crate::wait;

pub const SUITE: Suite = Suite {
    name: "argocd",
    about: "Argo CD installs the operator, syncs the five kinds, shows their health, and finds no difference that we made",
    cases: &[
        case!(operator::its_page_installs_upgrades_and_removes_the_operator),
        case!(rules::the_rules_hold_in_argo_cds_own_engine_for_recorded_objects),
        case!(rules::kstatus_judges_recorded_objects_as_helm_and_flux_shall_wait),
        case!(life::an_application_of_all_five_kinds_progresses_and_becomes_healthy),
        case!(calm::a_crowd_of_jobs_is_synced_and_watched_from_here_on),
        case!(ends::a_failed_job_is_degraded_in_our_words),
        case!(ends::a_job_that_git_suspends_is_suspended),
        case!(life::a_commit_runs_a_job_again_and_scales_a_deployment),
        case!(actions::suspend_and_resume_are_not_undone_by_self_heal),
        case!(actions::retry_runs_a_failed_job_once_more_and_is_no_difference),
        case!(actions::restart_starts_pods_anew_and_is_no_difference),
        case!(calm::two_minutes_of_load_make_no_difference_to_git),
        case!(life::what_leaves_git_is_pruned_and_the_members_are_empty),
    ],
};

const CLUSTERS: [&str; 2] = ["cloud-1", "cloud-2"];
/// The Application of all five kinds, its folder in Git, and the namespace of its workloads.
const TEAM: &str = "team";
const LONG: Duration = Duration::from_secs(150);
const ASKED_AGAIN: Duration = Duration::from_secs(20);

/// Two simulated members; the suite `code` shares it.
pub(super) fn plan() -> Plan {
    let members = CLUSTERS.map(|name| MemberSpec::kwok(name).sized(2, 8, "16Gi"));
    Plan {
        members: members.into(),
        ..Plan::default()
    }
}

/// The lab with Argo CD and its repository.
struct Stage {
    sky: Sky,
    argocd: ArgoCd,
    repository: Repository,
}

impl Stage {
    async fn on(context: &Context) -> Result<Self> {
        let sky = Sky::of(context.lab(&plan()).await?).await?;
        let argocd = ArgoCd::of(&sky.lab, &context.reporter).await?;
        rules::put(&sky.lab, &context.reporter).await?;
        let repository = Repository::open(&sky.lab.dir().join("git")).await?;
        Ok(Self {
            sky,
            argocd,
            repository,
        })
    }

    /// Writes an Application of the folder of its name, which syncs, prunes and heals by itself.
    async fn follow(&self, name: &str, namespace: &str) -> Result<()> {
        let application = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {
                "name": name, "namespace": argocd::NAMESPACE,
                "finalizers": ["resources-finalizer.argocd.argoproj.io"],
            },
            "spec": {
                "project": "default",
                "source": {"repoURL": self.repository.url(), "path": name, "targetRevision": "HEAD"},
                "destination": {"name": "host", "namespace": namespace},
                "syncPolicy": {"automated": {"prune": true, "selfHeal": true}},
            },
        });
        self.sky.lab.host()?.apply(&application.to_string()).await?;
        Ok(())
    }

    /// Has an Application compared with the newest commit, and waits until it is as `holds` wants it.
    async fn until(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let newest = self.repository.newest().await?;
        self.argocd.refresh(name).await?;
        let mut asked = Instant::now();
        wait::until(&format!("{name}: {what}"), LONG, async || {
            // On a busy machine it misses a change now and then, and looks again by itself after two minutes only.
            if asked.elapsed() >= ASKED_AGAIN {
                asked = Instant::now();
                self.argocd.refresh(name).await?;
            }
            let found = self.argocd.application(name).await?;
            if found["status"]["sync"]["revision"] == newest.as_str() && holds(&found) {
                return Ok(found);
            }
            bail!("{}", describe(&found))
        })
        .await
    }

    /// Has an Application compared with Git once more; returns what came of it.
    async fn compared(&self, name: &str) -> Result<Value> {
        // It takes the request away with what came of it. Its time tells nothing: two may come within one second.
        let done = |found: &Value| found["metadata"]["annotations"]["argocd.argoproj.io/refresh"].is_null();
        self.until(name, "another comparison", done).await
    }

    /// Waits until an Application is Synced and of this health.
    async fn healthy(&self, name: &str, health: &str) -> Result<Value> {
        self.until(name, health, |found| is(found, "Synced", health))
            .await
    }
}

fn is(application: &Value, sync: &str, health: &str) -> bool {
    let status = &application["status"];
    status["sync"]["status"] == sync && status["health"]["status"] == health
}

/// What Argo CD says of one object of an Application: its sync, its health, and the words of the latter.
fn object(application: &Value, kind: &str, name: &str) -> (String, String, String) {
    let none = Vec::new();
    let objects = application["status"]["resources"].as_array().unwrap_or(&none);
    let found = objects.iter().find(|o| o["kind"] == kind && o["name"] == name);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    found.map_or_else(Default::default, |object| {
        (
            text(&object["status"]),
            text(&object["health"]["status"]),
            text(&object["health"]["message"]),
        )
    })
}

/// An Application in one line.
fn describe(application: &Value) -> String {
    let status = &application["status"];
    let mut text = format!(
        "{} {} at {}",
        status["sync"]["status"], status["health"]["status"], status["sync"]["revision"]
    );
    let none = Vec::new();
    for object in status["resources"].as_array().unwrap_or(&none) {
        if object["status"] != "Synced" || object["health"]["status"] != "Healthy" {
            let (kind, name) = (&object["kind"], &object["name"]);
            text.push_str(&format!(
                "; {kind} {name} {} {}",
                object["status"], object["health"]
            ));
        }
    }
    for said in [&status["conditions"], &status["operationState"]["message"]] {
        if !said.is_null() {
            text.push_str(&format!("; {said}"));
        }
    }
    text
}

/// An object of ours for Git.
fn document(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "skymanager.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// A SkyJob of two small simulated replicas that run this long and end with this code.
fn job(name: &str, run_for: &str, exit: &str) -> Value {
    let env = json!([{"name": "LAB_RUN_FOR", "value": run_for}, {"name": "LAB_EXIT", "value": exit}]);
    let spec =
        json!({"replicas": 2, "run": "true", "env": env, "resources": {"cpu": "100m", "memory": "16Mi"}});
    document("SkyJob", name, spec)
}

fn deployment(name: &str, replicas: i64) -> Value {
    let spec =
        json!({"replicas": replicas, "run": "sleep 600", "resources": {"cpu": "100m", "memory": "16Mi"}});
    document("SkyDeployment", name, spec)
}

/// Waits within the time in which Sky Manager does everything.
async fn soon<T>(what: &str, probe: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    wait::until(what, SOON, probe).await
}
