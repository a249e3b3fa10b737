//! The pages on installing, typed as they stand: every block of `sh` in order, in one shell. Part of the suite `helm`.

use std::os::unix::fs::symlink;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;
use tokio::time::timeout;

use super::{BOUND, Stage};
use crate::runner::Context;
use crate::suites::readme::shell_blocks;
use crate::{cluster, image, workspace};

/// What differs from a reader's shell: the lab has neither kube-proxy nor a registry, so that the operator is told where
/// the API server is, and jobs name the one image that is there.
const PRELUDE: &str = r#"
helm() {
  case $1 in
    install|upgrade) command helm "$@" --values "$LAB_VALUES" ;;
    *) command helm "$@" ;;
  esac
}
kubectl() {
  case "$*" in
    "sky create job "*) command kubectl "$@" --image "$LAB_IMAGE" ;;
    "apply "*dist/install.yaml*)
      command kubectl "$@"
      command kubectl set env deployment/sky-operator --namespace sky-system $LAB_ENV ;;
    *) command kubectl "$@" ;;
  esac
}
trap 'echo "failed: $BASH_COMMAND"' ERR
"#;

pub(super) async fn the_page_on_helm_holds_with_helm_3(context: &Context) -> Result<()> {
    typed(context, "docs/install-helm.md", 3).await
}

pub(super) async fn the_page_on_helm_holds_with_helm_4(context: &Context) -> Result<()> {
    typed(context, "docs/install-helm.md", 4).await
}

pub(super) async fn the_page_on_kubectl_holds(context: &Context) -> Result<()> {
    typed(context, "docs/install-kubectl.md", 4).await
}

async fn typed(context: &Context, page: &str, major: u32) -> Result<()> {
    let stage = Stage::on(context).await?;
    let text =
        std::fs::read_to_string(workspace::root().join(page)).with_context(|| format!("read {page}"))?;
    let blocks = shell_blocks(&text);
    ensure!(blocks.len() >= 5, "{} blocks of sh in {page}", blocks.len());
    let mut helms = stage.helms.iter();
    let helm = helms.find(|helm| helm.major == major).context("no such Helm")?;
    let bin = tempfile::tempdir()?;
    symlink(&helm.program, bin.path().join("helm"))?;
    let (address, port) = stage.host.from_pods()?;
    let lab = format!("KUBERNETES_SERVICE_HOST={address} KUBERNETES_SERVICE_PORT={port}");
    let mut bash = Command::new("bash");
    // What it says is read whole, so that a failure shows what came before it.
    let script = format!("exec 2>&1\n{PRELUDE}\n{}", blocks.join("\n"));
    bash.args(["-Eeuo", "pipefail", "-c", &script])
        .current_dir(workspace::root())
        .envs(stage.lab.exec_env())
        .envs(helm.env())
        .env("KUBECONFIG", &stage.kubeconfig)
        .env("LAB_VALUES", &stage.values)
        .env("LAB_IMAGE", image::NAMES[0])
        .env("LAB_ENV", lab)
        .stdin(Stdio::null());
    let path = std::env::join_paths(
        std::iter::once(bin.path().to_owned())
            .chain([stage.lab.dir().join("bin")])
            .chain(std::env::split_paths(
                &std::env::var_os("PATH").unwrap_or_default(),
            )),
    )?;
    bash.env("PATH", path);
    let said = timeout(3 * BOUND, cluster::run(bash, page, None))
        .await
        .context("not done in time")??;
    for wanted in ["Sky!", "hello", "member-1"] {
        ensure!(said.contains(wanted), "nothing says {wanted:?}:\n{said}");
    }
    context.remark(format!("{} blocks", blocks.len()));
    Ok(())
}
