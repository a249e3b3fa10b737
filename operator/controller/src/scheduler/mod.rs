//! Decides what waits. The job reconciler puts workloads on the board and reads answers off it; rounds are decided here
//! by sky-core over one snapshot, in queue order, each decision reserving what it takes.
//!
//! Nothing is written: an answer that places a job is bound by the job's reconciler, and stays reserved here until the
//! host's cache shows the placement.

mod board;
mod round;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::runtime::reflector::ObjectRef;
use sky_crds::SkyJob;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

pub use board::{Board, Waiting};
pub use round::Sources;

/// The shortest pause between two rounds: what arrives meanwhile is decided together.
const PAUSE: Duration = Duration::from_millis(5);

/// Decides whenever the board is woken, until `stop`. Jobs with a new answer go to `answered`.
pub async fn run(
    board: Arc<Board>,
    sources: Sources,
    answered: UnboundedSender<ObjectRef<SkyJob>>,
    stop: CancellationToken,
) {
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
