use crate::options::StartupOptions;
use anyhow::Result;
pub(crate) fn startup(_options: &StartupOptions) -> Result<bool> {
    anyhow::bail!("x")
}
