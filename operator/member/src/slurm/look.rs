//! One look at a Slurm cluster: what is listed, taken in by what is remembered. Shared by all who look at about the same
//! time, so that a burst of calls costs few lists. Asked by `dispatch` and `poll`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use sky_core::Seconds;
use sky_core::cluster::Node;
use sky_core::naming;
use sky_core::observation::Observation;
use sky_core::share::ShareKey;
use tokio::sync::{Mutex as Turn, watch};
use tokio::time::Instant;

use super::Access;
use super::accounting::{self, Record};
use super::array::{self, Array, Listed};
use super::client::Client;
use super::observe::{self, observe};
use super::past::Past;
use super::{Identity, node};
use crate::{Class, MemberError};

/// What all calls and listeners of one member share.
pub(super) struct Site {
    pub(super) client: Client,
    pub(super) access: Access,
    pub(super) origin: String,
    pub(super) past: Mutex<Past>,
    /// What the host has recorded as being here, once it is known how to ask.
    pub(super) record: OnceLock<Record>,
    /// The last list, and when it was asked for.
    last: Turn<Option<(Instant, Arc<Listed>)>>,
    /// Counts our own changes, so that listeners look at once.
    stirred: watch::Sender<u64>,
    submits: AtomicU64,
}

impl Site {
    pub(super) fn new(client: Client, access: Access, origin: &str) -> Self {
        Self {
            client,
            access,
            origin: origin.to_owned(),
            past: Mutex::default(),
            record: OnceLock::new(),
            last: Turn::default(),
            stirred: watch::Sender::new(0),
            submits: AtomicU64::new(0),
        }
    }

    pub(super) fn past(&self) -> std::sync::MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was changed there: whoever listens looks again.
    pub(super) fn stir(&self) {
        self.stirred.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn stirs(&self) -> watch::Receiver<u64> {
        self.stirred.subscribe()
    }

    /// Our user's jobs, as they are listed after this call began.
    pub(super) async fn list(&self) -> Result<Arc<Listed>, MemberError> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((at, listed)) = last.as_ref().filter(|(at, _)| *at >= asked) {
            tracing::trace!(age = ?at.elapsed(), "a list is shared");
            return Ok(listed.clone());
        }
        let began = Instant::now();
        let records = self.client.jobs().await?;
        let mut listed = array::sort(&records, &self.access.user);
        accounting::take_in(self, &mut listed).await;
        let listed = Arc::new(listed);
        *last = Some((began, listed.clone()));
        Ok(listed)
    }

    /// The arrays under this name that count: those that were removed do not, nor what is over and not of ours.
    pub(super) async fn under(&self, key: &ShareKey) -> Result<Vec<Array>, MemberError> {
        let listed = self.list().await?;
        if listed.foreign.contains(&key.object) {
            let words = format!("a job {} that is not of Sky Manager is there already", key.object);
            return Err(MemberError::new(Class::Conflict, words));
        }
        let past = self.past();
        let named = listed
            .arrays
            .iter()
            .filter(|array| array.key.object == key.object);
        let counts = |array: &&Array| observe(array, &past, 0).is_some();
        let mut found: Vec<Array> = named.filter(counts).cloned().collect();
        found.sort_by_key(rank);
        Ok(found)
    }

    /// What is said of every share of ours, and which arrays are to be stopped because a replica has failed.
    pub(super) fn say(&self, listed: &Listed) -> (BTreeMap<ShareKey, Observation>, Vec<i64>) {
        let past = self.past();
        let mut arrays: Vec<&Array> = listed.arrays.iter().collect();
        arrays.retain(|array| array.comment.origin() == self.origin);
        arrays.sort_by_key(|array| rank(array));
        let mut said = BTreeMap::new();
        let mut lost = Vec::new();
        for array in arrays {
            let due = past
                .first_seen(&array.instance(), now())
                .saturating_add(self.access.confirm_seconds);
            if let Some(observation) = observe(array, &past, due) {
                said.entry(array.key.clone()).or_insert(observation);
            }
            if observe::is_lost(array, &past) {
                lost.push(array.id);
            }
        }
        (said, lost)
    }

    pub(super) async fn nodes(&self) -> Result<BTreeMap<String, Node>, MemberError> {
        let nodes = self.client.nodes().await?;
        let partitions = self.client.partitions().await?;
        Ok(node::read(&nodes, &partitions, self.access.partition.as_deref()))
    }

    /// Asks what tells the cluster from others, with `listed` if it was just listed.
    pub(super) async fn identity(&self, listed: Option<&Listed>) -> Result<(String, Identity), MemberError> {
        let greeting = self.client.greet().await?;
        let named = greeting.cluster.or_else(|| listed?.cluster.clone());
        Ok((greeting.release, named))
    }

    /// What the cluster is like, in words; and why nothing runs there as it is set up, if so.
    pub(super) async fn describe(&self) -> Result<(String, Option<String>), MemberError> {
        let partitions = self.client.partitions().await?;
        let accounting = match self.client.accounts(&["none"]).await {
            Ok(Some(_)) => "with accounting",
            Ok(None) => "without accounting",
            Err(_) => "with accounting, which does not answer",
        };
        let about = format!(
            "slurmrestd speaks {}; {}; {accounting}",
            self.client.spoken().await?,
            node::listed(&partitions)
        );
        Ok((
            about,
            node::unusable(&partitions, self.access.partition.as_deref()),
        ))
    }

    /// Differs for each submit, also from those of an operator before.
    pub(super) fn nonce(&self, key: &ShareKey) -> String {
        let count = self.submits.fetch_add(1, Ordering::Relaxed).to_string();
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        let process = std::process::id().to_string();
        naming::hash(&[&key.object, &count, &nanos.to_string(), &process], 12)
    }
}

/// Of several under one name, what has started goes before what has not, and then the first that was accepted.
fn rank(array: &Array) -> (bool, i64) {
    (!array.has_started(), array.id)
}

pub(super) fn now() -> Seconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(Seconds::MAX)
}
