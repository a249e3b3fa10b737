//! The operator itself under Argo CD, on a host that runs pods: what docs/argocd.md says of it, block by block, with looks
//! in between at what stays and at what is a difference to Git.

use std::os::unix::fs::symlink;
use std::process::Stdio;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use kube::ResourceExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::repository::Repository;
use super::watch::Watch;
use super::{describe, is};
use crate::argocd::ArgoCd;
use crate::operator::NAMESPACE;
use crate::runner::Context;
use crate::suites::helm::{self, BOUND, pods_made, sleeper};
use crate::suites::readme::{blocks_of, section, shell_blocks};
use crate::suites::sky::Sky;
use crate::{chart, cluster, wait, workspace};

const PAGE: &str = "docs/argocd.md";
const SECTION: &str = "The operator itself";
/// The Application, and the release.
const NAME: &str = "sky";
/// The releases of the page. The second runs the operator's image by another name.
const RELEASES: [&str; 2] = ["v0.1.0", "v0.2.0"];
/// Comparisons of Argo CD that are asked for while work goes on.
const LOOKS: usize = 5;

pub(super) async fn its_page_installs_upgrades_and_removes_the_operator(context: &Context) -> Result<()> {
    let door = Door::on(context).await?;
    let page = std::fs::read_to_string(workspace::root().join(PAGE))?;
    let page = section(&page, SECTION)?;
    let blocks: [String; 5] = shell_blocks(page)
        .try_into()
        .map_err(|found: Vec<_>| anyhow!("{} blocks of sh under {SECTION:?}", found.len()))?;
    let [install, upgrade, remove, again, clear] = blocks;
    let made = pods_made(&door.stage.lab)?;
    door.write_application(page)?;

    door.typed(&install).await?;
    let watch = Watch::begin(&door.stage.lab, NAME)?;
    let sky = door.stage.joined().await?;
    sky.create("first", sleeper(1)).await?;
    sky.complete("first").await?;
    sky.create("through", sleeper(20)).await?;
    let mut states = door.calm(watch).await?;

    door.typed(&upgrade).await?;
    door.stage.runs("sky-operator:next").await?;
    let watch = Watch::begin(&door.stage.lab, NAME)?;
    sky.complete("through").await?;
    states += door.calm(watch).await?;
    let kept = door.objects(&sky).await?;

    door.typed(&remove).await?;
    door.operator_is_gone().await?;
    ensure!(door.objects(&sky).await? == kept, "not all of {kept:?} is left");
    door.typed(&again).await?;
    let watch = Watch::begin(&door.stage.lab, NAME)?;
    sky.create("second", sleeper(1)).await?;
    sky.complete("second").await?;
    states += door.calm(watch).await?;
    let replicas = pods_made(&door.stage.lab)? - made;
    ensure!(replicas == 3, "{replicas} replicas ran of 3 jobs");

    door.what_stays_is_not_pruned(&sky).await?;
    door.typed(&clear).await?;
    let left = ["get", "crds,deployments", "--all-namespaces", "--output=name"];
    let left = door.stage.host.kubectl(&left).await?;
    ensure!(!left.contains("sky"), "there is still {left}");
    context.remark(format!("{states} states of the Application at work, all Synced"));
    Ok(())
}

/// A host that runs pods, with Argo CD and a repository that has two releases of the chart.
struct Door {
    stage: helm::Stage,
    argocd: ArgoCd,
    repository: Repository,
    /// Where the page is typed: the reader's `sky.yaml` is here.
    folder: TempDir,
}

impl Door {
    async fn on(context: &Context) -> Result<Self> {
        let stage = helm::Stage::on(context).await?;
        let argocd = ArgoCd::of(&stage.lab, &context.reporter).await?;
        let repository = Repository::open(&stage.lab.dir().join("git")).await?;
        let charts = repository.folder().join("charts");
        std::fs::create_dir_all(&charts)?;
        let mut copy = Command::new("cp");
        copy.arg("-R").arg(chart::folder()).arg(&charts);
        cluster::run(copy, "copy the chart", None).await?;
        repository.release(RELEASES[0]).await?;
        let values = charts.join("sky/values.yaml");
        let text = std::fs::read_to_string(&values)?;
        let next = text.replacen("tag: \"\"", "tag: next", 1);
        ensure!(next != text, "values.yaml names no tag");
        std::fs::write(&values, next)?;
        repository.release(RELEASES[1]).await?;
        let folder = tempfile::tempdir()?;
        symlink(workspace::root().join("crds"), folder.path().join("crds"))?;
        Ok(Self {
            stage,
            argocd,
            repository,
            folder,
        })
    }

    /// Writes the page's Application as a reader does, who has another repository. The lab also needs other values than
    /// a real cluster, and knows the host by a name of its own: Argo CD runs beside it.
    fn write_application(&self, page: &str) -> Result<()> {
        let blocks = blocks_of(page, "yaml");
        let [application] = blocks.as_slice() else {
            bail!("{} Applications under {SECTION:?}", blocks.len())
        };
        let mut application: Value = serde_saphyr::from_str(application).context("the page's Application")?;
        let values = std::fs::read_to_string(&self.stage.values)?;
        let mut values: Value = serde_saphyr::from_str(&values)?;
        values["origin"] = json!("a-restored-host");
        let spec = &mut application["spec"];
        spec["source"]["repoURL"] = json!(self.repository.url());
        spec["source"]["helm"]["valuesObject"] = values;
        spec["destination"]["name"] = json!("host");
        self.write(&application)
    }

    fn write(&self, application: &Value) -> Result<()> {
        let text = serde_saphyr::to_string(application)?;
        Ok(std::fs::write(self.folder.path().join("sky.yaml"), text)?)
    }

    /// Types a block of the page.
    async fn typed(&self, block: &str) -> Result<()> {
        let mut bash = Command::new("bash");
        let script = format!("exec 2>&1\ntrap 'echo \"failed: $BASH_COMMAND\"' ERR\n{block}");
        bash.args(["-Eeuo", "pipefail", "-c", &script])
            .current_dir(self.folder.path())
            .envs(self.stage.lab.exec_env())
            .env("KUBECONFIG", &self.stage.kubeconfig)
            .stdin(Stdio::null());
        let said = timeout(3 * BOUND, cluster::run(bash, PAGE, None)).await;
        let outcome = said.context("not done in time").and_then(|said| said);
        match outcome {
            Ok(_) => Ok(()),
            Err(error) => {
                let found = self.argocd.application(NAME).await;
                Err(error.context(found.map_or_else(|error| error.to_string(), |found| describe(&found))))
            }
        }
    }

    /// Ends a watch after some more comparisons: in none was there a difference to Git, and nothing was synced.
    async fn calm(&self, watch: Watch) -> Result<usize> {
        let found = wait::until("sky: Healthy", BOUND, async || {
            let found = self.compared().await?;
            ensure!(is(&found, "Synced", "Healthy"), "{}", describe(&found));
            Ok(found)
        })
        .await?;
        let begun = found["status"]["operationState"]["startedAt"].clone();
        for _ in 0..LOOKS {
            let found = self.compared().await?;
            ensure!(
                found["status"]["operationState"]["startedAt"] == begun,
                "synced again: {}",
                describe(&found)
            );
        }
        let states = watch.states()?;
        watch.end().await?;
        ensure!(states > LOOKS, "{states} states of {LOOKS} comparisons");
        Ok(states)
    }

    /// Has the Application compared with Git once more; returns what came of it.
    async fn compared(&self) -> Result<Value> {
        self.argocd.refresh(NAME).await?;
        self.until("another comparison", |found| {
            found["metadata"]["annotations"]["argocd.argoproj.io/refresh"].is_null()
        })
        .await
    }

    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until(&format!("{NAME}: {what}"), BOUND, async || {
            let found = self.argocd.application(NAME).await?;
            ensure!(holds(&found), "{}", describe(&found));
            Ok(found)
        })
        .await
    }

    /// What the user has, and what the operator must find again: names and uids.
    async fn objects(&self, sky: &Sky) -> Result<Vec<String>> {
        let columns = "jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.uid}{\"\\n\"}{end}";
        let get = ["get", "crds,skyclusters", "-o", columns];
        let cluster_wide = self.stage.host.kubectl(&get).await?;
        let get = [
            "get",
            "secrets,configmaps",
            "--namespace",
            NAMESPACE,
            "-o",
            columns,
        ];
        let own = self.stage.host.kubectl(&get).await?;
        let jobs = sky.all().await?;
        let jobs = jobs
            .iter()
            .map(|job| format!("SkyJob {} {:?}", job.name_any(), job.uid()));
        let lines = [cluster_wide, own].concat();
        let mut objects: Vec<String> = lines.lines().map(str::to_owned).chain(jobs).collect();
        objects.sort();
        for kind in [
            "CustomResourceDefinition ",
            "SkyCluster ",
            "SkyJob ",
            "Secret ",
            "ConfigMap sky-origin ",
        ] {
            let there = objects.iter().any(|object| object.starts_with(kind));
            ensure!(there, "no {kind}among {objects:?}");
        }
        Ok(objects)
    }

    async fn operator_is_gone(&self) -> Result<()> {
        let select = "--selector=app.kubernetes.io/part-of=sky-manager";
        let what = "deployments,pods,services,serviceaccounts,roles,clusterroles,clusterrolebindings";
        let get = ["get", what, "--all-namespaces", select, "--output=name"];
        let left = self.stage.host.kubectl(&get).await?;
        ensure!(left.trim().is_empty(), "the operator left {left}");
        Ok(())
    }

    /// The kinds and the host's identity leave the Application; they stay on the host, and are no difference.
    async fn what_stays_is_not_pruned(&self, sky: &Sky) -> Result<()> {
        let before = self.objects(sky).await?;
        let path = self.folder.path().join("sky.yaml");
        let mut application: Value = serde_saphyr::from_str(&std::fs::read_to_string(path)?)?;
        let values = &mut application["spec"]["source"]["helm"]["valuesObject"];
        values["crds"] = json!({"install": false});
        values["origin"] = json!("");
        // Something to sync.
        values["podAnnotations"] = json!({"example.com/kinds": "left"});
        self.write(&application)?;
        self.typed("kubectl apply --filename sky.yaml").await?;
        let synced = |found: &Value| {
            let status = &found["status"];
            let source = &status["sync"]["comparedTo"]["source"];
            source["helm"]["valuesObject"]["crds"]["install"] == false
                && status["sync"]["status"] == "Synced"
                && status["operationState"]["syncResult"]["source"] == *source
        };
        let found = self.until("synced without the kinds", synced).await?;
        let none = Vec::new();
        let results = found["status"]["operationState"]["syncResult"]["resources"].as_array();
        let results = results.unwrap_or(&none);
        let kept = |result: &Value| result["name"] == "sky-origin" && result["status"] == "PruneSkipped";
        ensure!(
            results.iter().any(kept),
            "the identity is not told as kept: {results:?}"
        );
        ensure!(
            self.objects(sky).await? == before,
            "not all of {before:?} is left"
        );
        Ok(())
    }
}
