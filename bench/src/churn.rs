use crate::options::ChurnOptions;
use anyhow::Result;
pub(crate) fn churn(_options: &ChurnOptions) -> Result<bool> {
    anyhow::bail!("x")
}
