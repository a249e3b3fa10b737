//! placeholder
use super::Suite;

pub const SUITE: Suite = Suite { name: "lab", about: "the lab itself", cases: &[] };
