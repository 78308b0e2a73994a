//! The access log: takes part in `postprocess` and `session closing`. One line per refused request and per session that
//! ends at the level "info", and one per request at "debug".

use super::{Answer, Intent, Module, RejectionKind, Request, Role};
use crate::shard::{SessionSummary, State};

pub(crate) struct AccessLog;

impl Module for AccessLog {
    fn name(&self) -> &'static str {
        "access-log"
    }

    fn roles(&self) -> &'static [Role] {
        &[Role::Postprocess, Role::SessionClosing]
    }

    fn postprocess(&mut self, _shard: &State, request: &Request, answer: &Answer) {
        let took_us = request.started.elapsed().as_micros() as u64;
        match answer {
            // Players of HLS ask every few seconds whether a stream is there.
            Answer::Rejected(rejection)
                if request.intent == Intent::Watch && rejection.kind == RejectionKind::NotFound =>
            {
                tracing::debug!(
                    protocol = request.protocol,
                    peer = %request.peer,
                    path = %request.path,
                    "refused: {}",
                    rejection.reason
                );
            }
            Answer::Rejected(rejection) => tracing::info!(
                protocol = request.protocol,
                peer = %request.peer,
                method = %request.method,
                path = %request.path,
                user_agent = request.user_agent.as_deref().unwrap_or(""),
                "refused: {}",
                rejection.reason
            ),
            _ if request.intent == Intent::Control => {
                tracing::trace!(protocol = request.protocol, peer = %request.peer, method = %request.method, took_us, "request");
            }
            _ => tracing::debug!(
                protocol = request.protocol,
                peer = %request.peer,
                method = %request.method,
                path = %request.path,
                user_agent = request.user_agent.as_deref().unwrap_or(""),
                took_us,
                "request"
            ),
        }
    }

    fn session_closing(&mut self, _shard: &State, session: &SessionSummary) {
        tracing::info!(
            protocol = session.protocol,
            session = %session.id,
            peer = %session.peer,
            path = %session.path,
            role = session.role,
            transport = session.transport,
            seconds = session.seconds,
            bytes = session.bytes,
            skips = session.skips,
            "session closed: {}",
            session.reason
        );
    }
}
