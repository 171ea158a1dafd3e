//! A real terminal of 80 × 24 in tmux, on a private server, with a shell in it.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, bail};

use crate::process::{self, run, until};

/// A session; its server ends when dropped.
#[derive(Debug)]
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// Opens it, `directory` holding the server's socket.
    ///
    /// # Errors
    /// When tmux does not start.
    pub fn open(directory: &Path) -> Result<Self> {
        let terminal = Self { socket: directory.join("tmux.sock").display().to_string() };
        let mut start = terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            "env",
            "PS1=$ ",
            "sh",
        ]);
        start.env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color").env_remove("TMUX");
        run(&mut start)?;
        terminal.shows("a prompt", |screen| screen.contains('$'))?;
        Ok(terminal)
    }

    fn tmux(&self, words: &[&str]) -> Command {
        let mut tmux = process::command("tmux", ["-S", &self.socket, "-u"]);
        tmux.args(words);
        tmux
    }

    /// Types keys as tmux names them (`Enter`, `Escape`, `C-c`), or text.
    ///
    /// # Errors
    /// When the session is gone.
    pub fn press(&self, keys: &[&str]) -> Result<()> {
        let mut words = vec!["send-keys"];
        words.extend(keys);
        run(&mut self.tmux(&words))?;
        Ok(())
    }

    /// What is on the screen, 24 lines.
    ///
    /// # Errors
    /// When the session is gone.
    pub fn screen(&self) -> Result<String> {
        run(&mut self.tmux(&["capture-pane", "-p"]))
    }

    /// Waits until the screen answers the description; returns it.
    ///
    /// # Errors
    /// With the last screen, after five seconds.
    pub fn shows(&self, what: &str, fits: impl Fn(&str) -> bool) -> Result<String> {
        self.shows_within(what, Duration::from_secs(5), fits)
    }

    /// [`Self::shows`] with another limit.
    ///
    /// # Errors
    /// With the last screen, after the limit.
    pub fn shows_within(&self, what: &str, limit: Duration, fits: impl Fn(&str) -> bool) -> Result<String> {
        until(what, limit, || {
            let screen = self.screen()?;
            if fits(&screen) { Ok(screen) } else { bail!("the screen is\n{screen}") }
        })
    }

    /// A variable of the pane, such as `alternate_on` or `cursor_flag`.
    ///
    /// # Errors
    /// When the session is gone.
    pub fn state(&self, variable: &str) -> Result<String> {
        let format = format!("#{{{variable}}}");
        Ok(run(&mut self.tmux(&["display-message", "-p", &format]))?.trim().to_owned())
    }

    /// Changes the terminal's size.
    ///
    /// # Errors
    /// When the session is gone.
    pub fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        run(&mut self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]))?;
        Ok(())
    }

    /// Fails unless the terminal is as a shell left it: main screen, cursor on, echo and line mode on.
    ///
    /// # Errors
    /// With what is not restored.
    pub fn must_be_restored(&self) -> Result<()> {
        self.shows("the prompt", |screen| {
            screen.lines().rfind(|line| !line.is_empty()).is_some_and(|line| line.contains('$'))
        })?;
        for (variable, value) in [("alternate_on", "0"), ("cursor_flag", "1"), ("mouse_any_flag", "0")] {
            let is = self.state(variable)?;
            if is != value {
                bail!("{variable} is {is} after the program's end");
            }
        }
        self.press(&[
            "stty -a | tr -s ' ;' '\\n' | grep -x -e -icanon -e -echo | wc -l | sed s/^/off:/",
            "Enter",
        ])?;
        let screen = self
            .shows("the terminal's settings", |screen| screen.lines().any(|line| line.starts_with("off:")))?;
        let off = screen.lines().rfind(|line| line.starts_with("off:")).context("no answer")?;
        if off.trim() == "off:0" { Ok(()) } else { bail!("echo or line mode is off: {screen}") }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        run(&mut self.tmux(&["kill-server"])).ok();
    }
}
