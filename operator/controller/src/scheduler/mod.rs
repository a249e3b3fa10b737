//! Decides what waits. The reconcilers of workloads put them on the board and read answers off it; rounds are decided here
//! by sky-core over one snapshot, in queue order, each decision reserving what it takes.
//!
//! Nothing is written: an answer that places a job is bound by the job's reconciler, and stays reserved here until the
//! host's cache shows the placement.

mod board;
mod rooms;
mod round;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::calls::Calls;

pub use board::{Board, Waiting};
pub use round::Sources;

/// The shortest pause between two rounds: what arrives meanwhile is decided together.
const PAUSE: Duration = Duration::from_millis(5);

/// The longest that the first round waits for members that have not spoken.
const FIRST_ROUND: Duration = Duration::from_secs(10);

/// Decides whenever the board is woken, until `stop`. Workloads with a new answer are called.
///
/// The first round waits until every member has spoken or turned out to be silent: a job whose record was lost may
/// have its shares there.
pub async fn run(board: Arc<Board>, sources: Arc<Sources>, answered: Calls, stop: CancellationToken) {
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
        for workload in board.decide(&sources) {
            answered.call(&workload);
        }
        // Deciding never takes more than half of the time.
        tokio::time::sleep(PAUSE.max(begun.elapsed())).await;
    }
}
