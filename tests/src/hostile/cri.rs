//! A pod runtime over HTTP/2, well or hostile: messages are framed, and broken, by hand.

use std::{fs::File, future::pending, io::Read as _, os::fd::OwnedFd, os::unix::net::UnixStream};

use anyhow::{Context as _, Result};
use h2::{SendStream, server};
use prost::bytes::Bytes;
use tonic::codegen::http::{HeaderMap, HeaderValue, Response};

use super::{Abuse, GIGABYTE, Switch};

/// Below the agent's bound of 16 MiB.
const LONG: usize = 15 << 20;
/// Below its bound for one event, 1 MiB.
const EVENT: usize = 512 << 10;

pub(super) fn serve(mut connection: File, switch: &Switch) -> Result<()> {
    if switch.abuse() == Some(Abuse::Hung) {
        while connection.read(&mut [0; 64])? > 0 {}
        return Ok(());
    }
    let stream = UnixStream::from(OwnedFd::from(connection));
    stream.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let stream = tokio::net::UnixStream::from_std(stream)?;
        let mut connection = server::handshake(stream).await?;
        while let Some(asked) = connection.accept().await {
            let (request, mut respond) = asked?;
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let response = Response::builder().header("content-type", "application/grpc").body(())?;
            let answer = respond.send_response(response, false)?;
            let abuse = switch.abuse();
            tokio::task::spawn_local(async move { said(answer, &method, abuse).await.ok() });
        }
        Ok(())
    })
}

async fn said(mut answer: SendStream<Bytes>, method: &str, abuse: Option<Abuse>) -> Result<()> {
    let is_list = method.starts_with("List");
    let is_stream = matches!(method, "Subscribe" | "GetContainerEvents");
    match abuse {
        Some(Abuse::Wrong) if !is_stream => send(&mut answer, message(&[0xff; 64])).await?,
        Some(Abuse::Cut) if is_list => {
            // It announces a thousand bytes, has ten, and ends without a status.
            let mut cut = message(&[0; 1_000]);
            cut.truncate(15);
            send(&mut answer, cut).await?;
            return Ok(answer.send_data(Bytes::new(), true)?);
        }
        Some(Abuse::Gigabyte) if is_list => {
            let mut head = vec![0];
            head.extend(u32::try_from(GIGABYTE)?.to_be_bytes());
            send(&mut answer, head).await?;
            for _ in 0..GIGABYTE >> 16 {
                send(&mut answer, vec![0; 1 << 16]).await?;
            }
        }
        Some(Abuse::WrongLarge) if is_list => {
            // Field 1, a message: field 1, the id; field 5, a label. And one whose id is longer than itself.
            let item = b"\x0a\x1c\x0a\x08abcdefgh\x2a\x10\x0a\x06label1\x12\x06value1";
            let mut list = item.repeat(LONG / item.len());
            list.extend(b"\x0a\x02\x0a\x7f");
            send(&mut answer, message(&list)).await?;
        }
        Some(Abuse::Stream) if is_stream => loop {
            send(&mut answer, message(&[0x7a, 0x00].repeat(EVENT / 2))).await?;
        },
        _ if is_stream => pending::<()>().await,
        _ if method == "Version" => {
            send(&mut answer, message(b"\x12\x04fake\x1a\x031.0\x22\x02v1")).await?;
        }
        _ => send(&mut answer, message(&[])).await?,
    }
    let mut status = HeaderMap::new();
    status.insert("grpc-status", HeaderValue::from_static("0"));
    Ok(answer.send_trailers(status)?)
}

/// With the head that gRPC puts before it.
fn message(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], bytes].concat()
}

/// As fast as the other side takes it.
async fn send(answer: &mut SendStream<Bytes>, bytes: Vec<u8>) -> Result<()> {
    let mut rest = Bytes::from(bytes);
    while !rest.is_empty() {
        answer.reserve_capacity(rest.len());
        let room = std::future::poll_fn(|context| answer.poll_capacity(context)).await;
        let room = room.context("the stream is closed")??;
        answer.send_data(rest.split_to(room.min(rest.len())), false)?;
    }
    Ok(())
}
