//! What the scheduler answers to a scenario, as text: the part below `---`.

use std::fmt::Write as _;

use sky_core::decision::{Decision, Outcome, Verdict};
use sky_core::queue;
use sky_core::resources::Resources;
use sky_core::workload::Workload;

use super::Scenario;

/// Decides the workloads in queue order, each placed one taking its room as the operator does, and answers the
/// questions. A workload that is asked about with `stays` is not decided.
pub fn report(mut scenario: Scenario) -> String {
    let asked = |workload: &Workload| scenario.stays.iter().any(|(asked, _)| asked.uid == workload.uid);
    let mut order: Vec<&Workload> = scenario.workloads.iter().filter(|one| !asked(one)).collect();
    order.sort_by_cached_key(|workload| queue::key(workload));
    let mut text = String::new();
    for workload in order {
        let decision = scenario.scheduler.decide(workload, &scenario.snapshot);
        let again = scenario.scheduler.decide(workload, &scenario.snapshot);
        assert_eq!(decision, again, "the same input gets the same answer");
        tell(&mut text, workload, &decision);
        if let Outcome::Placed(parts) = &decision.outcome {
            for (cluster, count) in parts {
                scenario.snapshot.reserve_for(cluster, workload, *count);
            }
        }
    }
    for (workload, cluster) in &scenario.stays {
        let answer = scenario.scheduler.retain(workload, &scenario.snapshot, cluster);
        let _ = match answer {
            Ok(()) => writeln!(text, "{} may stay on {cluster}", workload.name),
            Err((plugin, why)) => {
                let name = &workload.name;
                writeln!(
                    text,
                    "{name} must leave {cluster}: {plugin}/{}: {}",
                    why.reason, why.message
                )
            }
        };
    }
    for name in &scenario.left {
        let room = scenario.snapshot.clusters.get(name.as_str());
        let room = room.and_then(|cluster| cluster.room.as_ref());
        let nodes = room.into_iter().flat_map(|room| room.rows());
        let nodes: Vec<String> = nodes.map(|(_, free)| amounts(free)).collect();
        let _ = writeln!(text, "left on {name}: {}", nodes.join(" | "));
    }
    text
}

fn tell(text: &mut String, workload: &Workload, decision: &Decision) {
    let name = &workload.name;
    let _ = match &decision.outcome {
        Outcome::Placed(parts) => {
            let parts = parts.iter().map(|(cluster, count)| format!("{cluster}:{count}"));
            writeln!(text, "{name}: placed {}", parts.collect::<Vec<_>>().join(", "))
        }
        Outcome::Queued(message) => writeln!(text, "{name}: queued: {message}"),
        Outcome::TooLarge(message) => writeln!(text, "{name}: too large: {message}"),
    };
    let widest = decision
        .verdicts
        .iter()
        .map(|verdict| verdict.cluster.len())
        .max();
    for verdict in &decision.verdicts {
        let (name, width) = (&*verdict.cluster, widest.unwrap_or(0));
        let _ = writeln!(text, "  {name:width$}  {}", row(verdict));
    }
}

fn row(verdict: &Verdict) -> String {
    if let Some((plugin, why)) = &verdict.refusal {
        return format!("refused   {plugin}/{}: {}", why.reason, why.message);
    }
    let points = verdict.scores.iter().map(|of| {
        let times = if of.weight == 1 {
            String::new()
        } else {
            format!("{} x ", of.weight)
        };
        format!("{times}{} {}", of.plugin, of.points)
    });
    let points: Vec<String> = points.collect();
    let (fit, weight, score) = (verdict.fit, verdict.weight, verdict.score);
    let head = format!("feasible  fit {fit}  weight {weight}  score {score}");
    if points.is_empty() {
        head
    } else {
        format!("{head} = {}", points.join(" + "))
    }
}

/// `cpu 500m, memory 3968Mi, nvidia.com/gpu 2`.
fn amounts(free: &Resources) -> String {
    let mut text = format!("cpu {}m, memory {}Mi", free.cpu, free.memory >> 20);
    for (name, amount) in &free.extended {
        let _ = write!(text, ", {name} {amount}");
    }
    text
}
