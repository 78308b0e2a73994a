//! Authentication: internal users, an HTTP server, or tokens, asked by shards and by the control ports.

use crate::config::Configuration;
use headwater_engine::access::{Request, Verdict};

/// Decides who may do what.
#[derive(Default)]
pub(crate) struct Authority {}

impl Authority {
    /// Takes over the authentication settings of a configuration. Requests that are being decided go on as they began.
    pub(crate) fn configure(&self, _configuration: &Configuration) {}

    /// Decides one request. Cheap to have many of at once; never takes longer than `authTimeout`.
    pub(crate) async fn check(&self, _request: Request) -> Verdict {
        Verdict::Denied { reason: "not written yet".to_owned() }
    }

    /// Fetches the JWT key set anew.
    ///
    /// # Errors
    /// It cannot be fetched or holds no usable key; the old one stays.
    pub(crate) async fn refresh_jwks(&self) -> Result<(), String> {
        Ok(())
    }
}
