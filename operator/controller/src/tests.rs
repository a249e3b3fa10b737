//! What the scenario tests of several modules stand on.

pub(crate) mod stage;
