use std::path::PathBuf;
pub(crate) struct Watch;
impl Watch {
    pub(crate) fn new(_: Vec<PathBuf>, c: tokio::sync::mpsc::Sender<()>) -> Watch { std::mem::forget(c); Watch }
    pub(crate) fn set_paths(&mut self, _: Vec<PathBuf>) {}
}
