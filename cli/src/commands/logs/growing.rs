//! Follows files that replicas on Slurm clusters write to, all at once, until the replicas have ended: by the code that the
//! batch script leaves beside the output, or by what the job's status says. Called by `logs` for what `files` found.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use kube::Api;
use sky_crds::SkyJob;
use tokio::time::sleep;

use super::POLL;
use super::stream::Options;
use crate::client::Host;
use crate::errors::At;
use crate::output;

/// Looks at the files for each look at the job.
const LOOKS: u32 = 4;

/// The output of one replica, as far as it was read.
#[derive(Debug)]
pub(super) struct File {
    cluster: String,
    label: String,
    path: PathBuf,
    /// What the names of its marks begin with, one for each start; empty: it leaves none.
    mark: String,
    /// Bytes that were read.
    at: u64,
    /// The beginning of a line whose end was not written yet.
    rest: Vec<u8>,
    /// Whether it was ever there.
    seen: bool,
    over: bool,
}

impl File {
    pub(super) fn new(cluster: &str, label: String, path: String, mark: String) -> Self {
        Self {
            cluster: cluster.to_owned(),
            label,
            path: path.into(),
            mark,
            at: 0,
            rest: Vec::new(),
            seen: false,
            over: false,
        }
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Whether the replica has ended for good: its last start has left an exit code.
    fn is_marked(&self) -> bool {
        if self.mark.is_empty() {
            return false;
        }
        let tries = (0_u32..).map(|number| format!("{}.{number}", self.mark));
        let last = tries.take_while(|mark| Path::new(mark).is_dir()).last();
        last.is_some_and(|mark| Path::new(&mark).join("code").exists())
    }

    /// Lines that were written since the last look; of those that were there at the first, the last `tail`.
    fn lines(&mut self, tail: Option<i64>) -> std::io::Result<Vec<String>> {
        let mut file = match fs::File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        if file.metadata()?.len() < self.at {
            // Slurm has started it again, and its output with it.
            self.at = 0;
            self.rest.clear();
        }
        file.seek(SeekFrom::Start(self.at))?;
        let mut more = Vec::new();
        let length = file.read_to_end(&mut more)?;
        self.at += u64::try_from(length).unwrap_or(u64::MAX);
        self.rest.append(&mut more);
        let whole = self
            .rest
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let text: Vec<u8> = self.rest.drain(..whole).collect();
        let mut lines: Vec<String> = String::from_utf8_lossy(&text)
            .lines()
            .map(str::to_owned)
            .collect();
        if let Some(tail) = tail.filter(|_| !self.seen) {
            let most = usize::try_from(tail).unwrap_or(0);
            lines.drain(..lines.len().saturating_sub(most));
        }
        self.seen = true;
        Ok(lines)
    }

    fn print(&mut self, options: &Options) -> anyhow::Result<()> {
        match self.lines(options.tail) {
            Ok(lines) => {
                for line in lines {
                    output::line(&options.line(&self.label, &line))?;
                }
            }
            Err(error) => {
                output::note(&format!(
                    "{}: {} cannot be read: {error}",
                    self.label,
                    self.path.display()
                ));
                self.over = true;
            }
        }
        Ok(())
    }

    /// What is left when nothing more comes.
    fn close(&mut self, options: &Options) -> anyhow::Result<()> {
        self.over = true;
        if !self.rest.is_empty() {
            let line = String::from_utf8_lossy(&self.rest).into_owned();
            output::line(&options.line(&self.label, &line))?;
        }
        if !self.seen {
            output::note(&format!(
                "{}: it has ended without output in {}",
                self.label,
                self.path.display()
            ));
        }
        Ok(())
    }
}

/// Prints what is in the files now; how many there are.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn print(files: Vec<File>, options: &Options) -> anyhow::Result<usize> {
    let count = files.len();
    for mut file in files {
        file.print(options)?;
        file.close(options)?;
    }
    Ok(count)
}

/// Prints lines of all files as they come, until the replicas of the job have ended, or, without one, for as long as
/// somebody looks; how many had any.
///
/// # Errors
/// When the host does not answer, or stdout cannot be written.
pub(super) async fn follow(
    host: &Host,
    job: Option<&str>,
    mut files: Vec<File>,
    options: &Options,
) -> anyhow::Result<usize> {
    let mut ended = BTreeSet::new();
    let mut look = 0;
    while files.iter().any(|file| !file.over) {
        if let Some(job) = job
            && look % LOOKS == 0
        {
            ended = clusters_done(host, job, &files).await?;
        }
        look += 1;
        for file in files.iter_mut().filter(|file| !file.over) {
            // Asked before its file is read: what it wrote before its end is there then.
            let over = file.is_marked() || ended.contains(&file.cluster);
            file.print(options)?;
            if over && !file.over {
                file.close(options)?;
            }
        }
        if files.iter().any(|file| !file.over) {
            sleep(POLL).await;
        }
    }
    Ok(files.iter().filter(|file| file.seen).count())
}

/// Clusters of `files` on which nothing of the job waits or runs any more.
async fn clusters_done(host: &Host, job: &str, files: &[File]) -> anyhow::Result<BTreeSet<String>> {
    let api: Api<SkyJob> = Api::namespaced(host.connection.client.clone(), &host.namespace);
    let job = api
        .get_opt(job)
        .await
        .at(&host.connection, format!("get job {job}"))?;
    let mut clusters: BTreeSet<String> = files.iter().map(|file| file.cluster.clone()).collect();
    let Some(job) = job.filter(|job| !sky_convert::job::has_ended(job)) else {
        return Ok(clusters);
    };
    let counts = job.status.map(|status| status.clusters).unwrap_or_default();
    clusters.retain(|name| {
        let own = counts.iter().find(|counts| counts.cluster == *name);
        own.is_some_and(|own| own.pending + own.running + own.unknown == 0)
    });
    Ok(clusters)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(directory: &Path) -> File {
        let at = |name: &str| directory.join(name).display().to_string();
        File::new("hpc", "rank 0".into(), at("job-0.out"), at(".job-0"))
    }

    fn write(file: &File, text: &str) {
        let mut written = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file.path)
            .unwrap();
        written.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn lines_come_once_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = file(directory.path());
        assert!(file.lines(None).unwrap().is_empty() && !file.seen);
        write(&file, "a\nb\nc");
        assert_eq!(file.lines(Some(1)).unwrap(), ["b"]);
        write(&file, "d\ne\nf\n");
        assert_eq!(file.lines(Some(1)).unwrap(), ["cd", "e", "f"]);
        assert!(file.lines(None).unwrap().is_empty());
        fs::write(&file.path, "again\n").unwrap();
        assert_eq!(file.lines(None).unwrap(), ["again"]);
    }

    #[test]
    fn a_replica_has_ended_when_its_last_start_has_left_a_code() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        assert!(!file.is_marked());
        let mark = |number: u32| PathBuf::from(format!("{}.{number}", file.mark));
        fs::create_dir(mark(0)).unwrap();
        assert!(!file.is_marked());
        fs::write(mark(0).join("code"), "0").unwrap();
        assert!(file.is_marked());
        fs::create_dir(mark(1)).unwrap();
        assert!(!file.is_marked());
    }
}
