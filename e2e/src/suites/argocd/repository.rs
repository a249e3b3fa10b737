//! A git repository on disk, with a folder for each Application or with the chart.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::argocd::git;

pub(super) struct Repository {
    folder: PathBuf,
}

impl Repository {
    /// The repository at `folder`, made when there is none.
    pub(super) async fn open(folder: &Path) -> Result<Self> {
        let folder = folder.to_owned();
        if !folder.join(".git").exists() {
            fs::create_dir_all(&folder)?;
            git(&folder, &["init", "--quiet"]).await?;
            git(&folder, &["commit", "--quiet", "--allow-empty", "-m", "begin"]).await?;
        }
        Ok(Self { folder })
    }

    /// As Argo CD reads it.
    pub(super) fn url(&self) -> String {
        format!("file://{}", self.folder.display())
    }

    /// Writes files of an Application, or removes those without content, and commits.
    pub(super) async fn commit(&self, application: &str, files: &[(&str, Option<Value>)]) -> Result<()> {
        let folder = self.folder.join(application);
        fs::create_dir_all(&folder)?;
        for (name, content) in files {
            let path = folder.join(format!("{name}.yaml"));
            match content {
                Some(content) => fs::write(&path, serde_saphyr::to_string(content)?)?,
                None => fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?,
            }
        }
        self.record(application).await
    }

    /// Where its files are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Commits its files as they are.
    pub(super) async fn record(&self, message: &str) -> Result<()> {
        git(&self.folder, &["add", "--all"]).await?;
        git(&self.folder, &["commit", "--quiet", "-m", message]).await?;
        Ok(())
    }

    /// Commits its files as they are, as a release of this name.
    pub(super) async fn release(&self, tag: &str) -> Result<()> {
        self.record(tag).await?;
        git(&self.folder, &["tag", tag]).await?;
        Ok(())
    }

    /// The newest commit.
    pub(super) async fn newest(&self) -> Result<String> {
        Ok(git(&self.folder, &["rev-parse", "HEAD"]).await?.trim().to_owned())
    }
}
