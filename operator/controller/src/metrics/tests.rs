//! What is shown, against the table and the docs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sky_member::fake::Fake;
use sky_member::gate::Gate;
use tokio_util::sync::CancellationToken;

use super::scrape::Scrape;
use super::*;
use crate::fleet::Fleet;

/// One use of everything.
fn used(metrics: &Metrics) {
    metrics.attempted(&Outcome::Queued("no room".into()), Duration::from_millis(1));
    metrics.requested("c", "ensure", "ok", Duration::from_millis(1));
    metrics.reconciled("skyjob", true, Duration::from_millis(1));
    metrics.evicted("Drained");
}

fn scrape(fleet: &Arc<Fleet>, gate: &Gate) -> Scrape {
    Scrape {
        board: Arc::default(),
        fleet: fleet.clone(),
        gate: gate.clone(),
        sources: Arc::default(),
    }
}

fn fleet() -> Arc<Fleet> {
    let (stirs, _) = tokio::sync::mpsc::unbounded_channel();
    Fleet::new(stirs, CancellationToken::new())
}

/// Name and type of each family in Prometheus' text.
fn families(text: &str) -> BTreeMap<String, String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let pairs = types.filter_map(|line| line.split_once(' '));
    pairs
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

#[test]
fn what_is_counted_is_as_the_table_says() {
    let metrics = Metrics::new().expect("metrics");
    used(&metrics);
    for family in metrics.gather() {
        let known = table::ALL.iter().find(|one| one.name == family.name());
        let known = known.unwrap_or_else(|| panic!("{} is not in the table", family.name()));
        let labels: BTreeSet<&str> = family.get_metric()[0]
            .get_label()
            .iter()
            .map(|label| label.name())
            .collect();
        assert_eq!(labels, known.labels.iter().copied().collect(), "{}", known.name);
        assert_eq!(family.help(), known.meaning);
    }
}

#[tokio::test]
async fn everything_in_the_table_is_shown_and_nothing_else() {
    install().expect("metrics");
    used(installed().expect("metrics"));
    let fleet = fleet();
    fleet.seat(Arc::new(Fake::new("c", "o", Vec::new())));
    let text = scrape(&fleet, &Gate::always_open()).text().expect("text");
    let shown = families(&text);
    // These have series only once there are shares, and refusals.
    let later = [table::SHARES.name, table::UNSCHEDULABLE.name];
    for one in table::ALL.iter().filter(|one| !later.contains(&one.name)) {
        assert_eq!(
            shown.get(one.name).map(String::as_str),
            Some(one.kind),
            "{}",
            one.name
        );
    }
    let known: BTreeSet<&str> = table::ALL.iter().map(|one| one.name).collect();
    let unknown: Vec<&String> = shown
        .keys()
        .filter(|name| !known.contains(name.as_str()))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[tokio::test]
async fn nothing_is_shown_of_a_cluster_that_is_gone() {
    install().expect("metrics");
    installed()
        .expect("metrics")
        .requested("leaver", "probe", "ok", Duration::ZERO);
    let fleet = fleet();
    fleet.register("leaver");
    let gate = Gate::shut();
    let text = scrape(&fleet, &gate).text().expect("text");
    assert!(text.contains(r#"cluster="leaver",request="probe""#), "{text}");
    assert!(text.contains(r#"sky_member_ready{cluster="leaver"} 0"#), "{text}");
    assert!(
        text.contains(r#"sky_leader_election_master_status{name="sky-operator"} 0"#),
        "{text}"
    );
    fleet.unseat("leaver");
    let text = scrape(&fleet, &gate).text().expect("text");
    assert!(!text.contains("leaver"), "{text}");
}

#[test]
fn the_docs_list_every_metric_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating.md");
    let docs = std::fs::read_to_string(path).expect("docs/operating.md");
    let listed: Vec<&str> = docs.lines().filter(|line| line.starts_with("| `sky_")).collect();
    let wanted: Vec<String> = table::ALL
        .iter()
        .map(|one| {
            let labels: Vec<String> = one.labels.iter().map(|label| format!("`{label}`")).collect();
            format!(
                "| `{}` | {} | {} | {} |",
                one.name,
                one.kind,
                labels.join(", "),
                one.meaning
            )
        })
        .collect();
    assert_eq!(listed, wanted, "\n{}\n", wanted.join("\n"));
}
