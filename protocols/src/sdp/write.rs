//! Writes the lines of a session description, in the order of RFC 8866, section 5.

use super::{Attribute, Connection, SessionDescription};
use std::fmt::Write;

impl SessionDescription {
    /// The description as text, lines ended by CR LF.
    pub fn write(&self) -> String {
        let mut out = String::from("v=0\r\n");
        let o = &self.origin;
        let fields = [&o.username, &o.session_id, &o.session_version];
        let [username, id, version] = fields.map(|field| clean(field));
        line(
            &mut out,
            'o',
            format_args!("{username} {id} {version} IN {} {}", clean(&o.address_type), clean(&o.address)),
        );
        // RFC 8866, section 5.3: a session without a name is called by a single space or a dash.
        line(
            &mut out,
            's',
            format_args!("{}", if self.name.is_empty() { "-".into() } else { clean(&self.name) }),
        );
        if let Some(information) = &self.information {
            line(&mut out, 'i', format_args!("{}", clean(information)));
        }
        write_connection(&mut out, self.connection.as_ref());
        write_bandwidth(&mut out, &self.bandwidth);
        line(&mut out, 't', format_args!("{} {}", self.timing.0, self.timing.1));
        write_attributes(&mut out, &self.attributes);
        for media in &self.media {
            let formats: String = media.formats.iter().map(|format| format!(" {}", clean(format))).collect();
            let (kind, protocol) = (clean(&media.kind), clean(&media.protocol));
            line(&mut out, 'm', format_args!("{kind} {} {protocol}{formats}", media.port));
            write_connection(&mut out, media.connection.as_ref());
            write_bandwidth(&mut out, &media.bandwidth);
            write_attributes(&mut out, &media.attributes);
        }
        out
    }
}

/// Text that cannot end its line.
fn clean(text: &str) -> String {
    text.replace(|c: char| c.is_ascii_control(), " ")
}

fn line(out: &mut String, key: char, value: std::fmt::Arguments<'_>) {
    write!(out, "{key}={value}\r\n").expect("a String takes any text");
}

fn write_connection(out: &mut String, connection: Option<&Connection>) {
    if let Some(Connection { address_type, address }) = connection {
        line(out, 'c', format_args!("IN {} {}", clean(address_type), clean(address)));
    }
}

fn write_bandwidth(out: &mut String, bandwidth: &[(Box<str>, u64)]) {
    for (kind, value) in bandwidth {
        line(out, 'b', format_args!("{}:{value}", clean(kind)));
    }
}

fn write_attributes(out: &mut String, attributes: &[Attribute]) {
    for Attribute { key, value } in attributes {
        match value {
            Some(value) => line(out, 'a', format_args!("{}:{}", clean(key), clean(value))),
            None => line(out, 'a', format_args!("{}", clean(key))),
        }
    }
}
