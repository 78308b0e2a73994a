//! A mirror: fetches the playlists and segments of one path from the server that makes them, as they come, and puts them
//! where a server of files finds them under the same names. A playlist is put in place after what it lists, in one step;
//! files that fell out of it are removed a while later.

use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

use super::Token;
use super::connection::Connection;
use super::reader::Scratch;
use crate::limits;
use crate::scenario::{Element, Talk, hls};
use crate::sys::net::{self, Epoll};

/// What is mirrored, and where to.
#[derive(Clone, Debug)]
pub(crate) struct Mirrored {
    /// Where the origin serves HTTP.
    pub(crate) origin: SocketAddr,
    /// The root of what is served.
    pub(crate) folder: PathBuf,
}

/// See the module.
pub(crate) struct Mirror {
    connection: Connection,
    folder: PathBuf,
    /// Segments in place, the oldest first.
    kept: VecDeque<PathBuf>,
}

impl Mirror {
    /// Starts to follow `path`.
    pub(crate) fn start(epoll: &Epoll, mirrored: &Mirrored, path: usize) -> Result<Mirror> {
        let player = hls::Talk::reader(mirrored.origin, path, false, hls::Use::Mirror, Instant::now());
        let (talk, token) = (Talk::Hls(Box::new(player)), Token::Mirror(path).pack());
        let connection = Connection::start(epoll, mirrored.origin, token, talk)?;
        Ok(Mirror { connection, folder: mirrored.folder.clone(), kept: VecDeque::new() })
    }

    /// Lets the player look at the clock.
    pub(crate) fn wake(&mut self, now: Instant) -> Result<()> {
        if self.connection.talk.due().is_some_and(|due| due <= now) {
            self.connection.timer(now, None)?;
        }
        Ok(())
    }

    /// The connection is ready for something.
    pub(crate) fn ready(&mut self, now: Instant, writable: bool, scratch: &mut Scratch) -> Result<()> {
        if writable {
            self.connection.writable(now)?;
        }
        loop {
            match net::receive_stamped(self.connection.fd(), &mut scratch.buffer) {
                Ok((0, _)) => bail!("the origin closed the connection"),
                Ok((length, _)) => {
                    self.connection.input(now, &scratch.buffer[..length], &mut scratch.media)?;
                }
                Err(error) if net::would_block(&error) => return Ok(()),
                Err(error) => return Err(error).context("receive"),
            }
            for element in scratch.media.drain(..) {
                if let Element::File { target, content, lasting } = element {
                    self.put(&target, &content, lasting)?;
                }
            }
        }
    }

    fn put(&mut self, target: &str, content: &[u8], lasting: bool) -> Result<()> {
        let name = target.split('?').next().unwrap_or(target).trim_start_matches('/');
        ensure!(
            !name.split('/').any(|part| part.is_empty() || part == ".."),
            "a target that is no file: {target}"
        );
        let file = self.folder.join(name);
        let folder = file.parent().context("a file without a folder")?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let fresh = file.with_extension("new");
        fs::write(&fresh, content)
            .and_then(|()| fs::rename(&fresh, &file))
            .with_context(|| name.to_owned())?;
        if !lasting {
            self.kept.push_back(file);
        }
        if self.kept.len() > limits::MIRRORED_SEGMENTS_MAX
            && let Some(oldest) = self.kept.pop_front()
        {
            let _ = fs::remove_file(oldest);
        }
        Ok(())
    }
}
