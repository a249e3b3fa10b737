//! A real node: containerd, runc and a kubelet, so that containers run, print and can be entered.
//! Called by `Cluster::up` for members of kind real; what it leaves outside its folder, `sweep` takes away.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::json;
use tokio::process::Command;

use super::control_plane::launch;
use super::{Cluster, node, run};
use crate::daemon::Daemon;
use crate::image;
use crate::machine;
use crate::plan::MemberSpec;
use crate::slot::Port;
use crate::sweep::outside::{bridge_prefix, outside_prefix};

const BOUND: Duration = Duration::from_secs(60);

/// Starts containerd and gives it the image. Needs no API server.
///
/// Each kubelet has a containerd of its own: kubelets that share one kill each other's pods.
pub(super) async fn start_runtime(cluster: &Cluster, image: &Path) -> Result<()> {
    let folder = runtime(cluster);
    for name in ["root", "state", "cni", "opt"] {
        fs::create_dir_all(folder.join(name))?;
    }
    fs::write(
        folder.join("cni/10-bridge.conflist"),
        network(cluster).to_string(),
    )?;
    let config = folder.join("config.toml");
    fs::write(&config, settings(&folder)?)?;
    let program = machine::find("containerd").ok_or_else(|| anyhow!("no containerd"))?;
    let daemon = Daemon::new(&cluster.lab, &cluster.name, "containerd");
    let command = [
        program.display().to_string(),
        format!("--config={}", config.display()),
    ];
    daemon.start(&command, &BTreeMap::new())?;
    daemon
        .ready(BOUND, async || ctr(cluster, &["version"]).await)
        .await?;
    ctr(cluster, &["images", "import", &image.display().to_string()]).await?;
    // containerd puts docker.io/ before imported names; the kubelet may ask for the name as it was.
    for name in image::NAMES.iter().filter(|name| name.contains('/')) {
        ctr(
            cluster,
            &["images", "tag", "--force", &format!("docker.io/{name}"), name],
        )
        .await?;
    }
    Ok(())
}

/// Starts the kubelet and waits until its node is Ready.
pub(super) async fn start(cluster: &Cluster, spec: &MemberSpec) -> Result<()> {
    let cgroup = outside(cluster);
    make_cgroups(&cgroup)?;
    let folder = cluster.folder();
    for name in ["kubelet", "kubelet-logs", "volumeplugins"] {
        fs::create_dir_all(folder.join(name))?;
    }
    let config = serde_json::to_string_pretty(&kubelet(cluster, spec, &cgroup))?;
    fs::write(folder.join("kubelet.json"), config)?;
    let name = cluster.node_name(0);
    launch(
        cluster,
        "kubelet",
        &[
            "--config=kubelet.json".to_owned(),
            "--kubeconfig=node.kubeconfig".to_owned(),
            format!("--root-dir={}", folder.join("kubelet").display()),
            format!("--hostname-override={name}"),
            // A kubelet refuses a loopback address for its node; we set it, as a cloud provider would.
            "--cloud-provider=external".to_owned(),
            format!("--node-labels=kubernetes.io/hostname={name}"),
        ],
    )?;
    let daemon = cluster.daemon("kubelet")?;
    node::initialize(cluster.client().await?, &daemon, &name, spec).await?;
    node::ready(cluster, &daemon, spec).await
}

/// Gives the node the images of a docker-archive.
pub(super) async fn import(cluster: &Cluster, archive: &Path) -> Result<()> {
    ctr(cluster, &["images", "import", &archive.display().to_string()])
        .await
        .map(|_| ())
}

fn runtime(cluster: &Cluster) -> PathBuf {
    cluster.folder().join("containerd")
}

fn socket(cluster: &Cluster) -> String {
    runtime(cluster).join("containerd.sock").display().to_string()
}

/// Its name outside the lab's directory: for its cgroups and its pod network.
fn outside(cluster: &Cluster) -> String {
    format!("{}{}", outside_prefix(&cluster.lab), cluster.name)
}

async fn ctr(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(machine::find("ctr").ok_or_else(|| anyhow!("no ctr"))?);
    command
        .args(["--address", &socket(cluster), "--namespace", "k8s.io"])
        .args(arguments);
    run(command, &format!("ctr {}", arguments.join(" ")), None).await
}

/// One bridge and one /24 per member. No masquerading: pods reach each other and this machine.
fn network(cluster: &Cluster) -> serde_json::Value {
    let subnet = cluster.slot.subnet();
    let number = subnet.split('.').nth(1).unwrap_or("0");
    json!({
        "cniVersion": "0.4.0",
        "name": outside(cluster),
        "plugins": [{
            "type": "bridge",
            "bridge": format!("{}{number}", bridge_prefix(&cluster.lab)),
            "isGateway": true,
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": runtime(cluster).join("ipam"),
                "ranges": [[{"subnet": subnet}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

/// containerd's configuration. Without CAP_SYS_RESOURCE every sandbox fails unless
/// `restrict_oom_score_adj` is set.
fn settings(folder: &Path) -> Result<String> {
    let plugins = machine::network_plugins().ok_or_else(|| anyhow!("no network plugins"))?;
    let (folder, plugins) = (folder.display(), plugins.display());
    Ok(format!(
        r#"version = 2
root = "{folder}/root"
state = "{folder}/state"
oom_score = 0
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
"#,
        image = image::NAMES[0],
    ))
}

/// The kubelet's cgroup root under every hierarchy.
fn make_cgroups(name: &str) -> Result<()> {
    if machine::is_unified() {
        for controller in ["cpuset", "cpu", "io", "memory", "pids"] {
            let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", format!("+{controller}"));
        }
    }
    for hierarchy in machine::cgroup_hierarchies() {
        let path = hierarchy.join(name);
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        // In version 1 a new cpuset is empty and takes no program until it has these.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if !machine::is_unified()
                && let Ok(value) = fs::read(hierarchy.join(file))
            {
                fs::write(path.join(file), value)?;
            }
        }
    }
    Ok(())
}

fn kubelet(cluster: &Cluster, spec: &MemberSpec, cgroup: &str) -> serde_json::Value {
    let folder = cluster.folder();
    let keys = folder.join("pki");
    let cpu = machine::cores().saturating_sub(spec.cpu);
    let reserved = if cpu > 0 {
        json!({"cpu": cpu.to_string()})
    } else {
        json!({})
    };
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "port": cluster.port(Port::Kubelet),
        "healthzPort": cluster.port(Port::KubeletHealth),
        "readOnlyPort": 0,
        "containerRuntimeEndpoint": format!("unix://{}", socket(cluster)),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": keys.join("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": keys.join("node.crt"),
        "tlsPrivateKeyFile": keys.join("node.key"),
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{cgroup}"),
        "cgroupsPerQOS": true,
        "enforceNodeAllocatable": [],
        "systemReserved": reserved,
        "maxPods": spec.pods,
        "failSwapOn": false,
        // A full disk of this machine is no reason to evict the lab's pods.
        "evictionHard": {
            "memory.available": "0%", "nodefs.available": "0%",
            "nodefs.inodesFree": "0%", "imagefs.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": false,
        "localStorageCapacityIsolation": false,
        "podLogsDir": folder.join("kubelet-logs"),
        "volumePluginDir": folder.join("volumeplugins"),
        "nodeStatusUpdateFrequency": "5s",
    })
}
