//! Output of replicas on Slurm clusters. slurmrestd gives no access to files: they are read, with the user's own rights,
//! where the cluster's file system is mounted; else it is said where they are.

use std::path::Path;

use kube::ResourceExt as _;
use sky_crds::SkyCluster;
use sky_crds::cluster::Manager;

use super::growing::File;
use super::select::Replica;
use super::stream::Options;
use crate::output;

/// Where jobs work, and write to, that have no directory of their own.
const NOWHERE: &str = "/tmp";

/// Whether replicas there write to files.
pub(super) fn concerns(cluster: &SkyCluster) -> bool {
    cluster.spec.manager == Manager::Slurm
}

/// Prints what these replicas of `cluster` wrote. How many have output that could be read.
///
/// # Errors
/// Says where the output is when it is not on this machine.
pub(super) fn print(cluster: &SkyCluster, replicas: &[&Replica], options: &Options) -> anyhow::Result<usize> {
    let directory = directory(cluster);
    let mut read = 0;
    let mut missing = Vec::new();
    for replica in replicas {
        let file = file(directory, replica);
        match std::fs::read(&file) {
            Ok(bytes) => {
                read += 1;
                let text = String::from_utf8_lossy(&bytes);
                for line in last(&text, options.tail) {
                    output::line(&options.line(&replica.label(), line))?;
                }
            }
            Err(error) => missing.push((file, error)),
        }
    }
    let Some((file, error)) = missing.first() else {
        return Ok(read);
    };
    let name = cluster.name_any();
    if Path::new(directory).is_dir() {
        let count = missing.len();
        output::note(&format!(
            "{count} replicas on {name} have no output that can be read here: {file}: {error}"
        ));
        return Ok(read);
    }
    Err(unmounted(&name, directory, file))
}

/// The files of these replicas of `cluster`, to be followed: one that is not there yet comes when the replica starts.
///
/// # Errors
/// Says where the output is when its directory is not on this machine.
pub(super) fn followed(cluster: &SkyCluster, replicas: &[&Replica]) -> anyhow::Result<Vec<File>> {
    let directory = directory(cluster);
    let files: Vec<File> = replicas
        .iter()
        .map(|replica| {
            let (object, index) = (&replica.object, replica.index);
            let mark = format!("{}/.{object}-{index}", directory.trim_end_matches('/'));
            File::new(
                &cluster.name_any(),
                replica.label(),
                file(directory, replica),
                mark,
            )
        })
        .collect();
    match replicas.first() {
        Some(first) if !Path::new(directory).is_dir() => {
            Err(unmounted(&cluster.name_any(), directory, &file(directory, first)))
        }
        _ => Ok(files),
    }
}

/// The files of the replicas of a deployment's share `object` on `cluster`, by name: one for each place that there ever was,
/// with what all had to say that were in it.
///
/// # Errors
/// Says where the output is when its directory is not on this machine.
pub(super) fn of_share(cluster: &SkyCluster, object: &str) -> anyhow::Result<Vec<File>> {
    let (name, directory) = (cluster.name_any(), directory(cluster));
    let Ok(entries) = std::fs::read_dir(directory) else {
        let file = format!("{}/{object}-INDEX.out", directory.trim_end_matches('/'));
        return Err(unmounted(&name, directory, &file));
    };
    let mut found: Vec<(u32, String)> = entries
        .filter_map(|entry| {
            let file = entry.ok()?.file_name().into_string().ok()?;
            let index = file
                .strip_prefix(object)?
                .strip_prefix('-')?
                .strip_suffix(".out")?;
            Some((index.parse().ok()?, file))
        })
        .collect();
    found.sort_unstable();
    let directory = directory.trim_end_matches('/');
    let each = found.into_iter().map(|(index, file)| {
        let label = format!("{name}/{object}-{index}");
        File::new(&name, label, format!("{directory}/{file}"), String::new())
    });
    Ok(each.collect())
}

fn directory(cluster: &SkyCluster) -> &str {
    let slurm = cluster.spec.slurm.as_ref();
    let directory = slurm.and_then(|slurm| slurm.logs.as_deref().or(slurm.work_dir.as_deref()));
    directory.unwrap_or(NOWHERE)
}

fn unmounted(name: &str, directory: &str, file: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "cluster {name} is a Slurm cluster, which gives no access to files: the output is in {file} there; mount {directory} on \
         this machine, or read it on a node"
    )
}

fn file(directory: &str, replica: &Replica) -> String {
    let directory = directory.trim_end_matches('/');
    format!("{directory}/{}-{}.out", replica.object, replica.index)
}

/// The last lines of `text`, or all.
fn last(text: &str, tail: Option<i64>) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let most = tail.map_or(lines.len(), |tail| usize::try_from(tail).unwrap_or(0));
    let skipped = lines.len().saturating_sub(most);
    lines.into_iter().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster(logs: &str) -> SkyCluster {
        let slurm =
            json!({"endpoint": "https://s", "userName": "u", "tokenSecretRef": {"name": "s"}, "logs": logs});
        let object = json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyCluster",
            "metadata": {"name": "hpc"}, "spec": {"manager": "slurm", "slurm": slurm}});
        serde_json::from_value(object).unwrap()
    }

    fn options() -> Options {
        Options {
            follow: false,
            tail: Some(1),
            container: None,
            prefix: true,
        }
    }

    fn replica(index: usize) -> Replica {
        Replica {
            rank: 5,
            cluster: "hpc".into(),
            object: "job-0a1b2c3d".into(),
            index,
        }
    }

    #[test]
    fn what_is_mounted_is_read_and_what_is_not_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("job-0a1b2c3d-1.out"), "a\nb\n").unwrap();
        let mounted = cluster(&directory.path().display().to_string());
        let (one, none) = (replica(1), replica(2));
        assert_eq!(print(&mounted, &[&one, &none], &options()).unwrap(), 1);
        let error = print(&cluster("/nowhere/at/all/"), &[&one], &options()).unwrap_err();
        assert!(
            error.to_string().contains("/nowhere/at/all/job-0a1b2c3d-1.out"),
            "{error}"
        );
    }

    #[test]
    fn files_of_a_share_are_found_by_its_name_alone() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "web-1a-10.out",
            "web-1a-2.out",
            "web-1a-x.out",
            "web-1ab-3.out",
            "web-1a-4",
        ] {
            std::fs::write(directory.path().join(name), "a\n").unwrap();
        }
        let mounted = cluster(&directory.path().display().to_string());
        let files = of_share(&mounted, "web-1a").unwrap();
        let names: Vec<&str> = files.iter().map(File::label).collect();
        assert_eq!(names, ["hpc/web-1a-2", "hpc/web-1a-10"]);
        let error = of_share(&cluster("/nowhere/at/all"), "web-1a")
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nowhere/at/all/web-1a-INDEX.out"), "{error}");
    }

    #[test]
    fn the_last_lines_are_the_last() {
        assert_eq!(last("a\nb\nc\n", Some(2)), ["b", "c"]);
        assert_eq!(last("a\nb", None), ["a", "b"]);
        assert!(last("a", Some(0)).is_empty());
    }
}
