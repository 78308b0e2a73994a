//! A socket in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;

mod heap;
mod http1;
mod http2;
mod mutation;
mod socket;

/// What a machine writes.
#[derive(Clone, Default)]
pub(crate) struct Memory(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    written: Vec<u8>,
    /// How much each of the next writes takes; 0 is a full socket. All when empty.
    takes: VecDeque<usize>,
    /// Addresses of the slices that came.
    addresses: Vec<usize>,
    broken: bool,
}

impl Memory {
    pub(super) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut inner = self.0.borrow_mut();
        if inner.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut room = inner.takes.pop_front().unwrap_or(usize::MAX);
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let before = inner.written.len();
        for slice in slices {
            let part = &slice[..slice.len().min(room)];
            inner.addresses.push(part.as_ptr().addr());
            inner.written.extend_from_slice(part);
            room -= part.len();
        }
        Ok(inner.written.len() - before)
    }

    /// Takes what was written.
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().written)
    }

    /// Sets how much the next writes take.
    fn limit(&self, takes: impl IntoIterator<Item = usize>) {
        self.0.borrow_mut().takes = takes.into_iter().collect();
    }
}
