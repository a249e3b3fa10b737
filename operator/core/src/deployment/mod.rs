//! What is to be done about one SkyDeployment, and what its status says. `facts` is what is known, `plan` decides the
//! steps, `settle` who leaves a cluster, `shrink` who goes when there are too many, `rollout` whose turn it is to get a
//! changed template, `status` words the result.

mod facts;
mod plan;
mod rollout;
mod settle;
mod shrink;
mod status;

pub use facts::{Facts, Members};
pub use plan::{Plan, Step, ask, plan};
pub use shrink::{Standing, standing};
pub use status::{ClusterStatus, Counts, Status};
