//! How jemalloc is set up, and what it can be asked for at run time.
//!
//! `background_thread:true` gives freed memory back to the system also while nobody allocates. `prof:true` compiles its
//! profiler in; `prof_active:false` leaves it off until somebody asks for a heap profile.
//! Then one allocation in 512 KiB (2^19) is sampled with its stack.

#![allow(unsafe_code)]

/// What jemalloc reads when the process starts; ends with a NUL.
type Options = [u8; 69];

/// jemalloc looks for a C string behind this symbol (`const char *malloc_conf`), which it declares weak.
// SAFETY: the name is jemalloc's own, declared weak there for exactly this; nobody else defines it. A reference to an
// array is one thin pointer, as C expects, to static bytes that end with a NUL.
#[used]
#[unsafe(export_name = "malloc_conf")]
static OPTIONS: &Options = b"background_thread:true,prof:true,prof_active:false,lg_prof_sample:19\0";
