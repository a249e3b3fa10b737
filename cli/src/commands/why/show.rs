//! A report as text: the state, where replicas are, what each cluster is like, the queue, and the advice. Pure.

use super::report::Report;
use crate::diagnosis;
use crate::table::{Table, span};

/// Evictions that are printed.
const MOST_EVICTIONS: usize = 3;

/// The text; with `wide` the score of each plugin.
pub(super) fn text(report: &Report, wide: bool) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        // Messages of members must not move the cursor.
        out.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
        out.push('\n');
    };
    line(&format!(
        "{} {}/{}: {}, {}",
        report.kind, report.namespace, report.name, report.state, report.message
    ));
    for remark in &report.remarks {
        line(&format!("note: {remark}"));
    }
    if !report.placement.is_empty() {
        out.push('\n');
        out.push_str(&placement(report).render());
    }
    if !report.clusters.is_empty() {
        out.push('\n');
        out.push_str(&diagnosis::table(&report.clusters, &report.candidates, wide).render());
    }
    let facts = facts(report);
    if !facts.is_empty() {
        out.push('\n');
    }
    for (name, words) in facts {
        let words: String = words
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        out.push_str(&format!("{name:<12}{words}\n"));
    }
    out
}

fn placement(report: &Report) -> Table {
    let mut table = Table::new(vec![
        "PLACED",
        "REPLICAS",
        "ATTEMPT",
        "SINCE",
        "PENDING",
        "RUNNING",
        "SUCCEEDED",
        "FAILED",
        "UNKNOWN",
        "REASON",
        "MESSAGE",
    ]);
    for share in &report.placement {
        table.row(vec![
            share.cluster.clone(),
            share.replicas.to_string(),
            share.attempt.to_string(),
            share.seconds.map(span).unwrap_or_default(),
            share.pending.to_string(),
            share.running.to_string(),
            share.succeeded.to_string(),
            share.failed.to_string(),
            share.unknown.to_string(),
            share.reason.clone().unwrap_or_default(),
            share.message.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(queue) = &report.queue {
        let named: Vec<String> = queue
            .ahead
            .iter()
            .map(|ahead| {
                format!(
                    "{} {}/{} (priority {}, {} replicas)",
                    ahead.kind, ahead.namespace, ahead.name, ahead.priority, ahead.replicas
                )
            })
            .collect();
        let more = queue.position.saturating_sub(1 + queue.ahead.len());
        let more = if more == 0 {
            String::new()
        } else {
            format!(" and {more} more")
        };
        let ahead = if named.is_empty() {
            "nothing is ahead".to_owned()
        } else {
            format!("ahead: {}{more}", named.join(", "))
        };
        facts.push(("Queue:", format!("{} of {}; {ahead}", queue.position, queue.of)));
    }
    for one in report.evictions.iter().take(MOST_EVICTIONS) {
        let words = format!(
            "{} ago from {}, {} replicas, attempt {}: {}: {}",
            span(one.seconds),
            one.cluster,
            one.replicas,
            one.attempt,
            one.reason,
            one.message
        );
        facts.push(("Evicted:", words));
    }
    for one in &report.cool_downs {
        let words = format!(
            "{} is tried again in {} (evictions: {})",
            one.cluster,
            span(one.seconds),
            one.count
        );
        facts.push(("Cool-down:", words));
    }
    facts.extend(report.next_retry.clone().map(|words| ("Next try:", words)));
    facts.extend(report.advice.clone().map(|words| ("Advice:", words)));
    facts
}
