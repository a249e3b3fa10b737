//! Slurm nodes as core sees them. Pure; fed by `look`.

use std::collections::BTreeMap;

use sky_core::cluster::Node;
use sky_core::resources::Resources;

use super::dialect::{NodeRecord, PartitionRecord};

/// The resource under which Slurm's GPUs are offered.
const GPU: &str = "gpu";

/// States in which a node takes jobs.
const OPEN: [&str; 3] = ["IDLE", "MIXED", "ALLOCATED"];

/// Flags with which it takes none.
const CLOSED: [&str; 17] = [
    "DRAIN",
    "DRAINED",
    "DRAINING",
    "DOWN",
    "FAIL",
    "FAILING",
    "NOT_RESPONDING",
    "NO_RESPOND",
    "MAINTENANCE",
    "RESERVED",
    "POWERING_DOWN",
    "POWERED_DOWN",
    "POWERING_UP",
    "POWER_DOWN",
    "FUTURE",
    "REBOOT_ISSUED",
    "INVALID_REG",
];

/// The nodes of `partition`, or of the default one, or where none is known to be it, of all.
pub(super) fn read(
    nodes: &[NodeRecord],
    partitions: &[PartitionRecord],
    partition: Option<&str>,
) -> BTreeMap<String, Node> {
    let default = partitions
        .iter()
        .find(|one| one.default)
        .map(|one| one.name.as_str());
    let wanted = partition.or(default);
    let counts = |name: &str| wanted.is_none_or(|wanted| wanted == name);
    let up = |name: &String| partitions.iter().any(|one| one.up && one.name == *name);
    let mut read = BTreeMap::new();
    for record in nodes {
        let mut own = record.partitions.iter().filter(|name| counts(name));
        if own.clone().next().is_none() {
            continue;
        }
        let open = own.any(up);
        read.insert(record.name.clone(), node(record, open));
    }
    read
}

/// Partitions, in words.
pub(super) fn listed(partitions: &[PartitionRecord]) -> String {
    let each = partitions.iter().map(|one| match (one.default, one.up) {
        (true, true) => format!("{} (default)", one.name),
        (_, false) => format!("{} (not UP)", one.name),
        (false, true) => one.name.clone(),
    });
    let all: Vec<String> = each.collect();
    if all.is_empty() {
        return "no partitions".to_owned();
    }
    format!("partitions {}", all.join(", "))
}

/// Why nothing runs in the partition that is set for jobs that name none; `None`: it is there.
pub(super) fn unusable(partitions: &[PartitionRecord], wanted: Option<&str>) -> Option<String> {
    let wanted = wanted.filter(|wanted| partitions.iter().all(|one| one.name != *wanted))?;
    Some(format!(
        "spec.slurm.partition {wanted:?}: Slurm has no partition of this name that the user may see, only {}; set one of them",
        listed(partitions)
    ))
}

fn node(record: &NodeRecord, open: bool) -> Node {
    let words: Vec<String> = record
        .state
        .iter()
        .chain(&record.state_flags)
        .map(|word| word.to_ascii_uppercase())
        .collect();
    let has = |names: &[&str]| words.iter().any(|word| names.contains(&word.as_str()));
    let cpus = record.effective_cpus.or(record.cpus).unwrap_or(0);
    let memory = record.real_memory.unwrap_or(0) - record.specialized_memory.unwrap_or(0);
    let used = record.alloc_cpus.unwrap_or(0);
    let models = gpus(&record.gres);
    let sole = match models.as_slice() {
        [(model, _)] => Some(*model),
        _ => None,
    };
    let busy = |model: Option<&str>| -> i64 {
        let used = gres(&record.gres_used).filter(|(name, ..)| *name == GPU);
        used.filter(|(_, kind, _)| kind.is_none() || *kind == model)
            .map(|(.., count)| count)
            .sum()
    };
    let room = |cpus: i64, memory: i64, free: bool| {
        let mut room = Resources::new(cpus.saturating_mul(1000), memory.saturating_mul(1 << 20));
        for (model, count) in &models {
            let left = if free { count - busy(*model) } else { *count };
            let name = match model.filter(|_| sole.is_none()) {
                Some(model) => format!("{GPU}:{model}"),
                None => GPU.to_owned(),
            };
            room.extended.insert(name, left);
        }
        room
    };
    Node {
        name: record.name.clone(),
        ready: has(&OPEN) && !has(&CLOSED) && open,
        unschedulable: false,
        labels: labels(record),
        taints: Vec::new(),
        accelerator: sole.flatten().map(str::to_owned),
        capacity: room(record.cpus.unwrap_or(0), record.real_memory.unwrap_or(0), false),
        allocatable: room(cpus, memory, false),
        free: room(cpus - used, memory - record.alloc_memory.unwrap_or(0), true),
        // A task has at least one cpu of its own.
        pods: cpus,
        free_pods: cpus - used,
    }
}

fn labels(record: &NodeRecord) -> BTreeMap<String, String> {
    let arch = match record.architecture.as_str() {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let os = record.operating_system.split(' ').next().unwrap_or_default();
    let pairs = [
        ("kubernetes.io/arch", arch.to_owned()),
        ("kubernetes.io/os", os.to_ascii_lowercase()),
    ];
    let known = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    known.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The models of GPUs that a node has, and how many of each: one goes by `gpu`, several by `gpu:MODEL`.
fn gpus(text: &str) -> Vec<(Option<&str>, i64)> {
    let mut totals: BTreeMap<Option<&str>, i64> = BTreeMap::new();
    for (_, kind, count) in gres(text).filter(|(name, ..)| *name == GPU) {
        *totals.entry(kind).or_default() += count;
    }
    totals.into_iter().collect()
}

/// `name[:type]:count[(…)]`, with commas between and perhaps within the brackets; `(null)` and `N/A` are none.
fn gres(text: &str) -> impl Iterator<Item = (&str, Option<&str>, i64)> {
    let mut depth = 0_i32;
    let parts = text.split(move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    parts.filter_map(|part| {
        let bare = part.split('(').next().unwrap_or_default();
        let mut words = bare.split(':');
        let name = words.next().filter(|name| !name.is_empty())?;
        let rest: Vec<&str> = words.collect();
        let (kind, count) = match rest.as_slice() {
            [count] => (None, *count),
            [kind, count] => (Some(*kind), *count),
            _ => return None,
        };
        Some((name, kind, amount(count)?))
    })
}

/// `4`, or `16K` for thousands.
fn amount(text: &str) -> Option<i64> {
    let (digits, factor) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 1024),
        None => (text, 1),
    };
    digits.parse::<i64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests;
