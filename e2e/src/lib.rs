//! The lab: real clusters, Kubernetes and Slurm, on one Linux machine, what hurts them, and the suites that run on them.
//! Start reading at `lab` (bring up, open, take down), `cluster` and `slurm` (what a suite may do to one cluster).

pub mod argocd;
pub mod chart;
pub mod cluster;
pub mod commands;
pub mod daemon;
pub mod demo;
pub mod doctor;
pub mod helm;
pub mod image;
pub mod kubeconfig;
pub mod lab;
pub mod machine;
pub mod metrics_api;
pub mod network;
pub mod operator;
pub mod packages;
pub mod pki;
pub mod plan;
pub mod procfs;
pub mod programs;
pub mod report;
pub mod runner;
pub mod slot;
pub mod slurm;
pub mod state;
pub mod suites;
pub mod sweep;
pub mod wait;
pub mod workspace;
