//! What the status of a SkyNamespace says. Worded here, stored by sky-convert.

use std::collections::BTreeMap;

use super::facts::{Facts, Place};
use crate::job::Condition;

/// What the operator reports of a SkyNamespace, without the times of transitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Generation that it speaks of.
    pub generation: i64,
    /// Ready, Reconciling, Stalled.
    pub conditions: Vec<Condition>,
    /// Members where it is, is to be, or is to go from, by name.
    pub clusters: Vec<ClusterState>,
    /// Names of the members where it is as it is to be.
    pub summary: Vec<String>,
}

/// The namespace on one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterState {
    /// Its SkyCluster.
    pub cluster: String,
    /// In one word.
    pub state: State,
    /// More of it; empty when there is no more to say.
    pub message: String,
}

/// How far a namespace is in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it is to be, created by us.
    Created,
    /// As it is to be, and was there before us.
    Adopted,
    /// Not yet as it is to be.
    Applying,
    /// To go from here.
    Leaving,
    /// To go from here, but others have put something into it: it stays.
    Kept,
    /// The member is silent.
    Unreachable,
    /// Another host has it, or it is not ours to change.
    Conflict,
    /// The member refuses it.
    Refused,
}

impl State {
    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Adopted => "Adopted",
            Self::Applying => "Applying",
            Self::Leaving => "Leaving",
            Self::Kept => "Kept",
            Self::Unreachable => "Unreachable",
            Self::Conflict => "Conflict",
            Self::Refused => "Refused",
        }
    }

    /// What a failed call comes to, by the class of its error.
    pub(super) fn of_refusal(class: &str) -> Self {
        match class {
            "Conflict" => Self::Conflict,
            "Rejected" | "Unauthorized" => Self::Refused,
            _ => Self::Applying,
        }
    }

    fn is_in_place(self) -> bool {
        matches!(self, Self::Created | Self::Adopted)
    }
}

type States = BTreeMap<Place, (State, String)>;

/// The status, given how far the namespace is in each place.
pub(super) fn status(facts: &Facts, states: &States) -> Status {
    let members = states.iter().filter_map(|(place, (state, message))| match place {
        Place::Host => None,
        Place::Member(name) => Some((name, *state, message)),
    });
    let clusters: Vec<ClusterState> = members
        .map(|(name, state, message)| ClusterState {
            cluster: name.clone(),
            state,
            message: message.clone(),
        })
        .collect();
    let in_place = clusters.iter().filter(|cluster| cluster.state.is_in_place());
    Status {
        generation: facts.generation,
        conditions: conditions(facts, states),
        summary: in_place.map(|cluster| cluster.cluster.clone()).collect(),
        clusters,
    }
}

fn conditions(facts: &Facts, states: &States) -> Vec<Condition> {
    let (reason, words) = if facts.deleting {
        ("Deleting", remains(facts, states))
    } else {
        verdict(facts, states)
    };
    let ready = reason == "InPlace";
    let stalled = matches!(reason, "Conflict" | "Refused");
    let leaving = names(states, |state| {
        matches!(state, State::Leaving | State::Unreachable)
    });
    let moving = !stalled && (!ready || !leaving.is_empty());
    let progress = match (moving, ready) {
        (true, true) => ("Leaving", format!("to go from {}", leaving.join(", "))),
        _ => (reason, words.clone()),
    };
    let each = [
        ("Ready", ready, (reason, words.clone())),
        ("Reconciling", moving, progress),
        ("Stalled", stalled, (reason, words)),
    ];
    each.map(|(kind, status, (reason, message))| Condition {
        kind,
        status,
        reason: reason.into(),
        message,
    })
    .into()
}

/// The worst there is to say of the places where the namespace is to be.
fn verdict(facts: &Facts, states: &States) -> (&'static str, String) {
    let wanted: States = states
        .iter()
        .filter(|(place, _)| facts.sites.get(*place).is_some_and(|site| site.selected))
        .map(|(place, state)| (place.clone(), state.clone()))
        .collect();
    for state in [
        State::Conflict,
        State::Refused,
        State::Unreachable,
        State::Applying,
    ] {
        let of = told(&wanted, |found| found == state);
        if !of.is_empty() {
            return (state.as_str(), of.join("; "));
        }
    }
    let clusters = wanted.keys().filter(|place| **place != Place::Host).count();
    let words = match clusters {
        0 => "on the host; no cluster is selected".to_owned(),
        1 => "on the host and on 1 cluster".to_owned(),
        many => format!("on the host and on {many} clusters"),
    };
    ("InPlace", words)
}

/// What a deletion still waits for.
fn remains(facts: &Facts, states: &States) -> String {
    let mut all = Vec::new();
    let unfinished: Vec<&str> = facts.workloads.iter().map(String::as_str).collect();
    if !unfinished.is_empty() {
        all.push(format!("not ended: {}", unfinished.join(", ")));
    }
    for (place, (state, words)) in states {
        match (place, state) {
            (_, State::Kept) => {}
            // Said above.
            (Place::Host, State::Leaving) if !unfinished.is_empty() => {}
            (_, State::Unreachable) => all.push(format!("{place} does not answer: {words}")),
            (_, _) if words.is_empty() => all.push(format!("{place}: being removed")),
            (_, _) => all.push(format!("{place}: {words}")),
        }
    }
    format!("waits for what remains: {}", all.join("; "))
}

fn names(states: &States, which: impl Fn(State) -> bool) -> Vec<String> {
    let each = states.iter().filter(|(_, (state, _))| which(*state));
    each.map(|(place, _)| place.to_string()).collect()
}

/// Places of a state, with what is to be said of each.
fn told(states: &States, which: impl Fn(State) -> bool) -> Vec<String> {
    let each = states.iter().filter(|(_, (state, _))| which(*state));
    each.map(|(place, (_, words))| {
        if words.is_empty() {
            place.to_string()
        } else {
            format!("{place}: {words}")
        }
    })
    .collect()
}
