//! Namespaces: how one is to be on a member, what a member shows of it, and what is to be done about a SkyNamespace.
//!
//! `wanted` is what sky-member carries out, `leave` says when what nobody needs any more may go, `plan` makes steps and a
//! status of `facts`. The operator's namespace reconciler calls in.

mod facts;
mod leave;
mod plan;
mod status;
mod wanted;

pub use facts::{Facts, Place, Site};
pub use leave::{GRACE, LEAST_GRACE, leave, stay};
pub use plan::{Plan, Step, plan};
pub use status::{ClusterState, State, Status};
pub use wanted::{Namespace, SeenNamespace, Wanted};

#[cfg(test)]
mod tests;
