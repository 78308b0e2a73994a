//! Virtual-time runs: synthetic units in, and a player that checks what every playlist promises.

mod player;
mod playlists;
mod requests;
mod segments;
mod source;
mod stored;
