//! The five kinds of Sky Manager, as users write them, and the names that mark what the system owns.
//!
//! Every other crate reads these types; none of ours is read here. `manifests/` is generated from them by
//! `cargo run -p sky-crds --example generate` and checked for drift.

pub mod bounds;
pub mod cluster;
pub mod deployment;
pub mod job;
pub mod names;
pub mod namespace;
mod opaque;
pub mod placement;
pub mod policy;
mod rules;
pub mod scalar;
pub mod schema;
pub mod status;
pub mod workload;

pub use cluster::{SkyCluster, SkyClusterSpec, SkyClusterStatus};
pub use deployment::{SkyDeployment, SkyDeploymentSpec, SkyDeploymentStatus};
pub use job::{SkyJob, SkyJobSpec, SkyJobStatus};
pub use namespace::{SkyNamespace, SkyNamespaceSpec, SkyNamespaceStatus};
pub use policy::{FilterPolicy, FilterPolicySpec, FilterPolicyStatus};
