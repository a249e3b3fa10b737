//! `kubectl sky join NAME --slurm URL`: makes a Slurm cluster a member: its token as a Secret on the host, and the
//! SkyCluster. What is there is found and said by the operator, which the end of join waits for.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sky_crds::SkyCluster;
use sky_crds::names::{GROUP, SECRET_MEMBER_LABEL, SERVER_ANNOTATION, VERSION};

use super::{Options, ready, register};
use crate::client::{self, Connection, FIELD_MANAGER, Global, Patience};
use crate::errors::{At, is_not_found, usage};
use crate::{output, pairs};

/// Key of the Secret that holds the token.
const TOKEN_KEY: &str = "token";

/// Bytes that a token may have.
const LONGEST_TOKEN: u64 = 64 * 1024;

/// Flags of a Slurm cluster.
#[derive(clap::Args, Clone, Debug)]
pub struct Slurm {
    /// URL of the Slurm cluster's slurmrestd, or unix:// and its socket, instead of a context
    #[arg(long, value_name = "URL", requires = "user", conflicts_with_all = ["from_context", "all_contexts", "admin_credential"])]
    pub slurm: Option<String>,
    /// User that jobs are submitted as
    #[arg(long, requires = "slurm")]
    pub user: Option<String>,
    /// File with the user's token, as `scontrol token` prints it
    #[arg(long, value_name = "FILE", requires = "slurm", conflicts_with = "token_stdin")]
    pub token_file: Option<PathBuf>,
    /// Read the user's token from standard input
    #[arg(long, requires = "slurm")]
    pub token_stdin: bool,
    /// File with the certificates that sign the endpoint's [default: the operator's own]
    #[arg(long, value_name = "FILE", requires = "slurm")]
    pub ca_file: Option<PathBuf>,
    /// Partition of jobs that name none [default: the cluster's own]
    #[arg(long, requires = "slurm")]
    pub partition: Option<String>,
    /// Account of jobs that name none
    #[arg(long, requires = "slurm")]
    pub account: Option<String>,
    /// Directory that jobs work in, on all nodes
    #[arg(long, value_name = "DIRECTORY", requires = "slurm")]
    pub work_dir: Option<String>,
}

/// Joins the Slurm cluster at `endpoint` as `name`.
///
/// # Errors
/// When a step fails; those before it stay, and the next run goes on from there.
pub(super) async fn run(
    global: &Global,
    (name, endpoint): (&str, &str),
    slurm: &Slurm,
    options: &Options,
) -> anyhow::Result<()> {
    let labels = pairs::map("--labels", &options.labels)?;
    let token = token(slurm)?;
    let access = access(name, endpoint, slurm)?;
    let host = client::host(global, Patience::Calls).await?.connection;
    let joined = register::check(&host, &options.operator_namespace).await?;
    joined.allows(name, endpoint)?;
    output::line(&format!("{name}: Slurm at {endpoint}, {}", life(&token)))?;
    let secret = secret(&options.operator_namespace, (name, endpoint), &token);
    let secret_name = register::secret_name(name);
    Api::<Secret>::namespaced(host.client.clone(), &options.operator_namespace)
        .patch(
            &secret_name,
            &PatchParams::apply(FIELD_MANAGER).force(),
            &Patch::Apply(&secret),
        )
        .await
        .at(
            &host,
            format!("write Secret {}/{secret_name}", options.operator_namespace),
        )?;
    cluster(&host, (name, endpoint), &access, &labels).await?;
    output::line(&format!(
        "{name}: written on the host: SkyCluster {name}, Secret {}/{secret_name}",
        options.operator_namespace
    ))?;
    ready::tell(&host, &[name], Duration::from_secs(options.wait)).await
}

/// The token, which never stands on a command line.
fn token(slurm: &Slurm) -> anyhow::Result<String> {
    let mut text = String::new();
    match &slurm.token_file {
        Some(file) => {
            text = read(file)?;
        }
        None if slurm.token_stdin => {
            let mut input = std::io::stdin().take(LONGEST_TOKEN);
            input
                .read_to_string(&mut text)
                .context("failed to read the token from standard input")?;
        }
        None => return Err(usage("give the token by --token-file or --token-stdin")),
    }
    let token = text.trim();
    let token = token.strip_prefix("SLURM_JWT=").unwrap_or(token).to_owned();
    let in_order = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    anyhow::ensure!(
        in_order,
        "what was given as token is none: want what `scontrol token` prints"
    );
    Ok(token)
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))
}

/// What is said of the token's life: it is not renewed by the operator.
fn life(token: &str) -> String {
    let claims = token.split('.').nth(1);
    let claims = claims.and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: Option<Value> = claims.and_then(|claims| serde_json::from_slice(&claims).ok());
    let end = claims.and_then(|claims| claims.get("exp").and_then(Value::as_i64));
    match end.and_then(|end| jiff::Timestamp::from_second(end).ok()) {
        Some(end) => format!("the token ends {end}: replace it before, by joining again"),
        None => "the token names no end".to_owned(),
    }
}

fn access(name: &str, endpoint: &str, slurm: &Slurm) -> anyhow::Result<Value> {
    let mut access = json!({
        "endpoint": endpoint,
        "userName": slurm.user,
        "tokenSecretRef": {"name": register::secret_name(name), "key": TOKEN_KEY},
    });
    let optional = [
        ("partition", &slurm.partition),
        ("account", &slurm.account),
        ("workDir", &slurm.work_dir),
    ];
    for (field, value) in optional {
        if let Some(value) = value {
            access[field] = json!(value);
        }
    }
    if let Some(file) = &slurm.ca_file {
        access["caBundle"] = json!(read(file)?);
    }
    Ok(access)
}

fn secret(namespace: &str, (cluster, endpoint): (&str, &str), token: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": register::secret_name(cluster),
            "namespace": namespace,
            "labels": {SECRET_MEMBER_LABEL: cluster},
            "annotations": {SERVER_ANNOTATION: endpoint},
        },
        "type": "Opaque",
        "data": {TOKEN_KEY: STANDARD.encode(token)},
    })
}

/// Writes the SkyCluster: made when missing, else what is given is set and the rest stays.
async fn cluster(
    host: &Connection,
    (name, endpoint): (&str, &str),
    access: &Value,
    labels: &BTreeMap<String, String>,
) -> anyhow::Result<()> {
    let api: Api<SkyCluster> = Api::all(host.client.clone());
    let doing = format!("write SkyCluster {name}");
    let metadata = json!({"name": name, "labels": labels, "annotations": {SERVER_ANNOTATION: endpoint}});
    let present = api.get_metadata_opt(name).await.at(host, &doing)?;
    if present.is_some_and(|present| present.metadata.deletion_timestamp.is_some()) {
        anyhow::bail!("SkyCluster {name} is being deleted; wait until it is gone and join again");
    }
    let patch = json!({"metadata": metadata, "spec": {"slurm": access}});
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch(name, &params, &Patch::Merge(&patch)).await {
        Err(error) if is_not_found(&error) => {
            let object = json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": "SkyCluster",
                "metadata": metadata, "spec": {"manager": "slurm", "slurm": access}});
            let params = PostParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PostParams::default()
            };
            api.create(&params, &serde_json::from_value(object)?)
                .await
                .at(host, &doing)?;
        }
        other => {
            other.at(host, &doing)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use clap::Parser as _;

    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Slurm, String> {
        let line = ["sky", "join", "hpc"].iter().chain(arguments);
        match crate::commands::Cli::try_parse_from(line) {
            Ok(cli) => match cli.command {
                crate::commands::Command::Join(args) => Ok(args.slurm),
                other => panic!("{other:?}"),
            },
            Err(error) => Err(error.to_string()),
        }
    }

    const URL: &str = "https://slurm.example:6820";

    #[test]
    fn a_slurm_cluster_needs_a_user_and_no_context() {
        assert!(parsed(&["--slurm", URL, "--user", "sky", "--token-stdin"]).is_ok());
        assert!(parsed(&["--slurm", URL]).is_err());
        assert!(parsed(&["--slurm", URL, "--user", "u", "--from-context", "c"]).is_err());
        assert!(parsed(&["--from-context", "c", "--partition", "p"]).is_err());
        assert!(
            parsed(&[
                "--slurm",
                URL,
                "--user",
                "u",
                "--token-stdin",
                "--token-file",
                "f"
            ])
            .is_err()
        );
    }

    #[test]
    fn a_token_is_read_as_scontrol_prints_it_and_shown_nowhere() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        // {"exp":1600}
        writeln!(file, "SLURM_JWT=x.eyJleHAiOjE2MDB9.y").unwrap();
        let path = file.path().display().to_string();
        let slurm = parsed(&["--slurm", URL, "--user", "u", "--token-file", &path]).unwrap();
        let token = token(&slurm).unwrap();
        assert_eq!(token, "x.eyJleHAiOjE2MDB9.y");
        assert!(life(&token).contains("1970-01-01T00:26:40Z") && !life(&token).contains("eyJ"));
        std::fs::write(file.path(), "two words").unwrap();
        let error = super::token(&slurm).unwrap_err().to_string();
        assert!(!error.contains("two words"), "{error}");
    }

    #[test]
    fn what_is_written_is_a_valid_skycluster_and_a_labelled_secret() {
        let slurm = parsed(&[
            "--slurm",
            URL,
            "--user",
            "u",
            "--token-stdin",
            "--partition",
            "p",
            "--work-dir",
            "/w",
        ])
        .unwrap();
        let access = access("hpc", URL, &slurm).unwrap();
        let object = json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyCluster",
            "metadata": {"name": "hpc"}, "spec": {"manager": "slurm", "slurm": access}});
        let cluster: SkyCluster = serde_json::from_value(object).unwrap();
        let section = cluster.spec.slurm.unwrap();
        assert_eq!(
            (section.partition.as_deref(), section.work_dir.as_deref()),
            (Some("p"), Some("/w"))
        );
        assert_eq!(section.token_secret_ref.name, "member-hpc");
        let secret = secret("sky-system", ("hpc", URL), "t");
        assert_eq!(secret["metadata"]["labels"][SECRET_MEMBER_LABEL], "hpc");
    }
}
