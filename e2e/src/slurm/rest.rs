//! One request to slurmrestd over plain HTTP on loopback, as curl would make it: the lab's own view of a Slurm
//! cluster, which shares no code with the operator's client. Used by `slurm`.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Without slurmctld an answer takes 7 to 10 s.
const BOUND: Duration = Duration::from_secs(30);

/// Who asks: slurmrestd wants both.
pub struct Caller<'a> {
    pub user: &'a str,
    pub token: &'a str,
}

/// What slurmrestd said.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// JSON; a string when the answer was no JSON.
    pub body: Value,
}

/// Sends one request to a port on loopback and returns the answer, whatever its status.
pub async fn call(
    port: u16,
    who: &Caller<'_>,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Answer> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-SLURM-USER-NAME: {}\r\n\
         X-SLURM-USER-TOKEN: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        who.user,
        who.token,
        body.len()
    );
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        parse(&answer)
    };
    timeout(BOUND, exchange)
        .await
        .with_context(|| format!("{method} {path} took longer than {BOUND:?}"))?
        .with_context(|| format!("{method} {path}"))
}

/// The body ends where its length says: Slurm 22.05 writes a header line behind it when asked to close.
fn parse(answer: &[u8]) -> Result<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or_else(|| anyhow!("no HTTP: {text:?}"))?;
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .ok_or_else(|| anyhow!("no status: {head:?}"))?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    let body = length
        .and_then(|length: usize| body.get(..length))
        .unwrap_or(body);
    Ok(Answer {
        status,
        body: serde_json::from_str(body).unwrap_or_else(|_| body.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_body_is_left_out() {
        let answer =
            parse(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}Connection: Close\r\n").unwrap();
        assert_eq!((answer.status, &answer.body["a"]), (200, &Value::from(1)));
        let refused = parse(b"HTTP/1.1 401 Unauthorized\r\n\r\nAuthentication failure").unwrap();
        assert_eq!(
            (refused.status, refused.body.as_str()),
            (401, Some("Authentication failure"))
        );
        assert!(parse(b"").is_err());
    }
}
