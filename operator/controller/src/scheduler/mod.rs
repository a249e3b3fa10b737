//! Decides what waits. The job reconciler puts workloads on the board and reads answers off it; rounds are decided here
//! by sky-core over one snapshot, in queue order, each decision reserving what it takes.
//!
//! Nothing is written: an answer that places a job is bound by the job's reconciler, and stays reserved here until the
//! host's cache shows the placement.

mod board;
mod rooms;
mod round;

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use sky_crds::SkyJob;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use board::{Board, Waiting};
pub use round::Sources;

/// The shortest pause between two rounds: what arrives meanwhile is decided together.
const PAUSE: Duration = Duration::from_millis(5);

/// The longest that the first round waits for members that have not spoken.
const FIRST_ROUND: Duration = Duration::from_secs(10);

/// Decides whenever the board is woken, until `stop`. Jobs with a new answer go to `answered`.
///
/// The first round waits until every member has spoken or turned out to be silent: a job whose record was lost may
/// have its shares there.
pub async fn run(
    board: Arc<Board>,
    sources: Sources,
    answered: UnboundedSender<ObjectRef<SkyJob>>,
    stop: CancellationToken,
) {
    let spoken = tokio::time::timeout(FIRST_ROUND, sources.spoken());
    tokio::select! {
        _ = spoken => {}
        () = stop.cancelled() => return,
    }
    loop {
        tokio::select! {
            () = board.woken() => {}
            () = stop.cancelled() => return,
        }
        let begun = Instant::now();
        for job in board.decide(&sources) {
            // The receiver only goes when the operator ends.
            let _ = answered.send(job);
        }
        // Deciding never takes more than half of the time.
        tokio::time::sleep(PAUSE.max(begun.elapsed())).await;
    }
}
