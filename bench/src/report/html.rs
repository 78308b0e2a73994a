//! The page.
use anyhow::Result;

use super::Run;

pub(crate) fn page(_run: &Run<'_>) -> Result<String> {
    anyhow::bail!("not yet")
}
