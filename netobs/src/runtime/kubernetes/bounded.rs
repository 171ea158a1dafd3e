//! What an API may make us take in: an answer of limited size, one list at a time.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{LengthLimitError, Limited};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{BoxError, Layer, Service};

/// Largest list, and largest watch until it is renewed: ten thousand Services, or their slices, have some 20 MB.
const LARGEST: usize = 64 << 20;
/// Largest answer to anything else.
const SMALL: usize = 64 << 10;

/// What is listed and watched, by the plural in its path.
pub(super) const KINDS: [&str; 5] = ["pods", "nodes", "services", "endpointslices", "namespaces"];

/// Of which kinds an answer was too large since a watch of it last succeeded: there is no hurry to ask again.
#[derive(Debug, Default)]
pub(super) struct Oversized([AtomicBool; KINDS.len()]);

impl Oversized {
    pub(super) fn is(&self, kind: &str) -> bool {
        self.flag(kind).is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    pub(super) fn set(&self, kind: &str, oversized: bool) {
        if let Some(flag) = self.flag(kind) {
            flag.store(oversized, Ordering::Relaxed);
        }
    }

    fn flag(&self, kind: &str) -> Option<&AtomicBool> {
        KINDS.iter().zip(&self.0).find(|(name, _)| **name == kind).map(|(_, flag)| flag)
    }
}

/// The limits of one client.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    lists: Arc<Semaphore>,
    pub(super) oversized: Arc<Oversized>,
}

impl Bounds {
    pub(super) fn new() -> Self {
        Self { lists: Arc::new(Semaphore::new(1)), oversized: Arc::default() }
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

type Answer<B, E> = Pin<Box<dyn Future<Output = Result<Response<Guarded<B>>, E>> + Send>>;

impl<S, Q, B> Service<Request<Q>> for Bounded<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<Guarded<B>>;
    type Error = S::Error;
    type Future = Answer<B, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Answer<B, S::Error> {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let kind = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let is_list = !is_watch && request.uri().path().contains("/v1/");
        let limit = if is_watch || is_list { LARGEST } else { SMALL };
        let bounds = self.bounds.clone();
        // Nothing is sent before it is waited for.
        let answer = self.inner.call(request);
        Box::pin(async move {
            // Never closed, so never refused.
            let turn = if is_list { bounds.lists.acquire_owned().await.ok() } else { None };
            let oversized = bounds.oversized;
            Ok(answer.await?.map(|body| Guarded { inner: Limited::new(body, limit), turn, kind, oversized }))
        })
    }
}

/// The body of an answer within its limit. The next list begins when it ends.
#[derive(Debug)]
pub(super) struct Guarded<B> {
    inner: Limited<B>,
    turn: Option<OwnedSemaphorePermit>,
    kind: String,
    oversized: Arc<Oversized>,
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
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                if error.is::<LengthLimitError>() {
                    self.oversized.set(&self.kind, true);
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
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    /// Whether an answer of so many bytes is taken in, and what is noted of pods.
    async fn taken(path: &str, bytes: usize) -> (bool, bool) {
        let (mock, mut handle) = tower_test::mock::pair::<Request<()>, Response<Full<Bytes>>>();
        let bounds = Bounds::new();
        let mut service = bounds.layer(mock);
        std::future::poll_fn(|context| service.poll_ready(context)).await.unwrap();
        let answer = service.call(Request::builder().uri(path).body(()).unwrap());
        let (_, send) = handle.next_request().await.unwrap();
        send.send_response(Response::new(Full::new(vec![0; bytes].into())));
        let taken = answer.await.unwrap().into_body().collect().await.is_ok();
        assert_eq!(bounds.lists.available_permits(), 1, "the next list may begin");
        (taken, bounds.oversized.is("pods"))
    }

    #[tokio::test]
    async fn an_answer_is_taken_in_up_to_its_limit_and_beyond_it_is_noted() {
        assert_eq!(taken("/version", SMALL).await, (true, false));
        assert_eq!(taken("/version", SMALL + 1).await, (false, false));
        assert_eq!(taken("/api/v1/pods?resourceVersion=0", LARGEST).await, (true, false));
        assert_eq!(taken("/api/v1/pods?resourceVersion=0", LARGEST + 1).await, (false, true));
        assert_eq!(taken("/api/v1/pods?watch=true", LARGEST + 1).await, (false, true));
    }
}
