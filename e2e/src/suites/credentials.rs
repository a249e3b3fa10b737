//! Suite `credentials`: how members are reached: Secrets that will not do, tokens that end, rights that are least.
//! Cases: `secrets` (what is refused, how it is said, how it heals), `identity` (another cluster under a name),
//! `tokens` (renewal, rights).

mod identity;
mod secrets;
mod tokens;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::Value;

use super::Suite;
use super::counts;
use super::sky::Sky;
use crate::operator;
use crate::runner::Context;

/// The member whose credentials are played with.
const A: &str = "cloud-1";
/// Another, which is not to notice.
const B: &str = "cloud-2";

pub const SUITE: Suite = Suite {
    name: "credentials",
    about: "members are reached by vetted kubeconfigs with least rights, renewed in time",
    cases: &[
        case!(secrets::what_will_not_do_is_named_and_heals),
        case!(identity::another_cluster_under_the_same_name_is_not_used),
        case!(tokens::the_account_may_do_what_dispatch_needs_and_no_more),
        case!(tokens::a_token_is_renewed_before_it_ends),
        case!(tokens::a_clock_far_ahead_makes_no_storm),
    ],
};

async fn shared(context: &Context) -> Result<Sky> {
    Sky::on(context, &counts::plan()).await
}

/// Secrets of the operator's namespace.
fn secrets(sky: &Sky) -> Api<Secret> {
    Api::namespaced(sky.client(), operator::NAMESPACE)
}

/// The kubeconfig by which the operator reaches A.
async fn kubeconfig(sky: &Sky) -> Result<Value> {
    let secret = secrets(sky).get(&format!("member-{A}")).await?;
    let bytes = secret.data.and_then(|mut data| data.remove("kubeconfig"));
    let text = String::from_utf8(bytes.context("no kubeconfig")?.0)?;
    Ok(serde_saphyr::from_str(&text)?)
}

/// The token in a kubeconfig.
fn token(kubeconfig: &Value) -> Result<String> {
    let token = kubeconfig["users"][0]["user"]["token"].as_str();
    Ok(token.context("no token")?.to_owned())
}
