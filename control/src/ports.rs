//! The control ports: API, metrics and profiling. Opened, moved and closed as the configuration says.
//!
//! A port that moves opens at its new place before the old one closes, also where the two overlap, and requests under way
//! there finish. Encryption is switched on and off without another socket.

use crate::api::{self, Api};
use crate::config::Global;
use crate::config::values::Networks;
use crate::core::Core;
use crate::http::address::Address;
use crate::http::counters::HttpCounters;
use crate::http::gate::Gate;
use crate::http::{Listener, Plan, Rules, limits};
use crate::{metrics, profiling};
use axum::Router;
use headwater_engine::access::Action;
use std::sync::Arc;

/// One of the ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Api,
    Metrics,
    Pprof,
}

const PORTS: [Port; 3] = [Port::Api, Port::Metrics, Port::Pprof];

/// What the configuration says of one port that is on.
#[derive(Clone, PartialEq)]
struct Wanted {
    address: String,
    /// Certificate and key.
    tls: Option<(String, String)>,
    allow_origins: Vec<String>,
    trusted_proxies: Networks,
}

impl Port {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Port::Api => "api",
            Port::Metrics => "metrics",
            Port::Pprof => "pprof",
        }
    }

    fn action(self) -> Action {
        match self {
            Port::Api => Action::Api,
            Port::Metrics => Action::Metrics,
            Port::Pprof => Action::Pprof,
        }
    }

    fn wanted(self, global: &Global) -> Option<Wanted> {
        macro_rules! keys {
            ($on:ident, $address:ident, $encryption:ident, $cert:ident, $key:ident, $origins:ident, $proxies:ident) => {
                global.$on.then(|| Wanted {
                    address: global.$address.clone(),
                    tls: global.$encryption.then(|| (global.$cert.clone(), global.$key.clone())),
                    allow_origins: global.$origins.clone(),
                    trusted_proxies: global.$proxies.clone(),
                })
            };
        }
        match self {
            Port::Api => keys!(
                api,
                api_address,
                api_encryption,
                api_server_cert,
                api_server_key,
                api_allow_origins,
                api_trusted_proxies
            ),
            Port::Metrics => keys!(
                metrics,
                metrics_address,
                metrics_encryption,
                metrics_server_cert,
                metrics_server_key,
                metrics_allow_origins,
                metrics_trusted_proxies
            ),
            Port::Pprof => keys!(
                pprof,
                pprof_address,
                pprof_encryption,
                pprof_server_cert,
                pprof_server_key,
                pprof_allow_origins,
                pprof_trusted_proxies
            ),
        }
    }
}

/// The ports that are open.
pub(crate) struct Ports {
    open: Vec<(Port, Wanted, Listener)>,
    counters: Vec<(Port, Arc<HttpCounters>)>,
}

/// A change that is prepared: everything that can fail has been done.
pub(crate) struct PortsChange {
    opened: Vec<(Port, Wanted, Listener)>,
    /// Ports that stay, with what they are to be from now on.
    kept: Vec<(Port, Wanted, Option<Arc<rustls::ServerConfig>>)>,
}

impl Ports {
    pub(crate) fn new() -> Ports {
        let counters = PORTS.map(|port| (port, Arc::new(HttpCounters::new(port.name()))));
        Ports { open: Vec::new(), counters: counters.into() }
    }

    /// The counters of every port, open or not.
    pub(crate) fn counters(&self) -> impl Iterator<Item = Arc<HttpCounters>> {
        self.counters.iter().map(|(_, counters)| Arc::clone(counters))
    }

    /// Where each open port listens.
    pub(crate) fn listening(&self) -> impl Iterator<Item = (&'static str, &Address)> {
        self.open.iter().map(|(port, _, listener)| (port.name(), listener.address()))
    }

    /// Opens what `global` wants and is not open yet. The ports that are open go on until [`Ports::commit`].
    ///
    /// # Errors
    /// What cannot be listened on, or a certificate that cannot be used; nothing has changed then.
    pub(crate) async fn prepare(&self, core: &Arc<Core>, global: &Global) -> Result<PortsChange, String> {
        let mut change = PortsChange { opened: Vec::new(), kept: Vec::new() };
        let mut closing = self.closing(global);
        for port in PORTS {
            let Some(wanted) = port.wanted(global) else { continue };
            let secure = certificate(core, wanted.tls.clone()).await?;
            if self.open.iter().any(|(open, now, _)| *open == port && now.address == wanted.address) {
                change.kept.push((port, wanted, secure));
                continue;
            }
            let counters = self.counters_of(port);
            let plan = Plan {
                address: wanted.address.parse()?,
                tls: secure,
                rules: wanted.rules(),
                router: router(port, core, &counters),
                patience: if port == Port::Pprof { limits::RECORDING } else { limits::REQUEST },
                counters,
            };
            let listener = Listener::start(plan, &closing).await.map_err(|error| error.to_string())?;
            // One port of those that open does not join another.
            closing.retain(|closing| !closing.shares_port_with(listener.address()));
            change.opened.push((port, wanted, listener));
        }
        Ok(change)
    }

    /// Where the ports listen that do not stay, as far as another may join them.
    fn closing(&self, global: &Global) -> Vec<Address> {
        let (mut staying, mut closing) = (Vec::new(), Vec::new());
        for (port, now, listener) in &self.open {
            match port.wanted(global) {
                Some(wanted) if wanted.address == now.address => staying.push(listener.address()),
                _ => closing.push(listener.address().clone()),
            }
        }
        closing.retain(|closing| !staying.iter().any(|staying| closing.shares_port_with(staying)));
        closing
    }

    /// Carries a prepared change out. What closes lets its requests finish, which is not waited for.
    pub(crate) fn commit(&mut self, change: PortsChange) {
        let PortsChange { opened, kept } = change;
        let mut stay = Vec::new();
        for (port, wanted, listener) in self.open.drain(..) {
            match kept.iter().find(|(kept, ..)| *kept == port) {
                Some((_, new, secure)) => {
                    listener.configure(new.rules());
                    if new.tls != wanted.tls {
                        listener.secure(secure.as_deref());
                    }
                    stay.push((port, new.clone(), listener));
                }
                None => {
                    tracing::info!(port = port.name(), address = %listener.address(), "control port closed");
                    tokio::spawn(listener.stop());
                }
            }
        }
        for (port, _, listener) in &opened {
            tracing::info!(port = port.name(), address = %listener.address(), "control port open");
        }
        stay.extend(opened);
        self.open = stay;
    }

    /// The certificates of the ports, and others.
    pub(crate) fn certificates(&self, others: Vec<(String, String)>) -> Vec<(String, String)> {
        let of_ports = self.open.iter().filter_map(|(_, wanted, _)| wanted.tls.clone());
        of_ports.chain(others).collect()
    }

    fn counters_of(&self, port: Port) -> Arc<HttpCounters> {
        let (_, counters) =
            self.counters.iter().find(|(of, _)| *of == port).expect("every port has counters");
        Arc::clone(counters)
    }
}

impl Wanted {
    fn rules(&self) -> Rules {
        Rules { allow_origins: self.allow_origins.clone(), trusted_proxies: self.trusted_proxies.clone() }
    }
}

/// Certificates are read on another thread.
async fn certificate(
    core: &Arc<Core>,
    files: Option<(String, String)>,
) -> Result<Option<Arc<rustls::ServerConfig>>, String> {
    let Some((certificate, key)) = files else { return Ok(None) };
    let core = Arc::clone(core);
    let read = tokio::task::spawn_blocking(move || core.keyring.for_http(&certificate, &key)).await;
    read.map_err(|error| error.to_string())?.map(Some)
}

fn router(port: Port, core: &Arc<Core>, counters: &Arc<HttpCounters>) -> Router {
    let gate = Gate::new(port.action(), Arc::clone(core), Arc::clone(counters));
    match port {
        Port::Api => api::router(Api::new(Arc::clone(core), Arc::clone(&core.reload)), &gate),
        Port::Metrics => gate.require(metrics::router(Arc::clone(core))),
        Port::Pprof => gate.require(profiling::router(Arc::clone(core))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Ports};
    use crate::config::{Configuration, Global};
    use crate::core::Core;
    use headwater_engine::{Engine, Settings};
    use std::sync::Arc;

    async fn change(ports: &mut Ports, core: &Arc<Core>, global: &Global) -> Result<(), String> {
        let change = ports.prepare(core, global).await?;
        ports.commit(change);
        Ok(())
    }

    #[tokio::test]
    async fn a_port_moves_to_an_address_that_overlaps_and_never_joins_another() {
        let engine = Engine::start(Settings::default(), || {}).expect("an engine");
        let core = Arc::new(Core::for_tests(engine, Configuration::default()));
        let mut ports = Ports::new();
        let mut global = Configuration::default().global;
        (global.metrics, global.metrics_address) = (true, ":0".to_owned());
        change(&mut ports, &core, &global).await.expect("open");
        let Some((_, &Address::Tcp { port, .. })) = ports.listening().next() else { panic!("nothing open") };

        for host in ["127.0.0.1", "", "127.0.0.1"] {
            global.metrics_address = format!("{host}:{port}");
            change(&mut ports, &core, &global).await.expect("moved");
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
        }

        (global.api, global.api_address) = (true, format!(":{port}"));
        assert!(change(&mut ports, &core, &global).await.is_err(), "the port of another that stays");
        global.metrics_address = format!("127.0.0.2:{port}");
        assert!(change(&mut ports, &core, &global).await.is_err(), "the port of another that opens");
        (global.metrics, global.api_address) = (false, format!("127.0.0.1:{port}"));
        change(&mut ports, &core, &global).await.expect("one takes over what the other leaves");
        assert_eq!(ports.listening().map(|(name, _)| name).collect::<Vec<_>>(), ["api"]);
    }
}
