//! Step 3: what is to be done about a SkyNamespace. Pure; carried out by the operator's `namespace/apply.rs`.

use std::collections::BTreeMap;

use super::facts::{Facts, Place, Site};
use super::leave::leave;
use super::status::{State, Status, status};
use super::wanted::Wanted;
use crate::Seconds;
use crate::job::{Finalizer, Reach};
use crate::observation::Trouble;

/// What is to be done now.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The finalizer.
    pub finalizer: Finalizer,
    /// Calls, one for each place at most.
    pub steps: Vec<Step>,
    /// What the status is to say.
    pub status: Option<Status>,
    /// When time alone makes something due.
    pub wake: Option<Seconds>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where.
    pub place: Place,
    /// How the namespace is to be there.
    pub wanted: Wanted,
}

/// What one place comes to.
struct Outlook {
    /// Nothing to say when nothing is there, nor is to be.
    state: Option<(State, String)>,
    step: Option<Wanted>,
    wake: Option<Seconds>,
}

impl Outlook {
    fn of(state: State, words: impl Into<String>) -> Self {
        Self {
            state: Some((state, words.into())),
            step: None,
            wake: None,
        }
    }
}

/// Plans at `now`.
#[must_use]
pub fn plan(facts: &Facts, now: Seconds) -> Plan {
    let mut plan = Plan {
        finalizer: Finalizer::Keep,
        steps: Vec::new(),
        status: None,
        wake: None,
    };
    match (facts.deleting, facts.finalizer) {
        (true, false) => return plan,
        (false, false) => {
            plan.finalizer = Finalizer::Add;
            return plan;
        }
        (_, true) => {}
    }
    let mut states = BTreeMap::new();
    for (place, site) in &facts.sites {
        let outlook = outlook(facts, place, site, now);
        if let Some(state) = outlook.state {
            states.insert(place.clone(), state);
        }
        plan.steps.extend(outlook.step.map(|wanted| Step {
            place: place.clone(),
            wanted,
        }));
        plan.wake = plan.wake.into_iter().chain(outlook.wake).min();
    }
    // What others put into a namespace of ours does not hold the SkyNamespace: it stays there with what it holds.
    let at_rest = states.values().all(|(state, _)| *state == State::Kept);
    if facts.deleting && at_rest && facts.workloads.is_empty() {
        plan.finalizer = Finalizer::Remove;
        return plan;
    }
    plan.status = Some(status(facts, &states));
    plan
}

fn outlook(facts: &Facts, place: &Place, site: &Site, now: Seconds) -> Outlook {
    let wanted = site.selected && !facts.deleting;
    if let Reach::Silent { message, .. } = &site.reach {
        let concerned = wanted || site.recorded || site.seen.is_some();
        return Outlook {
            state: concerned.then(|| (State::Unreachable, message.clone())),
            step: None,
            wake: None,
        };
    }
    if wanted {
        hold(facts, site)
    } else {
        let guests = match place {
            // What waits for a place on a member is an object in the host's namespace.
            Place::Host => &facts.workloads,
            Place::Member(_) => &site.shares,
        };
        match &site.seen {
            None => Outlook {
                state: None,
                step: None,
                wake: None,
            },
            Some(_) if !guests.is_empty() => {
                let names: Vec<&str> = guests.iter().map(String::as_str).collect();
                Outlook::of(State::Leaving, format!("holds {}", names.join(", ")))
            }
            Some(seen) => part(site, leave(seen, now, facts.grace)),
        }
    }
}

/// The namespace is to be here.
fn hold(facts: &Facts, site: &Site) -> Outlook {
    let step = Some(Wanted::Held {
        labels: facts.labels.clone(),
        annotations: facts.annotations.clone(),
    });
    match &site.seen {
        Some(seen) if seen.deleting => {
            Outlook::of(State::Applying, "somebody deleted it: waits until it is gone")
        }
        Some(seen) if seen.idle_since.is_none() && seen.carries(&facts.labels, &facts.annotations) => {
            let state = if seen.created {
                State::Created
            } else {
                State::Adopted
            };
            Outlook::of(state, "")
        }
        _ => {
            let (state, words) = match &site.refused {
                Some(Trouble { reason, message }) => (State::of_refusal(reason), message.clone()),
                None => (State::Applying, String::new()),
            };
            Outlook {
                step,
                ..Outlook::of(state, words)
            }
        }
    }
}

/// The namespace is to go from here, as far as it is ours.
fn part(site: &Site, next: Result<Wanted, Option<Seconds>>) -> Outlook {
    let step = match next {
        Ok(step) => step,
        Err(wake) => {
            return Outlook {
                wake,
                ..Outlook::of(State::Leaving, "")
            };
        }
    };
    let (state, words) = match (&site.refused, &step) {
        (Some(refused), Wanted::Gone { .. }) if State::of_refusal(&refused.reason) == State::Conflict => {
            (State::Kept, refused.message.clone())
        }
        (Some(refused), _) => (State::Leaving, refused.message.clone()),
        (None, _) => (State::Leaving, String::new()),
    };
    Outlook {
        step: Some(step),
        ..Outlook::of(state, words)
    }
}
