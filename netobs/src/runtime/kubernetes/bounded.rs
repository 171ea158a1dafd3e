//! What an API may make us take in: an answer of limited size, one list at a time.

use std::{
    future::Future,
    hash::{BuildHasher as _, RandomState},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{LengthLimitError, Limited};
use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep, sleep_until, timeout_at},
};
use tower::{BoxError, Layer, Service};

use super::{health::Health, scan::Scan};

/// Largest list, and largest watch until it is renewed: ten thousand Services, or their slices, have some 20 MB.
const LARGEST: usize = 64 << 20;
/// Largest answer to anything else.
const SMALL: usize = 64 << 10;

/// Longest that one list may hold up the others, from its turn to its end.
const LIST: Duration = Duration::from_secs(60);

/// The limits of one client.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    lists: Arc<Semaphore>,
    health: Arc<Health>,
}

impl Bounds {
    pub(super) fn new(health: &Arc<Health>) -> Self {
        Self { lists: Arc::new(Semaphore::new(1)), health: Arc::clone(health) }
    }
}

impl<S> Layer<S> for Bounds {
    type Service = Bounded<S>;

    fn layer(&self, inner: S) -> Bounded<S> {
        Bounded { inner, bounds: self.clone() }
    }
}

/// A way to the API within the limits.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    inner: S,
    bounds: Bounds,
}

type Answer<B> = Pin<Box<dyn Future<Output = Result<Response<Guarded<B>>, BoxError>> + Send>>;

impl<S, Q, B> Service<Request<Q>> for Bounded<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Send + 'static,
{
    type Response = Response<Guarded<B>>;
    type Error = BoxError;
    type Future = Answer<B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Q>) -> Answer<B> {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let kind = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let is_list = !is_watch && request.uri().path().contains("/v1/");
        let limit = if is_watch || is_list { LARGEST } else { SMALL };
        let bounds = self.bounds.clone();
        // Nothing is sent before it is waited for.
        let answer = self.inner.call(request);
        Box::pin(async move {
            let health = bounds.health;
            if !is_list {
                if is_watch {
                    let random = RandomState::new().hash_one(&kind);
                    sleep(health.before_watch(&kind, Instant::now(), random)).await;
                    health.asked(&kind, Instant::now());
                }
                let answer = answer.await;
                health.answered(&kind);
                let answer = answer.map_err(Into::into)?;
                if is_watch && answer.status().is_success() {
                    health.opened(&kind, Instant::now());
                }
                return Ok(answer.map(|body| Guarded::new(body, limit, None, kind, health)));
            }
            // Never closed, so never refused.
            let permit = bounds.lists.acquire_owned().await.ok();
            if let Some(rested) = health.lists_rest_until() {
                sleep_until(rested).await;
            }
            let until = Instant::now() + LIST;
            let answer = timeout_at(until, answer).await.map_err(|_| too_slow())?.map_err(Into::into)?;
            let turn = Some(Turn { _permit: permit, over: Box::pin(sleep_until(until)) });
            Ok(answer.map(|body| Guarded::new(body, limit, turn, kind, health)))
        })
    }
}

fn too_slow() -> BoxError {
    format!("a list took over {} s", LIST.as_secs()).into()
}

/// The right to be listed, and when it ends.
#[derive(Debug)]
struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
    over: Pin<Box<Sleep>>,
}

/// The body of an answer within its limit. The next list begins when it ends.
#[derive(Debug)]
pub(super) struct Guarded<B> {
    inner: Limited<B>,
    turn: Option<Turn>,
    kind: String,
    health: Arc<Health>,
    scan: Scan,
}

impl<B> Guarded<B> {
    fn new(body: B, limit: usize, turn: Option<Turn>, kind: String, health: Arc<Health>) -> Self {
        Self { inner: Limited::new(body, limit), turn, kind, health, scan: Scan::default() }
    }
}

impl<B> Body for Guarded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.turn.as_mut().is_some_and(|turn| turn.over.as_mut().poll(context).is_ready()) {
            self.turn = None;
            return Poll::Ready(Some(Err(too_slow())));
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                self.health.read(&self.kind, frame.data_ref().map_or(0, Bytes::len));
                if !frame.data_ref().is_none_or(|data| self.scan.take(data)) {
                    self.health.oversized(&self.kind);
                    self.turn = None;
                    return Poll::Ready(Some(Err("more objects than are taken in".into())));
                }
            }
            Some(Err(error)) => {
                if error.is::<LengthLimitError>() {
                    self.health.oversized(&self.kind);
                }
                self.turn = None;
            }
            None => self.turn = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};

    use super::*;
    use crate::runtime::backoff;

    type Mock = tower_test::mock::Mock<Request<()>, Response<BoxBody<Bytes, BoxError>>>;
    type Handle = tower_test::mock::Handle<Request<()>, Response<BoxBody<Bytes, BoxError>>>;

    fn bounded() -> (Bounded<Mock>, Handle, Arc<Health>) {
        let (mock, handle) = tower_test::mock::pair();
        let health = Arc::default();
        (Bounds::new(&health).layer(mock), handle, health)
    }

    async fn call(service: &mut Bounded<Mock>, path: &str) -> Answer<BoxBody<Bytes, BoxError>> {
        std::future::poll_fn(|context| service.poll_ready(context)).await.unwrap();
        service.call(Request::builder().uri(path).body(()).unwrap())
    }

    /// Whether an answer of so many bytes is taken in, and whether pods are then asked for again soon.
    async fn taken(path: &str, bytes: usize) -> (bool, bool) {
        let (mut service, mut handle, health) = bounded();
        let answer = call(&mut service, path).await;
        let (_, send) = handle.next_request().await.unwrap();
        let body = Full::new(vec![0; bytes].into()).map_err(|never| match never {}).boxed();
        send.send_response(Response::new(body));
        let taken = answer.await.unwrap().into_body().collect().await.is_ok();
        assert_eq!(service.bounds.lists.available_permits(), 1, "the next list may begin");
        let now = Instant::now();
        if taken {
            health.is_well("pods", now);
        }
        (taken, health.pause("pods", now + backoff::GOOD, 0) < Duration::from_secs(60))
    }

    #[tokio::test]
    async fn an_answer_is_taken_in_up_to_its_limit_and_beyond_it_is_noted() {
        assert_eq!(taken("/version", SMALL).await, (true, true));
        assert_eq!(taken("/version", SMALL + 1).await, (false, true));
        assert_eq!(taken("/api/v1/pods?resourceVersion=0", LARGEST).await, (true, true));
        assert_eq!(taken("/api/v1/pods?resourceVersion=0", LARGEST + 1).await, (false, false));
        assert_eq!(taken("/api/v1/pods?watch=true", LARGEST + 1).await, (false, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_hangs_before_or_behind_its_head_holds_up_the_others_for_a_minute() {
        for answered in [false, true] {
            let (mut service, mut handle, _) = bounded();
            let hangs = call(&mut service, "/api/v1/nodes").await;
            let (_, send) = handle.next_request().await.unwrap();
            let began = Instant::now();
            if answered {
                // A byte a second, for ever.
                let trickle = stream::unfold((), |()| async {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    Some((Ok(Frame::data(Bytes::from_static(b" "))), ()))
                });
                send.send_response(Response::new(BodyExt::boxed(StreamBody::new(Box::pin(trickle)))));
                assert!(hangs.await.unwrap().into_body().collect().await.is_err());
            } else {
                assert!(hangs.await.is_err());
            }
            assert_eq!(began.elapsed().as_secs(), LIST.as_secs());
            assert_eq!(service.bounds.lists.available_permits(), 1, "the next list may begin");
        }
    }

    #[tokio::test]
    async fn a_watch_that_opens_is_well_and_one_that_is_refused_is_not() {
        for (status, well) in [(200, true), (403, false)] {
            let (mut service, mut handle, health) = bounded();
            let answer = call(&mut service, "/api/v1/pods?watch=true").await;
            let (_, send) = handle.next_request().await.unwrap();
            let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed();
            send.send_response(Response::builder().status(status).body(body).unwrap());
            drop(answer.await.unwrap());
            let heard = tokio::time::timeout(Duration::ZERO, health.better()).await.is_ok();
            assert_eq!(heard, well);
        }
    }
}
