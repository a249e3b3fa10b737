//! The operator and the plugin of this checkout: built, installed on the host, started as a daemon of the
//! host. Called by `lab`; suites kill and restart it like any daemon, by the name `sky-operator`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::daemon::Daemon;
use crate::image;
use crate::lab::Lab;
use crate::plan::HOST;
use crate::report::Reporter;
use crate::slot::{Port, Replica};
use crate::workspace;

/// Its name as a daemon, a binary and a user.
pub const NAME: &str = "sky-operator";
/// Its namespace on the host.
pub const NAMESPACE: &str = "sky-system";
const PLUGIN: &str = "kubectl-sky";
const BOUND: Duration = Duration::from_secs(60);

/// Builds, installs and starts the operator (again, if it runs), and waits until it is ready.
pub async fn start(lab: &Lab, reporter: &Reporter) -> Result<()> {
    let programs = build(reporter).await?;
    let step = reporter.step("starting the operator");
    link(&programs, &lab.dir().join("bin"))?;
    let host = lab.host()?;
    install(&host).await?;
    host.write_user(&kubeconfig(lab), NAME)?;
    let daemon = Daemon::new(lab.dir(), HOST, NAME);
    daemon.kill().await?;
    launch(&daemon, lab, host.port(Port::Operator), &[])?;
    ready(&host).await?;
    step.done();
    Ok(())
}

/// Builds operator and plugin and gives the plugin to the lab, without starting anything. The operator's file.
pub async fn programs(lab: &Lab, reporter: &Reporter) -> Result<PathBuf> {
    let programs = build(reporter).await?;
    link(&programs, &lab.dir().join("bin"))?;
    let operator = programs.get(NAME).ok_or_else(|| anyhow!("no {NAME}"))?;
    Ok(operator.clone())
}

/// Starts one more operator of the same host, as if the first had been given up. It is ready when it does something;
/// [`Daemon::discard`] ends it.
pub fn second(lab: &Lab) -> Result<Daemon> {
    let daemon = Daemon::new(lab.dir(), HOST, &format!("{NAME}-2"));
    launch(&daemon, lab, 0, &[])?;
    Ok(daemon)
}

/// Seconds of a replica's lease, of the time in which it must renew it, and between two tries: short, so that a suite
/// need not wait long, and long enough for a machine that is busy with a whole lab.
pub const TERMS: [u64; 3] = [20, 16, 1];

/// Starts an operator that leads only while it holds the lease. Its name begins its identity, which is the lease's
/// holder and in the user agent of its calls.
pub fn replica(lab: &Lab, replica: Replica) -> Result<Daemon> {
    let name = match replica {
        Replica::First => "sky-first",
        Replica::Second => "sky-second",
    };
    let daemon = Daemon::new(lab.dir(), HOST, name);
    let [duration, deadline, retry] = TERMS;
    let flags = [
        "--leader-elect".to_owned(),
        format!("--pod-name={name}"),
        format!("--lease-duration-seconds={duration}"),
        format!("--renew-deadline-seconds={deadline}"),
        format!("--retry-period-seconds={retry}"),
    ];
    launch(&daemon, lab, lab.host()?.port(Port::Replica(replica)), &flags)?;
    Ok(daemon)
}

/// Starts an operator as a user who may do nothing on the host.
pub fn powerless(lab: &Lab) -> Result<Daemon> {
    let path = lab.dir().join("powerless.kubeconfig");
    lab.host()?.write_user(&path, "sky-powerless")?;
    let daemon = Daemon::new(lab.dir(), HOST, "sky-powerless");
    let flags = [format!("--kubeconfig={}", path.display())];
    launch(&daemon, lab, 0, &flags)?;
    Ok(daemon)
}

/// Starts an operator that answers for its health on this port; on any when it is 0.
fn launch(daemon: &Daemon, lab: &Lab, health: u16, flags: &[String]) -> Result<()> {
    let mut command = vec![
        lab.dir().join("bin").join(NAME).display().to_string(),
        format!("--namespace={NAMESPACE}"),
        format!("--health-addr=127.0.0.1:{health}"),
        format!("--default-image={}", image::NAMES[0]),
        "--namespace-grace-seconds=20".to_owned(),
    ];
    if !flags.iter().any(|flag| flag.starts_with("--kubeconfig=")) {
        command.push(format!("--kubeconfig={}", kubeconfig(lab).display()));
    }
    command.extend_from_slice(flags);
    let level = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
    let env = [("RUST_LOG", level), ("RUST_BACKTRACE", "1".to_owned())];
    daemon.start(
        &command,
        &env.map(|(name, value)| (name.to_owned(), value)).into(),
    )
}

fn kubeconfig(lab: &Lab) -> PathBuf {
    lab.dir().join("operator.kubeconfig")
}

/// Waits until the operator of `host` says it is ready.
pub async fn ready(host: &Cluster) -> Result<()> {
    host.daemon(NAME)?
        .ready(BOUND, async || get(host.port(Port::Operator), "/readyz").await)
        .await?;
    Ok(())
}

/// GET of a path of the operator's own port on loopback: the body of a 200.
pub async fn get(port: u16, path: &str) -> Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(Duration::from_secs(5), exchange).await??;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| anyhow!("no HTTP from {path}"))?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        Ok(body.to_owned())
    } else {
        bail!("{path}: {status}")
    }
}

/// The two programs: of `SKY_LAB_BIN`, else built from this checkout.
async fn build(reporter: &Reporter) -> Result<BTreeMap<&'static str, PathBuf>> {
    if let Some(folder) = std::env::var_os("SKY_LAB_BIN") {
        let find = |name| {
            let path = std::path::absolute(Path::new(&folder).join(name))?;
            if path.is_file() {
                Ok((name, path))
            } else {
                bail!("SKY_LAB_BIN has no {name}")
            }
        };
        return [NAME, PLUGIN].into_iter().map(find).collect();
    }
    let step = reporter.step("building operator and plugin");
    let output = Command::new(workspace::cargo())
        .args(["build", "--locked", "--message-format=json-render-diagnostics"])
        .args(["--package", NAME, "--package", PLUGIN])
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output()
        .await
        .context("run cargo build")?;
    if !output.status.success() {
        bail!("cargo build failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let found: BTreeMap<&'static str, PathBuf> = text.lines().filter_map(executable).collect();
    if found.len() != 2 {
        bail!("cargo build made no {NAME} and {PLUGIN}, only {found:?}");
    }
    step.done();
    Ok(found)
}

/// One of our two executables, from a line of cargo's messages.
fn executable(line: &str) -> Option<(&'static str, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = PathBuf::from(message["executable"].as_str()?);
    let name = [NAME, PLUGIN]
        .into_iter()
        .find(|name| path.file_name().is_some_and(|file| file == *name))?;
    Some((name, path))
}

fn link(programs: &BTreeMap<&'static str, PathBuf>, bin: &Path) -> Result<()> {
    for (name, path) in programs {
        let link = bin.join(name);
        let _ = fs::remove_file(&link);
        symlink(path, &link).with_context(|| format!("link {name}"))?;
    }
    Ok(())
}

/// The five kinds, the namespace and the operator's rights.
async fn install(host: &Cluster) -> Result<()> {
    let manifests = workspace::root().join("crds/manifests");
    host.kubectl(&["apply", "-f", &manifests.display().to_string()])
        .await?;
    host.apply(&format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: {NAME}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}\n\
         subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {NAME}}}]\n"
    ))
    .await?;
    host.kubectl(&[
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd",
        "--all",
    ])
    .await?;
    Ok(())
}
