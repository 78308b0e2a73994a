//! A child process in a process group of its own, its output in files, never without a deadline.

use crate::{wait, workspace};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A running child. Its whole process group is killed when this is dropped.
pub struct Process {
    child: Child,
    name: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command` with no standard input, and its output going to files under `target/tests/logs`.
    ///
    /// # Errors
    /// When the program cannot be started: a missing tool is an error, never a skip.
    pub fn spawn(name: &str, mut command: Command) -> Result<Process> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let logs = workspace().join("logs");
        fs::create_dir_all(&logs)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let file: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let stdout = logs.join(format!("{}-{number}-{file}.out", std::process::id()));
        let stderr = stdout.with_extension("err");
        command.stdin(Stdio::null()).stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        let child = command.process_group(0).spawn().with_context(|| {
            format!("cannot start {name}: {command:?} (tests/run installs what is needed)")
        })?;
        Ok(Process { child, name: name.to_owned(), stdout, stderr })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        read_lossy(&self.stdout)
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        read_lossy(&self.stderr)
    }

    /// The last lines of both outputs, for an error message.
    pub fn tail(&self) -> String {
        let text = format!("{}{}", self.stdout(), self.stderr());
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("/GstPipeline:")).collect();
        let skipped = lines.len().saturating_sub(30);
        format!("--- the last lines of {} ---\n{}\n---", self.name, lines[skipped..].join("\n"))
    }

    /// Sends one signal to the process itself, not to its group.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid(), signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// The exit status, when it has ended.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        match wait::until(&what, limit, || Ok(self.child.try_wait()?)) {
            Ok(status) => Ok(status),
            Err(error) => Err(error.context(self.tail())),
        }
    }

    /// Waits for its end and wants exit code 0.
    ///
    /// # Errors
    /// When it still runs after `limit`, or failed.
    pub fn succeed(&mut self, limit: Duration) -> Result<()> {
        let status = self.wait(limit)?;
        if !status.success() {
            bail!("{} ended with {status}\n{}", self.name, self.tail());
        }
        Ok(())
    }

    /// Errors when the process has ended, which a server or a publisher should not do by itself.
    ///
    /// # Errors
    /// When it has ended.
    pub fn still_runs(&mut self) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} ended by itself with {status}\n{}", self.name, self.tail());
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group outlives its leader when a shell or a launcher left children behind: kill it in any case.
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }
}

fn read_lossy(file: &PathBuf) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}
