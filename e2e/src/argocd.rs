//! Argo CD on a lab's host, outside the cluster: its application controller, repo server and API server, built from
//! their module, and Debian's redis. Its objects are written by `argocd::install`; suites ask it through `ArgoCd`.

mod install;
mod parts;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cluster;
use crate::lab::Lab;
use crate::packages;
use crate::programs::{MANIFESTS, Source};
use crate::report::Reporter;
use crate::slot::Port;
use crate::wait;

/// Its namespace on the host.
pub const NAMESPACE: &str = "argocd";
const SERVER: &str = parts::SERVER;
const RULES: &str = "argocd-rules";
const BOUND: Duration = Duration::from_secs(90);

/// Argo CD of a lab, running.
pub struct ArgoCd {
    client: Client,
    port: u16,
}

/// The folder that Argo CD's programs are in, built when they are not cached.
async fn build(reporter: &Reporter) -> Result<PathBuf> {
    let server = Source::of(SERVER)?.build(SERVER, reporter).await?;
    let folder = server.parent().context("a program in no folder")?;
    Ok(folder.to_owned())
}

/// Runs the test cases below `folder`, in Argo CD's layout, against these rules of argocd-cm, in Argo CD's own engine.
/// Returns the cases that held; an error has those that did not.
pub async fn run_rules(folder: &Path, rules: &Path, reporter: &Reporter) -> Result<Vec<String>> {
    let mut command = Command::new(build(reporter).await?.join(RULES));
    command.arg(folder).arg("--config").arg(rules).kill_on_drop(true);
    let output = command.output().await.context("run argocd-rules")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let (mut held, mut failed) = (Vec::new(), Vec::new());
    for line in said.lines() {
        let verdict: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let name = verdict["case"].as_str().unwrap_or_default().to_owned();
        match verdict["error"].as_str() {
            None => held.push(name),
            Some(error) => failed.push(format!("{name}: {error}")),
        }
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && failed.is_empty(),
        "{}{stderr}",
        failed.join("\n")
    );
    Ok(held)
}

impl ArgoCd {
    /// Argo CD of `lab`, as it is without rules of ours; started unless it runs.
    pub async fn of(lab: &Lab, reporter: &Reporter) -> Result<Self> {
        let host = lab.host()?;
        let argocd = Self {
            client: host.client().await?,
            port: host.port(Port::ArgoServer),
        };
        if host.daemon(SERVER).is_ok_and(|daemon| daemon.running()) {
            return Ok(argocd);
        }
        packages::ensure_all(packages::of_argocd, reporter).await?;
        let programs = build(reporter).await?;
        let step = reporter.step("starting Argo CD");
        for name in parts::PROGRAMS {
            let link = lab.dir().join("bin").join(name);
            let _ = fs::remove_file(&link);
            symlink(programs.join(name), &link).with_context(|| format!("link {name}"))?;
        }
        // By this name its repo server renders charts.
        let helm = Source::of("helm3")?.build("helm3", reporter).await?;
        let link = lab.dir().join("bin/helm");
        let _ = fs::remove_file(&link);
        symlink(helm, &link).context("link helm")?;
        let manifests = programs.join(MANIFESTS).display().to_string();
        // Too large for the annotation of a client-side apply.
        host.kubectl(&["apply", "--server-side", "-f", &manifests])
            .await?;
        let documents = install::documents(&host)?;
        // Its kinds are served a moment after they are there.
        wait::until("Argo CD's kinds to be served", BOUND, async || {
            host.apply(&documents).await
        })
        .await?;
        parts::start(lab, async || {
            argocd.call("GET", "/api/version", None).await.map(|_| ())
        })
        .await?;
        step.done();
        Ok(argocd)
    }

    /// Applications.
    pub fn applications(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application");
        Api::namespaced_with(self.client.clone(), NAMESPACE, &ApiResource::from_gvk(&kind))
    }

    /// An Application as it is.
    pub async fn application(&self, name: &str) -> Result<Value> {
        let found = timeout(BOUND, self.applications().get(name)).await??;
        Ok(serde_json::to_value(found)?)
    }

    /// Has Git read and compared now, not at the next look of its own.
    pub async fn refresh(&self, name: &str) -> Result<()> {
        let asked = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}});
        let patch = Patch::Merge(asked);
        self.applications()
            .patch(name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Runs an action on an object of an Application, as its page does.
    pub async fn act(
        &self,
        application: &str,
        (kind, namespace, name): (&str, &str, &str),
        action: &str,
    ) -> Result<()> {
        let asked = json!({
            "name": application, "appNamespace": NAMESPACE, "namespace": namespace, "resourceName": name,
            "group": "skymanager.io", "version": "v1alpha1", "kind": kind, "action": action,
        });
        let path = format!("/api/v1/applications/{application}/resource/actions/v2");
        self.call("POST", &path, Some(&asked)).await.map(|_| ())
    }

    /// One call of Argo CD's own API: the body of a 200.
    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<String> {
        let body = body.map_or_else(String::new, Value::to_string);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let exchange = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            anyhow::Ok(answer)
        };
        let answer = timeout(Duration::from_secs(30), exchange).await??;
        let (head, text) = answer
            .split_once("\r\n\r\n")
            .ok_or_else(|| anyhow!("no HTTP from {path}"))?;
        let status = head.lines().next().unwrap_or_default();
        if status.split(' ').nth(1) == Some("200") {
            Ok(text.to_owned())
        } else {
            bail!("{method} {path}: {status}: {text}")
        }
    }
}

/// Runs `git` in `folder`; an error has what it said.
pub async fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(folder)
        // Nothing of the machine's own configuration.
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .args([
            "-c",
            "user.name=lab",
            "-c",
            "user.email=lab@localhost",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments);
    cluster::run(command, &format!("git {}", arguments.join(" ")), None).await
}
