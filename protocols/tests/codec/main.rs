//! Configurations, records and decode times against what FFmpeg and its encoders wrote.

mod assembler;
mod decode_times;
mod fixtures;
mod records;
