//! TLS before slurmrestd, which speaks plain HTTP: stunnel with a certificate of the cluster's own authority, as a site
//! would put a proxy there. Called by `slurm` and `slurm::launch` for clusters that were asked for it.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use tokio::net::TcpStream;

use super::SlurmCluster;
use super::launch::program;
use crate::pki::Authority;
use crate::slot::Port;

const SERVER: &str = "slurmrestd";

/// Makes certificates and configuration; nothing when no TLS was asked for.
pub(super) fn prepare(cluster: &SlurmCluster) -> Result<()> {
    if !cluster.spec.slurm.https {
        return Ok(());
    }
    let keys = cluster.folder().join("keys");
    let authority = Authority::new(&cluster.name)?;
    authority.write(&keys, "ca")?;
    authority
        .sign(SERVER, None, &["localhost", "127.0.0.1"])?
        .write(&keys, SERVER)?;
    let text = format!(
        "foreground = yes\nsyslog = no\npid =\n[{SERVER}]\naccept = 127.0.0.1:{}\nconnect = 127.0.0.1:{}\n\
         cert = {keys}/{SERVER}.crt\nkey = {keys}/{SERVER}.key\n",
        cluster.port(Port::SlurmTls),
        cluster.port(Port::Slurmrestd),
        keys = keys.display(),
    );
    Ok(fs::write(cluster.folder().join("stunnel.conf"), text)?)
}

/// How stunnel is started, if it is.
pub(super) fn command(cluster: &SlurmCluster) -> Result<Option<Vec<String>>> {
    if !cluster.spec.slurm.https {
        return Ok(None);
    }
    let conf = cluster.folder().join("stunnel.conf");
    Ok(Some(vec![program("stunnel4")?, conf.display().to_string()]))
}

/// Waits until stunnel listens; ends early when it ends.
pub(super) async fn ready(cluster: &SlurmCluster, bound: Duration) -> Result<()> {
    let port = cluster.port(Port::SlurmTls);
    let daemon = cluster.daemon("stunnel")?;
    daemon
        .ready(bound, async || {
            TcpStream::connect(("127.0.0.1", port)).await?;
            Ok(())
        })
        .await
}
