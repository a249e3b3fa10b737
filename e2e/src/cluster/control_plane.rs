//! etcd, kube-apiserver, kube-controller-manager and (where pods run) kube-scheduler of one cluster.
//! Called by `Cluster::up`; the nodes come after it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;

use super::{AUDIT_LOG, Cluster, audit, http_get};
use crate::daemon::Daemon;
use crate::kubeconfig::{self, Access};
use crate::pki::{self, Authority};
use crate::slot::Port;
use crate::wait;

const BOUND: Duration = Duration::from_secs(120);
/// Users with a kubeconfig of their own: name of the file, of the user, its group.
const USERS: [(&str, &str, Option<&str>); 3] = [
    ("admin", "admin", Some("system:masters")),
    ("controller-manager", "system:kube-controller-manager", None),
    ("scheduler", "system:kube-scheduler", None),
];

/// Certificates, kubeconfigs and the audit policy: everything that is there before a program starts.
pub(super) fn prepare(cluster: &Cluster) -> Result<()> {
    let folder = cluster.folder();
    let keys = folder.join("pki");
    for name in ["pki", "log", "etcd"] {
        fs::create_dir_all(folder.join(name))?;
    }
    let authority = Authority::new("ca")?;
    authority.write(&keys, "ca")?;
    let mut hosts = vec!["localhost", "127.0.0.1", "kubernetes.default.svc", "10.0.0.1"];
    hosts.extend(cluster.gateway.as_deref());
    authority
        .sign("apiserver", None, &hosts)?
        .write(&keys, "apiserver")?;
    let node = cluster.node_name(0);
    let mut users: Vec<(&str, String, Option<&str>)> = USERS
        .iter()
        .map(|(file, user, group)| (*file, (*user).to_owned(), *group))
        .collect();
    users.push(("node", format!("system:node:{node}"), Some("system:nodes")));
    for (file, user, group) in users {
        let identity = authority.sign(&user, group, &["localhost", "127.0.0.1"])?;
        identity.write(&keys, file)?;
        let access = Access {
            name: &cluster.name,
            port: cluster.port(Port::ApiServer),
            authority: &authority.certificate,
            identity: &identity,
        };
        kubeconfig::write(&folder.join(format!("{file}.kubeconfig")), &[access])?;
    }
    let front = Authority::new("front")?;
    front.write(&keys, "front")?;
    front
        .sign("front-client", None, &[])?
        .write(&keys, "front-client")?;
    pki::write_service_account_key(&keys)?;
    fs::write(folder.join("audit-policy.yaml"), audit::POLICY)?;
    Ok(())
}

/// Starts the control plane and waits until the API server is ready.
pub(super) async fn start(cluster: &Cluster) -> Result<()> {
    launch(cluster, "etcd", &etcd_flags(cluster))?;
    launch(cluster, "kube-apiserver", &apiserver_flags(cluster))?;
    api_ready(cluster, BOUND).await?;
    launch(
        cluster,
        "kube-controller-manager",
        &controller_manager_flags(cluster),
    )?;
    if cluster.node.is_some() {
        launch(cluster, "kube-scheduler", &scheduler_flags(cluster))?;
    }
    Ok(())
}

/// Waits for /readyz; ends early when the API server or its etcd ends.
pub(super) async fn api_ready(cluster: &Cluster, bound: Duration) -> Result<()> {
    let etcd = cluster.daemon("etcd")?;
    let client = cluster.client().await?;
    let ready = async || {
        if !etcd.running() {
            bail!(wait::hopeless(anyhow::anyhow!(
                "etcd ended\n{}",
                etcd.log_tail(15)
            )));
        }
        let answer = client.send(http_get("/readyz")?.map(Into::into));
        let status = tokio::time::timeout(Duration::from_secs(2), answer)
            .await??
            .status();
        if status.is_success() {
            Ok(())
        } else {
            bail!("/readyz says {status}")
        }
    };
    cluster.daemon("kube-apiserver")?.ready(bound, ready).await
}

/// Waits until pods may be made in the default namespace.
pub(super) async fn accounts_ready(cluster: &Cluster) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client().await?, "default");
    let manager = cluster.daemon("kube-controller-manager")?;
    manager
        .ready(BOUND, async || Ok(accounts.get("default").await.map(|_| ())?))
        .await
}

pub(super) fn launch(cluster: &Cluster, program: &str, flags: &[String]) -> Result<()> {
    let command = [&[cluster.program(program)], flags].concat();
    Daemon::new(&cluster.lab, &cluster.name, program).start(&command, &BTreeMap::new())
}

fn etcd_flags(cluster: &Cluster) -> Vec<String> {
    let name = &cluster.name;
    let client = format!("http://127.0.0.1:{}", cluster.port(Port::Etcd));
    let peer = format!("http://127.0.0.1:{}", cluster.port(Port::EtcdPeer));
    vec![
        format!("--name={name}"),
        "--data-dir=etcd".to_owned(),
        // A lab survives kill -9 of its programs, not a power cut.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster={name}={peer}"),
    ]
}

fn apiserver_flags(cluster: &Cluster) -> Vec<String> {
    let mut flags = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", cluster.port(Port::Etcd)),
        format!("--secure-port={}", cluster.port(Port::ApiServer)),
        format!("--audit-log-path=log/{AUDIT_LOG}"),
    ];
    let fixed = [
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        // Endpoints may not hold loopback addresses.
        "--endpoint-reconciler-type=none",
        "--tls-cert-file=pki/apiserver.crt",
        "--tls-private-key-file=pki/apiserver.key",
        "--client-ca-file=pki/ca.crt",
        "--service-account-key-file=pki/sa.pub",
        "--service-account-signing-key-file=pki/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged",
        "--requestheader-client-ca-file=pki/front.crt",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--proxy-client-cert-file=pki/front-client.crt",
        "--proxy-client-key-file=pki/front-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--kubelet-client-certificate=pki/admin.crt",
        "--kubelet-client-key=pki/admin.key",
        "--kubelet-certificate-authority=pki/ca.crt",
        "--max-requests-inflight=2000",
        "--max-mutating-requests-inflight=1000",
        "--audit-policy-file=audit-policy.yaml",
        "--audit-log-format=json",
        // Counts read one whole file: it is never rotated away.
        "--audit-log-maxsize=100000",
    ];
    flags.extend(fixed.map(str::to_owned));
    flags
}

fn controller_manager_flags(cluster: &Cluster) -> Vec<String> {
    let mut flags = controller_flags("controller-manager", cluster.port(Port::ControllerManager));
    flags.extend(
        [
            "--service-account-private-key-file=pki/sa.key",
            "--root-ca-file=pki/ca.crt",
            "--use-service-account-credentials",
        ]
        .map(str::to_owned),
    );
    flags
}

fn scheduler_flags(cluster: &Cluster) -> Vec<String> {
    controller_flags("scheduler", cluster.port(Port::Scheduler))
}

/// What both controllers take.
fn controller_flags(user: &str, port: u16) -> Vec<String> {
    vec![
        format!("--kubeconfig={user}.kubeconfig"),
        format!("--authentication-kubeconfig={user}.kubeconfig"),
        format!("--authorization-kubeconfig={user}.kubeconfig"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--leader-elect=false".to_owned(),
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
    ]
}
