//! The network between the operator and a member, which suites may cut, freeze, slow down and reset.
//! This side names the faults and tells the member's proxy (`network::proxy`), a daemon of its own.

pub mod proxy;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// What the network does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Forwards at once.
    #[default]
    Pass,
    /// Refuses connections; those that existed are closed.
    Refuse,
    /// Accepts connections and forwards nothing; those that existed freeze, and thaw on [`Network::Pass`].
    Hang,
    /// Connections that existed freeze, with what is on its way in them, and thaw on [`Network::Pass`]; new ones pass.
    Freeze,
    /// Forwards what the operator says and keeps back what the member answers, until [`Network::Pass`]: what is asked
    /// is done, and the asker never hears of it.
    Mute,
    /// Forwards everything this much later, in each direction.
    Delay(Duration),
    /// Resets every connection, old and new.
    Reset,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Refuse => f.write_str("refuse"),
            Self::Hang => f.write_str("hang"),
            Self::Freeze => f.write_str("freeze"),
            Self::Mute => f.write_str("mute"),
            Self::Delay(by) => write!(f, "delay:{}", by.as_millis()),
            Self::Reset => f.write_str("reset"),
        }
    }
}

impl FromStr for Network {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text.split_once(':').unwrap_or((text, "")) {
            ("pass", "") => Self::Pass,
            ("refuse", "") => Self::Refuse,
            ("hang", "") => Self::Hang,
            ("freeze", "") => Self::Freeze,
            ("mute", "") => Self::Mute,
            ("reset", "") => Self::Reset,
            ("delay", millis) => Self::Delay(Duration::from_millis(
                millis.parse().context("delay:MILLISECONDS")?,
            )),
            _ => bail!("{text:?} is none of pass, refuse, hang, freeze, mute, reset, delay:MILLISECONDS"),
        })
    }
}

/// How the proxy of the member in `folder` is started by `program`, our own: from the first port to the second.
/// `everywhere`: pods of the host come through it too, not only this machine.
pub(crate) fn proxy_command(
    program: &Path,
    folder: &Path,
    (listen, target): (u16, u16),
    everywhere: bool,
) -> Vec<String> {
    let mut command = vec![
        program.display().to_string(),
        "network-proxy".to_owned(),
        format!("--control={}", control(folder).display()),
        format!("--listen={listen}"),
        format!("--target={target}"),
    ];
    command.extend(everywhere.then(|| "--everywhere".to_owned()));
    command
}

/// Where the proxy of the member in `folder` listens for orders.
pub(crate) fn control(folder: &Path) -> PathBuf {
    folder.join("net.sock")
}

/// Sets the network of the member in `folder`; returns when it is in force.
pub(crate) async fn set(folder: &Path, network: Network) -> Result<()> {
    let order = async {
        let mut stream = UnixStream::connect(control(folder)).await?;
        stream.write_all(network.to_string().as_bytes()).await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(Duration::from_secs(5), order)
        .await
        .context("the proxy does not answer")?;
    match answer.context("reach the proxy")?.as_str() {
        "ok" => Ok(()),
        other => bail!("the proxy says: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_reads_as_it_is_written() {
        for text in ["pass", "refuse", "hang", "freeze", "mute", "reset", "delay:250"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        for text in ["", "delay", "delay:x", "pass:1", "slow"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
