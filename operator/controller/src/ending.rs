//! How the operator ends: what is under way comes to rest, and only then is the lease given back. Called by `run`.

use std::time::Duration;

use sky_member::gate::Gate;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::leader::{Lost, Verdict};

/// The longest that what is under way may take when the operator stops.
const LAST_CALLS: Duration = Duration::from_secs(20);

/// What has to end, and in which order.
pub struct Ending {
    /// Has everything come to rest.
    pub stop: CancellationToken,
    /// Shut when something does not.
    pub gate: Gate,
    /// What may write.
    pub tasks: TaskTracker,
    /// What holds the lease.
    pub election: TaskTracker,
    /// Why the lease was lost, if it was.
    pub verdict: Verdict,
    /// Cancelled when nothing is under way any more: the lease may go.
    pub at_rest: CancellationToken,
}

impl Ending {
    /// Stops everything; reconciles under way end with their calls' deadlines. The lease is kept meanwhile, and given
    /// back when nothing is left that could write.
    ///
    /// # Errors
    /// When the lease was lost: nothing can be written any more, so that there is nothing to wait for.
    pub async fn end(self) -> Result<(), Lost> {
        tracing::info!("stopping");
        self.stop.cancel();
        self.tasks.close();
        let rested = tokio::select! {
            biased;
            () = self.gate.ran_out() => return Err(self.verdict.lost()),
            rested = tokio::time::timeout(LAST_CALLS, self.tasks.wait()) => rested,
        };
        if rested.is_err() {
            tracing::warn!("some calls are still under way: the lease is not given back, and runs out");
            self.gate.lose();
        }
        self.at_rest.cancel();
        self.election.close();
        self.election.wait().await;
        Ok(())
    }
}
