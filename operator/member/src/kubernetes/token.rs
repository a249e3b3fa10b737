//! The bearer token of a member: when it ends, and how a new one is had. Called by the operator's credential keeper.

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::json;

use super::errors::classify;
use crate::{CALL_DEADLINE, Class, MemberError};

/// When a token was issued and when it ends, seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Life {
    /// When it was issued.
    #[serde(rename = "iat")]
    pub issued: i64,
    /// When it ends.
    #[serde(rename = "exp")]
    pub ends: i64,
}

impl Life {
    /// Two thirds of its life: when it is to be renewed.
    #[must_use]
    pub fn renew_at(self) -> i64 {
        self.issued + (self.ends - self.issued) * 2 / 3
    }
}

/// Reads the life out of a JSON web token; `None` when it has none (such a token does not end).
#[must_use]
pub fn life(token: &str) -> Option<Life> {
    let claims = token.split('.').nth(1)?;
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).ok()?;
    serde_json::from_slice(&claims).ok()
}

/// Asks the member for a new token of `namespace/account`, valid for `seconds`.
///
/// # Errors
/// `Unauthorized` when the present credential may not create tokens for the account.
pub async fn issue(
    client: &Client,
    namespace: &str,
    account: &str,
    seconds: i64,
) -> Result<String, MemberError> {
    let request: TokenRequest =
        serde_json::from_value(json!({"spec": {"audiences": [], "expirationSeconds": seconds}}))
            .map_err(|error| MemberError::new(Class::Rejected, error.to_string()))?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let params = PostParams::default();
    let call = accounts.create_token_request(account, &params, &request);
    let answer = tokio::time::timeout(CALL_DEADLINE, call).await;
    let answer = answer
        .map_err(|_| super::errors::silence(CALL_DEADLINE))?
        .map_err(|error| classify(&error))?;
    let silent = || MemberError::new(Class::Unreachable, "the API server answered without a token");
    answer.status.and_then(|status| status.token).ok_or_else(silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_at_two_thirds_of_its_life() {
        // {"iat":1000,"exp":1600}
        let token = "x.eyJpYXQiOjEwMDAsImV4cCI6MTYwMH0.y";
        let life = life(token).expect("a life");
        assert_eq!(
            life,
            Life {
                issued: 1000,
                ends: 1600
            }
        );
        assert_eq!(life.renew_at(), 1400);
    }

    #[test]
    fn what_is_no_web_token_has_no_life() {
        assert_eq!(life("opaque"), None);
        assert_eq!(life("a.!!.c"), None);
    }
}
