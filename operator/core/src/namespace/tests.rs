//! Plans of SkyNamespaces, as text: one line for each step and each state.

use std::collections::BTreeMap;

use super::*;
use crate::job::{Finalizer, Reach};
use crate::labels::Labels;
use crate::marks;
use crate::observation::Trouble;

const NOW: i64 = 1000;

fn map(pairs: &[(&str, &str)]) -> Labels {
    let each = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    each.collect()
}

fn labels() -> Labels {
    map(&[
        ("team", "red"),
        ("pod-security.kubernetes.io/enforce", "restricted"),
    ])
}

/// The namespace as it is after it was applied.
fn seen(created: bool) -> SeenNamespace {
    let (labels, annotations) = Namespace::permitted(&labels(), &Labels::new(), created);
    SeenNamespace {
        name: "team".into(),
        instance: "uid".into(),
        version: "7".into(),
        created,
        annotations: map(&[(marks::APPLIED, &Namespace::fingerprint(&labels, &annotations))]),
        labels,
        ..SeenNamespace::default()
    }
}

fn idle(since: i64) -> Option<SeenNamespace> {
    Some(SeenNamespace {
        idle_since: Some(since),
        ..seen(true)
    })
}

fn site(selected: bool, seen: Option<SeenNamespace>) -> Site {
    Site {
        selected,
        reach: Reach::Synced,
        seen,
        shares: [].into(),
        recorded: true,
        refused: None,
    }
}

fn silent(site: Site) -> Site {
    let message = "connection refused".to_owned();
    Site {
        reach: Reach::Silent { lost: false, message },
        ..site
    }
}

fn holding(site: Site) -> Site {
    Site {
        shares: ["SkyJob train".to_owned()].into(),
        ..site
    }
}

fn refused(site: Site, reason: &str) -> Site {
    let trouble = Trouble {
        reason: reason.into(),
        message: "no".into(),
    };
    Site {
        refused: Some(trouble),
        ..site
    }
}

fn facts(host: Site, members: Vec<(&str, Site)>) -> Facts {
    let members = members.into_iter();
    let members = members.map(|(name, site)| (Place::Member(name.to_owned()), site));
    Facts {
        generation: 3,
        deleting: false,
        finalizer: true,
        labels: labels(),
        annotations: Labels::new(),
        workloads: [].into(),
        grace: GRACE,
        sites: BTreeMap::from_iter(members.chain([(Place::Host, host)])),
    }
}

fn deleting(facts: Facts) -> Facts {
    Facts {
        deleting: true,
        ..facts
    }
}

/// The plan in short: finalizer, steps, true conditions with their words, states.
fn told(plan: &Plan) -> String {
    let mut lines = Vec::new();
    if plan.finalizer != Finalizer::Keep {
        lines.push(format!("finalizer {:?}", plan.finalizer));
    }
    for step in &plan.steps {
        let verb = match &step.wanted {
            Wanted::Held { .. } => "hold".to_owned(),
            Wanted::Needed => "need".to_owned(),
            Wanted::Idle { since } => format!("mark idle since {since}"),
            Wanted::Released => "release".to_owned(),
            Wanted::Gone { instance, version } => format!("remove {instance}/{version}"),
        };
        lines.push(format!("{}: {verb}", step.place));
    }
    if let Some(status) = &plan.status {
        for condition in status.conditions.iter().filter(|condition| condition.status) {
            lines.push(format!(
                "{}={} {}",
                condition.kind, condition.reason, condition.message
            ));
        }
        for cluster in &status.clusters {
            let words = format!(
                "{} {} {}",
                cluster.cluster,
                cluster.state.as_str(),
                cluster.message
            );
            lines.push(words.trim_end().to_owned());
        }
    }
    if let Some(wake) = plan.wake {
        lines.push(format!("wake {wake}"));
    }
    lines.join("\n")
}

fn check(facts: &Facts, expect: &[&str]) {
    assert_eq!(told(&plan(facts, NOW)), expect.join("\n"));
}

#[test]
fn nothing_is_made_before_the_finalizer_is_there() {
    let mut facts = facts(site(true, None), vec![("a", site(true, None))]);
    facts.finalizer = false;
    check(&facts, &["finalizer Add"]);
    check(&deleting(facts), &[]);
}

#[test]
fn it_is_made_on_the_host_and_on_each_selected_member_only() {
    let members = vec![("a", site(true, None)), ("b", site(false, None))];
    check(
        &facts(site(true, None), members),
        &[
            "the host: hold",
            "a: hold",
            "Reconciling=Applying the host; a",
            "a Applying",
        ],
    );
}

#[test]
fn what_is_as_it_is_to_be_is_left_alone() {
    let members = vec![
        ("a", site(true, Some(seen(true)))),
        ("b", site(true, Some(seen(false)))),
    ];
    check(
        &facts(site(true, Some(seen(false))), members),
        &[
            "Ready=InPlace on the host and on 2 clusters",
            "a Created",
            "b Adopted",
        ],
    );
}

#[test]
fn drift_is_put_back_wherever_it_is() {
    let mut changed = seen(true);
    changed.labels.insert("team".into(), "blue".into());
    let mut lacking = seen(true);
    lacking.labels.remove("team");
    // Somebody else's label is none of our business.
    let mut more = seen(true);
    more.labels.insert("theirs".into(), "yes".into());
    let members = vec![
        ("changed", site(true, Some(changed))),
        ("lacking", site(true, Some(lacking))),
        ("more", site(true, Some(more))),
    ];
    let plan = plan(&facts(site(true, Some(seen(true))), members), NOW);
    let places: Vec<String> = plan.steps.iter().map(|step| step.place.to_string()).collect();
    assert_eq!(places, ["changed", "lacking"]);
}

#[test]
fn a_label_dropped_from_the_spec_is_taken_off() {
    let mut facts = facts(site(true, Some(seen(true))), vec![]);
    facts.labels.remove("team");
    assert_eq!(plan(&facts, NOW).steps.len(), 1);
}

#[test]
fn pod_security_labels_are_for_namespaces_that_we_created() {
    let key = "pod-security.kubernetes.io/enforce";
    assert!(seen(true).labels.contains_key(key) && !seen(false).labels.contains_key(key));
    // One of somebody else's stays as they set it, and is no drift.
    let mut theirs = seen(false);
    theirs.labels.insert(key.into(), "privileged".into());
    assert!(theirs.carries(&labels(), &Labels::new()));
}

#[test]
fn marks_of_ours_are_never_taken_from_a_user() {
    let users = map(&[
        (marks::ORIGIN, "another"),
        ("kubernetes.io/metadata.name", "x"),
        ("a", "b"),
    ]);
    let (labels, annotations) = Namespace::permitted(&users, &users, true);
    assert_eq!((labels, annotations), (map(&[("a", "b")]), map(&[("a", "b")])));
}

#[test]
fn an_idle_mark_is_taken_off_where_the_namespace_is_wanted_again() {
    check(
        &facts(site(true, Some(seen(true))), vec![("a", site(true, idle(990)))]),
        &["a: hold", "Reconciling=Applying a", "a Applying"],
    );
}

#[test]
fn a_member_no_longer_selected_is_left_when_its_shares_are_gone() {
    let host = || site(true, Some(seen(true)));
    let ready = "Ready=InPlace on the host; no cluster is selected";
    let leaving = "Reconciling=Leaving to go from a";
    check(
        &facts(host(), vec![("a", holding(site(false, Some(seen(true)))))]),
        &[ready, leaving, "a Leaving holds SkyJob train"],
    );
    check(
        &facts(host(), vec![("a", site(false, Some(seen(true))))]),
        &["a: mark idle since 1000", ready, leaving, "a Leaving"],
    );
    check(
        &facts(host(), vec![("a", site(false, idle(950)))]),
        &[ready, leaving, "a Leaving", "wake 1010"],
    );
    check(
        &facts(host(), vec![("a", site(false, idle(940)))]),
        &["a: remove uid/7", ready, leaving, "a Leaving"],
    );
    check(&facts(host(), vec![("a", site(false, None))]), &[ready]);
}

#[test]
fn what_was_adopted_is_released_and_never_removed() {
    check(
        &deleting(facts(
            site(true, Some(seen(false))),
            vec![("a", site(true, Some(seen(false))))],
        )),
        &[
            "the host: release",
            "a: release",
            "Reconciling=Deleting waits for what remains: the host: being removed; a: being removed",
            "a Leaving",
        ],
    );
}

#[test]
fn what_others_put_into_it_keeps_a_namespace_but_not_the_skynamespace() {
    let kept = || refused(site(false, idle(900)), "Conflict");
    check(
        &facts(site(true, Some(seen(true))), vec![("a", kept())]),
        &[
            "a: remove uid/7",
            "Ready=InPlace on the host; no cluster is selected",
            "a Kept no",
        ],
    );
    let gone = deleting(facts(kept(), vec![("a", kept()), ("b", site(true, None))]));
    assert_eq!(plan(&gone, NOW).finalizer, Finalizer::Remove);
}

#[test]
fn a_deletion_waits_for_workloads_and_names_them() {
    let mut facts = deleting(facts(
        site(true, Some(seen(true))),
        vec![
            ("a", holding(site(true, Some(seen(true))))),
            ("b", site(true, idle(990))),
        ],
    ));
    facts.workloads.insert("SkyJob train".into());
    let words = "Reconciling=Deleting waits for what remains: not ended: SkyJob train; a: holds SkyJob train; b: being \
                 removed";
    check(
        &facts,
        &[words, "a Leaving holds SkyJob train", "b Leaving", "wake 1050"],
    );
    // The record of a job whose namespace was never made holds it too.
    facts
        .sites
        .values_mut()
        .for_each(|site| *site = self::site(true, None));
    check(
        &facts,
        &["Reconciling=Deleting waits for what remains: not ended: SkyJob train"],
    );
    facts.workloads.clear();
    check(&facts, &["finalizer Remove"]);
}

#[test]
fn a_silent_member_is_shown_and_waited_for_when_it_may_hold_something() {
    let host = || site(true, Some(seen(true)));
    check(
        &facts(host(), vec![("a", silent(site(true, None)))]),
        &[
            "Reconciling=Unreachable a: connection refused",
            "a Unreachable connection refused",
        ],
    );
    check(
        &deleting(facts(site(true, None), vec![("a", silent(site(true, None)))])),
        &[
            "Reconciling=Deleting waits for what remains: a does not answer: connection refused",
            "a Unreachable connection refused",
        ],
    );
    let mut never_reached = silent(site(false, None));
    never_reached.recorded = false;
    check(
        &deleting(facts(site(true, None), vec![("a", never_reached)])),
        &["finalizer Remove"],
    );
}

#[test]
fn another_hosts_namespace_is_a_conflict_and_stalls() {
    check(
        &facts(
            site(true, Some(seen(true))),
            vec![("a", refused(site(true, None), "Conflict"))],
        ),
        &["a: hold", "Stalled=Conflict a: no", "a Conflict no"],
    );
    check(
        &facts(
            site(true, Some(seen(true))),
            vec![("a", refused(site(true, None), "Throttled"))],
        ),
        &["a: hold", "Reconciling=Applying a: no", "a Applying no"],
    );
}

#[test]
fn one_deleted_by_somebody_else_is_waited_for_and_made_again() {
    let mut going = seen(true);
    going.deleting = true;
    check(
        &facts(site(true, Some(seen(true))), vec![("a", site(true, Some(going)))]),
        &[
            "Reconciling=Applying a: somebody deleted it: waits until it is gone",
            "a Applying somebody deleted it: waits until it is gone",
        ],
    );
}

#[test]
fn a_mark_is_followed_by_a_grace() {
    for (since, at) in [(NOW, Some(NOW + GRACE)), (NOW - GRACE + 1, Some(NOW + 1))] {
        assert_eq!(leave(&idle(since).unwrap_or_default(), NOW, GRACE), Err(at));
    }
    let late = leave(&idle(NOW - GRACE).unwrap_or_default(), NOW, GRACE);
    assert!(matches!(late, Ok(Wanted::Gone { .. })));
}

#[test]
fn a_mark_is_taken_off_what_is_needed() {
    let marked = idle(990).unwrap_or_default();
    assert_eq!(stay(&marked), Some(Wanted::Needed));
    let going = SeenNamespace {
        deleting: true,
        ..marked.clone()
    };
    let adopted = SeenNamespace {
        created: false,
        ..marked
    };
    assert_eq!(
        (stay(&going), stay(&adopted), stay(&seen(true))),
        (None, None, None)
    );
}
