//! Readers that come and go: each plays until media arrived and leaves, with TEARDOWN or by closing its sockets.

use std::time::Instant;

use anyhow::{Result, bail};

use super::reader::Reader;
use super::run::Load;
use crate::limits;
use crate::options::Close;

impl Load {
    /// Goes through `cycles` sessions, as many at once as the plan has readers.
    ///
    /// # Errors
    /// A session that fails, or for which nothing happens for [`limits::CONNECT_TIMEOUT`].
    pub(crate) fn churn(&mut self, cycles: usize, close: Close) -> Result<()> {
        let slots = self.readers.len();
        let (mut begun, mut ended) = (0, 0);
        let mut leaving = vec![false; slots];
        let mut active = vec![false; slots];
        let mut progress_at = Instant::now();
        while ended < cycles {
            for slot in 0..slots {
                if !active[slot] && begun < cycles {
                    self.readers[slot] = Reader::new(slot, slot % self.plan.paths, true);
                    self.start_reader(slot)?;
                    (active[slot], leaving[slot]) = (true, false);
                    begun += 1;
                }
            }
            self.pump(progress_at + limits::CONNECT_TIMEOUT, "a session does not go on")?;
            for slot in 0..slots {
                let reader = &mut self.readers[slot];
                let over = if leaving[slot] {
                    reader.ended() || reader.gone
                } else if active[slot] && reader.gone {
                    bail!("a session failed: {}", self.tally.failures.join("; "));
                } else if active[slot] && reader.playing() && reader.intake.bytes > 0 {
                    leaving[slot] = true;
                    let orderly = match close {
                        Close::Teardown => true,
                        Close::Abrupt => false,
                        Close::Both => (begun + slot) % 2 == 0,
                    };
                    if orderly {
                        reader.teardown()?;
                    }
                    !orderly
                } else {
                    false
                };
                if over && active[slot] {
                    reader.close();
                    (active[slot], leaving[slot]) = (false, false);
                    ended += 1;
                    progress_at = Instant::now();
                }
            }
        }
        Ok(())
    }
}
