//! Paths and methods → handlers. A fixed set: nothing here opens a file.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Router,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST, VARY, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

use super::{
    explain::{ExplainQuery, Refused},
    filter::FlowFilter,
    pair_filter::PairFilter,
    probe::ProbeQuery,
    pulse,
    state::Faces,
};
use crate::{export::Format, failure::flatten};

/// Longer addresses are refused: the longest filter has a tenth of it.
const URI_LIMIT: usize = 4_096;

type Shared = State<Arc<Faces>>;

/// What `metrics_listen` serves.
pub(super) fn metrics(faces: Arc<Faces>) -> Router {
    probes()
        .route("/metrics", get(metrics_page))
        .fallback(not_found)
        .layer(middleware::from_fn(guard))
        .with_state(faces)
}

/// What the local socket serves.
pub(super) fn local(faces: Arc<Faces>) -> Router {
    // What sends packets is asked for by whoever may use the socket: root.
    api().route("/api/v1/probe", post(probe)).layer(middleware::from_fn(guard)).with_state(faces)
}

/// What `web_listen` serves: the same, but only to callers that address this host.
pub(super) fn web(faces: Arc<Faces>) -> Router {
    api().layer(middleware::from_fn(own_host)).layer(middleware::from_fn(guard)).with_state(faces)
}

fn probes() -> Router<Arc<Faces>> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz))
}

fn api() -> Router<Arc<Faces>> {
    probes()
        .route("/", get(front))
        .route("/api/v1/endpoints", get(endpoints))
        .route("/api/v1/flows", get(flows))
        .route("/api/v1/flows/follow", get(follow))
        .route("/api/v1/map", get(map))
        .route("/api/v1/matrix", get(matrix))
        .route("/api/v1/drops", get(drops))
        .route("/api/v1/events", get(events))
        .route("/api/v1/explain", get(explain))
        .route("/api/v1/status", get(status))
        .fallback(not_found)
}

async fn front() -> &'static str {
    "netobs: who talks to whom on this host, by which way, and how much.\n\n\
     /api/v1/endpoints     who is on this host\n\
     /api/v1/flows         conversations, the busiest first; ?endpoint= &kind= &path= &verdict= &address= &port= &limit=\n\
     /api/v1/flows/follow  one line for each conversation that changes; the same filters\n\
     /api/v1/map           who hangs where on this host, and what flows between them\n\
     /api/v1/matrix        how many pairs of which kinds are in which verdict, and why; ?endpoint= &kind= &path= &verdict=\n\
     /api/v1/drops         packets the kernel dropped: who to whom, why, and where they were seen last\n\
     /api/v1/events        what changed: verdicts, bursts of drops, links, addresses, routes, settings; ?since=\n\
     /api/v1/explain       why A does or does not reach B; ?source= &destination=\n\
     /api/v1/status        what the agent sees of this host, and what it does not\n\
     /healthz  /readyz     is it alive, has it begun to observe\n\n\
     Metrics are on a port of their own (--metrics-listen). `netobs top` shows the same on a terminal.\n"
}

async fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "there is nothing here; / says what there is")
}

async fn healthz(State(faces): Shared) -> Response {
    match faces.health() {
        pulse::State::Starting => plain(StatusCode::OK, "starting"),
        pulse::State::Reporting => plain(StatusCode::OK, "ok"),
        pulse::State::Silent(silence) => {
            let line = format!("no report for {} s", silence.as_secs());
            plain(StatusCode::SERVICE_UNAVAILABLE, &line)
        }
    }
}

async fn readyz(State(faces): Shared) -> Response {
    if faces.is_ready() {
        plain(StatusCode::OK, "ready")
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, "not yet: attaching, or reading the tables for the first time")
    }
}

async fn metrics_page(State(faces): Shared, headers: HeaderMap) -> Response {
    let accept: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|one| one.to_str().ok()).collect();
    let format = Format::accepted(&accept.join(","));
    let mut response = body(format.content_type(), faces.metrics(format).await);
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}

async fn endpoints(State(faces): Shared) -> Response {
    body("application/json", faces.endpoints().await)
}

async fn map(State(faces): Shared) -> Response {
    body("application/json", faces.map().await)
}

async fn matrix(State(faces): Shared, query: Result<Query<PairFilter>, QueryRejection>) -> Response {
    match query {
        Ok(Query(filter)) => body("application/json", faces.matrix(filter).await),
        Err(rejection) => refused(&rejection),
    }
}

async fn drops(State(faces): Shared) -> Response {
    body("application/json", faces.drops().await)
}

async fn status(State(faces): Shared) -> Response {
    body("application/json", faces.status().await)
}

async fn flows(State(faces): Shared, query: Result<Query<FlowFilter>, QueryRejection>) -> Response {
    match query {
        Ok(Query(filter)) => body("application/json", faces.flows(filter).await),
        Err(rejection) => refused(&rejection),
    }
}

/// The query of `/api/v1/events`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// RFC 3339; everything that is kept, if it is left out.
    since: Option<Timestamp>,
}

async fn events(State(faces): Shared, query: Result<Query<EventsQuery>, QueryRejection>) -> Response {
    match query {
        Ok(Query(query)) => body("application/json", faces.events(query.since)),
        Err(rejection) => refused(&rejection),
    }
}

async fn explain(State(faces): Shared, query: Result<Query<ExplainQuery>, QueryRejection>) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => return refused(&rejection),
    };
    explained(faces.explain(query).await)
}

async fn probe(State(faces): Shared, query: Result<Query<ProbeQuery>, QueryRejection>) -> Response {
    match query {
        Ok(Query(query)) => explained(faces.probe(query).await),
        Err(rejection) => refused(&rejection),
    }
}

fn explained(answer: Result<Bytes, Refused>) -> Response {
    match answer {
        Ok(bytes) => body("application/json", Ok(bytes)),
        Err(Refused::Question(line)) => plain(StatusCode::BAD_REQUEST, &flatten(&line)),
        Err(Refused::Failed(error)) => body("application/json", Err(error)),
    }
}

async fn follow(State(faces): Shared, query: Result<Query<FlowFilter>, QueryRejection>) -> Response {
    let filter = match query {
        Ok(Query(filter)) => filter,
        Err(rejection) => return refused(&rejection),
    };
    match faces.follow(filter) {
        Some(lines) => ([(CONTENT_TYPE, "application/x-ndjson")], lines).into_response(),
        None => plain(StatusCode::SERVICE_UNAVAILABLE, "too many are following already"),
    }
}

fn refused(rejection: &QueryRejection) -> Response {
    plain(StatusCode::BAD_REQUEST, &flatten(&rejection.body_text()))
}

fn body(content_type: &'static str, body: anyhow::Result<Bytes>) -> Response {
    match body {
        Ok(body) => ([(CONTENT_TYPE, content_type)], body).into_response(),
        Err(error) => {
            tracing::error!("an answer could not be made: {error:#}");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made; the agent's log says why")
        }
    }
}

fn plain(status: StatusCode, line: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{line}\n")).into_response()
}

/// Bounds what is asked, and marks what is answered: never kept, never guessed at.
async fn guard(request: Request, next: Next) -> Response {
    let length = request.uri().path_and_query().map_or(0, |one| one.as_str().len());
    let mut response = if length > URI_LIMIT {
        plain(StatusCode::URI_TOO_LONG, "the address is too long")
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Refuses callers that reached loopback under a foreign name: a web page may have its own name resolve to
/// 127.0.0.1 and read what no other host could (DNS rebinding).
async fn own_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|one| one.to_str().ok());
    if host.or(request.uri().host()).is_none_or(is_own) {
        return next.run(request).await;
    }
    plain(StatusCode::MISDIRECTED_REQUEST, "ask for localhost, or for an address")
}

/// Whether a `Host` header is `localhost` or an address, with or without a port.
fn is_own(host: &str) -> bool {
    if let Some(inside) = host.strip_prefix('[') {
        return inside.split(']').next().is_some_and(|one| one.parse::<IpAddr>().is_ok());
    }
    let name = host.split(':').next().unwrap_or_default();
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::is_own;

    #[test]
    fn only_localhost_and_addresses_are_this_host() {
        for host in ["localhost", "LOCALHOST:9778", "127.0.0.1:9778", "[::1]:9778", "[::1]", "10.1.2.3"] {
            assert!(is_own(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:80", "127.0.0.1.nip.io", "", "[evil]", ":80"] {
            assert!(!is_own(host), "{host}");
        }
    }
}
