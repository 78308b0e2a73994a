//! The groups of a protocol exist while its server does; otherwise they answer 404, as with MediaMTX.

use crate::config::Configuration;
use crate::config::values::Encryption;
use crate::http::answer::Failure;
use headwater_engine::records::Protocol;

/// Refuses what belongs to a protocol whose server is off.
pub(super) fn check_served(protocol: Protocol, configuration: &Configuration) -> Result<(), Failure> {
    let global = &configuration.global;
    let plain = |encryption| encryption != Encryption::Strict;
    let secure = |encryption| encryption != Encryption::No;
    let (server, on) = match protocol {
        Protocol::Rtsp => ("RTSP", global.rtsp && plain(global.rtsp_encryption)),
        Protocol::Rtsps => ("RTSPS", global.rtsp && secure(global.rtsp_encryption)),
        Protocol::Rtmp => ("RTMP", global.rtmp && plain(global.rtmp_encryption)),
        Protocol::Rtmps => ("RTMPS", global.rtmp && secure(global.rtmp_encryption)),
        // One listener for all media over HTTP.
        Protocol::Http | Protocol::Https | Protocol::Hls => ("HLS", global.hls),
    };
    on.then_some(()).ok_or_else(|| Failure::not_found(format!("the {server} server is off")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_exist_while_their_server_does() {
        let mut configuration = Configuration::default();
        let served = |configuration: &Configuration| -> Vec<&str> {
            let all = Protocol::ALL.into_iter();
            all.filter(|one| check_served(*one, configuration).is_ok()).map(Protocol::name).collect()
        };
        assert_eq!(served(&configuration), ["rtsp", "rtmp", "http", "https", "hls"]);
        let global = &mut configuration.global;
        (global.rtsp_encryption, global.rtmp_encryption) = (Encryption::Strict, Encryption::Optional);
        global.hls = false;
        assert_eq!(served(&configuration), ["rtsps", "rtmp", "rtmps"]);
        (configuration.global.rtsp, configuration.global.rtmp) = (false, false);
        assert!(served(&configuration).is_empty());
        let refused = check_served(Protocol::Https, &configuration).unwrap_err();
        assert_eq!(refused.message, "the HLS server is off");
    }
}
