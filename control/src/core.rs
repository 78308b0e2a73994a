//! What the parts of the control core share: the engine, the configuration, the live world.

use crate::auth::Authority;
use crate::config::{Configuration, Faults};
use crate::world::World;
use arc_swap::ArcSwap;
use headwater_engine::Engine;
use std::sync::Arc;

/// The control core. One per process, shared by everything that runs on its thread.
pub(crate) struct Core {
    pub(crate) engine: Engine,
    pub(crate) world: World,
    pub(crate) authority: Authority,
    configuration: ArcSwap<Configuration>,
}

/// Why a change of configuration was refused. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Invalid(#[from] Faults),
    /// The configuration is valid, but a listener cannot be opened, or the file cannot be written.
    #[error("{0}")]
    Failed(String),
}

impl Core {
    /// The configuration in force.
    pub(crate) fn configuration(&self) -> Arc<Configuration> {
        self.configuration.load_full()
    }

    /// Changes the configuration: `change` makes the new one from the one in force, and it is put in force. Changes are
    /// made one after the other. With `apiPersist` it is written to the file first.
    ///
    /// # Errors
    /// Whatever `change` returns; a listener that cannot be opened; a file that cannot be written.
    pub(crate) async fn change<F>(&self, change: F) -> Result<(), ChangeError>
    where
        F: FnOnce(&Configuration) -> Result<Configuration, ChangeError>,
    {
        let new = change(&self.configuration())?;
        self.configuration.store(Arc::new(new));
        Ok(())
    }

    /// A core around an engine, for tests of the parts that need one.
    #[cfg(test)]
    pub(crate) fn for_tests(engine: Engine, configuration: Configuration) -> Core {
        let configuration = ArcSwap::from_pointee(configuration);
        Core { engine, world: World::new(), authority: Authority::default(), configuration }
    }
}
