//! The programs of a cluster: the machine's own when they are of the pinned release, else built from
//! `assets/` and cached. Asked by `lab`; every daemon starts the links that this puts into the lab.

mod build;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

pub use build::{GO_WANTED, MANIFESTS, Source, go_version};

use crate::machine;
use crate::report::Reporter;

/// Where a program is and why that one.
#[derive(Clone, Debug)]
pub struct Found {
    pub path: PathBuf,
    pub version: String,
    /// "KUBEBUILDER_ASSETS", "PATH", "built".
    pub from: &'static str,
}

/// The programs that a lab needs, `kwok` and `kubelet` only if some cluster uses them.
pub fn wanted(real: bool, kwok: bool) -> Vec<&'static str> {
    let mut names = vec![
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubectl",
    ];
    names.extend(real.then_some("kubelet"));
    names.extend(kwok.then_some("kwok"));
    names
}

/// Where `name` is without building anything; None when it has to be built.
///
/// A program of another release than the pinned one is passed over, and said so: clusters are alike
/// everywhere. kubectl is always our own.
pub fn look(name: &str, notes: &mut Vec<String>) -> Result<Option<Found>> {
    let source = Source::of(name)?;
    if let Some(path) = source.cached(name)? {
        return Ok(Some(Found {
            path,
            version: source.version.clone(),
            from: "built",
        }));
    }
    Ok(on_machine(name, &source, notes))
}

/// Finds or builds `names`, and says which came from where.
pub async fn ensure(names: &[&'static str], reporter: &Reporter) -> Result<BTreeMap<&'static str, Found>> {
    let mut found = BTreeMap::new();
    let mut notes = Vec::new();
    for name in names {
        let source = Source::of(name)?;
        let program = match on_machine(name, &source, &mut notes) {
            Some(program) => program,
            None => {
                let path = source.build(name, reporter).await?;
                Found {
                    path,
                    version: source.version.clone(),
                    from: "built",
                }
            }
        };
        found.insert(*name, program);
    }
    for note in notes {
        reporter.note(note);
    }
    let line = |(name, program): (&&str, &Found)| format!("{name} {} ({})", program.version, program.from);
    reporter.note(format!(
        "programs: {}",
        found.iter().map(line).collect::<Vec<_>>().join(", ")
    ));
    Ok(found)
}

/// Links the programs into `folder` by their names: the multi-call program acts by the name it is called by.
pub fn link(found: &BTreeMap<&'static str, Found>, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for (name, program) in found {
        let link = folder.join(name);
        let _ = fs::remove_file(&link);
        symlink(&program.path, &link).with_context(|| format!("link {name}"))?;
    }
    Ok(())
}

fn on_machine(name: &str, source: &Source, notes: &mut Vec<String>) -> Option<Found> {
    if ["kubectl", "helm3", "helm4"].contains(&name) {
        return None;
    }
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(|folder| Path::new(&folder).join(name));
    let places = [
        ("KUBEBUILDER_ASSETS", assets.filter(|path| path.is_file())),
        ("PATH", machine::find(name)),
    ];
    for (from, path) in places {
        let Some(path) = path else { continue };
        let Some(version) = version(&path) else { continue };
        if release(&version) == release(&source.version) {
            return Some(Found { path, version, from });
        }
        notes.push(format!(
            "{name} {version} of {from} passed over: the lab runs {}",
            release(&source.version)
        ));
    }
    None
}

/// `v1.36` of `v1.36.3`.
fn release(version: &str) -> String {
    let mut parts = version.trim_start_matches('v').split('.');
    format!("v{}.{}", parts.next().unwrap_or("?"), parts.next().unwrap_or("?"))
}

fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    // "Kubernetes v1.36.3", "etcd Version: 3.6.16", "kwok version v0.8.0 …"
    let word = text.lines().next()?.split_whitespace().find(|word| {
        word.trim_start_matches('v')
            .starts_with(|c: char| c.is_ascii_digit())
            && word.contains('.')
    })?;
    Some(format!("v{}", word.trim_start_matches('v')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_has_a_pinned_version() {
        for name in wanted(true, true).into_iter().chain(["helm3", "helm4"]) {
            let source = Source::of(name).unwrap();
            assert!(source.version.starts_with('v'), "{name}: {}", source.version);
        }
        assert_eq!(release("v1.36.3"), "v1.36");
        assert_eq!(release("3.6.16"), "v3.6");
    }
}
