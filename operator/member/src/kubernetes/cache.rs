//! What a member's watches have said so far, and what of it changed. Pure; fed by `watch`.
//!
//! A relist sends no deletion for what vanished meanwhile, so each kind is replaced as a whole when its list is done,
//! and the answer is then a Reset.

mod namespaces;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event as ApiEvent, Namespace as ApiNamespace, Node as ApiNode};
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use sky_core::cluster::Node;
use sky_core::marks;
use sky_core::observation::{Item, ItemKey, MemberEvent, Observation, Trouble};
use sky_core::resources::Resources;
use sky_core::share::ShareKey;
use sky_core::workload::Kind as Workload;

use self::kind::Kind;
use self::namespaces::Namespaces;
use super::deployment::{self, DeploymentRow};
use super::node;
use super::observe::{self, JobRow, Memory, Rest, version};
use super::past::Past;
use super::pod::{self, LeanPod, Pod};

mod deployments;
mod kind;

/// One thing heard from a watch.
pub(super) enum Heard {
    Node(Box<Event<ApiNode>>),
    Pod(Box<Event<LeanPod>>),
    Job(Box<Event<Job>>),
    Deployment(Box<Event<Deployment>>),
    /// A failure to create pods of a Job.
    CreateFailure(Box<Event<ApiEvent>>),
    /// A namespace of our origin.
    Namespace(Box<Event<ApiNamespace>>),
}

/// Pasts of Jobs that are not there that may be kept: pods may be heard of before their Job is, and after.
const SPARE_PASTS: usize = 1_000;

/// A pod and the share it belongs to.
struct PodRow {
    pod: Pod,
    share: Option<ShareKey>,
    /// Uid of the Job that owns it, when it is of a share.
    job: Option<String>,
}

#[derive(Default)]
pub(super) struct Cache {
    nodes: Kind<Node>,
    pods: Kind<PodRow>,
    jobs: Kind<(ShareKey, JobRow)>,
    deployments: Kind<(ShareKey, DeploymentRow)>,
    namespaces: Namespaces,
    /// Nothing but namespaces is listened to.
    namespaces_only: bool,
    used: HashMap<String, (Resources, i64)>,
    share_pods: HashMap<ShareKey, BTreeSet<String>>,
    /// By the Job's uid.
    pasts: HashMap<String, Past>,
    /// The highest version that a pod was heard of with.
    heard_to: u64,
    /// Shares of which pods are still to be heard of.
    behind: BTreeSet<ShareKey>,
    create_failures: BTreeMap<ShareKey, Trouble>,
    touched_nodes: BTreeSet<String>,
    touched_shares: BTreeSet<ShareKey>,
    reset: bool,
}

impl Cache {
    /// One that hears of namespaces and of nothing else.
    pub(super) fn of_namespaces() -> Self {
        Self {
            namespaces_only: true,
            ..Self::default()
        }
    }

    /// Takes in one thing heard. What changed by it is collected until `drain`.
    pub(super) fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Node(event) => self.hear_node(*event),
            Heard::Pod(event) => self.hear_pod(*event),
            Heard::Job(event) => self.hear_job(*event),
            Heard::Deployment(event) => self.hear_deployment(*event),
            Heard::Namespace(event) => self.reset |= self.namespaces.hear(*event),
            Heard::CreateFailure(event) => {
                if let Event::Apply(event) | Event::InitApply(event) = *event {
                    self.hear_failure(&event);
                }
            }
        }
    }

    /// Everything is about to be listed anew, after a silence. What was there is kept until then: by it we know what
    /// vanished meanwhile.
    pub(super) fn await_lists(&mut self) {
        self.nodes.await_list();
        self.pods.await_list();
        self.jobs.await_list();
        self.deployments.await_list();
        self.namespaces.await_list();
        self.create_failures.clear();
        self.pasts.values_mut().for_each(Past::lose_sight);
        self.touched_nodes.clear();
        self.touched_shares.clear();
    }

    /// What changed since the last call, once everything has been listed.
    pub(super) fn drain(&mut self) -> Option<MemberEvent> {
        let work = self.nodes.synced && self.pods.synced && self.jobs.synced && self.deployments.synced;
        if !(self.namespaces.is_synced() && (work || self.namespaces_only)) {
            return None;
        }
        self.touch_what_caught_up();
        let nodes = std::mem::take(&mut self.touched_nodes);
        let shares = std::mem::take(&mut self.touched_shares);
        let (mut upserts, mut gone) = self.namespaces.drain();
        if std::mem::take(&mut self.reset) {
            for key in self
                .jobs
                .present
                .values()
                .map(|(key, _)| key.clone())
                .collect::<Vec<_>>()
            {
                self.note_rest(&key);
            }
            let nodes = self
                .nodes
                .present
                .keys()
                .filter_map(|name| self.node(name))
                .map(Item::Node);
            let shares = self
                .jobs
                .present
                .values()
                .map(|(key, job)| Item::Share(self.share(key, job)));
            let deployed = self
                .deployments
                .present
                .values()
                .map(|(key, row)| Item::Share(deployment::observe(key, row, self.pods_of(key))));
            let items = nodes.chain(shares).chain(deployed).chain(self.namespaces.items());
            return Some(MemberEvent::Reset(items.collect()));
        }
        for name in nodes {
            match self.node(&name) {
                Some(node) => upserts.push(Item::Node(node)),
                None => gone.push(ItemKey::Node(name)),
            }
        }
        for key in shares {
            match self.look(&key) {
                Some(seen) => upserts.push(Item::Share(seen)),
                None => gone.push(ItemKey::Share(key)),
            }
        }
        (!upserts.is_empty() || !gone.is_empty()).then_some(MemberEvent::Changed { upserts, gone })
    }

    /// The share under `key` as it is now.
    fn look(&mut self, key: &ShareKey) -> Option<Observation> {
        match key.kind {
            Workload::SkyJob => {
                self.note_rest(key);
                let (_, job) = self.jobs.present.get(&job_id(key))?;
                Some(self.share(key, job))
            }
            Workload::SkyDeployment => {
                let (_, row) = self.deployments.present.get(&job_id(key))?;
                Some(deployment::observe(key, row, self.pods_of(key)))
            }
        }
    }

    fn node(&self, name: &str) -> Option<Node> {
        let mut node = self.nodes.present.get(name)?.clone();
        if let Some((used, pods)) = self.used.get(name) {
            node.free.subtract(used);
            node.free_pods -= pods;
        }
        Some(node)
    }

    fn share(&self, key: &ShareKey, job: &JobRow) -> Observation {
        let none = Past::default();
        let memory = self.memory(job, &none);
        observe::observe(key, job, self.pods_of(key), memory, self.create_failures.get(key))
    }

    fn memory<'m>(&'m self, job: &JobRow, none: &'m Past) -> Memory<'m> {
        Memory {
            past: self.pasts.get(&job.instance).unwrap_or(none),
            heard_to: self.heard_to,
        }
    }

    fn pods_of(&self, key: &ShareKey) -> impl Iterator<Item = &Pod> + Clone {
        let ids = self.share_pods.get(key);
        ids.into_iter()
            .flatten()
            .filter_map(|id| self.pods.present.get(id))
            .map(|row| &row.pod)
    }

    /// Remembers of a Job of which nothing is left to run that it is so.
    fn note_rest(&mut self, key: &ShareKey) {
        let Some((_, job)) = self.jobs.present.get(&job_id(key)) else {
            return;
        };
        let none = Past::default();
        match observe::rest(job, self.pods_of(key), self.memory(job, &none)) {
            Rest::Yes => self.pasts.entry(job.instance.clone()).or_default().rest(job),
            Rest::Behind => {
                self.behind.insert(key.clone());
            }
            Rest::No => {}
        }
    }

    /// Pods that were not heard of until now never will be: of their shares there is something new to say.
    fn touch_what_caught_up(&mut self) {
        for key in std::mem::take(&mut self.behind) {
            match self.jobs.present.get(&job_id(&key)) {
                Some((_, job)) if job.version > self.heard_to => {
                    self.behind.insert(key);
                }
                Some(_) => {
                    self.touched_shares.insert(key);
                }
                None => {}
            }
        }
    }

    fn hear_node(&mut self, event: Event<ApiNode>) {
        match event {
            Event::Apply(object) => {
                self.touched_nodes.insert(object.name_any());
                self.nodes.present.insert(object.name_any(), node::read(&object));
            }
            Event::Delete(object) => {
                self.touched_nodes.insert(object.name_any());
                self.nodes.present.remove(&object.name_any());
            }
            Event::Init => self.nodes.listing = Some(HashMap::new()),
            Event::InitApply(object) => self.nodes.list(object.name_any(), node::read(&object)),
            Event::InitDone => self.reset |= self.nodes.replace(),
        }
    }

    fn hear_job(&mut self, event: Event<Job>) {
        let row = |job: &Job| {
            let key = share_key(Workload::SkyJob, job.namespace(), job.name_any());
            observe::trim(job).map(|row| (key, row))
        };
        match event {
            Event::Apply(job) => {
                let Some((key, row)) = row(&job) else { return };
                self.touched_shares.insert(key.clone());
                take_in(&mut self.pasts, &row);
                self.jobs.present.insert(job_id(&key), (key, row));
            }
            Event::Delete(job) => {
                let key = share_key(Workload::SkyJob, job.namespace(), job.name_any());
                self.jobs.present.remove(&job_id(&key));
                self.pasts.remove(&job.uid().unwrap_or_default());
                self.create_failures.remove(&key);
                self.touched_shares.insert(key);
            }
            Event::Init => self.jobs.listing = Some(HashMap::new()),
            Event::InitApply(job) => {
                if let Some((key, row)) = row(&job) {
                    self.jobs.list(job_id(&key), (key, row));
                }
            }
            Event::InitDone => {
                self.reset |= self.jobs.replace();
                for (_, job) in self.jobs.present.values() {
                    take_in(&mut self.pasts, job);
                }
            }
        }
    }

    fn hear_pod(&mut self, event: Event<LeanPod>) {
        match event {
            Event::Apply(object) => {
                let id = pod_id(&object);
                let row = row(&object);
                if let Some(row) = &row {
                    self.meet(&id, row);
                    self.remember(row, Past::present);
                }
                self.forget_pod(&id);
                if let Some(row) = row {
                    self.keep_pod(id, row);
                }
                self.heard_to = self.heard_to.max(pod_version(&object));
            }
            Event::Delete(object) => {
                let id = pod_id(&object);
                // Its last state, which no event may have told before.
                if let Some(row) = row(&object) {
                    self.meet(&id, &row);
                    self.remember(&row, Past::gone);
                }
                self.forget_pod(&id);
                self.heard_to = self.heard_to.max(pod_version(&object));
            }
            Event::Init => self.pods.listing = Some(HashMap::new()),
            Event::InitApply(object) => {
                self.heard_to = self.heard_to.max(pod_version(&object));
                if let Some(row) = row(&object) {
                    self.pods.list(pod_id(&object), row);
                }
            }
            Event::InitDone => self.replace_pods(),
        }
    }

    /// Of pods that are not listed any more nobody tells how they ended.
    fn replace_pods(&mut self) {
        let listed = self.pods.listing.take().unwrap_or_default();
        for (id, row) in &listed {
            self.meet(id, row);
        }
        for (id, row) in std::mem::take(&mut self.pods.present) {
            if !listed.contains_key(&id) {
                self.remember(&row, Past::vanished);
            }
        }
        self.used.clear();
        self.share_pods.clear();
        for (id, row) in listed {
            self.remember(&row, Past::present);
            self.keep_pod(id, row);
        }
        // Jobs that are still to be listed are sighted then, as they are by now.
        if self.jobs.synced {
            for (_, job) in self.jobs.present.values() {
                self.pasts.entry(job.instance.clone()).or_default().sight(job);
            }
        }
        self.pods.synced = true;
        self.reset = true;
    }

    /// Counts a pod that was not there before.
    fn meet(&mut self, id: &str, row: &PodRow) {
        if !self.pods.present.contains_key(id) {
            self.remember(row, |past, _| past.came());
        }
    }

    /// Takes what a pod of a share shows into the past of its Job.
    fn remember(&mut self, row: &PodRow, take: fn(&mut Past, &Pod)) {
        let Some(job) = &row.job else { return };
        take(self.pasts.entry(job.clone()).or_default(), &row.pod);
        if self.jobs.synced && self.pasts.len() > 2 * self.jobs.present.len() + SPARE_PASTS {
            let jobs: BTreeSet<&str> = self
                .jobs
                .present
                .values()
                .map(|(_, job)| job.instance.as_str())
                .collect();
            self.pasts.retain(|uid, _| jobs.contains(uid.as_str()));
        }
    }

    fn keep_pod(&mut self, id: String, row: PodRow) {
        if let (Some(node), true) = (&row.pod.node, row.pod.takes_room()) {
            let (used, pods) = self.used.entry(node.clone()).or_default();
            used.add(&row.pod.requests);
            *pods += 1;
            self.touched_nodes.insert(node.clone());
        }
        if let Some(share) = &row.share {
            self.share_pods
                .entry(share.clone())
                .or_default()
                .insert(id.clone());
            self.touch_share(share.clone());
        }
        self.pods.present.insert(id, row);
    }

    fn forget_pod(&mut self, id: &str) {
        let Some(row) = self.pods.present.remove(id) else {
            return;
        };
        if let (Some(node), true) = (&row.pod.node, row.pod.takes_room()) {
            if let Some((used, pods)) = self.used.get_mut(node) {
                used.subtract(&row.pod.requests);
                *pods -= 1;
            }
            self.touched_nodes.insert(node.clone());
        }
        if let Some(share) = row.share {
            if let Some(pods) = self.share_pods.get_mut(&share) {
                pods.remove(id);
                if pods.is_empty() {
                    self.share_pods.remove(&share);
                }
            }
            self.touch_share(share);
        }
    }

    /// A pod may outlive its object for a moment: then there is nothing to say about the share.
    fn touch_share(&mut self, key: ShareKey) {
        let is_there = match key.kind {
            Workload::SkyJob => self.jobs.present.contains_key(&job_id(&key)),
            Workload::SkyDeployment => self.deployments.present.contains_key(&job_id(&key)),
        };
        if is_there {
            self.touched_shares.insert(key);
        }
    }

    fn hear_failure(&mut self, event: &ApiEvent) {
        let object = &event.involved_object;
        let key = share_key(
            Workload::SkyJob,
            object.namespace.clone(),
            object.name.clone().unwrap_or_default(),
        );
        let message = event.message.clone().unwrap_or_default();
        self.touch_share(key.clone());
        self.create_failures.insert(
            key,
            Trouble {
                reason: "FailedCreate".into(),
                message,
            },
        );
        // Failures of Jobs that are gone are dropped when there are many: they are kept to explain, not to decide.
        if self.create_failures.len() > 10_000 {
            let jobs = &self.jobs.present;
            self.create_failures
                .retain(|key, _| jobs.contains_key(&job_id(key)));
        }
    }
}

fn share_key(kind: Workload, namespace: Option<String>, object: String) -> ShareKey {
    ShareKey {
        kind,
        namespace: namespace.unwrap_or_default(),
        object,
    }
}

fn job_id(key: &ShareKey) -> String {
    format!("{}/{}", key.namespace, key.object)
}

/// Takes what `job` says of itself into its past.
fn take_in(pasts: &mut HashMap<String, Past>, job: &JobRow) {
    let past = pasts.entry(job.instance.clone()).or_default();
    past.sight_first(job);
    past.told(job);
}

fn pod_version(pod: &LeanPod) -> u64 {
    version(pod.metadata.resource_version.as_deref())
}

fn pod_id(pod: &LeanPod) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}

/// What is kept of a pod: all of ours, and of others those that take room on a node.
fn row(object: &LeanPod) -> Option<PodRow> {
    let pod = pod::trim(object);
    let share = object
        .labels()
        .get(marks::SHARE)
        .map(|name| share_key(pod::of(object), object.namespace(), name.clone()));
    let job = pod::owner(object).filter(|_| share.is_some()).map(str::to_owned);
    (share.is_some() || (pod.node.is_some() && pod.takes_room())).then_some(PodRow { pod, share, job })
}

#[cfg(test)]
mod tests;
