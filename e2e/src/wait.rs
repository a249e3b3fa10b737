//! Bounded waits: poll until something holds, and say what was last seen when it does not.
//! Everyone in this crate waits through here; nobody sleeps and hopes.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, sleep, timeout_at};

const POLL: Duration = Duration::from_millis(100);

/// An error that more waiting cannot mend; [`until`] returns it at once.
#[derive(Debug)]
pub struct Hopeless(anyhow::Error);

impl fmt::Display for Hopeless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for Hopeless {}

/// Marks `error` as one that ends a wait.
pub fn hopeless(error: anyhow::Error) -> anyhow::Error {
    anyhow::Error::new(Hopeless(error))
}

/// Polls `probe` every 100 ms until it returns Ok, and returns its value.
///
/// An Err means "not yet" and is remembered; after `bound` the last one becomes part of the error.
/// A [`hopeless`] error is returned at once. A probe that hangs is cut off at the bound.
pub async fn until<T>(what: &str, bound: Duration, mut probe: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + bound;
    let mut last = anyhow!("nothing: the first look did not return");
    loop {
        match timeout_at(deadline, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if error.is::<Hopeless>() => return Err(error),
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
        if Instant::now() + POLL >= deadline {
            return Err(anyhow!(
                "waited {} s for {what}; last seen: {last:#}",
                bound.as_secs_f32()
            ));
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn says_what_was_last_seen() {
        let error = until::<()>("rain", Duration::from_millis(250), async || Err(anyhow!("sun"))).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "waited 0.25 s for rain; last seen: sun"
        );
    }

    #[tokio::test]
    async fn hopeless_ends_the_wait() {
        let begin = Instant::now();
        let error = until::<()>("x", Duration::from_secs(60), async || {
            Err(hopeless(anyhow!("gone")))
        })
        .await;
        assert_eq!(error.unwrap_err().to_string(), "gone");
        assert!(begin.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn returns_the_value_as_soon_as_it_is_there() {
        let mut looks = 0;
        let value = until("third", Duration::from_secs(5), async || {
            looks += 1;
            if looks == 3 {
                Ok(looks)
            } else {
                Err(anyhow!("{looks}"))
            }
        });
        assert_eq!(value.await.unwrap(), 3);
    }
}
