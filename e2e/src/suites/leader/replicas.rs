//! Two operators in the place of the lab's own: one that leads and one that stands by. Part of the suite `leader`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;

use crate::daemon::Daemon;
use crate::operator::{self, NAME, NAMESPACE};
use crate::slot::{Port, Replica};
use crate::suites::sky::{SOON, Sky};
use crate::wait;

/// The two operators.
pub(super) struct Replicas {
    pub(super) leader: Daemon,
    pub(super) standby: Daemon,
}

impl Replicas {
    /// Ends the lab's operator, starts the first and then the second, and returns when both are ready: the first leads.
    pub(super) async fn start(sky: &Sky) -> Result<Self> {
        let host = sky.lab.host()?;
        host.daemon(NAME)?.kill().await?;
        // Of an earlier case, whose operators were killed: it may name one that is called the same.
        let namespace = format!("--namespace={NAMESPACE}");
        host.kubectl(&["delete", "lease", NAME, &namespace, "--ignore-not-found"])
            .await?;
        let leader = operator::replica(&sky.lab, Replica::First)?;
        holds(sky, &leader).await?;
        let standby = operator::replica(&sky.lab, Replica::Second)?;
        for (daemon, replica) in [(&leader, Replica::First), (&standby, Replica::Second)] {
            let port = host.port(Port::Replica(replica));
            daemon
                .ready(SOON, async || operator::get(port, "/readyz").await)
                .await?;
            operator::get(port, "/livez").await?;
        }
        // It knows who leads, and that it does not.
        wait::until("the second to stand by", SOON, async || {
            let log = standby.log_tail(100);
            ensure!(log.contains("standing by"), "{log}");
            Ok(())
        })
        .await?;
        Ok(Self { leader, standby })
    }

    /// Ends both and starts the lab's own operator again.
    pub(super) async fn end(self, sky: &Sky) -> Result<()> {
        for daemon in [&self.leader, &self.standby] {
            daemon.discard().await?;
        }
        let host = sky.lab.host()?;
        host.daemon(NAME)?.restart().await?;
        operator::ready(&host).await
    }
}

/// Waits until the lease names this operator.
pub(super) async fn holds(sky: &Sky, daemon: &Daemon) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(sky.client(), NAMESPACE);
    let what = format!("{} to hold the lease", daemon.name());
    wait::until(&what, Duration::from_secs(60), async || {
        let lease = leases.get_opt(NAME).await?.context("there is no lease")?;
        let holder = lease
            .spec
            .and_then(|spec| spec.holder_identity)
            .unwrap_or_default();
        ensure!(
            holder.starts_with(&format!("{}_", daemon.name())),
            "{holder:?} holds it"
        );
        Ok(())
    })
    .await
}
