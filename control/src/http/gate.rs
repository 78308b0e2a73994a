//! Who may use a control port: credentials from `Authorization`, the verdict from the control core's authority.
//!
//! Without credentials where some are needed: 401 at once. With wrong ones: one line in the log, and 401 after a random
//! delay. `Bearer user:pass` is a name and password, any other bearer token is passed on as it is (MediaMTX,
//! `internal/protocols/httpp/credentials.go`). Credentials in the query are not taken: URLs end up in logs.

use super::answer::Failure;
use super::client::Client;
use super::counters::{HttpCounters, Refusal};
use super::limits;
use crate::core::Core;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::BoxFuture;
use headwater_engine::access::{self, Action, Credentials, Verdict};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

type Check = Box<dyn Fn(access::Request) -> BoxFuture<'static, Verdict> + Send + Sync>;

/// Lets requests for one action through.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    action: Action,
    check: Check,
    counters: Arc<HttpCounters>,
    delay_max: Duration,
    delayed: Semaphore,
}

impl Gate {
    /// A gate that asks the control core.
    pub(crate) fn new(action: Action, core: Arc<Core>, counters: Arc<HttpCounters>) -> Gate {
        let check = move |request| -> BoxFuture<'static, Verdict> {
            let core = Arc::clone(&core);
            Box::pin(async move { core.authority.check(request).await })
        };
        Gate::with(action, Box::new(check), counters, limits::REFUSAL_DELAY_MAX)
    }

    pub(super) fn with(
        action: Action,
        check: Check,
        counters: Arc<HttpCounters>,
        delay_max: Duration,
    ) -> Gate {
        let delayed = Semaphore::new(limits::REFUSALS_DELAYED_MAX);
        Gate(Arc::new(Inner { action, check, counters, delay_max, delayed }))
    }

    #[cfg(test)]
    pub(crate) fn open(counters: Arc<HttpCounters>) -> Gate {
        let check: Check = Box::new(|_| Box::pin(async { Verdict::Allowed { user: String::new() } }));
        Gate::with(Action::Api, check, counters, Duration::ZERO)
    }

    /// Puts every route of `router`, and its fallback, behind the gate.
    pub(crate) fn require(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), pass))
    }
}

async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let question = gate.0.question(&request);
    let ip = question.ip;
    match (gate.0.check)(question).await {
        Verdict::Allowed { .. } => next.run(request).await,
        Verdict::AskCredentials => {
            gate.0.counters.refuse(Refusal::NoCredentials);
            unauthorized()
        }
        Verdict::Denied { reason } => gate.0.deny(ip, &reason).await,
        Verdict::Unavailable { reason } => {
            gate.0.counters.refuse(Refusal::AuthenticationUnavailable);
            let action = gate.0.action.word();
            tracing::warn!("failed to authenticate: {ip} wants {action}, and nobody can be asked: {reason}");
            Failure::unavailable("authentication is not available").into_response()
        }
    }
}

impl Inner {
    fn question(&self, request: &Request) -> access::Request {
        let client = request.extensions().get::<Client>();
        access::Request {
            action: self.action,
            path: String::new(),
            protocol: "",
            id: None,
            ip: client.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.0),
            query: request.uri().query().unwrap_or_default().to_owned(),
            user_agent: text(request.headers(), &header::USER_AGENT).to_owned(),
            credentials: credentials(request.headers()),
        }
    }

    async fn deny(&self, ip: IpAddr, reason: &str) -> Response {
        self.counters.refuse(Refusal::WrongCredentials);
        tracing::warn!("failed to authenticate: {ip} wants {}: {reason}", self.action.word());
        match self.delayed.try_acquire() {
            Ok(_place) => {
                let delay = self.delay_max.mul_f64(rand::random::<f64>());
                tokio::time::sleep(delay).await;
            }
            Err(_) => self.counters.refuse(Refusal::NotDelayed),
        }
        unauthorized()
    }
}

fn unauthorized() -> Response {
    let mut response = Failure::new(StatusCode::UNAUTHORIZED, "authentication error").into_response();
    let challenge = HeaderValue::from_static("Basic realm=\"headwater\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// What the client showed; nothing where it is not understood.
fn credentials(headers: &HeaderMap) -> Credentials {
    let Some((scheme, value)) = text(headers, &header::AUTHORIZATION).split_once(' ') else {
        return Credentials::default();
    };
    let value = value.trim();
    let pair = |text: &str| {
        let (user, password) = text.split_once(':')?;
        Some(Credentials { user: user.to_owned(), password: password.to_owned(), token: String::new() })
    };
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = BASE64_STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        return decoded.and_then(|text| pair(&text)).unwrap_or_default();
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return pair(value)
            .unwrap_or_else(|| Credentials { token: value.to_owned(), ..Credentials::default() });
    }
    Credentials::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt;

    fn shown(value: &str) -> (String, String, String) {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        let Credentials { user, password, token } = credentials(&headers);
        (user, password, token)
    }

    #[test]
    fn credentials_are_basic_or_bearer() {
        let triple = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(shown("Basic bWU6c2VjOnJldA=="), triple("me", "sec:ret", ""));
        assert_eq!(shown("bearer me:secret"), triple("me", "secret", ""));
        assert_eq!(shown("Bearer a.b.c"), triple("", "", "a.b.c"));
        for nothing in ["Basic ???", "Basic", "Basic bWU=", "Digest x", "Basic /////w=="] {
            assert_eq!(shown(nothing), triple("", "", ""), "{nothing}");
        }
    }

    fn router(counters: &Arc<HttpCounters>) -> Router {
        let check: Check = Box::new(|request: access::Request| {
            Box::pin(async move {
                match request.credentials.password.as_str() {
                    _ if request.credentials.is_empty() => Verdict::AskCredentials,
                    "right" => Verdict::Allowed { user: request.credentials.user },
                    "down" => Verdict::Unavailable { reason: "refused".to_owned() },
                    _ => Verdict::Denied { reason: "authentication failed".to_owned() },
                }
            })
        });
        let gate = Gate::with(Action::Api, check, Arc::clone(counters), Duration::from_millis(2));
        gate.require(Router::new().route("/", get(async || "in")))
    }

    async fn status(router: &Router, authorization: Option<&str>) -> (u16, Option<HeaderValue>) {
        let mut request = axum::http::Request::get("/");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        (response.status().as_u16(), response.headers().get(header::WWW_AUTHENTICATE).cloned())
    }

    #[tokio::test]
    async fn the_gate_asks_refuses_and_lets_in() {
        let counters = Arc::new(HttpCounters::new("api"));
        let router = router(&counters);
        let challenge = Some(HeaderValue::from_static("Basic realm=\"headwater\""));
        assert_eq!(status(&router, None).await, (401, challenge.clone()));
        assert_eq!(status(&router, Some("Bearer me:wrong")).await, (401, challenge));
        assert_eq!(status(&router, Some("Bearer me:right")).await.0, 200);
        assert_eq!(status(&router, Some("Bearer me:down")).await.0, 503);
        for reason in [Refusal::NoCredentials, Refusal::WrongCredentials, Refusal::AuthenticationUnavailable]
        {
            assert_eq!(counters.refused_for(reason), 1, "{reason:?}");
        }
    }
}
