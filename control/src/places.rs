//! Places in front of what is slow or expensive: so many work at once, so many wait, and the rest is told so.
//!
//! Whoever waits is let in in the order of arrival.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of places to do something slow in, and a number of places to wait for one.
pub(crate) struct Places {
    working: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Places {
    pub(crate) fn new(working_max: usize, waiting_max: usize) -> Places {
        Places {
            working: Arc::new(Semaphore::new(working_max)),
            waiting: Arc::new(Semaphore::new(waiting_max)),
        }
    }

    /// Waits for a place; `None` if too many wait already.
    pub(crate) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.working).try_acquire_owned() {
            return Some(place);
        }
        let _waiting = self.waiting.try_acquire().ok()?;
        Arc::clone(&self.working).acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_where_too_many_wait() {
        let places = Arc::new(Places::new(1, 1));
        let first = places.enter().await.expect("a free place");
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.enter().await.is_some() }
        });
        while places.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(places.enter().await.is_none(), "the place to wait in is taken");
        drop(first);
        assert!(waiting.await.expect("no panic"));
    }
}
