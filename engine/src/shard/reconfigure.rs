//! A change of settings on a running shard: what it does not touch is not disturbed.

use super::io::Target;
use super::{Shard, State};
use crate::door::{DatagramChange, Reconfiguration};
use crate::records::Protocol;
use crate::settings::{Settings, Source};
use crate::stream::{CloseReason, StreamKey};
use std::sync::Arc;
use std::time::Duration;

impl Shard {
    /// Puts new settings in force. Sessions of listeners that close go on; streams of paths that exist no more end.
    pub(super) fn reconfigure(&mut self, change: Reconfiguration) {
        let Reconfiguration { settings, open, close, datagrams } = change;
        let state = &mut self.state;
        if state.closing.is_some() {
            return;
        }
        state.rtsp_config = super::rtsp_config(&settings);
        state.rtmp_config = super::rtmp_config(&settings);
        state.http_config = crate::web::config(&settings);
        if state.settings.http.hls != settings.http.hls {
            state.close_muxers("the settings of HLS have changed");
        }
        let before = std::mem::replace(&mut state.settings, settings);
        state.watch(open);
        state.close_listeners(&close);
        state.renew_certificates();
        if let DatagramChange::Replace(ports) = datagrams {
            state.replace_datagrams(ports.map(|ports| *ports));
        }
        if !Arc::ptr_eq(&before.paths, &state.settings.paths) || before.bounds != state.settings.bounds {
            let gone = state.renew_streams();
            for key in gone {
                self.end_stream_of_removed_path(key);
            }
        }
        let mut modules = std::mem::take(&mut self.modules);
        for module in modules.each(crate::modules::Role::RereadPreferences) {
            module.reread_preferences(&mut self.state);
        }
        self.modules = modules;
    }

    fn end_stream_of_removed_path(&mut self, key: StreamKey) {
        let Some(stream) = self.state.streams.get_mut(key) else { return };
        let path = Arc::clone(&stream.path);
        let publisher = stream.home().and_then(|home| home.publisher);
        tracing::info!(%path, "the configuration has no such path any more; its sessions end");
        self.close_stream(key, CloseReason::PathRemoved);
        if let Some(publisher) = publisher {
            self.close_session_and_connection(publisher, CloseReason::PathRemoved.text());
        }
    }
}

impl State {
    fn close_listeners(&mut self, ids: &[super::ListenerId]) {
        let closing: Vec<_> = self
            .listeners
            .iter()
            .filter(|(_, listener)| ids.contains(&listener.id))
            .map(|(k, _)| k)
            .collect();
        for key in closing {
            self.poller.forget(Target::Listener(key).token());
            self.listeners.remove(key);
        }
    }

    /// Listeners that stay use the TLS configuration of the new settings for new connections.
    fn renew_certificates(&mut self) {
        for listener in self.listeners.values_mut() {
            let tls = match listener.protocol {
                Protocol::Rtsps => self.settings.rtsp.secure.as_ref().map(|(_, tls)| tls),
                Protocol::Rtmps => self.settings.rtmp.secure.as_ref().map(|(_, tls)| tls),
                Protocol::Https => self.settings.http.tls.as_ref(),
                Protocol::Rtsp | Protocol::Rtmp | Protocol::Http | Protocol::Hls => None,
            };
            // A listener that closes in this change keeps what it has.
            listener.tls = tls.map(Arc::clone).or_else(|| listener.tls.take());
        }
    }

    /// Gives streams the settings that hold for them now. Returns the home streams of paths that are no more.
    fn renew_streams(&mut self) -> Vec<StreamKey> {
        let settings: &Settings = &self.settings;
        let mut gone = Vec::new();
        for (key, stream) in &mut self.streams {
            stream.log.set_bytes_max(settings.bounds.stream_log_bytes);
            match settings.path(&stream.path) {
                Some(path) if path.source == Source::Publisher => stream.window = path.delivery_window,
                // Replicas end with their home.
                _ if stream.home().is_some() => gone.push(key),
                _ => stream.window = Duration::ZERO,
            }
        }
        gone
    }
}
