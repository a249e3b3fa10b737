//! Suite `helm`: the chart with both majors of Helm, and the manifest with kubectl alone, on a host whose pods are real.
//! Cases: `chart` (what it renders to and refuses), `pages` (the documents, as they stand), `life` (upgrade under load,
//! rollback, adoption), `work` (waiting for charts of users), `options` (what is not on by default), `roles` (who may do
//! what), `faults` (what is said when it does not work). Here is what they share: a release of the operator.

mod chart;
mod faults;
mod life;
mod options;
mod pages;
mod roles;
mod work;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::Suite;
use super::sky::{Sky, need_real};
use crate::cluster::Cluster;
use crate::helm::{Helm, RELEASE};
use crate::lab::Lab;
use crate::operator::{self, NAMESPACE};
use crate::plan::{MemberSpec, NodeKind, Plan};
use crate::runner::Context;
use crate::{image, wait};

pub const SUITE: Suite = Suite {
    name: "helm",
    about: "the chart by both majors of Helm, the manifest by kubectl: installed, upgraded, rolled back, removed",
    cases: &[
        case!(chart::both_majors_lint_it_and_render_what_is_stored),
        case!(chart::mistyped_values_are_refused_and_named),
        case!(pages::the_page_on_helm_holds_with_helm_3),
        case!(pages::the_page_on_helm_holds_with_helm_4),
        case!(pages::the_page_on_kubectl_holds),
        case!(life::jobs_outlive_an_upgrade_a_rollback_and_a_new_installation),
        case!(work::helm_4_waits_for_work_and_fails_promptly_with_it),
        case!(options::a_release_with_every_option_is_taken_and_gone_by),
        case!(roles::only_who_governs_may_write_rules),
        case!(faults::kinds_that_are_missing_or_old_and_rights_that_are_missing_are_named),
        case!(faults::a_second_release_a_bad_image_and_a_namespace_that_refuses_are_named),
    ],
};

pub(super) const MEMBER: &str = "member-1";
/// Everything of a release happens within this time, also on a slow machine.
pub(super) const BOUND: Duration = Duration::from_secs(150);
const TIMEOUT: &str = "150s";

/// A lab whose host runs pods, and the operator's image there.
pub(super) struct Stage {
    pub lab: Lab,
    pub host: Cluster,
    pub helms: [Helm; 2],
    /// Values that this lab needs: it has neither kube-proxy nor DNS.
    pub values: PathBuf,
    /// The user's kubeconfig, its members by addresses that pods reach.
    pub kubeconfig: PathBuf,
}

impl Stage {
    pub async fn on(context: &Context) -> Result<Self> {
        need_real()?;
        let plan = Plan {
            members: vec![MemberSpec::real(MEMBER)],
            host_node: Some(NodeKind::Real),
            operator: false,
        };
        let helms = Helm::both(&context.reporter).await?;
        let lab = context.lab(&plan).await?;
        let host = lab.host()?;
        let values = lab.dir().join("values.yaml");
        if !values.is_file() {
            let program = operator::programs(&lab, &context.reporter).await?;
            let archive = lab.dir().join("operator.tar");
            image::write_operator(&program, &[&image_name("0.1.0"), &image_name("next")], &archive)?;
            host.import(&archive).await?;
            fs::write(&values, serde_saphyr::to_string(&lab_values(&host)?)?)?;
        }
        let kubeconfig = lab.kubeconfig_for_pods()?;
        Ok(Self {
            lab,
            host,
            helms,
            values,
            kubeconfig,
        })
    }

    /// Helm of this major on the host.
    pub async fn helm(&self, major: u32, arguments: &[&str]) -> Result<String> {
        let mut helms = self.helms.iter();
        let helm = helms.find(|helm| helm.major == major).context("no such Helm")?;
        helm.run(Some(&self.kubeconfig), arguments).await
    }

    /// `helm VERB` of the release with this lab's values and these flags.
    pub async fn release(&self, major: u32, verb: &str, chart: &Path, flags: &[&str]) -> Result<String> {
        let (chart, values) = (chart.display().to_string(), self.values.display().to_string());
        let fixed = [
            verb,
            RELEASE,
            &chart,
            "--namespace",
            NAMESPACE,
            "--values",
            &values,
        ];
        self.helm(major, &[&fixed[..], flags].concat()).await
    }

    /// Installs the release and waits until it is up.
    pub async fn install(&self, major: u32, flags: &[&str]) -> Result<String> {
        let chart = crate::chart::folder();
        let fixed = ["--create-namespace", "--wait", "--timeout", TIMEOUT];
        match self
            .release(major, "install", &chart, &[&fixed[..], flags].concat())
            .await
        {
            Ok(said) => Ok(said),
            Err(error) => bail!("{error:#}; {}", self.logs(NAMESPACE).await),
        }
    }

    pub async fn uninstall(&self, major: u32) -> Result<String> {
        let fixed = [
            "uninstall",
            RELEASE,
            "--namespace",
            NAMESPACE,
            "--wait",
            "--timeout",
            TIMEOUT,
        ];
        self.helm(major, &fixed).await
    }

    /// `kubectl sky …` as a user whose kubeconfig names members as pods reach them.
    pub async fn sky(&self, arguments: &[&str]) -> Result<String> {
        let own = self.kubeconfig.display().to_string();
        self.lab
            .sky(&[&["--kubeconfig", own.as_str()], arguments].concat())
            .await
    }

    /// The lab with its member joined and Ready.
    pub async fn joined(&self) -> Result<Sky> {
        self.sky(&["join", MEMBER, "--from-context", MEMBER]).await?;
        let sky = Sky::of(self.lab.clone()).await?;
        sky.cluster_until(MEMBER, "Ready", |cluster| {
            super::sky::is_true(&super::sky::cluster_conditions(cluster), "Ready")
        })
        .await?;
        Ok(sky)
    }

    /// Fails unless pods of the operator run this image.
    pub async fn runs(&self, image: &str) -> Result<()> {
        let path = "jsonpath={.items[*].spec.containers[0].image}";
        let select = "--selector=app.kubernetes.io/name=sky-operator";
        let get = [
            "get",
            "pods",
            "--namespace",
            NAMESPACE,
            select,
            "--field-selector=status.phase=Running",
            "-o",
            path,
        ];
        let found = self.host.kubectl(&get).await?;
        ensure!(
            found.split(' ').any(|one| one == image),
            "pods run {found}, not {image}"
        );
        Ok(())
    }

    /// Waits until a log of the operator's pods says `wanted`.
    pub async fn log_says(&self, namespace: &str, wanted: &str) -> Result<()> {
        wait::until(&format!("the operator to say {wanted:?}"), BOUND, async || {
            let said = self.logs(namespace).await;
            ensure!(said.contains(wanted), "{said}");
            Ok(())
        })
        .await
    }

    /// What an operator's pod says, and what its container before this one said.
    async fn logs(&self, namespace: &str) -> String {
        let mut said = String::new();
        for previous in ["--previous=false", "--previous=true"] {
            let logs = [
                "logs",
                "--namespace",
                namespace,
                "deployment/sky-operator",
                previous,
            ];
            let found = self.host.kubectl(&logs).await;
            said.push_str(&found.unwrap_or_else(|error| format!("{error:#}")));
        }
        said
    }
}

fn image_name(tag: &str) -> String {
    format!("sky-operator:{tag}")
}

fn lab_values(host: &Cluster) -> Result<Value> {
    let (address, port) = host.from_pods()?;
    Ok(json!({
        "defaultImage": image::NAMES[0],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        "extraEnv": [
            {"name": "KUBERNETES_SERVICE_HOST", "value": address},
            {"name": "KUBERNETES_SERVICE_PORT", "value": port.to_string()},
        ],
    }))
}

/// A small SkyJob that sleeps for so many seconds.
pub(super) fn sleeper(seconds: u32) -> Value {
    json!({"run": format!("sleep {seconds}"), "resources": {"cpu": "10m", "memory": "16Mi"}})
}

/// Pods that the member's Job controller has made in the namespace default since its start.
pub(super) fn pods_made(lab: &Lab) -> Result<usize> {
    let entries = lab.member(MEMBER)?.audit_entries()?;
    let made = entries.iter().filter(|entry| {
        let place = (
            entry.resource.as_str(),
            entry.namespace.as_str(),
            entry.verb.as_str(),
        );
        place == ("pods", "default", "create") && entry.code == 201 && entry.subresource.is_empty()
    });
    Ok(made.count())
}
