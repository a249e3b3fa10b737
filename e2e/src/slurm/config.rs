//! Everything of a Slurm cluster that is there before a daemon starts: folders, keys, slurm.conf and its
//! neighbours. Called by `slurm`; what each line is for was found by trying without.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::accounting;
use super::version::Version;
use super::{PARTITION, REST_USER, SHORT_PARTITION, SlurmCluster, TOKEN_LIFE, account};
use crate::slot::Port;

/// Makes folders, keys, devices, configuration and the first token.
pub(super) fn prepare(cluster: &SlurmCluster) -> Result<()> {
    let (folder, home) = (cluster.folder(), cluster.home());
    for name in ["keys", "log", "state"] {
        fs::create_dir_all(folder.join(name))?;
    }
    // A first try on other ports may have left one.
    if home
        .symlink_metadata()
        .is_ok_and(|found| found.is_dir() && found.uid() == 0)
    {
        fs::remove_dir_all(&home)?;
    }
    // It is in a place where everybody may write: what else is there is not ours.
    DirBuilder::new()
        .mode(0o755)
        .create(&home)
        .with_context(|| format!("make {}", home.display()))?;
    open_to_all(&home, 0o755)?;
    for (name, mode) in [
        ("munge", 0o755),
        ("spool", 0o755),
        ("dev", 0o755),
        ("jobs", 0o1777),
    ] {
        fs::create_dir(home.join(name))?;
        open_to_all(&home.join(name), mode)?;
    }
    let rest = account(REST_USER)?;
    let socket = cluster.rest_socket();
    let folder = socket.parent().unwrap_or(&home);
    fs::create_dir(folder)?;
    chown(folder, Some(rest.uid.as_raw()), Some(rest.gid.as_raw()))?;
    write_key(&cluster.key_path("munge"), 128)?;
    write_key(&cluster.key_path("jwt"), 32)?;
    for index in 0..cluster.spec.slurm.gpus {
        // The numbers of /dev/null. Slurm takes nothing but a device for a GPU.
        let device = home.join(format!("dev/gpu{index}"));
        mknod(
            &device,
            SFlag::S_IFCHR,
            Mode::from_bits_truncate(0o666),
            makedev(1, 3),
        )?;
    }
    let version = Version::installed()?;
    for (name, text) in [
        ("slurm.conf", slurm(cluster)),
        ("gres.conf", gres(cluster)),
        ("cgroup.conf", version.cgroups().to_owned()),
        ("plugstack.conf", String::new()),
    ] {
        fs::write(home.join(name), text)?;
        open_to_all(&home.join(name), 0o644)?;
    }
    cluster.renew_token(TOKEN_LIFE)
}

/// slurm.conf of a cluster on loopback alone, run by root, without cgroups.
fn slurm(cluster: &SlurmCluster) -> String {
    let (folder, home) = (cluster.folder(), cluster.home());
    let (folder, home) = (folder.display(), home.display());
    let spec = &cluster.spec.slurm;
    let all = nodes(cluster);
    let mut lines = vec![
        format!("ClusterName={}", cluster.name.replace('-', "_")),
        "SlurmctldHost=localhost(127.0.0.1)".to_owned(),
        format!("SlurmctldPort={}", cluster.port(Port::Slurmctld)),
        format!("AuthInfo=socket={home}/munge/socket"),
        format!("AuthAltParameters=jwt_key={}", cluster.key_path("jwt").display()),
        format!("StateSaveLocation={folder}/state"),
        format!("SlurmdSpoolDir={home}/spool/%n"),
        format!("SlurmctldPidFile={folder}/slurmctld.pid"),
        format!("SlurmdPidFile={folder}/%n.pid"),
        format!("PlugStackConfig={home}/plugstack.conf"),
        format!("JobCompLoc={}", cluster.finished_jobs().display()),
        format!("MinJobAge={}", spec.min_job_age),
    ];
    lines.extend(FIXED.map(str::to_owned));
    lines.extend(accounting::lines(cluster));
    lines.retain(|line| spec.extra.iter().all(|extra| key(extra) != key(line)));
    lines.extend((0..cluster.spec.nodes).map(|index| node(cluster, index)));
    lines.push(format!(
        "PartitionName={PARTITION} Nodes={all} Default=YES MaxTime=60 DefaultTime=10 State=UP"
    ));
    lines.push(format!(
        "PartitionName={SHORT_PARTITION} Nodes={} MaxTime=1 State=UP",
        cluster.node_name(0)
    ));
    lines.extend(spec.extra.iter().cloned());
    lines.join("\n") + "\n"
}

const FIXED: [&str; 26] = [
    "SlurmUser=root",
    "SlurmdUser=root",
    // Else they listen on every address of the machine.
    "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny",
    "AuthType=auth/munge",
    "AuthAltTypes=auth/jwt",
    "CredType=cred/munge",
    "ProctrackType=proctrack/linuxproc",
    "TaskPlugin=task/none",
    "JobAcctGatherType=jobacct_gather/none",
    "JobCompType=jobcomp/filetxt",
    "MailProg=/bin/true",
    "MpiDefault=none",
    "SelectType=select/cons_tres",
    "SelectTypeParameters=CR_CPU_Memory",
    "SchedulerType=sched/backfill",
    // Jobs start within a second.
    "SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0",
    "GresTypes=gpu",
    // A node that was silent and comes back is taken back.
    "ReturnToService=2",
    "KillWait=2",
    "InactiveLimit=0",
    "SlurmdTimeout=30",
    "SlurmctldTimeout=10",
    "MessageTimeout=10",
    // Nodes may be larger than the machine.
    "SlurmdParameters=config_overrides",
    "DefMemPerCPU=100",
    "EnforcePartLimits=ALL",
];

/// What a line of slurm.conf sets; Slurm cares for no case.
fn key(line: &str) -> String {
    line.split('=').next().unwrap_or_default().trim().to_lowercase()
}

fn node(cluster: &SlurmCluster, index: u32) -> String {
    let spec = &cluster.spec;
    let gpus = match spec.slurm.gpus {
        0 => String::new(),
        count => format!(" Gres=gpu:{}:{count}", spec.slurm.gpu_model),
    };
    format!(
        "NodeName={} NodeHostname=localhost NodeAddr=127.0.0.1 Port={} CPUs={} RealMemory={}{gpus} State=UNKNOWN",
        cluster.node_name(index),
        cluster.port(Port::Slurmd(u16::try_from(index).unwrap_or(u16::MAX))),
        spec.cpu,
        spec.mebibytes().unwrap_or(1),
    )
}

fn gres(cluster: &SlurmCluster) -> String {
    let spec = &cluster.spec.slurm;
    let mut text = "AutoDetect=off\n".to_owned();
    if spec.gpus > 0 {
        text.push_str(&format!(
            "NodeName={} Name=gpu Type={} File={}/dev/gpu[0-{}]\n",
            nodes(cluster),
            spec.gpu_model,
            cluster.home().display(),
            spec.gpus - 1
        ));
    }
    text
}

/// All nodes as slurm.conf lists them.
fn nodes(cluster: &SlurmCluster) -> String {
    let names: Vec<_> = (0..cluster.spec.nodes)
        .map(|index| cluster.node_name(index))
        .collect();
    names.join(",")
}

/// Whatever the umask says.
pub(super) fn open_to_all(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

/// Random bytes that only root reads: Slurm and munge refuse any other key.
fn write_key(path: &Path, length: usize) -> Result<()> {
    let mut key = vec![0; length];
    fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(path)?;
    Ok(file.write_all(&key)?)
}
