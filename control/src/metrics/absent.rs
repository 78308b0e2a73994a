//! MediaMTX's families of the protocols that do not exist here yet. Dashboards and alerts that name them keep working:
//! they show an empty category, which is a line of zero without labels.

use super::filter::Filter;
use super::page::{Page, gauge_sample};

struct Category {
    name: &'static str,
    noun: &'static str,
    /// What follows the name, in MediaMTX's order.
    suffixes: &'static [&'static str],
}

const SRT: &[&str] = &[
    "packets_sent",
    "packets_received",
    "packets_sent_unique",
    "packets_received_unique",
    "packets_send_loss",
    "packets_received_loss",
    "packets_retrans",
    "packets_received_retrans",
    "packets_sent_ack",
    "packets_received_ack",
    "packets_sent_nak",
    "packets_received_nak",
    "packets_sent_km",
    "packets_received_km",
    "us_snd_duration",
    "packets_received_belated",
    "packets_send_drop",
    "packets_received_drop",
    "packets_received_undecrypt",
    "bytes_sent",
    "bytes_received",
    "bytes_sent_unique",
    "bytes_received_unique",
    "bytes_received_loss",
    "bytes_retrans",
    "bytes_received_retrans",
    "bytes_received_belated",
    "bytes_send_drop",
    "bytes_received_drop",
    "bytes_received_undecrypt",
    "us_packets_send_period",
    "packets_flow_window",
    "packets_flight_size",
    "ms_rtt",
    "mbps_send_rate",
    "mbps_receive_rate",
    "mbps_link_capacity",
    "bytes_avail_send_buf",
    "bytes_avail_receive_buf",
    "mbps_max_bw",
    "bytes_mss",
    "packets_send_buf",
    "bytes_send_buf",
    "ms_send_buf",
    "ms_send_tsb_pd_delay",
    "packets_receive_buf",
    "bytes_receive_buf",
    "ms_receive_buf",
    "ms_receive_tsb_pd_delay",
    "packets_reorder_tolerance",
    "packets_received_avg_belated_time",
    "packets_send_loss_rate",
    "packets_received_loss_rate",
    "outbound_frames_discarded",
];

const WEBRTC: &[&str] = &[
    "inbound_bytes",
    "inbound_rtp_packets",
    "inbound_rtp_packets_lost",
    "inbound_rtp_packets_jitter",
    "inbound_rtcp_packets",
    "outbound_bytes",
    "outbound_rtp_packets",
    "outbound_rtcp_packets",
    "outbound_frames_discarded",
    "bytes_received",
    "bytes_sent",
    "rtp_packets_received",
    "rtp_packets_sent",
    "rtp_packets_lost",
    "rtp_packets_jitter",
    "rtcp_packets_received",
    "rtcp_packets_sent",
];

const ABSENT: &[Category] = &[
    Category { name: "forward_dests", noun: "Forward destinations", suffixes: &["outbound_bytes"] },
    Category { name: "srt_conns", noun: "SRT connections", suffixes: SRT },
    Category { name: "webrtc_sessions", noun: "WebRTC sessions", suffixes: WEBRTC },
    Category { name: "moq_sessions", noun: "MoQ sessions", suffixes: &["inbound_bytes", "outbound_bytes"] },
];

/// Writes the zeros that the filter wants.
pub(crate) fn write(page: &mut Page, filter: &Filter) {
    let zero = || vec![gauge_sample::<&str>(&[], 0.0)];
    for Category { name, noun, suffixes } in ABSENT.iter().filter(|one| filter.wants_zero(one.name)) {
        page.gauges(name, &format!("{noun}, 1 each (none: not served by this version)."), zero());
        for suffix in *suffixes {
            let help = format!("{noun}: {} (none: not served by this version).", suffix.replace('_', " "));
            page.gauges(&format!("{name}_{suffix}"), &help, zero());
        }
    }
}
