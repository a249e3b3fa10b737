//! API objects parsed once into core values, and core values worded as API status. Pure; shared by operator and plugin.
//!
//! Fed with objects of the host; sky-core decides on the result. What cannot be carried out is found here and named.

pub mod accelerator;
pub mod cluster;
pub mod config;
pub mod configuration;
pub mod deployment;
pub mod eviction;
pub mod fleet;
pub mod job;
pub mod namespace;
pub mod original;
pub mod overrides;
pub mod placement;
pub mod policy;
pub mod resources;
pub mod revision;
pub mod selector;
pub mod status;
pub mod template;
pub mod workload;
