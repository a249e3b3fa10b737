//! Listens to a Kubernetes member: watches of nodes, pods, our Jobs and Deployments, failures to create pods, our
//! namespaces, and a heartbeat. Of the host only namespaces are listened to.
//!
//! A watch on a dead connection is silent, not failing; the heartbeat finds that out. After a silence everything is
//! listed anew, so that what vanished meanwhile is noticed.

use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event as ApiEvent, Namespace, Node as ApiNode, Pod as ApiPod};
use kube::api::ApiResource;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use sky_core::marks;
use sky_core::observation::{MemberEvent, Trouble};
use tokio::time::{Instant, sleep_until, timeout};

use super::cache::{Cache, Heard};
use super::errors;
use super::pod::LeanPod;
use crate::{Class, MemberError, Probe};

/// Between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The longest that a heartbeat may take.
const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(5);
/// Heartbeats that may fail before the member counts as silent.
const MISSED_HEARTBEATS: u32 = 2;
/// Lists in a row that may fail before the member counts as silent.
const FAILED_LISTS: u32 = 3;
/// Between two tries to reach a silent member.
const RETRY: Duration = Duration::from_secs(2);
/// Things heard that are taken together, at most.
const BATCH: usize = 256;

/// Asks for the version and the identity.
pub(super) async fn probe(client: &Client) -> Result<Probe, MemberError> {
    let version = version(client).await?;
    let identity = identity(client).await?;
    Ok(Probe {
        version,
        identity,
        about: None,
        unusable: None,
    })
}

async fn version(client: &Client) -> Result<String, MemberError> {
    match timeout(HEARTBEAT_DEADLINE, client.apiserver_version()).await {
        Ok(Ok(version)) => Ok(version.git_version),
        Ok(Err(error)) => Err(errors::classify(&error)),
        Err(_) => Err(errors::silence(HEARTBEAT_DEADLINE)),
    }
}

/// The uid of the namespace kube-system, which lasts as long as the cluster does. A member that does not let us read it
/// has none.
async fn identity(client: &Client) -> Result<Option<String>, MemberError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    match timeout(HEARTBEAT_DEADLINE, namespaces.get_metadata("kube-system")).await {
        Ok(Ok(namespace)) => Ok(namespace.metadata.uid),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 403 | 404) => Ok(None),
        Ok(Err(error)) => Err(errors::classify(&error)),
        Err(_) => Err(errors::silence(HEARTBEAT_DEADLINE)),
    }
}

/// Whether the API server can do its work: its storage too, which a version does not tell. A server that keeps this to
/// itself is asked for its version.
async fn alive(client: &Client) -> Result<(), MemberError> {
    let request = http::Request::get("/readyz")
        .body(Vec::new())
        .map_err(|error| MemberError::new(Class::Rejected, error.to_string()))?;
    match timeout(HEARTBEAT_DEADLINE, client.request_text(request)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 403 | 404) => {
            version(client).await.map(|_| ())
        }
        Ok(Err(error)) => Err(errors::classify(&error)),
        Err(_) => Err(errors::silence(HEARTBEAT_DEADLINE)),
    }
}

/// What happens on the member, from now on.
pub(super) fn events(
    client: Client,
    origin: String,
    expected: Option<String>,
    scope: Scope,
) -> BoxStream<'static, MemberEvent> {
    let ear = Ear {
        client,
        origin,
        expected,
        scope,
        said_lost: None,
        cache: match scope {
            Scope::All => Cache::default(),
            Scope::Namespaces => Cache::of_namespaces(),
        },
        state: State::Silent {
            retry: Instant::now(),
        },
    };
    stream::unfold(ear, |mut ear| async move {
        let event = ear.next().await;
        Some((event, ear))
    })
    .boxed()
}

/// What is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All that a member tells.
    All,
    /// Namespaces of our origin.
    Namespaces,
}

struct Ear {
    client: Client,
    origin: String,
    scope: Scope,
    /// Identity of the cluster that this is to be.
    expected: Option<String>,
    /// The reason that was last given for a silence that still lasts.
    said_lost: Option<String>,
    /// Outlives a silence, so that what vanished in it is noticed.
    cache: Cache,
    state: State,
}

enum State {
    /// Not listening; tries again at this time.
    Silent { retry: Instant },
    /// Listening.
    Listening(Box<Listening>),
}

struct Listening {
    streams: stream::ReadyChunks<SelectAll<BoxStream<'static, Result<Heard, watcher::Error>>>>,
    heartbeat: BoxFuture<'static, Result<(), MemberError>>,
    missed: u32,
    /// Lists that failed since something was heard.
    failed_lists: u32,
}

enum Turn {
    Heard(Vec<Result<Heard, watcher::Error>>),
    Heartbeat(Result<(), MemberError>),
}

impl Ear {
    async fn next(&mut self) -> MemberEvent {
        loop {
            let turned = match &mut self.state {
                State::Silent { retry } => {
                    let at = *retry;
                    self.connect(at).await
                }
                State::Listening(listening) => listening.turn(&self.client, &mut self.cache).await,
            };
            match turned {
                Ok(Some(event)) => {
                    self.said_lost = None;
                    return event;
                }
                Ok(None) => {}
                Err(error) => {
                    self.state = State::Silent {
                        retry: Instant::now() + RETRY,
                    };
                    let reason = error.class.as_str();
                    if self.said_lost.as_deref() != Some(reason) {
                        self.said_lost = Some(reason.into());
                        let trouble = Trouble {
                            reason: reason.into(),
                            message: error.message,
                        };
                        return MemberEvent::Lost(trouble);
                    }
                }
            }
        }
    }

    async fn connect(&mut self, at: Instant) -> Result<Option<MemberEvent>, MemberError> {
        sleep_until(at).await;
        alive(&self.client).await?;
        recognise(&self.client, self.expected.as_deref()).await?;
        self.cache.await_lists();
        let listening = Listening {
            streams: streams(&self.client, &self.origin, self.scope).ready_chunks(BATCH),
            heartbeat: heartbeat(&self.client),
            missed: 0,
            failed_lists: 0,
        };
        self.state = State::Listening(Box::new(listening));
        Ok(None)
    }
}

/// Refuses another cluster than the one expected.
async fn recognise(client: &Client, expected: Option<&str>) -> Result<(), MemberError> {
    let Some(expected) = expected else { return Ok(()) };
    match identity(client).await? {
        Some(found) if found != expected => {
            let words = format!("another cluster answers: its kube-system has uid {found}, not {expected}");
            Err(MemberError::new(Class::Conflict, words))
        }
        _ => Ok(()),
    }
}

impl Listening {
    async fn turn(&mut self, client: &Client, cache: &mut Cache) -> Result<Option<MemberEvent>, MemberError> {
        let turn = tokio::select! {
            Some(heard) = self.streams.next() => Turn::Heard(heard),
            beat = &mut self.heartbeat => Turn::Heartbeat(beat),
        };
        match turn {
            Turn::Heartbeat(beat) => {
                self.heartbeat = heartbeat(client);
                match beat {
                    Ok(()) => self.missed = 0,
                    Err(error) => {
                        self.missed += 1;
                        let final_word = error.class != Class::Unreachable;
                        if final_word || self.missed >= MISSED_HEARTBEATS {
                            return Err(error);
                        }
                    }
                }
                Ok(None)
            }
            Turn::Heard(heard) => {
                for heard in heard {
                    match heard {
                        Ok(heard) => {
                            self.failed_lists = 0;
                            cache.hear(heard);
                        }
                        // A watch heals itself; what it cannot heal, the probe or the missing right says.
                        Err(error) => self.judge(error, client).await?,
                    }
                }
                Ok(cache.drain())
            }
        }
    }

    /// Gives the member up for now when `error` is final, when lists keep failing, or when it does not answer.
    async fn judge(&mut self, error: watcher::Error, client: &Client) -> Result<(), MemberError> {
        let listing = matches!(error, watcher::Error::InitialListFailed(_));
        tracing::debug!(%error, "watch interrupted");
        let cause = match error {
            watcher::Error::InitialListFailed(cause) | watcher::Error::WatchStartFailed(cause) => Some(cause),
            watcher::Error::WatchError(status) => Some(kube::Error::Api(status)),
            _ => None,
        };
        let cause = cause.map(|cause| errors::classify(&cause));
        self.failed_lists += u32::from(listing);
        match cause {
            Some(cause) if cause.class == Class::Unauthorized || self.failed_lists >= FAILED_LISTS => {
                Err(cause)
            }
            _ => alive(client).await,
        }
    }
}

fn heartbeat(client: &Client) -> BoxFuture<'static, Result<(), MemberError>> {
    let client = client.clone();
    async move {
        tokio::time::sleep(HEARTBEAT).await;
        alive(&client).await
    }
    .boxed()
}

fn streams(
    client: &Client,
    origin: &str,
    scope: Scope,
) -> SelectAll<BoxStream<'static, Result<Heard, watcher::Error>>> {
    let ours = watcher::Config::default().labels(&format!("{}={origin}", marks::ORIGIN));
    let namespaces = mapped(
        watcher(Api::<Namespace>::all(client.clone()), ours.clone()),
        |event| Heard::Namespace(Box::new(event)),
    );
    if scope == Scope::Namespaces {
        return stream::select_all([namespaces]);
    }
    let failures = watcher::Config::default().fields("involvedObject.kind=Job,reason=FailedCreate");
    let pods: Api<LeanPod> = Api::all_with(client.clone(), &ApiResource::erase::<ApiPod>(&()));
    let heard = |stream: BoxStream<'static, Result<Heard, watcher::Error>>| stream;
    // They explain; a member that does not let us read them is used all the same.
    let failures = watcher(Api::<ApiEvent>::all(client.clone()), failures).default_backoff();
    let failures = failures
        .filter_map(|event| async { event.ok().map(|event| Ok(Heard::CreateFailure(Box::new(event)))) });
    stream::select_all([
        namespaces,
        heard(mapped(
            watcher(Api::<ApiNode>::all(client.clone()), watcher::Config::default()),
            |event| Heard::Node(Box::new(event)),
        )),
        heard(mapped(
            watcher(Api::<Job>::all(client.clone()), ours.clone()),
            |event| Heard::Job(Box::new(event)),
        )),
        heard(mapped(
            watcher(Api::<Deployment>::all(client.clone()), ours.clone()),
            |event| Heard::Deployment(Box::new(event)),
        )),
        heard(mapped(watcher(pods, watcher::Config::default()), |event| {
            Heard::Pod(Box::new(event))
        })),
        heard(failures.boxed()),
    ])
}

fn mapped<K: Send + 'static>(
    events: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
    heard: fn(watcher::Event<K>) -> Heard,
) -> BoxStream<'static, Result<Heard, watcher::Error>> {
    events
        .default_backoff()
        .map(move |event| event.map(heard))
        .boxed()
}
