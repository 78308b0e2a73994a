//! The command line.

use clap::Parser;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Everything is set in the configuration file, a YAML file with the keys of MediaMTX and some more (--reference lists
them). Without FILE it is looked for as headwater.yml, mediamtx.yml and rtsp-simple-server.yml in this folder,
/usr/local/etc, /usr/etc, /etc/headwater and /etc/mediamtx; without any file every path is open for everybody. Variables
of the environment (HEADWATER_LOGLEVEL=debug, or MTX_…) override the file, and --set overrides both. The file is read
again when it changes; what a change does not touch is not disturbed.

Signals: SIGINT and SIGTERM tell every session and end the server within two seconds; SIGHUP reads the configuration
again; SIGUSR1 writes all counters to the log; SIGUSR2 reopens the log file.

Try:      headwater --demo, and open http://127.0.0.1:8888/demo/ in a browser
Publish:  ffmpeg -re -i FILE -c copy -f rtsp -rtsp_transport tcp rtsp://HOST:8554/NAME
Play:     ffplay rtsp://HOST:8554/NAME";

/// Headwater takes live media in and gives every stream out to as many readers as the kernel can carry.
#[derive(Debug, Parser)]
#[command(name = "headwater", version, about, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// Configuration file
    pub(crate) file: Option<PathBuf>,

    /// Set one configuration key, such as rtspAddress=:8555 or paths.cam.maxReaders=3; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// Publish a moving test picture with tone to the path "demo", and say where to watch it
    #[arg(long, conflicts_with = "instead")]
    pub(crate) demo: bool,

    /// Check the configuration, say everything that is wrong with it, and end
    #[arg(long, group = "instead")]
    pub(crate) check_config: bool,

    /// Print the configuration in force as YAML, without its secrets, and end
    #[arg(long, group = "instead")]
    pub(crate) print_config: bool,

    /// Print a commented configuration file with all defaults, and end
    #[arg(long, group = "instead")]
    pub(crate) example: bool,

    /// Print the reference of all configuration keys (Markdown) and end
    #[arg(long, group = "instead")]
    pub(crate) reference: bool,
}
