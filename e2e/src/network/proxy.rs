//! The proxy: passes TCP between a port on loopback and a member's API server, or does to it what the
//! network is told to do. A daemon of every member; takes its orders from `network::set`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::Network;

/// How the proxy is started.
#[derive(Debug, Args)]
pub struct Settings {
    /// Unix socket for orders
    #[arg(long)]
    pub control: PathBuf,
    /// Port to listen on, on loopback
    #[arg(long)]
    pub listen: u16,
    /// Listen on every address of this machine: the pods' bridge may not be there yet
    #[arg(long)]
    pub everywhere: bool,
    /// Port on loopback to forward to
    #[arg(long)]
    pub target: u16,
}

/// The network as it is to be.
#[derive(Clone, Copy, Default)]
struct Order {
    network: Network,
    /// Counts the orders, so that a connection knows under which one it began.
    number: u64,
}

/// When the bytes of one connection may flow.
#[derive(Clone)]
struct Gate {
    mode: watch::Receiver<Order>,
    /// The order under which the connection began.
    begun: u64,
    /// Whether they are what the member answers.
    answers: bool,
}

/// Runs until killed.
pub async fn run(settings: Settings) -> Result<()> {
    let _ = fs::remove_file(&settings.control);
    let orders = UnixListener::bind(&settings.control).context("bind the control socket")?;
    let (mode, _) = watch::channel(Order::default());
    let mut listener = Some(listen(&settings).await?);
    loop {
        tokio::select! {
            // What was connected before an order existed when it came.
            biased;
            Some(client) = accept(listener.as_ref()) => {
                let (mode, begun) = (mode.subscribe(), mode.borrow().number);
                let gate = Gate { mode, begun, answers: false };
                tokio::spawn(serve(client, settings.target, gate));
            }
            order = orders.accept() => {
                let Ok((mut stream, _)) = order else { continue };
                let answer = match obey(&mut stream, &mode, &mut listener, &settings).await {
                    Ok(()) => "ok".to_owned(),
                    Err(error) => format!("{error:#}"),
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    }
}

async fn obey(
    stream: &mut UnixStream,
    mode: &watch::Sender<Order>,
    listener: &mut Option<TcpListener>,
    settings: &Settings,
) -> Result<()> {
    let mut order = String::new();
    timeout(Duration::from_secs(1), stream.read_to_string(&mut order))
        .await
        .context("no order came")??;
    let network: Network = order.parse()?;
    if network == Network::Refuse {
        *listener = None;
    } else if listener.is_none() {
        *listener = Some(listen(settings).await?);
    }
    mode.send_modify(|order| {
        order.network = network;
        order.number += 1;
    });
    eprintln!("{network}");
    Ok(())
}

async fn listen(settings: &Settings) -> Result<TcpListener> {
    let address = if settings.everywhere {
        "0.0.0.0"
    } else {
        "127.0.0.1"
    };
    TcpListener::bind((address, settings.listen))
        .await
        .with_context(|| format!("bind port {}", settings.listen))
}

/// The next connection; None (which disables its branch) while there is no listener.
async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    listener?.accept().await.ok().map(|(stream, _)| stream)
}

/// One connection from its first byte to its end, under whatever mode is in force.
async fn serve(mut client: TcpStream, target: u16, gate: Gate) {
    let mut ending = gate.mode.clone();
    let closed = ending.wait_for(|order| matches!(order.network, Network::Refuse | Network::Reset));
    let reset = tokio::select! {
        biased;
        order = closed => order.is_ok_and(|order| order.network == Network::Reset),
        _ = carry(&mut client, target, gate) => false,
    };
    if reset {
        let _ = client.set_zero_linger();
    }
}

async fn carry(client: &mut TcpStream, target: u16, mut gate: Gate) -> Result<()> {
    gate.open().await?;
    let mut server = TcpStream::connect(("127.0.0.1", target)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let answers = Gate {
        answers: true,
        ..gate.clone()
    };
    tokio::try_join!(
        pump(client_read, server_write, gate),
        pump(server_read, client_write, answers)
    )?;
    Ok(())
}

/// One direction. Bytes wait in a short queue until they are due, so that a delay costs latency and not
/// throughput; while the network hangs, the queue fills and the sender feels it.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut gate: Gate) -> Result<()> {
    let (queue, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(64);
    let delays = gate.mode.clone();
    let read = async move {
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let length = from.read(&mut buffer).await?;
            let delay = match delays.borrow().network {
                Network::Delay(by) => by,
                _ => Duration::ZERO,
            };
            // An empty chunk is the end, which is as late as everything else.
            queue
                .send((Instant::now() + delay, buffer[..length].to_vec()))
                .await?;
            if length == 0 {
                return anyhow::Ok(());
            }
        }
    };
    let write = async move {
        while let Some((time, chunk)) = due.recv().await {
            sleep_until(time).await;
            gate.open().await?;
            if chunk.is_empty() {
                to.shutdown().await?;
            } else {
                to.write_all(&chunk).await?;
            }
        }
        anyhow::Ok(())
    };
    tokio::try_join!(read, write)?;
    Ok(())
}

impl Gate {
    /// Returns when bytes may flow.
    async fn open(&mut self) -> Result<()> {
        let (begun, answers) = (self.begun, self.answers);
        let flows = |order: &Order| match order.network {
            Network::Hang => false,
            Network::Mute => !answers,
            Network::Freeze => begun == order.number,
            _ => true,
        };
        self.mode.wait_for(flows).await?;
        Ok(())
    }
}
