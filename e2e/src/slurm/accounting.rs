//! Accounting of a Slurm cluster: slurmdbd and a MariaDB of its own on a unix socket, with which what slurmctld has
//! forgotten is still known. Called by `slurm::launch` for clusters that were asked for it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::{TcpStream, UnixStream};

use super::launch::{munge_socket, program};
use super::{SlurmCluster, account};
use crate::slot::Port;

/// The account that runs the database, which refuses root.
const USER: &str = "mysql";
const BOUND: Duration = Duration::from_secs(60);

/// What slurm.conf says of it; nothing when no accounting was asked for.
pub(super) fn lines(cluster: &SlurmCluster) -> Vec<String> {
    if !cluster.spec.slurm.accounting {
        return vec!["AccountingStorageType=accounting_storage/none".to_owned()];
    }
    vec![
        "AccountingStorageType=accounting_storage/slurmdbd".to_owned(),
        "AccountingStorageHost=localhost".to_owned(),
        format!("AccountingStoragePort={}", cluster.port(Port::Slurmdbd)),
        // Else slurmctld looks for munge in its usual place.
        format!("AccountingStoragePass={}", munge_socket(cluster).display()),
    ]
}

/// Makes the database's folder and slurmdbd.conf.
pub(super) fn prepare(cluster: &SlurmCluster) -> Result<()> {
    if !cluster.spec.slurm.accounting {
        return Ok(());
    }
    let user = account(USER)?;
    let folder = folder(cluster);
    fs::create_dir(&folder)?;
    chown(&folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    let made = Command::new(program("mariadb-install-db")?)
        .args(["--no-defaults", "--skip-test-db", "--auth-root-socket-user=root"])
        .arg(format!("--user={USER}"))
        .arg(format!("--datadir={}", folder.join("data").display()))
        .output()
        .context("run mariadb-install-db")?;
    if !made.status.success() {
        bail!("mariadb-install-db: {}", String::from_utf8_lossy(&made.stderr));
    }
    // slurmdbd takes no other place and no other mode.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(cluster.home().join("slurmdbd.conf"))?;
    Ok(file.write_all(slurmdbd(cluster).as_bytes())?)
}

fn slurmdbd(cluster: &SlurmCluster) -> String {
    let lines = [
        "AuthType=auth/munge".to_owned(),
        format!("AuthInfo=socket={}", munge_socket(cluster).display()),
        // slurmrestd passes on the token of who asks.
        "AuthAltTypes=auth/jwt".to_owned(),
        format!("AuthAltParameters=jwt_key={}", cluster.key_path("jwt").display()),
        // Else it listens on every address of the machine.
        "CommunicationParameters=NoInAddrAny".to_owned(),
        "DbdHost=localhost".to_owned(),
        "DbdAddr=127.0.0.1".to_owned(),
        format!("DbdPort={}", cluster.port(Port::Slurmdbd)),
        "SlurmUser=root".to_owned(),
        format!("PidFile={}/slurmdbd.pid", cluster.folder().display()),
        "StorageType=accounting_storage/mysql".to_owned(),
        "StorageHost=localhost".to_owned(),
        "StorageUser=root".to_owned(),
        "StorageLoc=accounting".to_owned(),
    ];
    lines.join("\n") + "\n"
}

/// Starts both by `launch` and waits until slurmdbd listens; nothing when no accounting was asked for.
pub(super) async fn start(
    cluster: &SlurmCluster,
    launch: impl Fn(&str, Vec<String>, &[(&str, &str)]) -> Result<()>,
) -> Result<()> {
    if !cluster.spec.slurm.accounting {
        return Ok(());
    }
    let socket = folder(cluster).join("socket");
    launch("mariadbd", database(cluster)?, &[])?;
    let database = cluster.daemon("mariadbd")?;
    let answers = async || Ok(UnixStream::connect(&socket).await.map(drop)?);
    database.ready(BOUND, answers).await?;
    let (socket, conf) = (socket.display().to_string(), cluster.conf().display().to_string());
    let env = [
        ("MYSQL_UNIX_PORT", socket.as_str()),
        ("SLURM_CONF", conf.as_str()),
    ];
    launch("slurmdbd", vec![program("slurmdbd")?, "-D".to_owned()], &env)?;
    let port = cluster.port(Port::Slurmdbd);
    let listens = async || Ok(TcpStream::connect(("127.0.0.1", port)).await.map(drop)?);
    cluster.daemon("slurmdbd")?.ready(BOUND, listens).await
}

/// A small database that need not outlive the machine.
fn database(cluster: &SlurmCluster) -> Result<Vec<String>> {
    let folder = folder(cluster);
    Ok(vec![
        program("mariadbd")?,
        "--no-defaults".to_owned(),
        format!("--user={USER}"),
        format!("--datadir={}", folder.join("data").display()),
        format!("--socket={}", folder.join("socket").display()),
        format!("--pid-file={}", folder.join("pid").display()),
        "--skip-networking".to_owned(),
        "--innodb-buffer-pool-size=16M".to_owned(),
        "--innodb-flush-log-at-trx-commit=0".to_owned(),
    ])
}

fn folder(cluster: &SlurmCluster) -> PathBuf {
    cluster.home().join("accounting")
}
