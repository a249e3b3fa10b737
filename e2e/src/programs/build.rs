//! Builds programs from the Go modules pinned in `assets/`, once per content: the cache is outside the
//! checkout and keyed by go.mod, go.sum, the Go files and the Go version. Called by `programs`.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::report::{Reporter, Step};

/// The oldest Go that builds the pinned modules.
pub const GO_WANTED: (u32, u32) = (1, 26);

const KUBERNETES: [&str; 5] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kubectl",
];

const ARGOCD: [&str; 5] = [
    "argocd-application-controller",
    "argocd-repo-server",
    "argocd-server",
    "argocd-git-ask-pass",
    "argocd-rules",
];

/// Folder beside the programs for files that a module has and that are no programs: Argo CD's own kinds.
pub const MANIFESTS: &str = "manifests";

/// A folder of `assets/` and what it makes.
pub struct Source {
    /// Name of the folder and of the binary.
    name: &'static str,
    /// The module whose version counts.
    module: &'static str,
    folder: PathBuf,
    /// What `go build` is asked for.
    package: String,
    /// The pinned version, `v1.36.3`.
    pub version: String,
    /// The release of Kubernetes that it calls, as its go.mod pins the client: `36`.
    client: String,
}

impl Source {
    /// The source of `program`.
    pub fn of(program: &str) -> Result<Self> {
        let (name, module) = match program {
            "etcd" => ("etcd", "go.etcd.io/etcd/server/v3"),
            "kwok" => ("kwok", "sigs.k8s.io/kwok"),
            "helm3" => ("helm3", "helm.sh/helm/v3"),
            "helm4" => ("helm4", "helm.sh/helm/v4"),
            "kstatus" => ("kstatus", "sigs.k8s.io/cli-utils"),
            "prometheus-operator" => (
                "prometheus-operator",
                "github.com/prometheus-operator/prometheus-operator",
            ),
            kubernetes if KUBERNETES.contains(&kubernetes) => ("kubernetes", "k8s.io/kubernetes"),
            argocd if ARGOCD.contains(&argocd) => ("argocd", "github.com/argoproj/argo-cd/v3"),
            other => bail!("nothing makes {other}"),
        };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name);
        let modules = fs::read_to_string(folder.join("go.mod"))
            .with_context(|| format!("read {}", folder.join("go.mod").display()))?;
        let version = required(&modules, module)
            .ok_or_else(|| anyhow!("{}/go.mod does not require {module}", folder.display()))?;
        let package = modules
            .lines()
            .find_map(|line| line.trim().strip_prefix("tool "))
            .map_or_else(|| ".".to_owned(), |package| package.trim().to_owned());
        let client = required(&modules, "k8s.io/client-go").unwrap_or_default();
        Ok(Self {
            name,
            module,
            folder,
            package,
            version,
            client: client.split('.').nth(1).unwrap_or_default().to_owned(),
        })
    }

    /// The built program, if this very content was built before.
    pub fn cached(&self, program: &str) -> Result<Option<PathBuf>> {
        let Ok(go) = go_version() else { return Ok(None) };
        let path = self.cache(&go)?.join(program);
        Ok(path.is_file().then_some(path))
    }

    /// The built program, built now unless it is cached. Two builds at once: the second waits.
    pub async fn build(&self, program: &str, reporter: &Reporter) -> Result<PathBuf> {
        let go = go_version()?;
        let cache = self.cache(&go)?;
        let wanted = cache.join(program);
        if wanted.is_file() {
            return Ok(wanted);
        }
        fs::create_dir_all(&cache)?;
        let mut step = reporter.step(format!("building {} {}", self.name, self.version));
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(cache.join("lock"))?;
        while lock.try_lock().is_err() {
            step.at("somebody else builds it");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        if !wanted.is_file() {
            self.remove_unfinished(&cache)?;
            self.compile(&cache, &mut step).await?;
        }
        step.done();
        Ok(wanted)
    }

    /// Deletes what builds that were killed left behind. Only while the lock is held.
    fn remove_unfinished(&self, cache: &Path) -> Result<()> {
        let prefix = format!("{}.", self.name);
        for entry in fs::read_dir(cache)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    async fn compile(&self, cache: &Path, step: &mut Step) -> Result<()> {
        let unfinished = cache.join(format!("{}.{}", self.name, std::process::id()));
        let mut child = tokio::process::Command::new("go")
            .args([
                "build",
                "-v",
                "-mod=readonly",
                "-trimpath",
                "-ldflags",
                &self.ldflags(),
                "-o",
            ])
            .arg(&unfinished)
            .arg(&self.package)
            .current_dir(&self.folder)
            .env("CGO_ENABLED", "0")
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "")
            .env("GOWORK", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("run go build")?;
        let stderr = child
            .stderr
            .take()
            .ok_or_else(|| anyhow!("go build without stderr"))?;
        let mut lines = BufReader::new(stderr).lines();
        let (mut packages, mut tail) = (0, Vec::new());
        while let Some(line) = lines.next_line().await? {
            packages += 1;
            step.at(format!("{packages} packages"));
            tail.push(line);
            if tail.len() > 30 {
                tail.remove(0);
            }
        }
        if !child.wait().await?.success() {
            let _ = fs::remove_file(&unfinished);
            bail!("go build of {} failed:\n{}", self.name, tail.join("\n"));
        }
        if self.name == "argocd" {
            self.take_manifests(cache).await?;
        }
        fs::rename(&unfinished, cache.join(self.name))?;
        for name in self.other_names() {
            match std::os::unix::fs::symlink(self.name, cache.join(name)) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// The names by which one program is several.
    fn other_names(&self) -> &'static [&'static str] {
        match self.name {
            "kubernetes" => &KUBERNETES,
            "argocd" => &ARGOCD,
            _ => &[],
        }
    }

    /// Copies the manifests of the module's own kinds out of Go's cache, which may be emptied when ours is not.
    async fn take_manifests(&self, cache: &Path) -> Result<()> {
        let folder = cache.join(MANIFESTS);
        fs::create_dir_all(&folder)?;
        let from = self.module_folder().await?.join("manifests/crds");
        for entry in fs::read_dir(&from).with_context(|| format!("read {}", from.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            if name.to_string_lossy().ends_with("-crd.yaml") {
                // Not a copy: the files of Go's cache are read-only.
                fs::write(folder.join(name), fs::read(&path)?)?;
            }
        }
        Ok(())
    }

    /// A file of the module, when no program is wanted of it.
    pub async fn file(&self, path: &str, reporter: &Reporter) -> Result<PathBuf> {
        let cache = self.cache(&go_version()?)?;
        let name = Path::new(path).file_name().context("no file's name")?;
        let wanted = cache.join(name);
        if !wanted.is_file() {
            let step = reporter.step(format!("downloading {} {}", self.name, self.version));
            let found = self.module_folder().await?.join(path);
            let content = fs::read(&found).with_context(|| format!("read {}", found.display()))?;
            fs::create_dir_all(&cache)?;
            // Whole or not there, also when two do it at once.
            let file = tempfile::NamedTempFile::new_in(&cache)?;
            fs::write(file.path(), content)?;
            file.persist(&wanted)?;
            step.done();
        }
        Ok(wanted)
    }

    /// Where Go keeps the module, downloaded if need be and checked by go.sum.
    async fn module_folder(&self) -> Result<PathBuf> {
        let output = tokio::process::Command::new("go")
            .args(["mod", "download", "-json", self.module])
            .current_dir(&self.folder)
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "")
            .env("GOWORK", "off")
            .kill_on_drop(true)
            .output()
            .await
            .context("run go mod download")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let told: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
        match told["Dir"].as_str() {
            Some(folder) => Ok(folder.into()),
            None => bail!(
                "go mod download {}: {said}{}",
                self.module,
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }

    /// Without a version of its own, Kubernetes calls itself v0.0.0 and charts refuse it; Helm 3 takes every cluster that
    /// it does not ask for a 1.20.
    fn ldflags(&self) -> String {
        let mut parts = self.version.trim_start_matches('v').split('.');
        let (major, minor) = (parts.next().unwrap_or("1"), parts.next().unwrap_or("0"));
        let (version, client) = (self.version.as_str(), self.client.as_str());
        let kubernetes = "k8s.io/component-base/version";
        let settings: &[(&str, &str, &str)] = match self.name {
            "kubernetes" => &[
                (kubernetes, "gitVersion", version),
                (kubernetes, "gitMajor", major),
                (kubernetes, "gitMinor", minor),
            ],
            "helm3" => &[
                ("helm.sh/helm/v3/internal/version", "version", version),
                ("helm.sh/helm/v3/pkg/chartutil", "k8sVersionMinor", client),
                ("helm.sh/helm/v3/pkg/lint/rules", "k8sVersionMinor", client),
            ],
            "helm4" => &[("helm.sh/helm/v4/internal/version", "version", version)],
            _ => &[],
        };
        let settings = settings
            .iter()
            .map(|(package, name, value)| format!(" -X {package}.{name}={value}"));
        std::iter::once("-s -w".to_owned()).chain(settings).collect()
    }

    fn cache(&self, go: &str) -> Result<PathBuf> {
        let mut hash = Sha256::new();
        for name in ["go.mod", "go.sum", "main.go", "rules.go"] {
            hash.update(fs::read(self.folder.join(name)).unwrap_or_default());
        }
        hash.update(go);
        let key: String = hash
            .finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(cache_home()?
            .join("sky-manager/lab")
            .join(format!("{}-{key}", self.name)))
    }
}

/// What `go version` says; an error says what to install when it is missing or too old.
pub fn go_version() -> Result<String> {
    let (major, minor) = GO_WANTED;
    let remedy = format!("install Go {major}.{minor} or newer and have `go` on PATH");
    let output = Command::new("go")
        .arg("version")
        .env("GOTOOLCHAIN", "local")
        .output()
        .map_err(|_| anyhow!("no go on PATH: {remedy}"))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let number = |part: Option<&str>| part.and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
    let found = text
        .split_whitespace()
        .nth(2)
        .and_then(|word| word.strip_prefix("go"))
        .unwrap_or_default();
    let mut parts = found.split('.');
    if (number(parts.next()), number(parts.next())) < GO_WANTED {
        bail!("{text:?} is too old: {remedy}");
    }
    Ok(text)
}

/// Where this user's caches are.
fn cache_home() -> Result<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".cache")))
        .ok_or_else(|| anyhow!("neither XDG_CACHE_HOME nor HOME says where to cache built programs"))
}

/// The version that a go.mod requires of `module`.
fn required(modules: &str, module: &str) -> Option<String> {
    modules.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require ").split_whitespace();
        (words.next()? == module).then(|| words.next().map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_go_mod() {
        let modules =
            "module x\n\nrequire k8s.io/kubernetes v1.36.3\n\nrequire (\n\ta.b/c v0.1.0 // indirect\n)\n";
        assert_eq!(required(modules, "k8s.io/kubernetes").as_deref(), Some("v1.36.3"));
        assert_eq!(required(modules, "a.b/c").as_deref(), Some("v0.1.0"));
        assert_eq!(required(modules, "a.b"), None);
    }

    #[test]
    fn kubernetes_knows_its_version() {
        let source = Source::of("kubelet").unwrap();
        assert!(
            source
                .ldflags()
                .contains(&format!("version.gitVersion={}", source.version))
        );
        assert_eq!(source.package, ".");
        assert_eq!(Source::of("kwok").unwrap().package, "sigs.k8s.io/kwok/cmd/kwok");
    }
}
