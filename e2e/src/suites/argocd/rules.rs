//! What Argo CD's own engine, and the library that Helm and Flux wait by, make of objects that were recorded in every
//! phase: `charts/sky/argocd/…/testdata`. What is expected of the latter is in `assets/kstatus/verdicts.yaml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::argocd;
use crate::cluster;
use crate::lab::Lab;
use crate::programs::Source;
use crate::report::Reporter;
use crate::runner::Context;
use crate::suites::readme::{section, shell_blocks};
use crate::workspace;

/// The rules in Argo CD's layout, within the chart.
const RULES: &str = "argocd/skymanager.io";
const KINDS: [&str; 5] = [
    "FilterPolicy",
    "SkyCluster",
    "SkyDeployment",
    "SkyJob",
    "SkyNamespace",
];

/// The Helm of the suites, which knows no cluster when it only renders.
const PRELUDE: &str = r#"helm() { "$HELM" "$@" --kube-version 1.36.0; }"#;

fn chart() -> PathBuf {
    workspace::root().join("charts/sky")
}

/// The keys of argocd-cm as the chart ships them.
async fn of_the_chart(reporter: &Reporter) -> Result<Value> {
    let helm = Source::of("helm3")?.build("helm3", reporter).await?;
    let mut command = Command::new(helm);
    command.args(["template", "sky"]).arg(chart()).args([
        "--set",
        "argocd.enabled=true",
        "--show-only",
        "templates/argocd.yaml",
        // Not what Helm was built with, which a chart may refuse.
        "--kube-version",
        "1.36.0",
    ]);
    let rendered = cluster::run(command, "helm template", None).await?;
    let config: Value = serde_saphyr::from_str(&rendered).context("read templates/argocd.yaml")?;
    Ok(config["data"].clone())
}

/// Puts the rules into Argo CD's configuration by the commands of docs/argocd.md, unless they are there.
pub(super) async fn put(lab: &Lab, reporter: &Reporter) -> Result<()> {
    let there = || async {
        let get = ["get", "configmap", "argocd-cm", "-o", "json"];
        let found = lab
            .kubectl(&[&["--namespace", argocd::NAMESPACE], get.as_slice()].concat())
            .await?;
        anyhow::Ok(serde_json::from_str::<Value>(&found)?["data"].clone())
    };
    if there().await? != Value::Null {
        return Ok(());
    }
    let page = fs::read_to_string(workspace::root().join("docs/argocd.md"))?;
    let blocks = shell_blocks(section(&page, "Rules of health")?);
    ensure!(!blocks.is_empty(), "docs/argocd.md has no command");
    let helm = Source::of("helm3")?.build("helm3", reporter).await?;
    let mut bash = Command::new("bash");
    bash.args([
        "-Eeuo",
        "pipefail",
        "-c",
        &format!("{PRELUDE}\n{}", blocks.join("\n")),
    ])
    .current_dir(workspace::root())
    .envs(lab.exec_env())
    .env("HELM", helm);
    cluster::run(bash, "the commands of docs/argocd.md", None).await?;
    ensure!(
        there().await? == of_the_chart(reporter).await?,
        "argocd-cm has other rules than the chart"
    );
    Ok(())
}

pub(super) async fn the_rules_hold_in_argo_cds_own_engine_for_recorded_objects(
    context: &Context,
) -> Result<()> {
    let rules = of_the_chart(&context.reporter).await?;
    let config = tempfile::NamedTempFile::new()?;
    fs::write(config.path(), serde_json::json!({"data": rules}).to_string())?;
    let held = argocd::run_rules(&chart().join(RULES), config.path(), &context.reporter).await?;
    for kind in KINDS {
        for object in objects(kind)? {
            let case = format!("health/{kind}/testdata/{object}");
            ensure!(held.contains(&case), "no case for {case}");
        }
    }
    context.remark(format!("{} cases", held.len()));
    Ok(())
}

pub(super) async fn kstatus_judges_recorded_objects_as_helm_and_flux_shall_wait(
    context: &Context,
) -> Result<()> {
    let program = Source::of("kstatus")?.build("kstatus", &context.reporter).await?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/kstatus");
    let expected = fs::read_to_string(folder.join("verdicts.yaml"))?;
    let expected: BTreeMap<String, BTreeMap<String, String>> = serde_saphyr::from_str(&expected)?;
    let mut input = Vec::new();
    let mut wanted = Vec::new();
    for kind in KINDS {
        let verdicts = expected
            .get(kind)
            .with_context(|| format!("no verdicts of {kind}"))?;
        let names: BTreeSet<String> = verdicts.keys().cloned().collect();
        ensure!(
            names == objects(kind)?,
            "{kind}: verdicts of {names:?}, objects {:?}",
            objects(kind)?
        );
        for (name, verdict) in verdicts {
            let path = chart().join(RULES).join(kind).join("testdata").join(name);
            let object: Value = serde_saphyr::from_str(&fs::read_to_string(&path)?)?;
            input.push(object.to_string());
            wanted.push((format!("{kind}/{name}"), verdict));
        }
    }
    let said = cluster::run(Command::new(program), "kstatus", Some(&input.join("\n"))).await?;
    let said: Vec<&str> = said.lines().collect();
    ensure!(
        said.len() == wanted.len(),
        "{} of {} judged",
        said.len(),
        wanted.len()
    );
    for (line, (name, wanted)) in said.iter().zip(&wanted) {
        let verdict: Value = serde_json::from_str(line)?;
        ensure!(
            verdict["status"] == wanted.as_str() && verdict["fork"] == wanted.as_str(),
            "{name} shall be {wanted}: {line}"
        );
    }
    context.remark(format!("{} objects", wanted.len()));
    Ok(())
}

/// Names of the recorded objects of a kind.
fn objects(kind: &str) -> Result<BTreeSet<String>> {
    let folder = chart().join(RULES).join(kind).join("testdata");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        names.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}
