#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| headwater_fuzz::codec_configuration::codec_configuration(data));
