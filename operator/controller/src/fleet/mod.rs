//! The live set of members: one listener each, and what they last said. Fed by the cluster reconciler with members,
//! read by the scheduler and both reconcilers.
//!
//! A listener has a token and is awaited; a slow or dead member holds up nobody but its own.

mod measured;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt;
use sky_core::observation::{MemberEvent, Observation, Trouble};
use sky_core::share::ShareKey;
use sky_core::workload::WorkloadRef;
use sky_member::Member;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use measured::Measured;
pub use view::{Contact, View};

/// What happened on a member that others must look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stir {
    /// A share of this workload changed.
    Workload(WorkloadRef),
    /// The member's nodes or reachability changed.
    Cluster(String),
    /// The namespace of this name changed on a member.
    Namespace(String),
    /// Every namespace is to be looked at: a member came, went, spoke again, fell silent, or has other labels.
    Namespaces,
}

/// A member and what it last said.
struct Seat {
    /// None while there is no usable way to reach it.
    member: Option<Arc<dyn Member>>,
    view: View,
    stop: CancellationToken,
    /// Tells this seat from an earlier one of the same name.
    serial: u64,
}

/// The live set of members.
pub struct Fleet {
    seats: RwLock<(u64, BTreeMap<String, Seat>)>,
    stirs: UnboundedSender<Stir>,
    listeners: TaskTracker,
    stop: CancellationToken,
}

impl Fleet {
    /// An empty fleet whose members' changes go to `stirs`. It ends with `stop`.
    #[must_use]
    pub fn new(stirs: UnboundedSender<Stir>, stop: CancellationToken) -> Arc<Self> {
        let listeners = TaskTracker::new();
        Arc::new(Self {
            seats: RwLock::default(),
            stirs,
            listeners,
            stop,
        })
    }

    /// Makes a cluster known before it is connected: until it has answered, nothing is concluded from its silence.
    pub fn register(&self, name: &str) {
        let mut seats = self.seats.write().unwrap_or_else(PoisonError::into_inner);
        let stop = self.stop.child_token();
        let fresh = || Seat {
            member: None,
            view: View::default(),
            stop,
            serial: 0,
        };
        seats.1.entry(name.to_owned()).or_insert_with(fresh);
    }

    /// Stops talking to a member whose credential cannot be used any more. What it said is kept, as stale.
    pub fn silence(&self, name: &str, trouble: Trouble) {
        let mut seats = self.seats.write().unwrap_or_else(PoisonError::into_inner);
        let Some(seat) = seats.1.get_mut(name) else { return };
        seat.stop.cancel();
        seat.member = None;
        seat.serial = 0;
        let touched = seat.view.take_in(MemberEvent::Lost(trouble), Instant::now());
        drop(seats);
        self.stir_namespaces();
        for workload in touched {
            self.stir(Stir::Workload(workload));
        }
    }

    /// Takes `member` in, in place of an earlier one of its name, and listens to it. What the earlier one said is kept
    /// until the new one speaks.
    pub fn seat(self: &Arc<Self>, member: Arc<dyn Member>) {
        let name = member.name().to_owned();
        let member: Arc<dyn Member> = Arc::new(Measured(member));
        let stop = self.stop.child_token();
        let mut seats = self.seats.write().unwrap_or_else(PoisonError::into_inner);
        seats.0 += 1;
        let serial = seats.0;
        let before = seats.1.remove(&name);
        if let Some(before) = &before {
            before.stop.cancel();
        }
        let view = before.map_or_else(View::default, |before| before.view);
        seats.1.insert(
            name.clone(),
            Seat {
                member: Some(member.clone()),
                view,
                stop: stop.clone(),
                serial,
            },
        );
        drop(seats);
        let fleet = self.clone();
        self.listeners.spawn(async move {
            let mut events = member.events();
            let listen = async {
                while let Some(event) = events.next().await {
                    fleet.hear(&name, serial, event);
                }
            };
            tokio::select! { () = listen => {}, () = stop.cancelled() => {} }
        });
    }

    /// Lets a member go.
    pub fn unseat(&self, name: &str) {
        let mut seats = self.seats.write().unwrap_or_else(PoisonError::into_inner);
        let Some(seat) = seats.1.remove(name) else { return };
        seat.stop.cancel();
        drop(seats);
        for workload in seat.view.concerned() {
            self.stir(Stir::Workload(workload));
        }
        self.stir_namespaces();
    }

    /// Lets go of every member but those that `is_there` knows.
    pub fn keep_only(&self, is_there: impl Fn(&str) -> bool) {
        let seats = self.seats.read().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<String> = seats.1.keys().filter(|name| !is_there(name)).cloned().collect();
        drop(seats);
        gone.iter().for_each(|name| self.unseat(name));
    }

    /// Has every namespace looked at.
    pub fn stir_namespaces(&self) {
        self.stir(Stir::Namespaces);
    }

    /// How long the member of this name may be silent before it counts as lost.
    pub fn set_lost_after(&self, name: &str, seconds: u64) {
        let mut seats = self.seats.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = seats.1.get_mut(name) {
            seat.view.set_lost_after(seconds);
        }
    }

    /// Has every workload looked at that has a share on this member or waits for word from it.
    pub fn stir_workloads(&self, name: &str) {
        let seats = self.seats.read().unwrap_or_else(PoisonError::into_inner);
        let concerned = seats.1.get(name).map(|seat| seat.view.concerned());
        drop(seats);
        for workload in concerned.into_iter().flatten() {
            self.stir(Stir::Workload(workload));
        }
    }

    /// Whether this member can be believed, and its grace in seconds, for a workload that depends on it: while it
    /// cannot, the workload is looked at when it speaks, even if it then holds nothing of it. `None`: not registered.
    #[must_use]
    pub fn contact(&self, cluster: &str, workload: &WorkloadRef) -> Option<(Contact, u64)> {
        let mut seats = self.seats.write().unwrap_or_else(PoisonError::into_inner);
        let view = &mut seats.1.get_mut(cluster)?.view;
        let contact = view.contact().clone();
        if !matches!(contact, Contact::Synced) {
            view.await_word(workload.clone());
        }
        Some((contact, view.lost_after()))
    }

    /// The member of this name; `None` when it is not connected.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Arc<dyn Member>> {
        let seats = self.seats.read().unwrap_or_else(PoisonError::into_inner);
        seats.1.get(name)?.member.clone()
    }

    /// Reads what the cluster of this name last said; `None` when it is not registered.
    pub fn read<T>(&self, name: &str, read: impl FnOnce(&View) -> T) -> Option<T> {
        let seats = self.seats.read().unwrap_or_else(PoisonError::into_inner);
        seats.1.get(name).map(|seat| read(&seat.view))
    }

    /// What is known of each registered cluster, as `read` picks it.
    pub fn survey<T>(&self, read: impl Fn(&View) -> T) -> BTreeMap<String, T> {
        let seats = self.seats.read().unwrap_or_else(PoisonError::into_inner);
        let each = seats.1.iter();
        each.map(|(name, seat)| (name.clone(), read(&seat.view)))
            .collect()
    }

    /// Shares of the workload of this name, wherever they are and whatever its uid.
    #[must_use]
    pub fn shares_of(&self, workload: &WorkloadRef) -> Vec<(String, Observation)> {
        let seats = self.seats.read().unwrap_or_else(PoisonError::into_inner);
        let each = seats.1.iter().flat_map(|(cluster, seat)| {
            let shares = seat.view.shares_of(workload);
            shares.map(|share| (cluster.clone(), share.clone()))
        });
        each.collect()
    }

    /// Waits until every registered cluster has spoken or turned out to be silent.
    pub async fn spoken(&self) {
        let waiting = || {
            let seats = self.seats.read().unwrap_or_else(PoisonError::into_inner);
            seats
                .1
                .values()
                .any(|seat| matches!(seat.view.contact(), Contact::Waiting))
        };
        while waiting() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Shares that `which` picks, of members that can be believed.
    pub fn synced_shares(&self, which: impl Fn(&str, &Observation) -> bool) -> BTreeSet<(String, ShareKey)> {
        let seats = self.seats.read().unwrap_or_else(PoisonError::into_inner);
        let synced = seats
            .1
            .iter()
            .filter(|(_, seat)| matches!(seat.view.contact(), Contact::Synced));
        let picked = synced.flat_map(|(cluster, seat)| {
            let shares = seat.view.shares().filter(|share| which(cluster, share));
            shares.map(|share| (cluster.clone(), share.key.clone()))
        });
        picked.collect()
    }

    /// Waits until every listener has ended. Call after the token given to `new` is cancelled.
    pub async fn ended(&self) {
        self.listeners.close();
        self.listeners.wait().await;
    }

    fn hear(&self, name: &str, serial: u64, event: MemberEvent) {
        if let MemberEvent::Lost(trouble) = &event {
            tracing::warn!(cluster = name, reason = %trouble.reason, message = %trouble.message, "member is silent");
        }
        let mut seats = self.seats.write().unwrap_or_else(PoisonError::into_inner);
        let Some(seat) = seats.1.get_mut(name).filter(|seat| seat.serial == serial) else {
            return;
        };
        let everywhere = matches!(event, MemberEvent::Reset(_) | MemberEvent::Lost(_));
        let touched: BTreeSet<WorkloadRef> = seat.view.take_in(event, Instant::now());
        let namespaces = seat.view.take_touched_namespaces();
        drop(seats);
        for workload in touched {
            self.stir(Stir::Workload(workload));
        }
        if everywhere {
            self.stir_namespaces();
        } else {
            namespaces
                .into_iter()
                .for_each(|name| self.stir(Stir::Namespace(name)));
        }
        self.stir(Stir::Cluster(name.to_owned()));
    }

    fn stir(&self, stir: Stir) {
        // The receiver only goes when the operator ends.
        let _ = self.stirs.send(stir);
    }
}

#[cfg(test)]
mod tests;
