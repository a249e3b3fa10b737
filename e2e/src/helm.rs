//! Both majors of Helm, and what the chart renders to: `dist/install.yaml` for those without Helm, and the files that
//! suite `helm` compares. Built by `programs`; used by suites and by `cargo e2e render`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::process::Command;

use crate::cluster;
use crate::operator::NAMESPACE;
use crate::report::Reporter;
use crate::{chart, programs, workspace};

/// Name of the release in all that is rendered.
pub const RELEASE: &str = "sky";
const MANIFEST_HEADER: &str =
    "# Made from charts/sky by `cargo e2e render`, for kubectl apply without Helm. Do not edit.\n";

/// One Helm, with a home of its own.
pub struct Helm {
    /// 3 or 4.
    pub major: u32,
    pub program: PathBuf,
    home: TempDir,
}

impl Helm {
    /// Helm 3 and Helm 4, built if need be.
    pub async fn both(reporter: &Reporter) -> Result<[Self; 2]> {
        Ok([Self::of(3, reporter).await?, Self::of(4, reporter).await?])
    }

    async fn of(major: u32, reporter: &Reporter) -> Result<Self> {
        let name = if major == 3 { "helm3" } else { "helm4" };
        let program = match programs::look(name, &mut Vec::new())? {
            Some(found) => found,
            None => {
                let mut built = programs::ensure(&[name], reporter).await?;
                built.remove(name).with_context(|| format!("no {name}"))?
            }
        };
        Ok(Self {
            major,
            program: program.path,
            home: tempfile::tempdir()?,
        })
    }

    /// Runs it without any cluster, or with the one of this kubeconfig. Its stdout; an error has its stderr.
    pub async fn run(&self, kubeconfig: Option<&Path>, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .envs(self.env())
            .env("KUBECONFIG", kubeconfig.unwrap_or(Path::new("/dev/null")))
            .current_dir(workspace::root());
        cluster::run(
            command,
            &format!("helm {}: {}", self.major, arguments.join(" ")),
            None,
        )
        .await
    }

    /// Where it keeps what it knows, so that nothing of this machine's user is read or written.
    pub fn env(&self) -> BTreeMap<&'static str, PathBuf> {
        ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"]
            .into_iter()
            .map(|name| (name, self.home.path().join(name)))
            .collect()
    }

    /// The chart as it renders with these flags.
    pub async fn template(&self, flags: &[&str]) -> Result<String> {
        let fixed = ["template", RELEASE, "charts/sky", "--namespace", NAMESPACE];
        let text = self.run(None, &[&fixed[..], flags].concat()).await?;
        // The majors differ in empty lines between documents alone.
        Ok(text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| format!("{line}\n"))
            .collect())
    }

    /// What `dist/install.yaml` should be.
    pub async fn manifest(&self) -> Result<String> {
        let flags = ["--no-hooks", "--set", "namespace.create=true"];
        Ok(format!("{MANIFEST_HEADER}{}", self.template(&flags).await?))
    }
}

/// The manifest for those without Helm.
pub fn manifest_file() -> PathBuf {
    workspace::root().join("dist/install.yaml")
}

/// Files of values, and of what the chart renders to with them, in order.
pub fn cases() -> Result<Vec<(PathBuf, PathBuf)>> {
    let folder = workspace::root().join("e2e/tests/chart");
    let mut cases = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if let Some(name) = name.strip_suffix(".values.yaml") {
            cases.push((path.clone(), folder.join(format!("{name}.rendered.yaml"))));
        }
    }
    ensure!(!cases.is_empty(), "no cases in {}", folder.display());
    cases.sort();
    Ok(cases)
}

/// Writes everything that is made from the chart.
pub async fn render(reporter: &Reporter) -> Result<()> {
    let [_, helm] = Helm::both(reporter).await?;
    let mut files = vec![
        (chart::folder().join("README.md"), chart::readme()?),
        (manifest_file(), helm.manifest().await?),
    ];
    for (values, rendered) in cases()? {
        let flags = ["--values", &values.display().to_string()];
        files.push((rendered, helm.template(&flags).await?));
    }
    for (path, text) in files {
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        reporter.result(path.display());
    }
    Ok(())
}
