//! Output of one replica, and the exit code beside it. slurmrestd gives no access to files: they are read where the
//! cluster's file system is mounted.

use std::sync::Arc;

use std::io::SeekFrom;
use std::path::Path;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time::sleep;

use super::look::Site;
use super::submission;
use crate::{Class, LogQuery, MemberError};

/// Between two looks at a file that is followed.
const FOLLOW: std::time::Duration = std::time::Duration::from_millis(500);

/// Starts of one replica that are looked at for an exit code.
const MOST_STARTS: u32 = 100;

/// Bytes read at the end of a file to find its last lines.
const TAIL: u64 = 1 << 20;

/// Opens the file that the replica writes to, where this machine has it.
pub(super) async fn open(
    site: &Arc<Site>,
    query: &LogQuery,
) -> Result<BoxStream<'static, Result<Bytes, MemberError>>, MemberError> {
    let rejected = |words: String| MemberError::new(Class::Rejected, words);
    let found = site.under(&query.key).await?;
    let index = u32::try_from(query.index).ok();
    let started = found.first().zip(index).is_some_and(|(array, index)| {
        let listed = array.tasks.get(&index).is_some_and(|task| task.started);
        listed
            || site
                .past()
                .ends(&array.instance())
                .any(|(ended, _)| *ended == index)
    });
    if !started {
        return Err(rejected(format!(
            "no output of {} with index {} on the member: not started, or removed",
            query.key.object, query.index
        )));
    }
    let path = submission::output(&site.access, &query.key.object).replace("%a", &query.index.to_string());
    let directory = submission::output_dir(&site.access);
    let mut file = File::open(&path).await.map_err(|error| {
        let mounted = Path::new(directory).is_dir();
        rejected(if mounted {
            format!("{path} cannot be read: {error}")
        } else {
            format!(
                "slurmrestd gives no access to files: the output is in {path} on the cluster; mount {directory} here, or \
                 read it there"
            )
        })
    })?;
    let unreadable = |error: std::io::Error| rejected(format!("{path} cannot be read: {error}"));
    if let Some(lines) = query.tail {
        let from = tail(&mut file, lines).await.map_err(unreadable)?;
        file.seek(SeekFrom::Start(from)).await.map_err(unreadable)?;
    }
    let follow = query.follow;
    let chunks = stream::unfold(Some(file), move |file| async move {
        let mut file = file?;
        let mut chunk = vec![0_u8; 16 * 1024];
        loop {
            match file.read(&mut chunk).await {
                Ok(0) if follow => sleep(FOLLOW).await,
                Ok(0) => return None,
                Ok(length) => {
                    chunk.truncate(length);
                    return Some((Ok(Bytes::from(chunk)), Some(file)));
                }
                Err(error) => {
                    let error = MemberError::new(Class::Unreachable, error.to_string());
                    return Some((Err(error), None));
                }
            }
        }
    });
    Ok(chunks.boxed())
}

/// The exit code that the last start of a replica has left beside its output, where this machine has that.
pub(super) async fn code(site: &Site, object: &str, index: u32) -> Option<i64> {
    let mark = submission::mark(&site.access, object);
    let mut left = None;
    for number in 0..MOST_STARTS {
        let start = format!("{mark}-{index}.{number}");
        if !tokio::fs::try_exists(&start).await.unwrap_or(false) {
            break;
        }
        let text = tokio::fs::read_to_string(format!("{start}/code")).await;
        left = text.ok().and_then(|text| text.trim().parse().ok());
    }
    left
}

/// Where the last `lines` lines begin, looked for in the last part of the file.
async fn tail(file: &mut File, lines: i64) -> std::io::Result<u64> {
    let length = file.metadata().await?.len();
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from)).await?;
    let mut end = Vec::new();
    file.take(TAIL).read_to_end(&mut end).await?;
    let wanted = usize::try_from(lines).unwrap_or(0);
    let body = end.strip_suffix(b"\n").unwrap_or(&end);
    if wanted == 0 {
        return Ok(length);
    }
    let breaks = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    let start = breaks.map(|(at, _)| at + 1).nth(wanted - 1).unwrap_or(0);
    Ok(from + u64::try_from(start).unwrap_or(0))
}
