//! Random workloads: small enough to fit now and then, with every rule that placement knows.

use std::sync::Arc;

use proptest::prelude::*;
use sky_core::resources::Resources;
use sky_core::workload::{
    AcceleratorNeed, Kind, Needs, Part, PartOf, Preference, Spread, Strategy as Proportions, Workload,
};

use super::clusters::{PIECE, model};
use super::rules;
use super::{chance, one_of};

/// What one replica needs.
pub fn needs() -> impl Strategy<Value = Needs> {
    let accelerator =
        (prop::option::of(model()), 1..=2_i64).prop_map(|(model, count)| AcceleratorNeed { model, count });
    let amounts = (0..=8_i64, 0..=4_i64, chance(5), chance(10));
    let on_nodes = (
        prop::option::weighted(0.1, rules::labels()),
        prop::option::weighted(0.15, prop::collection::vec(rules::selector(true), 1..=2)),
        rules::tolerations(),
    );
    (amounts, prop::option::weighted(0.25, accelerator), on_nodes).prop_map(
        |(amounts, accelerator, on_nodes)| {
            let (cpu, memory, wants_fpga, by_name) = amounts;
            let mut resources = Resources::new(cpu * 250, memory * PIECE);
            if wants_fpga {
                resources.extended.insert("example.com/fpga".into(), 1);
            }
            // The conversion refuses both.
            if by_name && accelerator.is_none() {
                resources.extended.insert("nvidia.com/gpu".into(), 1);
            }
            let (labels, terms, tolerations) = on_nodes;
            Needs {
                whole_node: false,
                resources,
                accelerator,
                node_labels: labels.unwrap_or_default(),
                node_terms: terms.unwrap_or_default(),
                tolerations,
            }
        },
    )
}

fn proportions() -> impl Strategy<Value = Proportions> {
    let of = prop_oneof![
        one_of(&["c0", "c1", "c2", "c3"]).prop_map(PartOf::Cluster),
        rules::selector(false).prop_map(PartOf::Selector),
    ];
    let part = (of, 1..=7_i64).prop_map(|(of, weight)| Part { of, weight });
    prop_oneof![
        4 => Just(Proportions::Pack),
        3 => Just(Proportions::Even),
        3 => prop::collection::vec(part, 1..=4).prop_map(Proportions::Weighted),
    ]
}

/// How replicas spread, in every way.
pub fn spreads() -> impl Strategy<Value = Spread> {
    let bounds = (
        prop_oneof![3 => Just(0), 1 => 1..=4_i64],
        prop::option::weighted(0.3, 1..=4_i64),
    );
    (proportions(), bounds).prop_map(|(strategy, (min, max))| Spread {
        strategy,
        // The schema demands it.
        min_clusters: max.map_or(min, |max| min.min(max)),
        max_clusters: max,
    })
}

/// A workload of the namespace `default`, some of it placed already now and then.
pub fn workloads() -> impl Strategy<Value = Workload> {
    let preference = (rules::selector(false), 1..=3_i32).prop_map(|(selector, weight)| Preference {
        selector,
        weight: weight * 30,
    });
    let placement = (
        prop_oneof![2 => Just(vec![]), 1 => prop::collection::vec(rules::selector(false), 1..=3)],
        prop::collection::vec(preference, 0..=3),
        rules::tolerations(),
        spreads(),
    );
    let on_clusters = || prop::collection::btree_map(one_of(&["c0", "c1", "c2", "gone"]), 1..=5_i64, 1..=2);
    let past = (
        prop::option::weighted(0.25, on_clusters()),
        prop::option::weighted(0.1, on_clusters()),
    );
    let replicas = prop_oneof![3 => 1..=4_i64, 2 => 1..=12_i64, 1 => 1..=40_i64];
    let whole = (chance(50), chance(30), replicas, rules::labels());
    (whole, needs(), placement, past).prop_map(|(whole, needs, placement, (placed, cooling))| {
        let (gang, deployed, replicas, labels) = whole;
        let (filters, preferences, tolerations, spread) = placement;
        Workload {
            kind: if deployed {
                Kind::SkyDeployment
            } else {
                Kind::SkyJob
            },
            labels,
            replicas,
            gang: gang && !deployed,
            needs: Arc::new(needs),
            filters,
            preferences,
            tolerations,
            spread,
            placed: placed.unwrap_or_default(),
            cooling: cooling.unwrap_or_default(),
            ..plain()
        }
    })
}

/// A SkyJob of one replica that asks for nothing.
pub fn plain() -> Workload {
    Workload::new(Kind::SkyJob, "default", "w")
}
