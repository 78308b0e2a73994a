//! What each command of a client does.
//!
//! Names beyond the specification: `releaseStream`, `FCPublish`, `FCUnpublish`, `FCSubscribe` and `FCUnsubscribe` (Flash
//! Media Live Encoder, and with it librtmp, ffmpeg, OBS), `_checkbw` (librtmp) and `getStreamLength` (Flash players,
//! ffmpeg). Their callers wait for an answer, or give up at `_error`, so all of them get one.

use super::{Connect, Event, Outstanding, Play, Publish, PublishKind, Server, Start, State};
use crate::amf0::Value;
use crate::flv::Capabilities;
use crate::rtmp::chunk::MESSAGE_STREAM;
use crate::rtmp::command::{self, Command};
use crate::rtmp::error::Error;
use crate::rtmp::path;

impl Server {
    pub(super) fn command(&mut self, command: &Command) -> Result<Option<Event>, Error> {
        if self.state == State::Greeted {
            return match &*command.name {
                "connect" => Ok(Some(self.connect(command))),
                _ => Err(Error::misbehaved("command before connect")),
            };
        }
        let transaction = command.transaction;
        match &*command.name {
            "connect" => return Err(Error::misbehaved("second connect")),
            "createStream" => self.answer(transaction, Value::Number(MESSAGE_STREAM.into())),
            "releaseStream" | "_checkbw" => self.answer(transaction, Value::Undefined),
            // Nothing that is live has a length.
            "getStreamLength" => self.answer(transaction, Value::Number(0.0)),
            "FCPublish" => self.notify(command, "onFCPublish", "NetStream.Publish.Start"),
            "FCUnpublish" => self.notify(command, "onFCUnpublish", "NetStream.Unpublish.Success"),
            "FCSubscribe" => self.notify(command, "onFCSubscribe", "NetStream.Play.Start"),
            "FCUnsubscribe" => self.notify(command, "onFCUnsubscribe", "NetStream.Play.Stop"),
            "publish" => return Ok(self.publish(command)),
            "play" => return Ok(self.play(command)),
            "deleteStream" | "closeStream" => return Ok(self.stop()),
            "pause" | "pauseRaw" => return Ok(self.pause(command)),
            "receiveAudio" => return Ok(self.receive(command).map(Event::ReceiveAudio)),
            "receiveVideo" => return Ok(self.receive(command).map(Event::ReceiveVideo)),
            "seek" => self.connection.status("error", "NetStream.Seek.Failed", "a live stream cannot seek"),
            // Answers to what was never asked, and notices.
            "_result" | "_error" | "onStatus" => {}
            _ if transaction != 0.0 => {
                self.answer_error(transaction, "NetConnection.Call.Failed", "no such command");
            }
            _ => {}
        }
        Ok(None)
    }

    fn connect(&mut self, command: &Command) -> Event {
        let object = &command.object;
        let text = |name: &str| -> Box<str> { object.get(name).and_then(Value::as_str).unwrap_or("").into() };
        let object_encoding = object.get("objectEncoding").and_then(Value::as_number).unwrap_or(0.0);
        self.outstanding = Some(Outstanding::Connect { transaction: command.transaction, object_encoding });
        let connect = Connect {
            app: text("app"),
            tc_url: text("tcUrl"),
            flash_version: text("flashVer"),
            capabilities: Capabilities::from_connect(object),
        };
        (self.app, self.tc_url) = (Some(connect.app.clone()), connect.tc_url.clone());
        Event::Connect(connect)
    }

    fn publish(&mut self, command: &Command) -> Option<Event> {
        let name = match command.arguments.first() {
            // What ActionScript makes of `publish(false)`.
            Some(Value::Boolean(false)) => return self.stop(),
            name => name.and_then(Value::as_str).unwrap_or(""),
        };
        if self.state != State::Connected {
            self.connection.status("error", "NetStream.Publish.BadName", "one stream at a time");
            return None;
        }
        let kind = match command.text(1) {
            Some("record") => PublishKind::Record,
            Some("append") => PublishKind::Append,
            // Some encoders send the name of the application here.
            _ => PublishKind::Live,
        };
        let (path, query) = path::join(self.app.as_deref(), &self.tc_url, name);
        self.outstanding = Some(Outstanding::Publish);
        Some(Event::Publish(Publish { path, query, kind }))
    }

    fn play(&mut self, command: &Command) -> Option<Event> {
        let name = match command.arguments.first() {
            Some(Value::Boolean(false)) => return self.stop(),
            name => name.and_then(Value::as_str).unwrap_or(""),
        };
        if self.state != State::Connected {
            self.connection.status("error", "NetStream.Play.Failed", "one stream at a time");
            return None;
        }
        let start = match command.number(1) {
            Some(start) if start >= 0.0 => Start::Recorded { milliseconds: start as u64 },
            // The text counts in seconds, clients in milliseconds: −1 or −1000.
            Some(start) if start == -1.0 || start == -1000.0 => Start::Live,
            _ => Start::LiveOrRecorded,
        };
        // False, or zero, appends to what plays already; nothing does.
        let reset = command.arguments.get(3).and_then(Value::as_bool).unwrap_or(true);
        let (path, query) = path::join(self.app.as_deref(), &self.tc_url, name);
        self.outstanding = Some(Outstanding::Play { reset });
        Some(Event::Play(Play { path, query, start }))
    }

    fn pause(&mut self, command: &Command) -> Option<Event> {
        if self.state != State::Playing {
            return None;
        }
        let paused = command.arguments.first().and_then(Value::as_bool).unwrap_or(true);
        let (code, description) = match paused {
            true => ("NetStream.Pause.Notify", "paused"),
            false => ("NetStream.Unpause.Notify", "playing on"),
        };
        self.connection.status("status", code, description);
        Some(Event::Pause(paused))
    }

    fn receive(&self, command: &Command) -> Option<bool> {
        let wanted = command.arguments.first().and_then(Value::as_bool).unwrap_or(true);
        (self.state == State::Playing).then_some(wanted)
    }

    /// `_result`, where one is expected.
    fn answer(&mut self, transaction: f64, value: Value) {
        if transaction != 0.0 {
            self.connection.command(0, &["_result".into(), transaction.into(), Value::Null, value]);
        }
    }

    pub(super) fn answer_error(&mut self, transaction: f64, code: &str, description: &str) {
        let information = Value::object(command::information("error", code, description));
        self.connection.command(0, &["_error".into(), transaction.into(), Value::Null, information]);
    }

    /// `_result`, and the notice that Flash Media Server sends with it.
    fn notify(&mut self, command: &Command, notice: &str, code: &str) {
        self.answer(command.transaction, Value::Undefined);
        let name = command.text(0).unwrap_or("");
        let information = Value::object([("code", code.into()), ("description", name.into())]);
        self.connection.command(0, &[notice.into(), 0.0.into(), Value::Null, information]);
    }
}
