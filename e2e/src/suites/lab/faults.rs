//! What hurts: each network mode and each signal does what it says, and is undone. Part of the suite `lab`.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{KWOK, shared};
use crate::network::Network;
use crate::runner::Context;
use crate::slot::Port;

const SOON: Duration = Duration::from_secs(5);
const A_WHILE: Duration = Duration::from_millis(700);

pub(super) async fn network(context: &Context) -> Result<()> {
    let lab = shared(context).await?;
    let member = lab.member(KWOK)?;
    let port = member.port(Port::Network);
    let ask = [
        "--context",
        KWOK,
        "get",
        "namespace",
        "default",
        "--request-timeout=2s",
    ];

    let mut old = connect(port).await?;
    member.network(Network::Refuse).await?;
    let end = timeout(SOON, old.read(&mut [0; 1])).await?;
    ensure!(end.is_ok_and(|length| length == 0), "refuse closes what existed");
    let refused = connect(port).await.map_err(|error| error.kind());
    ensure!(
        refused
            .as_ref()
            .is_err_and(|kind| *kind == ErrorKind::ConnectionRefused),
        "{refused:?}"
    );
    ensure!(lab.kubectl(&ask).await.is_err(), "kubectl is refused");
    member.kubectl(&["get", "namespace", "default"]).await?;

    member.network(Network::Pass).await?;
    lab.kubectl(&ask).await?;

    let mut old = connect(port).await?;
    member.network(Network::Hang).await?;
    let mut new = connect(port).await?;
    for stream in [&mut old, &mut new] {
        stream.write_all(QUESTION).await?;
        ensure!(
            timeout(A_WHILE, stream.read(&mut [0; 1])).await.is_err(),
            "hang forwards nothing"
        );
    }
    ensure!(lab.kubectl(&ask).await.is_err(), "kubectl times out");
    member.network(Network::Pass).await?;
    answered(&mut old).await?;
    answered(&mut new).await?;

    member.network(Network::Delay(Duration::from_millis(300))).await?;
    let slow = round_trip(port).await?;
    ensure!(
        slow >= Duration::from_millis(600),
        "300 ms each way took {slow:?}"
    );
    lab.kubectl(&["--context", KWOK, "get", "namespace", "default"])
        .await?;
    member.network(Network::Pass).await?;
    let fast = round_trip(port).await?;
    ensure!(fast < Duration::from_millis(600), "no delay took {fast:?}");

    let mut old = connect(port).await?;
    member.network(Network::Reset).await?;
    ensure!(was_reset(&mut old).await?, "reset resets what existed");
    // The reset may come before connect returns.
    match connect(port).await {
        Ok(mut new) => ensure!(was_reset(&mut new).await?, "reset resets what is new"),
        Err(error) => ensure!(error.kind() == ErrorKind::ConnectionReset, "{error}"),
    }
    member.network(Network::Pass).await?;
    lab.kubectl(&ask).await?;
    Ok(())
}

pub(super) async fn daemon(context: &Context) -> Result<()> {
    let lab = shared(context).await?;
    let member = lab.member(KWOK)?;
    let server = member.daemon("kube-apiserver")?;
    let ask = ["get", "namespace", "survivor", "--request-timeout=2s"];
    member.kubectl(&["create", "namespace", "survivor"]).await?;

    server.stop()?;
    ensure!(server.running(), "a stopped daemon still runs");
    ensure!(
        member.kubectl(&ask).await.is_err(),
        "a stopped server answers nothing"
    );
    server.cont()?;
    member.api_ready(Duration::from_secs(60)).await?;
    member.kubectl(&ask).await?;

    server.kill().await?;
    ensure!(!server.running(), "a killed daemon is gone");
    let refused = connect(member.port(Port::ApiServer))
        .await
        .map_err(|error| error.kind());
    ensure!(
        refused.is_err_and(|kind| kind == ErrorKind::ConnectionRefused),
        "its port is closed"
    );
    ensure!(server.stop().is_err(), "what does not run cannot be stopped");

    server.restart().await?;
    member.api_ready(Duration::from_secs(60)).await?;
    member.kubectl(&ask).await?;
    let other = member.daemon("kubelet").map(|_| ());
    ensure!(
        other.is_err_and(|error| error.to_string().contains("kwok")),
        "a kwok member has no kubelet"
    );
    Ok(())
}

/// What an API server refuses in plain text, and thereby answers.
const QUESTION: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

async fn connect(port: u16) -> std::io::Result<TcpStream> {
    timeout(SOON, TcpStream::connect(("127.0.0.1", port))).await?
}

async fn answered(stream: &mut TcpStream) -> Result<()> {
    let mut answer = [0; 8];
    timeout(SOON, stream.read_exact(&mut answer)).await??;
    ensure!(answer == *b"HTTP/1.0", "the answer begins with {answer:?}");
    Ok(())
}

async fn round_trip(port: u16) -> Result<Duration> {
    let begin = Instant::now();
    let mut stream = connect(port).await?;
    stream.write_all(QUESTION).await?;
    answered(&mut stream).await?;
    Ok(begin.elapsed())
}

async fn was_reset(stream: &mut TcpStream) -> Result<bool> {
    let end = timeout(SOON, stream.read(&mut [0; 1])).await?;
    Ok(end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset))
}
