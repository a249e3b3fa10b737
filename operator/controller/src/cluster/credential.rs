//! Keeps a member's token alive: a service account's token is renewed at two thirds of its life.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use kube::ResourceExt;
use kube::api::PostParams;
use sky_crds::names;
use sky_member::kubernetes::token;
use tokio::time::Instant;

use super::connect::{Link, Way};
use super::{Context, Memory};

/// The shortest time between two renewals, so that a wrong clock does not make a storm.
const LEAST_APART: Duration = Duration::from_secs(60);

/// What the credential of a member is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Validity {
    /// It does not end, or does not say when.
    Unbounded,
    /// It ends then, seconds since 1970.
    Until(i64),
    /// It has ended.
    Expired(i64),
}

/// How long the credential of `link` is valid, seen at `now`.
pub(super) fn validity(link: &Link, now: Timestamp) -> Validity {
    match link.token.as_deref().and_then(token::life) {
        None => Validity::Unbounded,
        Some(life) if life.ends <= now.as_second() => Validity::Expired(life.ends),
        Some(life) => Validity::Until(life.ends),
    }
}

/// Renews the token when it is time. Answers when to look again.
pub(super) async fn keep(
    context: &Context,
    link: &Link,
    name: &str,
    now: Timestamp,
    memory: &mut Memory,
) -> Option<Duration> {
    let life = token::life(link.token.as_deref()?)?;
    let account = link.secret.annotations().get(names::SERVICE_ACCOUNT_ANNOTATION)?;
    let (namespace, account) = account.split_once('/')?;
    let left = life.renew_at().saturating_sub(now.as_second());
    if left > 0 {
        return u64::try_from(left).ok().map(Duration::from_secs);
    }
    if let Some(since) = memory
        .renewed
        .map(|at| at.elapsed())
        .filter(|since| *since < LEAST_APART)
    {
        return Some(LEAST_APART - since);
    }
    memory.renewed = Some(Instant::now());
    let seconds = link.secret.annotations().get(names::TOKEN_SECONDS_ANNOTATION);
    let seconds = seconds
        .and_then(|text| text.parse().ok())
        .unwrap_or(life.ends - life.issued);
    match renew(context, link, (namespace, account), seconds).await {
        Ok(()) => tracing::info!(cluster = name, "renewed the member's token"),
        Err(message) => tracing::warn!(cluster = name, "failed to renew the member's token: {message}"),
    }
    Some(LEAST_APART)
}

/// Has the member issue a token and stores it, fenced by the Secret's version. The watch on Secrets then connects anew.
async fn renew(context: &Context, link: &Link, account: (&str, &str), seconds: i64) -> Result<(), String> {
    let Way::Kubernetes(access) = &link.way else {
        return Err("tokens of Slurm are made by its administrator".into());
    };
    let client = access
        .client(&context.agent, &context.gate)
        .map_err(|error| error.to_string())?;
    let fresh = token::issue(&client, account.0, account.1, seconds)
        .await
        .map_err(|error| error.message)?;
    let old = link.token.as_deref().unwrap_or_default();
    let mut secret = link.secret.clone();
    let data = secret.data.get_or_insert_default();
    let text = data
        .get(&link.key)
        .map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned())
        .unwrap_or_default();
    data.insert(
        link.key.clone(),
        ByteString(text.replace(old, &fresh).into_bytes()),
    );
    secret.metadata.managed_fields = None;
    let name = secret.name_any();
    context
        .secrets()
        .replace(&name, &PostParams::default(), &secret)
        .await
        .map(|_| ())
        .map_err(|error| format!("store it in Secret {}/{name}: {error}", context.namespace))
}
