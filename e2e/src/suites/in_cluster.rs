//! Suite `in_cluster`: the operator finds the host as it does in a pod, by a service account's files and the
//! environment, without any kubeconfig. The files are put where a kubelet puts them, in a mount namespace of its own.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt;
use tokio::process::{Child, Command};

use super::{Case, Skip, Suite};
use crate::cluster::Cluster;
use crate::lab::Lab;
use crate::operator;
use crate::plan::{MemberSpec, Plan};
use crate::runner::Context;
use crate::slot::Port;
use crate::{image, wait};

pub const SUITE: Suite = Suite {
    name: "in_cluster",
    about: "the operator runs by its service account, as in a pod",
    cases: &[Case {
        name: "the_operator_runs_by_its_service_account_alone",
        run: |context| by_service_account(context).boxed_local(),
    }],
};

const BOUND: Duration = Duration::from_secs(120);

/// Mounts an empty file system over the place of secrets, in this process's own mount namespace, and puts the files
/// there. $1: the files, $2 and on: the operator.
const IN_A_POD: &str = "mkdir -p /run/secrets && mount -t tmpfs none /run/secrets && \
    mkdir -p /run/secrets/kubernetes.io/serviceaccount && cp \"$1\"/* /run/secrets/kubernetes.io/serviceaccount/ && \
    shift && exec \"$@\"";

async fn by_service_account(context: &Context) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Skip("needs root for a mount namespace".into()).into());
    }
    let plan = Plan {
        members: vec![MemberSpec::kwok("a")],
        ..Plan::default()
    };
    let lab = context.fresh_lab(&plan).await?;
    let host = lab.host()?;
    host.daemon(operator::NAME)?.kill().await?;
    let files = service_account(&lab, &host).await?;
    let mut operator = start(&lab, &host, &files)?;
    let outcome = show(&lab, &host).await;
    operator.kill().await.context("end the operator")?;
    outcome.with_context(|| log_of(&lab))
}

async fn show(lab: &Lab, host: &Cluster) -> Result<()> {
    let port = host.port(Port::Operator);
    wait::until("the operator to be ready", BOUND, async || {
        operator::get(port, "/readyz").await
    })
    .await?;
    lab.sky(&["join", "--all-contexts"]).await?;
    lab.sky(&[
        "create",
        "job",
        "in-a-pod",
        "--resources",
        "cpu",
        "1",
        "--run",
        "true",
    ])
    .await?;
    let complete = [
        "wait",
        "--for=condition=Complete",
        "skyj/in-a-pod",
        "--timeout=90s",
    ];
    lab.kubectl(&complete).await?;
    lab.kubectl(&["delete", "skyj/in-a-pod", "--timeout=60s"]).await?;
    Ok(())
}

/// The three files that a pod finds, for an account that may do what the operator does.
async fn service_account(lab: &Lab, host: &Cluster) -> Result<std::path::PathBuf> {
    let namespace = operator::NAMESPACE;
    host.kubectl(&["-n", namespace, "create", "serviceaccount", operator::NAME])
        .await?;
    let account = format!("--serviceaccount={namespace}:{}", operator::NAME);
    host.kubectl(&[
        "create",
        "clusterrolebinding",
        "sky-operator-account",
        "--clusterrole=cluster-admin",
        &account,
    ])
    .await?;
    let token = host
        .kubectl(&["-n", namespace, "create", "token", operator::NAME])
        .await?;
    let path = "jsonpath={.clusters[0].cluster.certificate-authority-data}";
    let authority = host.kubectl(&["config", "view", "--raw", "-o", path]).await?;
    let files = lab.dir().join("service-account");
    fs::create_dir_all(&files)?;
    fs::write(files.join("token"), token.trim())?;
    fs::write(files.join("ca.crt"), STANDARD.decode(authority.trim())?)?;
    fs::write(files.join("namespace"), namespace)?;
    Ok(files)
}

fn start(lab: &Lab, host: &Cluster, files: &Path) -> Result<Child> {
    let log = fs::File::create(lab.dir().join("in-a-pod.log"))?;
    Command::new("unshare")
        .args(["--mount", "sh", "-c", IN_A_POD, "sh"])
        .arg(files)
        .arg(lab.dir().join("bin").join(operator::NAME))
        .arg(format!("--health-addr=127.0.0.1:{}", host.port(Port::Operator)))
        .arg(format!("--default-image={}", image::NAMES[0]))
        .env_remove("KUBECONFIG")
        .env("HOME", lab.dir())
        .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .env("KUBERNETES_SERVICE_PORT", host.port(Port::ApiServer).to_string())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context("start the operator in a mount namespace")
}

fn log_of(lab: &Lab) -> String {
    let log = fs::read_to_string(lab.dir().join("in-a-pod.log")).unwrap_or_default();
    let tail: Vec<&str> = log.lines().rev().take(20).collect();
    format!(
        "the operator's log ends:\n{}",
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    )
}
