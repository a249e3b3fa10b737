//! The five kinds of Sky Manager, as users write them, and the names that mark what the system owns.
//!
//! Every other crate reads these types; none of ours is read here. `manifests/` is generated from them by
//! `cargo run -p sky-crds --example generate`; tests compare the two and judge the documents of `tests/documents/`.
//!
//! # Guarantees
//! An object read from an API server that serves these CRDs satisfies every bound and rule of its schema: only one
//! spelling of a selector is given, `template` stands alone, weights and counts are within their ranges, names of
//! clusters are DNS labels. `status` is always there; `observedGeneration` is -1 until the operator writes it.
//!
//! # Caveats
//! The schema cannot see everything; whoever reads a spec still checks what the head of [`schema`] lists. A status
//! beyond the limits in [`bounds`] is refused as a whole, so its writer cuts texts and lists first. Write with
//! patches: a replace through these types drops empty lists inside `placement`, which a SkyJob takes for a change.

pub mod bounds;
pub mod cluster;
mod columns;
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
