//! The operator: reads the host, decides by sky-core, acts on members through sky-member, reports into status.
//!
//! `run` wires everything and, with `fleet`, is the only one that spawns. `job`, `cluster` and `namespace` are reconcilers of named
//! steps, `scheduler` decides what waits, `fleet` listens to members, `host` reads and writes the host.

pub mod calls;
pub(crate) mod clock;
pub mod cluster;
pub mod configuration;
pub mod controllers;
pub mod deployment;
pub mod ending;
mod event;
pub mod fleet;
pub mod follow;
pub mod health;
pub mod host;
pub mod job;
pub mod leader;
pub mod leftovers;
pub mod metrics;
pub mod namespace;
pub mod origin;
pub mod policy;
pub mod probe;
pub mod requeue;
pub mod rules;
pub mod run;
pub mod scheduler;
pub mod settings;
pub mod startup;
pub mod stirs;
pub mod stores;
pub mod workloads;

#[cfg(test)]
mod tests;
