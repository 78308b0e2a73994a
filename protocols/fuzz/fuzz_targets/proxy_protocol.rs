#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_fuzz::proxy_protocol::proxy_protocol(data));
