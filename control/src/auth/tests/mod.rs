//! Authentication as shards and control ports see it: a request goes in, a verdict comes out.

mod internal;
mod key_set;
mod server;
mod token;

use super::Authority;
use crate::config::{Configuration, Global};
use headwater_engine::access::{Action, Credentials, Request, Verdict};
use std::net::SocketAddr;
use tokio::net::TcpListener;

fn authority(global: Global) -> Authority {
    let authority = Authority::default();
    authority.configure(&Configuration { global, ..Configuration::default() });
    authority
}

fn request(action: Action, path: &str) -> Request {
    Request {
        action,
        path: path.to_owned(),
        protocol: "rtsp",
        id: "00112233-4455-6677-8899-aabbccddeeff".parse().ok(),
        ip: "192.0.2.7".parse().expect("an address"),
        query: String::new(),
        user_agent: "test".to_owned(),
        credentials: Credentials::default(),
    }
}

fn with_password(mut request: Request, user: &str, password: &str) -> Request {
    request.credentials =
        Credentials { user: user.to_owned(), password: password.to_owned(), token: String::new() };
    request
}

fn allowed(user: &str) -> Verdict {
    Verdict::Allowed { user: user.to_owned() }
}

/// Serves HTTP on a free port until the runtime ends.
async fn serve(router: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}
