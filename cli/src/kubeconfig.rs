//! Kubeconfigs as values: which server a context means, and the self-contained kubeconfig that a member's Secret holds.
//!
//! Guarantee: what `for_member` makes has no path, no command and no plain http in it, so that whoever reads it later
//! neither opens files nor runs anything.

use std::fs;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{AuthInfo, Cluster, Context, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext};

/// The entry of the cluster that a context names.
///
/// # Errors
/// When the context or its cluster is not in the kubeconfig.
pub fn cluster<'a>(kubeconfig: &'a Kubeconfig, context: &str) -> anyhow::Result<&'a Cluster> {
    let named = entry(kubeconfig, context)?;
    kubeconfig
        .clusters
        .iter()
        .find(|cluster| cluster.name == named.cluster)
        .and_then(|cluster| cluster.cluster.as_ref())
        .with_context(|| {
            format!(
                "context {context:?} names the cluster {:?}, which the kubeconfig does not have",
                named.cluster
            )
        })
}

/// The URL of a context's API server.
///
/// # Errors
/// When the context, its cluster or the URL is missing.
pub fn server(kubeconfig: &Kubeconfig, context: &str) -> anyhow::Result<String> {
    cluster(kubeconfig, context)?
        .server
        .clone()
        .filter(|server| !server.is_empty())
        .with_context(|| format!("the cluster of context {context:?} has no server"))
}

fn entry<'a>(kubeconfig: &'a Kubeconfig, context: &str) -> anyhow::Result<&'a Context> {
    let found = kubeconfig.contexts.iter().find(|named| named.name == context);
    let Some(named) = found.and_then(|named| named.context.as_ref()) else {
        let names: Vec<&str> = kubeconfig
            .contexts
            .iter()
            .map(|named| named.name.as_str())
            .collect();
        bail!(
            "the kubeconfig has no context {context:?}; it has: {}",
            names.join(", ")
        );
    };
    Ok(named)
}

/// The credential of a context.
///
/// # Errors
/// When the context is missing or names no user.
pub fn user<'a>(kubeconfig: &'a Kubeconfig, context: &str) -> anyhow::Result<&'a AuthInfo> {
    let name = entry(kubeconfig, context)?.user.as_deref().unwrap_or_default();
    kubeconfig
        .auth_infos
        .iter()
        .find(|user| user.name == name)
        .and_then(|user| user.auth_info.as_ref())
        .with_context(|| format!("context {context:?} has no user in the kubeconfig"))
}

/// Whether two URLs mean the same API server: case of scheme and host, default port and a closing `/` do not matter.
#[must_use]
pub fn same_server(one: &str, other: &str) -> bool {
    normal(one) == normal(other)
}

/// The contexts that reach a server, the current one first.
#[must_use]
pub fn contexts_of(kubeconfig: &Kubeconfig, wanted: &str) -> Vec<String> {
    let current = kubeconfig.current_context.as_deref().unwrap_or_default();
    let mut names: Vec<String> = kubeconfig
        .contexts
        .iter()
        .map(|named| named.name.clone())
        .collect();
    names.retain(|name| server(kubeconfig, name).is_ok_and(|reached| same_server(&reached, wanted)));
    names.sort_by_key(|name| name != current);
    names
}

fn normal(url: &str) -> String {
    let Ok(uri) = url.trim().parse::<http::Uri>() else {
        return url.trim().to_owned();
    };
    let scheme = uri.scheme_str().unwrap_or("https").to_ascii_lowercase();
    let port = uri.port_u16().unwrap_or(if scheme == "http" { 80 } else { 443 });
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    format!("{scheme}://{host}:{port}{}", uri.path().trim_end_matches('/'))
}

/// A self-contained kubeconfig with one cluster, one user and one context, all named so that people see whose it is.
#[must_use]
pub fn for_member(name: &str, user_name: &str, cluster: Cluster, user: AuthInfo) -> Kubeconfig {
    Kubeconfig {
        kind: Some("Config".to_owned()),
        api_version: Some("v1".to_owned()),
        clusters: vec![NamedCluster {
            name: name.to_owned(),
            cluster: Some(cluster),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: user_name.to_owned(),
            auth_info: Some(user),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: name.to_owned(),
            context: Some(Context {
                cluster: name.to_owned(),
                user: Some(user_name.to_owned()),
                ..Context::default()
            }),
            ..NamedContext::default()
        }],
        current_context: Some(name.to_owned()),
        ..Kubeconfig::default()
    }
}

/// The cluster entry with its certificate authority inside.
///
/// # Errors
/// For plain http, unchecked certificates, or a file that cannot be read.
pub fn inline_cluster(cluster: &Cluster) -> anyhow::Result<Cluster> {
    let server = cluster.server.clone().unwrap_or_default();
    if !server.to_ascii_lowercase().starts_with("https://") {
        bail!("its server {server:?} is not https; Sky Manager sends credentials over TLS only");
    }
    if cluster.insecure_skip_tls_verify == Some(true) {
        bail!(
            "it has insecure-skip-tls-verify; give the cluster entry a certificate-authority instead, so that the server can be trusted"
        );
    }
    let authority = match (
        &cluster.certificate_authority_data,
        &cluster.certificate_authority,
    ) {
        (Some(data), _) if !data.is_empty() => Some(data.clone()),
        (_, Some(file)) if !file.is_empty() => Some(STANDARD.encode(read("certificate-authority", file)?)),
        _ => None,
    };
    anyhow::ensure!(
        cluster.proxy_url.is_none(),
        "the context goes through proxy-url, but the operator connects directly; join by a context without a proxy"
    );
    Ok(Cluster {
        server: Some(server),
        certificate_authority_data: authority,
        tls_server_name: cluster.tls_server_name.clone(),
        ..Cluster::default()
    })
}

/// The credential with everything inside.
///
/// # Errors
/// For a command, an auth provider, a password or impersonation, which cannot be copied.
pub fn inline_user(user: &AuthInfo) -> anyhow::Result<AuthInfo> {
    let instead = "join without --admin-credential, which makes a service account";
    if user.exec.is_some() {
        bail!("its credential comes from a command (exec), which is not run elsewhere; {instead}");
    }
    if user.auth_provider.is_some() {
        bail!("its credential comes from an auth-provider, which cannot be copied; {instead}");
    }
    if user.username.is_some() || user.password.is_some() {
        bail!("its credential is a password, which API servers no longer take; {instead}");
    }
    if user.impersonate.is_some() || user.impersonate_groups.is_some() || user.impersonate_uid.is_some() {
        bail!("it impersonates another user, which cannot be copied; {instead}");
    }
    let mut inlined = AuthInfo {
        token: user.token.clone(),
        client_certificate_data: user.client_certificate_data.clone(),
        client_key_data: user.client_key_data.clone(),
        ..AuthInfo::default()
    };
    if let (None, Some(file)) = (&inlined.token, &user.token_file) {
        let token = String::from_utf8(read("tokenFile", file)?).context("the tokenFile is not text")?;
        inlined.token = Some(token.trim().to_owned().into());
    }
    if let (None, Some(file)) = (&inlined.client_certificate_data, &user.client_certificate) {
        inlined.client_certificate_data = Some(STANDARD.encode(read("client-certificate", file)?));
    }
    if let (None, Some(file)) = (&inlined.client_key_data, &user.client_key) {
        inlined.client_key_data = Some(STANDARD.encode(read("client-key", file)?).into());
    }
    let certificate = inlined.client_certificate_data.is_some() && inlined.client_key_data.is_some();
    if inlined.token.is_none() && !certificate {
        bail!("it has neither a token nor a client certificate with its key");
    }
    Ok(inlined)
}

fn read(field: &str, file: &str) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("failed to read its {field} {file}"))
}

/// Reads the kubeconfig of a member's Secret, and refuses one that would run commands or read files here.
///
/// # Errors
/// When it is unreadable or not self-contained.
pub fn vetted(text: &str) -> anyhow::Result<Kubeconfig> {
    // The parser's own message shows lines of the text, which are secret.
    let Ok(kubeconfig) = Kubeconfig::from_yaml(text) else {
        bail!("it is not a kubeconfig");
    };
    for cluster in kubeconfig
        .clusters
        .iter()
        .filter_map(|named| named.cluster.as_ref())
    {
        if cluster.certificate_authority.is_some() {
            bail!("it names a certificate file; certificates must be inline");
        }
        inline_cluster(cluster)?;
    }
    for user in kubeconfig
        .auth_infos
        .iter()
        .filter_map(|named| named.auth_info.as_ref())
    {
        if user.token_file.is_some() || user.client_certificate.is_some() || user.client_key.is_some() {
            bail!("it names files; credentials must be inline");
        }
        inline_user(user)?;
    }
    Ok(kubeconfig)
}

/// Bytes of the longest name: a cluster's name is also a label value.
const NAME_LIMIT: usize = 63;

/// A cluster name made of a context's: lower case, everything but letters, digits and `-` becomes `-`.
/// None when nothing is left.
#[must_use]
pub fn cluster_name(context: &str) -> Option<String> {
    let mut name = String::new();
    for c in context.chars() {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(NAME_LIMIT);
    let name = name.trim_end_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests;
