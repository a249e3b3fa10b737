//! Vets the kubeconfig of a member: what it may hold, and what it would make us do. Called by the operator's fleet.
//!
//! A kubeconfig may name programs to run and files to read; a SkyCluster's comes from a Secret that its author chose.
//! Only inline credentials over verified TLS are accepted.

use std::time::Duration;

use kube::config::{AuthInfo, Cluster, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use secrecy::ExposeSecret;
use thiserror::Error;

use crate::gate::client::Writes;
use crate::gate::{self, Gate};

/// Why a kubeconfig is not used.
#[derive(Debug, Error)]
pub enum KubeconfigError {
    /// Not YAML, or not a kubeconfig. The parser's own words would show lines of the Secret.
    #[error("read the kubeconfig: it is not YAML of kind Config; write it anew")]
    Unreadable,
    /// Names a context, cluster or user that it does not define.
    #[error("find {what} {name:?} in the kubeconfig; it has: {known}")]
    Missing {
        /// context, cluster or user.
        what: &'static str,
        /// The name looked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// Holds something that is refused.
    #[error("accept {field} in the kubeconfig: {fix}")]
    Refused {
        /// The field.
        field: &'static str,
        /// What to do instead.
        fix: &'static str,
    },
    /// The client could not be built from it.
    #[error("build a client from the kubeconfig: {0}")]
    Unusable(String),
}

/// A vetted way to reach a member.
#[derive(Clone)]
pub struct Access {
    config: Config,
    /// URL of the API server.
    pub server: String,
    /// Bearer token, when that is the credential.
    pub token: Option<String>,
}

/// Vets `text` and picks `context` of it, or the current one.
///
/// # Errors
/// See [`KubeconfigError`]; its words name the field and the fix.
pub async fn vet(text: &str, context: Option<&str>) -> Result<Access, KubeconfigError> {
    let kubeconfig = Kubeconfig::from_yaml(text).map_err(|_| KubeconfigError::Unreadable)?;
    let context = context
        .map(str::to_owned)
        .or_else(|| kubeconfig.current_context.clone())
        .unwrap_or_default();
    let (cluster, user) = resolve(&kubeconfig, &context)?;
    refuse_cluster(cluster)?;
    refuse_user(user)?;
    let server = cluster.server.clone().unwrap_or_default();
    let token = user.token.as_ref().map(|token| token.expose_secret().to_owned());
    let options = KubeConfigOptions {
        context: Some(context),
        ..KubeConfigOptions::default()
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| KubeconfigError::Unusable(error.to_string()))?;
    config.connect_timeout = Some(Duration::from_secs(5));
    // A watch is silent for minutes; calls have deadlines of their own.
    config.read_timeout = None;
    config.write_timeout = Some(Duration::from_secs(15));
    Ok(Access {
        config,
        server,
        token,
    })
}

impl Access {
    /// A client that names itself `agent` to the member, and writes there while `gate` is open.
    ///
    /// # Errors
    /// When the credential in it cannot be used.
    pub fn client(&self, agent: &http::HeaderValue, gate: &Gate) -> Result<Client, KubeconfigError> {
        let mut config = self.config.clone();
        config.headers.push((http::header::USER_AGENT, agent.clone()));
        gate::client::client(config, gate, Writes::WhileOpen)
            .map_err(|error| KubeconfigError::Unusable(error.to_string()))
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Access")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// The cluster and user that `context` names.
fn resolve<'k>(
    kubeconfig: &'k Kubeconfig,
    context: &str,
) -> Result<(&'k Cluster, &'k AuthInfo), KubeconfigError> {
    let missing = |what, name: &str, known: Vec<&str>| KubeconfigError::Missing {
        what,
        name: name.to_owned(),
        known: if known.is_empty() {
            "none".into()
        } else {
            known.join(", ")
        },
    };
    let contexts = &kubeconfig.contexts;
    let named = contexts
        .iter()
        .find(|named| named.name == context)
        .and_then(|named| named.context.as_ref());
    let named = named.ok_or_else(|| {
        missing(
            "context",
            context,
            contexts.iter().map(|named| named.name.as_str()).collect(),
        )
    })?;
    let clusters = &kubeconfig.clusters;
    let cluster = clusters
        .iter()
        .find(|item| item.name == named.cluster)
        .and_then(|item| item.cluster.as_ref());
    let cluster = cluster.ok_or_else(|| {
        missing(
            "cluster",
            &named.cluster,
            clusters.iter().map(|item| item.name.as_str()).collect(),
        )
    })?;
    let users = &kubeconfig.auth_infos;
    let name = named.user.clone().unwrap_or_default();
    let user = users
        .iter()
        .find(|item| item.name == name)
        .and_then(|item| item.auth_info.as_ref());
    let user = user.ok_or_else(|| {
        missing(
            "user",
            &name,
            users.iter().map(|item| item.name.as_str()).collect(),
        )
    })?;
    Ok((cluster, user))
}

const INLINE: &str =
    "files of the operator are not read; put the content in, base64, under the field with -data";

fn refuse_cluster(cluster: &Cluster) -> Result<(), KubeconfigError> {
    let refused = |field, fix| Err(KubeconfigError::Refused { field, fix });
    let https = cluster
        .server
        .as_deref()
        .is_some_and(|server| server.starts_with("https://"));
    if !https {
        return refused("cluster.server", "it must be an https:// URL");
    }
    if cluster.insecure_skip_tls_verify == Some(true) {
        return refused(
            "cluster.insecure-skip-tls-verify",
            "give certificate-authority-data instead",
        );
    }
    if cluster.certificate_authority.is_some() {
        return refused("cluster.certificate-authority", INLINE);
    }
    if cluster.proxy_url.is_some() {
        return refused("cluster.proxy-url", "the operator connects directly; remove it");
    }
    Ok(())
}

fn refuse_user(user: &AuthInfo) -> Result<(), KubeconfigError> {
    let refused = |field, fix| Err(KubeconfigError::Refused { field, fix });
    const PROGRAM: &str = "it would run a program in the operator; use a token or a client certificate, or let \
                           `kubectl sky join` make a service account";
    if user.exec.is_some() {
        return refused("user.exec", PROGRAM);
    }
    if user.auth_provider.is_some() {
        return refused("user.auth-provider", PROGRAM);
    }
    if user.token_file.is_some() {
        return refused(
            "user.tokenFile",
            "files of the operator are not read; put the token in under token",
        );
    }
    if user.client_certificate.is_some() {
        return refused("user.client-certificate", INLINE);
    }
    if user.client_key.is_some() {
        return refused("user.client-key", INLINE);
    }
    if user.username.is_some() || user.password.is_some() {
        return refused(
            "user.username",
            "API servers take no passwords; use a token or a client certificate",
        );
    }
    if user.token.is_none() && user.client_certificate_data.is_none() {
        return refused(
            "user",
            "it has no credential: give a token or a client certificate, inline",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context: {{cluster: k, user: u}}\n\
             clusters:\n- name: k\n  cluster: {{{cluster}}}\nusers:\n- name: u\n  user: {{{user}}}\n"
        )
    }

    async fn check(cluster: &str, user: &str, expect: Option<&str>) {
        let answer = vet(&kubeconfig(cluster, user), None).await;
        match (answer, expect) {
            (Ok(_), None) => {}
            (Err(error), Some(words)) if error.to_string().contains(words) => {}
            (answer, expect) => panic!("{cluster} {user}: {answer:?}, expected {expect:?}"),
        }
    }

    const HTTPS: &str = "server: \"https://127.0.0.1:1\"";

    #[tokio::test]
    async fn only_inline_credentials_over_verified_tls_are_accepted() {
        check(HTTPS, "token: t", None).await;
        check("server: \"http://127.0.0.1:1\"", "token: t", Some("https://")).await;
        let insecure = format!("{HTTPS}, insecure-skip-tls-verify: true");
        check(&insecure, "token: t", Some("insecure-skip-tls-verify")).await;
        check(
            &format!("{HTTPS}, certificate-authority: /etc/ca"),
            "token: t",
            Some("certificate-authority"),
        )
        .await;
        check(
            HTTPS,
            "exec: {command: sh, apiVersion: client.authentication.k8s.io/v1}",
            Some("user.exec"),
        )
        .await;
        check(
            HTTPS,
            "auth-provider: {name: gcp, config: {}}",
            Some("auth-provider"),
        )
        .await;
        check(HTTPS, "tokenFile: /etc/passwd", Some("tokenFile")).await;
        check(
            HTTPS,
            "client-certificate: /c, client-key: /k",
            Some("client-certificate"),
        )
        .await;
        check(HTTPS, "username: a, password: b", Some("passwords")).await;
        check(HTTPS, "", Some("no credential")).await;
    }

    #[tokio::test]
    async fn a_context_that_is_not_there_lists_those_that_are() {
        let error = vet(&kubeconfig(HTTPS, "token: t"), Some("other"))
            .await
            .expect_err("no such context");
        assert_eq!(
            error.to_string(),
            "find context \"other\" in the kubeconfig; it has: c"
        );
    }

    #[tokio::test]
    async fn what_is_no_kubeconfig_is_an_error_without_its_content() {
        for text in [
            "{[secret-text",
            "apiVersion: v1
users:
- name: u
 user: {token: secret-text}
",
        ] {
            let error = vet(text, None).await.expect_err("no kubeconfig");
            assert!(!error.to_string().contains("secret-text"), "{error}");
        }
    }
}
