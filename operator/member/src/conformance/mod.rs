//! What every manager must do: named cases over a `Subject`, run against the fake and against real members alike.
//!
//! A case knows the trait `Member` only; how the other side is prepared and looked at is the subject's.

mod configs;
mod confirm;
mod deploy;
mod dispatch;
mod listen;
mod namespaces;
mod withdraw;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use sky_core::config::ConfigName;
use sky_core::labels::Labels;
use sky_core::naming;
use sky_core::observation::MemberEvent;
use sky_core::ranks::Ranks;
use sky_core::resources::Resources;
use sky_core::share::{Container, Entry, Program, Retry, Share, ShareKey, Stamp};
use sky_core::workload::Kind;
use thiserror::Error;

use crate::{Desired, Member, MemberError};

/// The longest that a case waits for an event.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a case fails.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl From<MemberError> for Failure {
    fn from(error: MemberError) -> Self {
        Self(format!("{}: {}", error.class.as_str(), error.message))
    }
}

/// How a case ends.
pub type Verdict = Result<(), Failure>;

/// What a manager says of itself: which cases concern it, and what a share must ask for there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// It has namespaces.
    pub namespaces: bool,
    /// It runs SkyDeployments.
    pub deployments: bool,
    /// It has ConfigMaps and Secrets.
    pub configs: bool,
    /// It holds objects back until their instance is recorded.
    pub confirms: bool,
    /// What a replica asks for so that it is accepted, and waits until `Subject::start`.
    pub asks: Resources,
    /// A script that goes on once it has started.
    pub script: &'static str,
}

impl Default for Description {
    /// Of a manager like Kubernetes: a replica waits for 1000 cpus.
    fn default() -> Self {
        Self {
            namespaces: true,
            deployments: true,
            configs: true,
            confirms: false,
            asks: Resources::new(1_000_000, 1 << 20),
            script: "true",
        }
    }
}

/// A member under test, and its other side.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The member.
    fn member(&self) -> Arc<dyn Member>;

    /// What its manager is like.
    fn description(&self) -> Description {
        Description::default()
    }

    /// The origin it works for.
    fn origin(&self) -> &str;

    /// Makes the answer to the next `ensure` get lost after its effect.
    fn lose_next_reply(&self);

    /// Puts something that is not ours under `key`.
    async fn plant(&self, key: &ShareKey) -> Verdict;

    /// Whether what `plant` put there is there, unchanged.
    async fn is_untouched(&self, key: &ShareKey) -> Result<bool, Failure>;

    /// How many objects there are in the namespace, ours or not.
    async fn count(&self, namespace: &str) -> Result<usize, Failure>;

    /// Whether the namespace is there.
    async fn has_namespace(&self, name: &str) -> Result<bool, Failure>;

    /// The labels of the namespace; `None`: it is not there.
    async fn namespace_labels(&self, name: &str) -> Result<Option<Labels>, Failure>;

    /// Puts a label onto the namespace, as somebody else would; makes it when it is not there.
    async fn label_namespace(&self, name: &str, key: &str, value: &str) -> Verdict;

    /// Puts a Secret into the namespace, as somebody else would.
    async fn put_secret(&self, namespace: &str) -> Verdict;

    /// Puts a ConfigMap or Secret there, as somebody else would; its namespace too.
    async fn put_config(&self, namespace: &str, name: &ConfigName) -> Verdict;

    /// What a ConfigMap or Secret there holds, as texts by key; `None`: it is not there.
    async fn config(
        &self,
        namespace: &str,
        name: &ConfigName,
    ) -> Result<Option<BTreeMap<String, String>>, Failure>;

    /// Deletes the share, as somebody else would.
    async fn delete(&self, key: &ShareKey) -> Verdict;

    /// Lets a replica of the share, which is there, start.
    async fn start(&self, share: &Share) -> Verdict;

    /// A program that the member refuses as it is, and a word of its refusal.
    fn refused(&self) -> (Program, &'static str);
}

/// One thing that every manager must do.
pub struct Case {
    /// Behaviour, as a test would be named.
    pub name: &'static str,
    /// Whether it concerns managers of this description.
    pub concerns: fn(&Description) -> bool,
    run: for<'s> fn(&'s Scene<'s>) -> BoxFuture<'s, Verdict>,
}

impl Case {
    /// Runs the case; `run` makes its namespace differ from those of earlier runs on the same member.
    ///
    /// # Errors
    /// Says what was not as it must be.
    pub async fn check(&self, subject: &dyn Subject, run: &str) -> Verdict {
        let namespace = format!("conformance-{}", naming::hash(&[self.name, run], 8));
        let scene = Scene {
            subject,
            member: subject.member(),
            namespace,
        };
        (self.run)(&scene).await
    }
}

macro_rules! cases {
    ($($module:ident :: $name:ident $(if $field:ident)?),* $(,)?) => {
        /// All cases.
        #[must_use]
        pub fn cases() -> Vec<Case> {
            vec![$(Case {
                name: stringify!($name),
                concerns: |_manager| true $(&& _manager.$field)?,
                run: |scene| Box::pin($module::$name(scene)),
            }),*]
        }
    };
}

cases![
    dispatch::ensure_creates_once_and_may_be_repeated,
    dispatch::ensure_after_a_lost_reply_finds_what_the_first_one_created,
    dispatch::a_foreign_object_of_the_name_is_a_conflict_and_stays,
    dispatch::a_share_of_another_run_under_the_name_is_a_conflict,
    dispatch::a_share_is_suspended_and_resumed,
    dispatch::a_share_that_was_seen_is_changed_but_never_created_anew,
    dispatch::withdraw_removes_and_may_be_repeated,
    dispatch::withdraw_of_a_foreign_object_is_a_conflict_and_it_stays,
    dispatch::withdraw_of_another_hosts_share_is_a_conflict,
    dispatch::a_namespace_is_created_when_a_share_first_needs_it if namespaces,
    dispatch::a_refused_template_is_rejected_in_the_members_words,
    dispatch::fifty_shares_at_once_are_fifty_objects,
    dispatch::a_replica_that_has_not_started_has_no_output,
    deploy::a_deployment_is_made_as_wanted_and_repeating_that_changes_nothing if deployments,
    deploy::only_the_number_of_a_deployments_replicas_is_changed if deployments,
    deploy::a_deployment_that_is_not_there_is_not_scaled if deployments,
    deploy::a_deployment_of_another_share_under_the_name_is_a_conflict if deployments,
    deploy::another_hosts_deployment_is_not_taken_away if deployments,
    deploy::a_deployment_that_is_withdrawn_shows_as_gone if deployments,
    listen::events_begin_with_a_reset_of_what_is_there,
    listen::an_ensured_share_shows_up_with_its_stamp,
    listen::a_suspended_share_shows_as_suspended,
    listen::a_withdrawn_share_shows_as_gone,
    listen::a_share_deleted_by_somebody_else_shows_as_gone,
    listen::every_listener_hears_everything,
    withdraw::if_not_started_suspends_what_has_not_started,
    withdraw::what_was_held_back_can_be_resumed,
    withdraw::if_not_started_of_what_is_not_there_is_gone,
    withdraw::a_share_with_a_started_replica_is_left_alone,
    withdraw::a_replica_that_started_is_remembered_when_it_is_gone,
    withdraw::a_tombstone_takes_the_name_of_what_is_not_there,
    withdraw::a_present_share_becomes_a_tombstone_for_good,
    withdraw::what_is_held_back_becomes_a_tombstone,
    withdraw::remove_deletes_a_tombstone,
    withdraw::a_foreign_object_is_neither_held_back_nor_made_a_tombstone,
    withdraw::a_share_of_another_run_is_not_made_a_tombstone,
    withdraw::another_hosts_share_is_not_held_back,
    namespaces::a_namespace_is_created_and_kept_in_step if namespaces,
    namespaces::what_others_change_on_a_namespace_is_put_back_and_what_they_add_stays if namespaces,
    namespaces::a_namespace_that_was_there_is_adopted_and_released_but_never_removed if namespaces,
    namespaces::a_namespace_of_another_host_is_a_conflict if namespaces,
    namespaces::a_foreign_namespace_is_used_for_a_share_and_left_as_it_is if namespaces,
    namespaces::an_empty_namespace_is_marked_and_removed if namespaces,
    namespaces::what_others_put_into_a_namespace_keeps_it if namespaces,
    namespaces::whoever_needs_a_marked_namespace_makes_its_removal_fail if namespaces,
    configs::a_config_is_copied_with_its_namespace_and_kept_in_step if configs,
    configs::an_immutable_config_is_made_anew_when_it_changes if configs,
    configs::a_foreign_config_is_a_conflict_and_stays if configs,
    configs::a_copy_of_another_host_is_a_conflict if configs,
    configs::a_config_that_is_not_there_is_absent if configs,
    configs::a_copy_goes_with_the_last_share_that_uses_it if configs,
    configs::a_copy_that_is_released_goes_unless_it_is_used if configs,
    confirm::a_share_is_held_until_its_instance_is_named if confirms,
    confirm::another_instance_than_the_one_there_is_not_released if confirms,
    confirm::a_share_that_is_suspended_waits_for_no_confirmation if confirms,
];

/// One case under way.
struct Scene<'s> {
    subject: &'s dyn Subject,
    member: Arc<dyn Member>,
    namespace: String,
}

impl Scene<'_> {
    /// A share of one replica that is accepted and waits until the subject starts it.
    fn share(&self, name: &str) -> Share {
        let description = self.subject.description();
        let uid = naming::hash(&[&self.namespace, name], 12);
        Share {
            key: ShareKey {
                kind: sky_core::workload::Kind::SkyJob,
                namespace: self.namespace.clone(),
                object: naming::share_object(name, &uid, "", "1-0"),
            },
            stamp: Stamp {
                origin: self.subject.origin().to_owned(),
                kind: Kind::SkyJob,
                namespace: self.namespace.clone(),
                name: name.to_owned(),
                uid,
                run: String::new(),
                share: "1-0".into(),
                attempt: 1,
                spec_hash: "5eed".into(),
            },
            cluster: self.member.name().to_owned(),
            replicas: 1,
            total_replicas: 1,
            ranks: Ranks::consecutive(0, 1),
            suspended: false,
            known: false,
            instance: None,
            labels: [("team".to_owned(), "red".to_owned())].into(),
            annotations: [("note".to_owned(), "a, b: {c}".to_owned())].into(),
            program: Program::Container(Container {
                image: "localhost/none".into(),
                entry: Entry::Script(description.script.into()),
                no_image: true,
                slurm: Some(Box::default()),
                ..Container::default()
            }),
            requests: description.asks,
            patches: vec![],
            accelerator: None,
            retry: Retry::Replace(0),
            progress_deadline: None,
        }
    }

    /// Has a replica of the share, which is there, start; where the manager asks for it, its instance is named first.
    async fn start(
        &self,
        share: &mut Share,
        events: &mut BoxStream<'static, MemberEvent>,
    ) -> Result<(), Failure> {
        if self.subject.description().confirms {
            confirm::release(self, share, events).await?;
        }
        self.subject.start(share).await
    }

    async fn ensure(&self, share: &Share) -> Result<crate::Ensured, MemberError> {
        self.member.ensure(Desired::Share(Box::new(share.clone()))).await
    }
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Verdict {
    if found == wanted {
        Ok(())
    } else {
        Err(Failure(format!("{what}: found {found:?}, wanted {wanted:?}")))
    }
}

/// The next event that `pick` takes something from.
async fn hear<T>(
    events: &mut BoxStream<'static, MemberEvent>,
    what: &str,
    mut pick: impl FnMut(&MemberEvent) -> Option<T>,
) -> Result<T, Failure> {
    let find = async {
        while let Some(event) = events.next().await {
            if let Some(found) = pick(&event) {
                return Ok(found);
            }
        }
        Err(Failure(format!("the events ended before {what}")))
    };
    let late = Failure(format!("no {what} within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, find).await.map_err(|_| late)?
}
