//! The HTTP method: an authentication server of the operator decides.
//!
//! A request becomes `POST` of `{ip,user,password,token,action,path,protocol,id,query,userAgent}` as in MediaMTX; any 2xx
//! lets in, and a server is asked even where no credentials were shown. Unlike there, connections are kept, many are
//! asked at once, no more than a bounded number is asked or waits, and a server that is in trouble (5xx, 408, 429) is no
//! server that refuses: it is unavailable. With `authCache` a verdict (2xx, 401, 403) holds for requests just like it,
//! which are asked as one while it is under way.

use super::counters::{AuthCounters, count};
use super::memory::{Key, Memory};
use crate::client::{chain, one_line};
use crate::places::Places;
use headwater_engine::access::{Credentials, Request, Verdict};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Requests at the authentication server at once, each on a connection of its own unless the server speaks HTTP/2.
const ASKED_MAX: usize = 1024;
/// Requests that wait to be asked.
const WAITING_MAX: usize = 8192;
/// Bytes of a refusal that are read for the log, as in MediaMTX.
const ANSWER_BYTES_MAX: usize = 128 * 1024;
const DRAIN_PATIENCE: Duration = Duration::from_millis(100);
/// Characters of it that reach the log.
const ANSWER_CHARACTERS_MAX: usize = 300;
/// Verdicts remembered: 200 bytes each.
const REMEMBERED_MAX: usize = 16_384;

/// The places of requests at a server; they outlive a change of configuration.
pub(super) struct Asks(Places);

impl Default for Asks {
    fn default() -> Asks {
        Asks(Places::new(ASKED_MAX, WAITING_MAX))
    }
}

/// What a question came to.
struct Answer {
    verdict: Verdict,
    /// It was said about this request, and may be remembered.
    lasts: bool,
}

impl Answer {
    fn unavailable(reason: String) -> Answer {
        Answer { verdict: Verdict::Unavailable { reason }, lasts: false }
    }
}

/// An authentication server.
pub(super) struct Server {
    client: reqwest::Client,
    address: String,
    timeout: Duration,
    /// Verdicts, with `authCache`.
    memory: Option<Memory<Verdict>>,
    /// Questions under way, with `authCache`.
    under_way: Mutex<HashMap<Key, watch::Receiver<Option<Verdict>>>>,
    asks: Arc<Asks>,
    counters: Arc<AuthCounters>,
}

impl Server {
    pub(super) fn new(
        client: reqwest::Client,
        address: &str,
        timeout: Duration,
        cache: Duration,
        asks: Arc<Asks>,
        counters: Arc<AuthCounters>,
    ) -> Server {
        Server {
            client,
            address: address.to_owned(),
            timeout,
            memory: (!cache.is_zero()).then(|| Memory::new(REMEMBERED_MAX, cache)),
            under_way: Mutex::default(),
            asks,
            counters,
        }
    }

    /// Asks, or remembers. `token` is what the request showed, wherever it did.
    pub(super) async fn decide(self: Arc<Self>, request: Request, token: String) -> Verdict {
        let Some(memory) = &self.memory else {
            return self.ask(&request, &token).await.verdict;
        };
        let key = memory.key(&[
            request.action.word().as_bytes(),
            request.path.as_bytes(),
            request.protocol.as_bytes(),
            request.ip.to_canonical().to_string().as_bytes(),
            request.query.as_bytes(),
            request.user_agent.as_bytes(),
            request.credentials.user.as_bytes(),
            request.credentials.password.as_bytes(),
            token.as_bytes(),
        ]);
        if let Some(verdict) = memory.recall(&key, Instant::now()) {
            count(&self.counters.http_cached);
            return verdict;
        }
        self.ask_once(key, request, token).await
    }

    /// Asks in a task of its own, so that those who share the question do not depend on the first of them.
    async fn ask_once(self: Arc<Self>, key: Key, request: Request, token: String) -> Verdict {
        let already = self.under_way().get(&key).cloned();
        let mut answer = match already {
            Some(answer) => {
                count(&self.counters.http_cached);
                answer
            }
            None => {
                let (sender, answer) = watch::channel(None);
                self.under_way().insert(key, answer.clone());
                let server = Arc::clone(&self);
                tokio::spawn(async move {
                    let forget = Forget { server: &server, key };
                    let Answer { verdict, lasts } = server.ask(&request, &token).await;
                    if let (Some(memory), true) = (&server.memory, lasts) {
                        memory.remember(key, verdict.clone(), Instant::now());
                    }
                    drop(forget);
                    sender.send_replace(Some(verdict));
                });
                answer
            }
        };
        match answer.wait_for(Option::is_some).await {
            Ok(verdict) => verdict.clone().unwrap_or_else(given_up),
            Err(_) => given_up(),
        }
    }

    async fn ask(&self, request: &Request, token: &str) -> Answer {
        match tokio::time::timeout(self.timeout, self.ask_in_turn(request, token)).await {
            Ok(answer) => answer,
            Err(_) => {
                count(&self.counters.timed_out);
                Answer::unavailable(format!(
                    "the authentication server did not answer within {:?}",
                    self.timeout
                ))
            }
        }
    }

    async fn ask_in_turn(&self, request: &Request, token: &str) -> Answer {
        let Some(_place) = self.asks.0.enter().await else {
            count(&self.counters.overloaded);
            return Answer::unavailable("too many requests wait for the authentication server".to_owned());
        };
        count(&self.counters.http_asked);
        let credentials = &request.credentials;
        let question = json!({
            "ip": request.ip.to_canonical().to_string(),
            "user": credentials.user,
            "password": credentials.password,
            "token": token,
            "action": request.action.word(),
            "path": request.path,
            "protocol": protocol(request.protocol),
            "id": request.id.map(|id| id.to_string()),
            "query": request.query,
            "userAgent": request.user_agent,
        });
        let mut response = match self.client.post(&self.address).json(&question).send().await {
            Ok(response) => response,
            Err(error) => {
                let reason = format!("the authentication server cannot be asked: {}", chain(&error));
                return Answer::unavailable(reason);
            }
        };
        self.read_answer(&mut response, credentials, token).await
    }

    async fn read_answer(
        &self,
        response: &mut reqwest::Response,
        credentials: &Credentials,
        token: &str,
    ) -> Answer {
        let status = response.status();
        if status.is_success() {
            // Read, so that the connection can be used again; a server that is slow to say more has said enough.
            let _ = tokio::time::timeout(DRAIN_PATIENCE, read_bounded(response)).await;
            return Answer { verdict: Verdict::Allowed { user: credentials.user.clone() }, lasts: true };
        }
        let in_trouble = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
        let lasts = matches!(status.as_u16(), 401 | 403);
        let none_shown = credentials.user.is_empty() && credentials.password.is_empty() && token.is_empty();
        if none_shown && !in_trouble {
            return Answer { verdict: Verdict::AskCredentials, lasts };
        }
        let said = read_bounded(response).await;
        let mut reason = format!("the authentication server replied with code {}", status.as_u16());
        if in_trouble {
            reason.push_str(", which is trouble of its own and no refusal");
        }
        if !said.is_empty() {
            reason.push_str(": ");
            reason.push_str(&one_line(&String::from_utf8_lossy(&said), ANSWER_CHARACTERS_MAX));
        }
        if in_trouble {
            Answer::unavailable(reason)
        } else {
            Answer { verdict: Verdict::Denied { reason }, lasts }
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Option<Verdict>>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a question from the list when it is answered, and also when its task ends otherwise.
struct Forget<'a> {
    server: &'a Server,
    key: Key,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.server.under_way().remove(&self.key);
    }
}

fn given_up() -> Verdict {
    Verdict::Unavailable { reason: "the question to the authentication server was given up".to_owned() }
}

/// MediaMTX's authentication servers know the encrypted protocols by the plain names.
fn protocol(name: &str) -> &str {
    match name {
        "rtsps" => "rtsp",
        "rtmps" => "rtmp",
        "https" => "http",
        other => other,
    }
}

/// The whole body if it is short, so that the connection can be used again; else its beginning.
async fn read_bounded(response: &mut reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        let room = ANSWER_BYTES_MAX - body.len();
        if piece.len() > room {
            body.extend_from_slice(&piece[..room]);
            break;
        }
        body.extend_from_slice(&piece);
    }
    body
}
