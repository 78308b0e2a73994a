//! A hook's command: its arguments, and its process with everything that process starts.
//!
//! No shell is involved. A line is split as a POSIX shell would split it (quotes, backslashes), then `$NAME` and
//! `${NAME}` are replaced in each argument: a variable never makes two arguments out of one. Source: MediaMTX's
//! `externalcmd`. The process leads a group of its own, and what is left of the group ends with the hook.
//!
//! Processes are made by `posix_spawn`, which copies no page tables: after a `fork` each shard would fault on every page
//! it writes. Therefore children have no parent-death signal, which needs `fork`, and which the kernel ties to the
//! thread that spawned. They are ended at shutdown; only a server that is itself killed with SIGKILL leaves them.

use crate::processors;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

/// Never handed on: they decrypt the configuration.
const SECRET_VARIABLES: [&str; 3] = ["HEADWATER_CONFKEY", "MTX_CONFKEY", "RTSP_CONFKEY"];
/// How often a group without its leader is looked at, and how often one that is told to end.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY_ENDING: Duration = Duration::from_millis(20);
/// For the kernel to end what was killed, and for init to take notice of it; some take their time. Shorter than what the
/// end of the server leaves for it.
const DEATH_PATIENCE: Duration = Duration::from_millis(200);

/// Names and values that a hook is told, beside the server's own environment.
pub(super) type Variables = Vec<(String, String)>;

/// The arguments of a command line.
///
/// # Errors
/// Quotes that do not match, or nothing to run.
pub(super) fn arguments(line: &str, variables: &Variables) -> Result<Vec<String>, String> {
    let parts = shell_words::split(line).map_err(|_| "the quotes of the command do not match".to_owned())?;
    let arguments: Vec<String> = parts.iter().map(|part| expand(part, variables)).collect();
    if arguments.first().is_none_or(String::is_empty) {
        return Err("the command is empty".to_owned());
    }
    if arguments.iter().any(|argument| argument.contains('\0')) {
        return Err("the command contains a NUL character".to_owned());
    }
    Ok(arguments)
}

/// Replaces `$NAME` and `${NAME}`; unknown ones by nothing. A dollar sign that begins no name stays, as in MediaMTX.
fn expand(part: &str, variables: &Variables) -> String {
    let mut out = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let plain = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, end) = if let Some(braced) = after.strip_prefix('{') {
            match braced.find('}') {
                Some(close) => (&braced[..close], close + 2),
                // As Go's os.Expand: a brace without its end is taken away.
                None => ("", 1),
            }
        } else if after.starts_with(|c: char| c.is_ascii_digit() || "*#$@!?-".contains(c)) {
            (&after[..1], 1)
        } else {
            (&after[..plain], plain)
        };
        if end == 0 {
            out.push('$');
        } else {
            out.push_str(&value(name, variables));
        }
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

fn value(name: &str, variables: &Variables) -> String {
    if let Some((_, value)) = variables.iter().find(|(known, _)| known == name) {
        return value.clone();
    }
    // The standard library panics on some names that no variable can have.
    let possible = !name.is_empty() && !name.contains(['=', '\0']);
    if !possible || SECRET_VARIABLES.contains(&name) {
        return String::new();
    }
    std::env::var(name).unwrap_or_default()
}

/// A process and its group. Dropped before its end was seen, the group is killed.
pub(super) struct Process {
    child: Child,
    group: Pid,
    /// Nobody is left in the group, as far as was looked.
    gone: bool,
}

impl Process {
    /// Starts a command. Elsewhere than on the control thread, which would wait for a slow disk.
    ///
    /// # Errors
    /// What the system says, such as that there is no such program.
    pub(super) async fn start(arguments: Vec<String>, variables: Variables) -> std::io::Result<Process> {
        let spawn = move || {
            let mut command = Command::new(&arguments[0]);
            command
                .args(&arguments[1..])
                .envs(variables)
                .stdin(Stdio::null())
                .process_group(0)
                .kill_on_drop(true);
            for name in SECRET_VARIABLES {
                command.env_remove(name);
            }
            let child = processors::unpinned(|| command.spawn())?;
            let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
            let group = id.ok_or_else(|| std::io::Error::other("the process has no id"))?;
            Ok(Process { child, group, gone: false })
        };
        tokio::task::spawn_blocking(spawn).await.map_err(std::io::Error::other)?
    }

    pub(super) fn id(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Waits for the process itself to end. May be dropped and called again.
    pub(super) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.look();
        Ok(status)
    }

    /// Waits until nobody is left in the group. As long as somebody is, the kernel gives its number to nobody else.
    pub(super) async fn wait_for_group(&mut self) {
        while !self.look() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Ends the group: SIGINT (which what a shell runs in the background ignores), and SIGKILL to whoever is left when
    /// `patience` ends. Whether that was needed.
    pub(super) async fn end(&mut self, patience: impl Future<Output = ()>) -> bool {
        if self.gone {
            return false;
        }
        self.signal(Signal::INT);
        let killed = tokio::select! {
            biased;
            () = self.group_gone() => false,
            () = patience => true,
        };
        if killed {
            self.signal(Signal::KILL);
            let _ = tokio::time::timeout(DEATH_PATIENCE, self.group_gone()).await;
        }
        self.gone = true;
        killed
    }

    async fn group_gone(&mut self) {
        let _ = self.child.wait().await;
        while test_kill_process_group(self.group).is_ok() {
            tokio::time::sleep(LOOK_EVERY_ENDING).await;
        }
    }

    fn look(&mut self) -> bool {
        self.gone = self.gone || test_kill_process_group(self.group).is_err();
        self.gone
    }

    fn signal(&self, signal: Signal) {
        // A group that is gone meanwhile is what was wanted.
        let _ = kill_process_group(self.group, signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.gone {
            self.signal(Signal::KILL);
        }
    }
}

/// How a process ended, for people.
pub(super) fn ending(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with code {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended".to_owned(),
        },
        Err(error) => format!("cannot be waited for: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        [("MTX_PATH", "live/cam"), ("MTX_QUERY", "it's \"$HOME\" `id`; rm -rf / %20 $(id)"), ("G1", "cam")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec()
    }

    #[test]
    fn lines_are_split_as_a_shell_would_and_expanded_afterwards() {
        let given = variables();
        let of = |line: &str| arguments(line, &given);
        assert_eq!(
            of("a  'b c' \"d $G1\" e\\ f"),
            Ok(["a", "b c", "d cam", "e f"].map(str::to_owned).to_vec())
        );
        assert_eq!(
            of("x rtsp://host:$PORT_UNSET/${MTX_PATH}_$G1."),
            Ok(vec!["x".into(), "rtsp://host:/live/cam_cam.".into()])
        );
        assert_eq!(
            of("x $ $% a$ ${} ${oops"),
            Ok(["x", "$", "$%", "a$", "", "oops"].map(str::to_owned).to_vec())
        );
        assert!(
            of("x 'open").is_err() && of("").is_err() && of("  ").is_err() && of("$UNSET_VARIABLE").is_err()
        );
    }

    #[test]
    fn a_hostile_value_stays_one_argument_and_is_not_expanded_again() {
        let arguments = arguments("run --query $MTX_QUERY --end", &variables()).expect("a command");
        assert_eq!(arguments, ["run", "--query", "it's \"$HOME\" `id`; rm -rf / %20 $(id)", "--end"]);
    }

    #[test]
    fn the_environment_is_known_but_for_the_key_of_the_configuration() {
        assert_eq!(expand("$PATH", &Vec::new()), std::env::var("PATH").expect("a path"));
        assert_eq!(expand("$MTX_CONFKEY${HEADWATER_CONFKEY}$RTSP_CONFKEY", &Vec::new()), "");
        assert_eq!(expand("${a=b}${\0}$é", &Vec::new()), "$é");
    }
}
