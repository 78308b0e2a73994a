//! Samples of which code uses the CPU: a timer of the process's CPU time (ITIMER_PROF) sends SIGPROF to the thread that
//! runs, whose stack is noted.
//!
//! Why not the sampler of the crate `pprof` (we use its reports): with frame pointers it leaves out the function that
//! was interrupted, and it reads stacks after a check that may be outdated. Here the interrupted instruction is the
//! first frame, and stacks are copied by the kernel (process_vm_readv), which returns an error where a fault would be.
//! Code of libc and aws-lc uses the frame pointer's register for other things, above all around system calls, where a
//! server spends its time. Whoever does so has saved the caller's on the stack, and it is looked for there.
//!
//! Invariants: the handler takes no lock, allocates nothing, and writes only to places it has reserved; the handler,
//! once installed, stays, so that a late signal never has its default effect, which would end the process.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Frames of one sample; what is below is left out.
const FRAMES_MAX: usize = 96;
/// Words that all samples of one recording have together: 8 MiB, some 20,000 samples of 50 frames.
const WORDS_MAX: usize = 1 << 20;
/// A frame farther than this from the stack pointer is none: no thread has a larger stack.
const STACK_MAX: usize = 16 << 20;
/// Words of the stack among which a saved frame pointer is looked for; what libc has around a system call is smaller.
const SAVED_WORDS: usize = 64;
/// Words before the frames: how many frames, and the thread's name.
const HEAD: usize = 3;

/// Where the handler writes. Made once, at the first recording, and kept.
static WORDS: OnceLock<Box<[AtomicU64]>> = OnceLock::new();
/// The next free word; beyond the end when samples were dropped.
static NEXT: AtomicUsize = AtomicUsize::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// Whether signals are to be noted.
static RECORDING: AtomicBool = AtomicBool::new(false);
/// Handlers that run now.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// Held by the one recording there may be.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// One sample.
pub(crate) struct Sample {
    pub(crate) thread: String,
    /// The interrupted instruction, then return addresses, innermost first.
    pub(crate) frames: Vec<usize>,
}

/// What a recording found.
pub(crate) struct Samples {
    pub(crate) samples: Vec<Sample>,
    /// For which there was no room.
    pub(crate) dropped: u64,
}

/// Why no recording began.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("a CPU profile is being recorded already; try again when it has ended")]
    Busy,
    #[error("the kernel refuses a CPU profile: {0}")]
    Refused(#[from] io::Error),
}

/// A recording under way. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Recording {
    _private: (),
}

impl Recording {
    /// Begins to note stacks, `hz` times per second of CPU time.
    ///
    /// # Errors
    /// Another recording is under way; the kernel refuses.
    pub(crate) fn start(hz: u32) -> Result<Recording, StartError> {
        if TAKEN.swap(true, Ordering::AcqRel) {
            return Err(StartError::Busy);
        }
        let recording = Recording { _private: () };
        WORDS.get_or_init(|| (0..WORDS_MAX).map(|_| AtomicU64::new(0)).collect());
        // All signals of an earlier recording have been dealt with by now: `drop` waited for them.
        NEXT.store(0, Ordering::Relaxed);
        DROPPED.store(0, Ordering::Relaxed);
        install()?;
        RECORDING.store(true, Ordering::SeqCst);
        set_timer(1_000_000 / i64::from(hz.max(1)))?;
        Ok(recording)
    }

    /// Ends it and returns what was noted.
    pub(crate) fn finish(self) -> Samples {
        stop();
        let words = WORDS.get().map_or(&[][..], |words| words);
        let used = &words[..NEXT.load(Ordering::Acquire).min(words.len())];
        let mut samples = Vec::new();
        let mut at = 0;
        while let Some((head, rest)) = used.get(at..).and_then(|rest| rest.split_at_checked(HEAD)) {
            let count = head[0].load(Ordering::Relaxed) as usize;
            let Some(frames) = rest.get(..count) else { break };
            let name = [head[1].load(Ordering::Relaxed), head[2].load(Ordering::Relaxed)];
            let frames = frames.iter().map(|word| word.load(Ordering::Relaxed) as usize).collect();
            samples.push(Sample { thread: name_of(name), frames });
            at += HEAD + count;
        }
        Samples { samples, dropped: DROPPED.load(Ordering::Relaxed) }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        stop();
        TAKEN.store(false, Ordering::Release);
    }
}

/// Stops the timer and waits for handlers that run; one takes microseconds.
fn stop() {
    let _ = set_timer(0);
    RECORDING.store(false, Ordering::SeqCst);
    while INSIDE.load(Ordering::SeqCst) > 0 {
        std::thread::yield_now();
    }
}

/// The name that a thread is shown by: of `shard-0-1` only `shard-0`, as glommio appends the number of its executor.
pub(crate) fn thread_label(name: &str) -> &str {
    match name.strip_prefix("shard-").and_then(|numbers| numbers.find('-')) {
        Some(dash) => &name[.."shard-".len() + dash],
        None => name,
    }
}

fn name_of(words: [u64; 2]) -> String {
    let bytes = [words[0].to_ne_bytes(), words[1].to_ne_bytes()].concat();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    thread_label(&String::from_utf8_lossy(&bytes[..end])).to_owned()
}

/// Makes `on_signal` the handler of SIGPROF.
fn install() -> io::Result<()> {
    // SAFETY: all zeroes is a valid sigaction, which is then filled: the handler has the type that SA_SIGINFO asks for,
    // and is sound in any thread at any time, as its comments say. SA_RESTART spares others EINTR.
    let result = unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_signal;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(libc::SIGPROF, &raw const action, ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends SIGPROF every so many microseconds of CPU time; 0 stops it.
fn set_timer(microseconds: i64) -> io::Result<()> {
    let interval = libc::timeval { tv_sec: microseconds / 1_000_000, tv_usec: microseconds % 1_000_000 };
    let timer = libc::itimerval { it_interval: interval, it_value: interval };
    // SAFETY: `timer` lives for the call, and the old value is not asked for.
    let result = unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const timer, ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Notes the stack of the thread it interrupts. Everything it calls is safe in a signal handler: system calls and
/// atomics. `errno` is put back, for the code that was interrupted between a system call and its error.
extern "C" fn on_signal(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    INSIDE.fetch_add(1, Ordering::SeqCst);
    if RECORDING.load(Ordering::SeqCst) {
        // SAFETY: returns the address of this thread's errno, which is valid while the thread runs.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: as above; nobody else writes this thread's errno.
        let before = unsafe { *errno };
        let mut frames = [0; FRAMES_MAX];
        // SAFETY: with SA_SIGINFO the third argument is the ucontext of the interrupted thread, valid while this runs.
        let count = unsafe { walk(&*context.cast::<libc::ucontext_t>(), &mut frames) };
        let mut name = [0_u64; 2];
        // SAFETY: PR_GET_NAME writes at most 16 bytes, the size of `name`.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        note(name, &frames[..count]);
        // SAFETY: as above.
        unsafe { *errno = before };
    }
    INSIDE.fetch_sub(1, Ordering::SeqCst);
}

/// Writes a sample where nobody else writes.
fn note(name: [u64; 2], frames: &[u64]) {
    let length = HEAD + frames.len();
    let Some(words) = WORDS.get() else { return };
    // Reserved only where it fits whole, so that `finish` never finds the head of a sample that is not there.
    let fits = |next: usize| (next + length <= words.len()).then_some(next + length);
    let Ok(at) = NEXT.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits) else {
        DROPPED.fetch_add(1, Ordering::Relaxed);
        return;
    };
    let values = [frames.len() as u64, name[0], name[1]].into_iter().chain(frames.iter().copied());
    for (word, value) in words[at..].iter().zip(values) {
        word.store(value, Ordering::Release);
    }
}

/// Follows the frame pointers. Returns how many frames there are, at least one.
fn walk(context: &libc::ucontext_t, frames: &mut [u64; FRAMES_MAX]) -> usize {
    let (instruction, stack, mut frame) = registers(context);
    frames[0] = instruction as u64;
    let mut count = 1;
    let mut lowest = stack;
    // SAFETY: getpid cannot fail and touches no memory.
    let process = unsafe { libc::getpid() };
    if !own_code().contains(&instruction)
        && !caller_of(process, stack, frame).is_some_and(|(_, address)| own_code().contains(&address))
        && let Some((return_address, saved)) = saved_frame(process, stack)
    {
        frames[1] = return_address as u64;
        count = 2;
        frame = saved;
    }
    while count < FRAMES_MAX && frame >= lowest {
        let Some((caller, return_address)) = caller_of(process, stack, frame) else { break };
        // The start of a thread has no caller; an address in the first page is no code.
        if return_address < 4096 {
            break;
        }
        frames[count] = return_address as u64;
        count += 1;
        lowest = frame + 16;
        frame = caller;
    }
    count
}

/// The frame that `frame` points to, if that can be a frame: the caller's frame pointer and the return address.
fn caller_of(process: libc::pid_t, stack: usize, frame: usize) -> Option<(usize, usize)> {
    if frame < stack || frame - stack >= STACK_MAX || !frame.is_multiple_of(8) {
        return None;
    }
    let [caller, return_address] = read_words::<2>(process, frame)?;
    Some((caller as usize, return_address as usize))
}

/// Looks for what a function has saved that uses the frame pointer's register for something else: our caller's return
/// address, and the frame pointer of that caller.
fn saved_frame(process: libc::pid_t, stack: usize) -> Option<(usize, usize)> {
    // Near the stack's end there are fewer words than that, but no system call is made there.
    let words = read_words::<SAVED_WORDS>(process, stack)?;
    words.iter().enumerate().find_map(|(at, &word)| {
        let place = stack + at * size_of::<u64>();
        let saved = word as usize;
        let (_, outer) = caller_of(process, place + size_of::<u64>(), saved)?;
        // Registers are saved below the return address of the call, which the saved frame lies above.
        let between = (saved - place) / size_of::<u64>();
        let return_address =
            words[at + 1..].iter().take(between).find(|word| own_code().contains(&(**word as usize)))?;
        own_code().contains(&outer).then_some((*return_address as usize, saved))
    })
}

/// Where this program's own code lies, which keeps frame pointers.
fn own_code() -> std::ops::Range<usize> {
    unsafe extern "C" {
        /// The first byte of the program, and the first after its code; the linker defines both.
        static __executable_start: u8;
        static etext: u8;
    }
    (&raw const __executable_start).addr()..(&raw const etext).addr()
}

/// Copies words of this process's memory, without a fault if there is nothing.
fn read_words<const N: usize>(process: libc::pid_t, address: usize) -> Option<[u64; N]> {
    let mut words = [0_u64; N];
    let size = size_of_val(&words);
    let local = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: size };
    let remote = libc::iovec { iov_base: ptr::without_provenance_mut(address), iov_len: size };
    // SAFETY: the kernel writes at most `size` bytes to `words`, and checks `address` itself.
    let copied = unsafe { libc::process_vm_readv(process, &raw const local, 1, &raw const remote, 1, 0) };
    (copied == size as isize).then_some(words)
}

/// Instruction, stack and frame pointer.
#[cfg(target_arch = "x86_64")]
fn registers(context: &libc::ucontext_t) -> (usize, usize, usize) {
    let of = |register: i32| context.uc_mcontext.gregs[register as usize] as usize;
    (of(libc::REG_RIP), of(libc::REG_RSP), of(libc::REG_RBP))
}

/// Instruction, stack and frame pointer.
#[cfg(target_arch = "aarch64")]
fn registers(context: &libc::ucontext_t) -> (usize, usize, usize) {
    let machine = &context.uc_mcontext;
    (machine.pc as usize, machine.sp as usize, machine.regs[29] as usize)
}

#[cfg(test)]
mod tests {
    use super::thread_label;

    #[test]
    fn a_shard_is_shown_without_the_number_of_its_executor() {
        assert_eq!(thread_label("shard-12-13"), "shard-12");
        assert_eq!(thread_label("shard-12"), "shard-12");
        assert_eq!(thread_label("tokio-rt-worker"), "tokio-rt-worker");
    }
}
