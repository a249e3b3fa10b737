//! The order in which waiting workloads are decided: priority, then age. A function of host objects alone, so that a
//! new leader and the plugin see the same.

use std::cmp::Reverse;

use crate::workload::Workload;

/// Sort key: ascending order is queue order.
#[must_use]
pub fn key(workload: &Workload) -> (Reverse<i32>, i64, String, String) {
    (
        Reverse(workload.priority),
        workload.created,
        workload.namespace.clone(),
        workload.name.clone(),
    )
}
