//! Profiling.
