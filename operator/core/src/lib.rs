//! Pure decisions of Sky Manager: where replicas go, what is to be done about a workload, and what its status says.
//!
//! No Kubernetes, no I/O, no clock, no environment: everything comes in as values, time included. sky-convert makes
//! those values from API objects, sky-member from what members say; sky-operator and the plugin call in.

pub mod accelerator;
pub mod cluster;
pub mod config;
pub mod decision;
pub mod deployment;
pub mod eviction;
pub mod expression;
pub mod fit;
pub mod job;
pub mod labels;
pub mod marks;
pub mod namespace;
pub mod naming;
pub mod observation;
pub mod pace;
pub mod patch;
pub mod placement;
pub mod plugin;
pub mod plugins;
pub mod pod;
pub mod quantity;
pub mod queue;
pub mod ranks;
pub mod resources;
pub mod revision;
pub mod room;
pub mod schedule;
pub mod share;
pub mod snapshot;
pub mod spread;
pub mod workload;

/// Seconds since 1970-01-01T00:00:00Z.
pub type Seconds = i64;
