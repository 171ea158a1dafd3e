//! Calls to a pod runtime by gRPC over its unix socket, each within limits of time and size.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use tokio::time::timeout;
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use super::wire::{VersionRequest, VersionResponse};
use crate::runtime::meter::Meter;

/// Longest one call may take.
const CALL: Duration = Duration::from_secs(2);
/// Largest list: one of ten thousand containers has some 5 MB.
pub(super) const LIST: usize = 16 << 20;
/// Largest answer about one sandbox or container.
pub(super) const ONE: usize = 4 << 20;
/// Largest event: a runtime's own have the status of a pod in them.
const EVENT: usize = 1 << 20;

/// A connection to one runtime; clones share it.
#[derive(Clone)]
pub(super) struct Client {
    grpc: Grpc<Channel>,
    /// What is done for it beside the tasks that ask.
    pub(super) meter: Meter,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// There is no socket, nobody listens, or what listens does not speak HTTP/2 in time.
    pub(super) async fn connect(socket: &Path, meter: &Meter) -> Result<Self> {
        // The library's own error says only that the transport failed: what the file system says comes first.
        tokio::fs::metadata(socket).await.with_context(|| format!("no socket at {}", socket.display()))?;
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))
            .context("not the path of a socket")?
            .connect_timeout(CALL)
            .executor(meter.clone())
            // A runtime that stopped answering must not hold a stream for good.
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(5));
        let channel = timeout(CALL, endpoint.connect()).await.context("no connection in time")?;
        Ok(Self { grpc: Grpc::new(channel.context("cannot connect")?), meter: meter.clone() })
    }

    /// Who answers.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(super) async fn version(&mut self) -> Result<VersionResponse, Status> {
        self.call("/runtime.v1.RuntimeService/Version", VersionRequest {}, ONE).await
    }

    /// One question, one answer of so many bytes at most.
    ///
    /// # Errors
    /// What the runtime answers instead; `DeadlineExceeded` if it does not.
    pub(super) async fn call<Q, R>(
        &mut self,
        method: &'static str,
        question: Q,
        largest: usize,
    ) -> Result<R, Status>
    where
        Q: prost::Message + Default + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        let path = PathAndQuery::from_static(method);
        let mut grpc = self.grpc.clone().max_decoding_message_size(largest);
        let answer = async {
            grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            grpc.unary(Request::new(question), path, ProstCodec::<Q, R>::default()).await
        };
        match timeout(CALL, answer).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded(format!("no answer within {CALL:?}"))),
        }
    }

    /// A question with answers without end. Waits for the first of them, which may take for ever: a server that has
    /// nothing to tell yet need not even send a header.
    ///
    /// # Errors
    /// What the runtime answers instead.
    pub(super) async fn stream<Q, R>(
        &mut self,
        method: &'static str,
        question: Q,
    ) -> Result<Streaming<R>, Status>
    where
        Q: prost::Message + Default + Send + Sync + 'static,
        R: prost::Message + Default + Send + Sync + 'static,
    {
        let path = PathAndQuery::from_static(method);
        let mut grpc = self.grpc.clone().max_decoding_message_size(EVENT);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let answer = grpc.server_streaming(Request::new(question), path, ProstCodec::<Q, R>::default()).await;
        answer.map(tonic::Response::into_inner)
    }
}

/// Whether a runtime says that it does not have what was asked for, now or ever.
pub(super) fn is_not_offered(status: &Status) -> bool {
    status.code() == Code::Unimplemented
}

/// A refusal as an error of one line.
pub(super) fn refused(method: &str, status: &Status) -> anyhow::Error {
    anyhow::anyhow!("{method}: {}: {}", status.code(), status.message())
}
