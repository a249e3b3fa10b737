//! What is to be done about one SkyJob, and what its status says. `facts` is what is known, `plan` decides the steps,
//! `status` words the result, `finish` judges the end.

mod facts;
mod finish;
mod plan;
mod status;

pub use facts::{Facts, Finished, Members, Reach, Refused, Run, SentBack};
pub use plan::{Finalizer, Plan, Step, plan};
pub use status::{ClusterStatus, Condition, Phase, Status, Totals};
