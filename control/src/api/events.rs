//! What happens, as it happens: server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! An event's name is the happening's, its data JSON with the keys of the metric labels. A listener that is too slow
//! gets a `missed` event with the number it did not get. The stream ends when the listener closes.

use super::extract::Fields;
use super::sessions::state_word;
use super::{Shared, time};
use crate::http::Stopping;
use crate::http::answer::Failure;
use crate::world::{ConnectionView, Happening, Party, SessionView};
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response, Sse, sse};
use futures_util::stream;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

/// Listeners at once: each is a connection that costs a little for every happening.
pub(super) const LISTENERS_MAX: usize = 64;
/// Keeps proxies from closing a quiet stream.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The types of events.
pub(super) const TYPES: [&str; 10] = [
    "connectionOpened",
    "connectionClosed",
    "pathAvailable",
    "pathUnavailable",
    "pathOnline",
    "pathOffline",
    "sessionStarted",
    "sessionEnded",
    "configurationChanged",
    "configurationRefused",
];

/// streams what happens, as server-sent events.
///
/// Each event has a name, one of the types, and JSON data. `missed` tells how many a slow listener did not get.
#[utoipa::path(get, path = "/v3/events", operation_id = "events", tag = "General",
    params(super::openapi::EventTypes),
    responses((status = 200, description = "events, until the client or the server ends them.",
        content_type = "text/event-stream", body = String)))]
pub(super) async fn events(
    State(api): Shared,
    Extension(stopping): Extension<Stopping>,
    fields: Fields,
) -> Result<Response, Failure> {
    let types = types(&fields)?;
    let place = Arc::clone(&api.listeners)
        .try_acquire_owned()
        .map_err(|_| Failure::unavailable(format!("{LISTENERS_MAX} clients listen to events already")))?;
    let listener = Listener { happenings: api.core.world.listen(), types, stopping, _place: place };
    let events = stream::unfold(listener, |mut listener| async {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    let heartbeat = sse::KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    Ok(Sse::new(events).keep_alive(heartbeat).into_response())
}

/// The types asked for, in any number of `type=a,b`; none for all.
fn types(fields: &Fields) -> Result<Vec<&'static str>, Failure> {
    let named = fields.all("type").flat_map(|list| list.split(','));
    let known = named.map(|name| {
        TYPES.into_iter().find(|known| *known == name).ok_or_else(|| {
            Failure::bad_request(format!("unknown type {name:?}; there are {}", TYPES.join(", ")))
        })
    });
    known.collect()
}

struct Listener {
    happenings: broadcast::Receiver<Arc<Happening>>,
    types: Vec<&'static str>,
    stopping: Stopping,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            let happening = tokio::select! {
                () = self.stopping.wait() => return None,
                happening = self.happenings.recv() => happening,
            };
            match happening {
                Ok(happening) => {
                    let (name, data) = shown(&happening);
                    if self.types.is_empty() || self.types.contains(&name) {
                        return Some(sse::Event::default().event(name).data(data.to_string()));
                    }
                }
                Err(RecvError::Lagged(count)) => {
                    return Some(
                        sse::Event::default().event("missed").data(json!({"count": count}).to_string()),
                    );
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

/// The name and data of an event.
fn shown(happening: &Happening) -> (&'static str, Value) {
    match happening {
        Happening::ConnectionOpened(connection) => ("connectionOpened", shown_connection(connection)),
        Happening::ConnectionClosed { connection, reason } => {
            ("connectionClosed", with_reason(shown_connection(connection), reason))
        }
        Happening::PathAvailable { path, source, query } => {
            ("pathAvailable", shown_path(path, source, query))
        }
        Happening::PathUnavailable { path, source, query } => {
            ("pathUnavailable", shown_path(path, source, query))
        }
        Happening::PathOnline { path, source, query } => ("pathOnline", shown_path(path, source, query)),
        Happening::PathOffline { path, source, query } => ("pathOffline", shown_path(path, source, query)),
        Happening::SessionStarted(session) => ("sessionStarted", shown_session(session)),
        Happening::SessionEnded { session, reason } => {
            ("sessionEnded", with_reason(shown_session(session), reason))
        }
        Happening::ConfigurationChanged { keys } => ("configurationChanged", at(json!({ "keys": keys }))),
        Happening::ConfigurationRefused { faults } => {
            ("configurationRefused", at(json!({ "faults": faults })))
        }
    }
}

fn at(mut data: Value) -> Value {
    data["time"] = time::text(SystemTime::now()).into();
    data
}

fn with_reason(mut data: Value, reason: &str) -> Value {
    data["reason"] = reason.into();
    data
}

fn shown_connection(view: &ConnectionView) -> Value {
    let record = &view.record;
    at(json!({
        "id": record.id.to_string(),
        "protocol": record.protocol.name(),
        "remoteAddr": record.remote.to_string(),
    }))
}

fn shown_session(view: &SessionView) -> Value {
    let record = &view.record;
    at(json!({
        "id": view.party().id.to_string(),
        "protocol": record.protocol.name(),
        "state": state_word(view.state),
        "path": &*record.path,
        "remoteAddr": record.remote.to_string(),
    }))
}

/// The query may hold credentials and is not shown.
fn shown_path(path: &str, source: &Option<Party>, _query: &str) -> Value {
    let source = source.as_ref().map(|Party { kind, id, .. }| json!({ "type": kind, "id": id.to_string() }));
    at(json!({ "path": path, "source": source }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked() {
        assert_eq!(types(&Fields::of("")).unwrap(), Vec::<&str>::new());
        let two = types(&Fields::of("type=pathOnline,pathOffline&type=missed"));
        assert!(two.unwrap_err().message.contains("missed"));
        assert_eq!(
            types(&Fields::of("type=pathOnline&type=pathOffline")).unwrap(),
            ["pathOnline", "pathOffline"]
        );
    }

    #[test]
    fn an_event_has_the_keys_of_the_metrics_and_no_query() {
        let path =
            |path: &str| Happening::PathOnline { path: path.into(), source: None, query: "pass=x".into() };
        let (name, data) = shown(&path("cam"));
        assert_eq!((name, &data["path"], &data["source"]), ("pathOnline", &json!("cam"), &Value::Null));
        assert!(!data.to_string().contains("pass"));
        let (name, data) = shown(&Happening::ConfigurationChanged { keys: vec!["api".to_owned()] });
        assert_eq!((name, &data["keys"]), ("configurationChanged", &json!(["api"])));
    }
}
