//! The programs that Argo CD consists of, as daemons of the host. Started by `argocd`, in the order in which they need
//! each other.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::Result;
use tokio::net::TcpStream;

use super::NAMESPACE;
use crate::daemon::{Daemon, search_path};
use crate::lab::Lab;
use crate::plan::HOST;
use crate::slot::Port;

const REDIS: &str = "redis-server";
const REPOSITORY: &str = "argocd-repo-server";
const CONTROLLER: &str = "argocd-application-controller";
pub(super) const SERVER: &str = "argocd-server";
/// Those that are built, with what git runs when it wants a password.
pub(super) const PROGRAMS: [&str; 4] = [REPOSITORY, CONTROLLER, SERVER, "argocd-git-ask-pass"];
const BOUND: Duration = Duration::from_secs(90);

/// Starts them all; returns when `answers` says that the API does.
pub(super) async fn start(lab: &Lab, answers: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let host = lab.host()?;
    let (redis, repository) = (host.port(Port::Redis), host.port(Port::ArgoRepo));
    let env = environment(lab)?;
    let launch = |name: &str, flags: &[&[String]]| {
        let program = match name {
            REDIS => REDIS.to_owned(),
            built => lab.dir().join("bin").join(built).display().to_string(),
        };
        let daemon = Daemon::new(lab.dir(), HOST, name);
        daemon.start(&[&[program], flags.concat().as_slice()].concat(), &env)?;
        anyhow::Ok(daemon)
    };
    let number = redis.to_string();
    let flags = [
        "--port",
        &number,
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--set-proc-title",
        "no",
    ];
    let store = launch(REDIS, &[&flags.map(str::to_owned)])?;
    store.ready(BOUND, async || connect(redis).await).await?;
    let stored = [
        flag("redis", &format!("127.0.0.1:{redis}")),
        // Any port that is free.
        flag("metrics-port", "0"),
    ];
    let loopback = |port: u16| [flag("address", "127.0.0.1"), flag("port", &port.to_string())];
    let plain = ["--disable-tls".to_owned()];
    let manifests = launch(REPOSITORY, &[&stored, &loopback(repository), &plain])?;
    manifests.ready(BOUND, async || connect(repository).await).await?;
    let asks = [
        flag("kubeconfig", &host.kubeconfig().display().to_string()),
        flag("namespace", NAMESPACE),
        flag("repo-server", &format!("127.0.0.1:{repository}")),
        "--repo-server-plaintext".to_owned(),
    ];
    // What it says of each object is read from the status of its Application.
    let tells = ["--persist-resource-health".to_owned()];
    launch(CONTROLLER, &[&stored, &asks, &tells])?;
    let open = ["--insecure".to_owned(), "--disable-auth".to_owned()];
    let server = launch(
        SERVER,
        &[&stored, &asks, &loopback(host.port(Port::ArgoServer)), &open],
    )?;
    server.ready(BOUND, answers).await
}

/// Where they keep things: below the host's folder, nothing of the machine's own.
fn environment(lab: &Lab) -> Result<BTreeMap<String, String>> {
    let home = lab.host()?.folder().join("argocd");
    let bin = lab.dir().join("bin");
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), format!("{}:{}", bin.display(), search_path())),
        ("ARGOCD_GPG_ENABLED".to_owned(), "false".to_owned()),
    ]);
    for (name, folder) in [
        ("ARGOCD_TLS_DATA_PATH", "tls"),
        ("ARGOCD_SSH_DATA_PATH", "ssh"),
        ("TMPDIR", "tmp"),
    ] {
        let folder = home.join(folder);
        fs::create_dir_all(&folder)?;
        env.insert(name.to_owned(), folder.display().to_string());
    }
    Ok(env)
}

fn flag(name: &str, value: &str) -> String {
    format!("--{name}={value}")
}

async fn connect(port: u16) -> Result<()> {
    TcpStream::connect(("127.0.0.1", port)).await?;
    Ok(())
}
