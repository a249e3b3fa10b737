//! What is to be done about one SkyJob, and what its status says. `facts` is what is known, `plan` decides the steps,
//! `ask` says what is to be placed, `evict` carries evictions on, `lost` what was on a lost cluster, `clusters` counts and `status` words the result, `finish`
//! judges the end.

mod ask;
mod clusters;
mod evict;
mod facts;
mod finish;
mod lost;
mod plan;
mod rerun;
mod status;

pub use ask::{ask, missing, next_cluster};
pub use clusters::{ClusterStatus, Totals};
pub use facts::{Facts, Finished, Members, Reach, Refused, Run, SentBack};
pub use plan::{Finalizer, Plan, Step, plan};
pub use status::{Condition, Phase, Status, diagnosis};
