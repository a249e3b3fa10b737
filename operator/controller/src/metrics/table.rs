//! Every metric: name, type, labels, meaning. Read by what makes them, and by the test that compares docs/operating.md.

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Name, with its unit.
    pub name: &'static str,
    /// counter, gauge or histogram.
    pub kind: &'static str,
    /// Labels, in order.
    pub labels: &'static [&'static str],
    /// In one line.
    pub meaning: &'static str,
}

const fn define(
    name: &'static str,
    kind: &'static str,
    labels: &'static [&'static str],
    meaning: &'static str,
) -> Definition {
    Definition {
        name,
        kind,
        labels,
        meaning,
    }
}

pub const ATTEMPTS: Definition = define(
    "sky_scheduling_attempts_total",
    "counter",
    &["result"],
    "Decisions about one workload, by result: scheduled, unschedulable or too_large",
);
pub const ATTEMPT_SECONDS: Definition = define(
    "sky_scheduling_attempt_duration_seconds",
    "histogram",
    &["result"],
    "Time that a decision about one workload took",
);
pub const PENDING: Definition = define(
    "sky_pending_workloads",
    "gauge",
    &["reason"],
    "Workloads that wait for a place, by reason: undecided, unschedulable or too_large",
);
pub const UNSCHEDULABLE: Definition = define(
    "sky_unschedulable_workloads",
    "gauge",
    &["plugin"],
    "Waiting workloads for which this plugin refused a cluster; one may count under several plugins",
);
pub const QUEUE_DEPTH: Definition =
    define("sky_queue_depth", "gauge", &[], "Workloads that wait for a place");
pub const QUEUE_AGE: Definition = define(
    "sky_queue_oldest_age_seconds",
    "gauge",
    &[],
    "Age of the oldest workload that waits for a place; 0 when none does",
);
pub const RESERVED: Definition = define(
    "sky_reserved_replicas",
    "gauge",
    &["cluster"],
    "Replicas that room is kept for and that are on no node yet",
);
pub const SHARES: Definition = define(
    "sky_shares",
    "gauge",
    &["cluster", "state"],
    "Shares on members, by state: pending, running, complete, failed, suspended, going or tombstone",
);
pub const MEMBERS: Definition = define(
    "sky_members",
    "gauge",
    &["state"],
    "Registered clusters, by state: ready, waiting (not answered yet) or silent",
);
pub const MEMBER_READY: Definition = define(
    "sky_member_ready",
    "gauge",
    &["cluster"],
    "1 when the member answers and its nodes and shares are known, else 0",
);
pub const REQUESTS: Definition = define(
    "sky_member_requests_total",
    "counter",
    &["cluster", "request", "result"],
    "Calls to members, by request (probe, ensure, withdraw, logs) and result: ok or the class of the error",
);
pub const REQUEST_SECONDS: Definition = define(
    "sky_member_request_duration_seconds",
    "histogram",
    &["cluster", "request"],
    "Time that calls to members took",
);
pub const RECONCILES: Definition = define(
    "sky_reconcile_total",
    "counter",
    &["controller", "result"],
    "Reconciles, by controller and result: success or error",
);
pub const RECONCILE_SECONDS: Definition = define(
    "sky_reconcile_duration_seconds",
    "histogram",
    &["controller"],
    "Time that reconciles took, calls to members included",
);
pub const EVICTIONS: Definition = define(
    "sky_evictions_total",
    "counter",
    &["reason"],
    "Evictions that were recorded, by reason",
);
pub const LEADER: Definition = define(
    "sky_leader_election_master_status",
    "gauge",
    &["name"],
    "1 when this operator leads, 0 when it stands by",
);
pub const BUILD: Definition = define(
    "sky_build_info",
    "gauge",
    &["version"],
    "Always 1; the label says which version this is",
);

/// All, as the docs list them.
pub const ALL: [&Definition; 17] = [
    &ATTEMPTS,
    &ATTEMPT_SECONDS,
    &PENDING,
    &UNSCHEDULABLE,
    &QUEUE_DEPTH,
    &QUEUE_AGE,
    &RESERVED,
    &SHARES,
    &MEMBERS,
    &MEMBER_READY,
    &REQUESTS,
    &REQUEST_SECONDS,
    &RECONCILES,
    &RECONCILE_SECONDS,
    &EVICTIONS,
    &LEADER,
    &BUILD,
];
